"""Guarded status changes: one table per status, one conditional UPDATE per edge.

An edge is taken in the database, from the statuses it names and no other, so two
callers who race for it get one winner and one `InvalidTransition`.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from django.db import models
from django.db.models import Q
from django.utils import timezone

from operations.exceptions import InvalidTransition


class Edge(NamedTuple):
    """`sources` and `target` are member *names* of the model's `Status`.

    Names, because an app may store other values under them: the kernel's PENDING is a
    synchronization job's "scheduled".
    """

    sources: tuple[str, ...]
    target: str


class Transitions(models.Model):
    EDGES: ClassVar[dict[str, Edge]]
    Status: ClassVar[type[models.TextChoices]]
    status: models.CharField[str, str]
    updated_at: models.DateTimeField[Any, Any]

    class Meta:
        abstract = True

    def take(self, edge: str, **changes: Any) -> None:
        """Take `edge`, writing `changes` in the same UPDATE. Raises InvalidTransition."""
        sources, target = self.EDGES[edge]
        changes = {"status": self.Status[target], "updated_at": timezone.now(), **changes}
        manager = type(self)._default_manager
        allowed = [self.Status[name] for name in sources]
        if not manager.filter(Q(status__in=allowed), pk=self.pk).update(**changes):
            self.refresh_from_db(fields=["status"])
            raise InvalidTransition(self, edge, self.status)
        for name, value in changes.items():
            setattr(self, name, value)

    def has_status(self, *names: str) -> bool:
        return self.status in [self.Status[name] for name in names]

    @property
    def status_name(self) -> str:
        """The kernel's word for the status, whatever is stored for it: `in_progress`."""
        return self.Status(self.status).name.lower()

    @classmethod
    def final_statuses(cls) -> list[str]:
        """The names of those from which no edge leads on."""
        left = {name for edge in cls.EDGES.values() for name in edge.sources}
        return [status.name for status in cls.Status if status.name not in left]
