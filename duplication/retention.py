"""How long what belongs to a copy is kept: its id map, and copies that failed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from django.db.models import Exists, OuterRef, Q, QuerySet

from duplication.exceptions import CannotRemove
from duplication.levels import EPISODE
from duplication.models import UNFINISHED, Duplication, IdMap, OwnEdit, Removal
from duplication.removal.conditions import is_in_use
from duplication.removal.services import start_removal
from operations import retention

ROWS = 5_000


class IdMaps(retention.Policy):
    """Of completed copies. From the first batch on the copy can't be undone any more: the
    episode's own pair goes first, and tells so."""

    name = "id map entries"
    setting = "DUPLICATION_KEEP_ID_MAP_DAYS"

    def count(self, before: dt.datetime) -> int:
        return IdMap.objects.filter(duplication__in=self._due(before)).count()

    def batches(self, before: dt.datetime) -> Iterator[int]:
        for pk in list(self._due(before).values_list("pk", flat=True)):
            yield self._close(pk)
            rows = ROWS
            while rows == ROWS:
                rows = self._prune(pk)
                yield rows

    def _due(self, before: dt.datetime) -> QuerySet[Duplication]:
        return Duplication.objects.filter(
            Exists(IdMap.objects.filter(duplication=OuterRef("pk"))),
            status=Duplication.Status.COMPLETED,
            ended_at__lt=before,
            deletion_began_at__isnull=True,
        ).order_by("pk")

    def _close(self, pk: int) -> int:
        """Under the lock that a removal or a catch-up starts with."""
        held = Duplication.objects.select_for_update(no_key=True).filter(pk=pk).first()
        if held is None or is_in_use(held):
            return 0
        OwnEdit.objects.filter(duplication=pk).delete()  # asked for by an undo alone
        return IdMap.objects.filter(duplication=pk, type=EPISODE.node).delete()[0]

    def _prune(self, pk: int) -> int:
        if IdMap.objects.filter(duplication=pk, type=EPISODE.node).exists():
            return 0
        rows = IdMap.objects.filter(duplication=pk).order_by("type", "org_id")
        chunk = list(rows.values_list("type", "org_id")[:ROWS])
        if not chunk:
            return 0
        deleted = 0
        for type_ in {type_ for type_, _ in chunk}:
            ids = [org_id for of_type, org_id in chunk if of_type == type_]
            deleted += IdMap.objects.filter(
                duplication=pk, type=type_, org_id__gte=ids[0], org_id__lte=ids[-1]
            ).delete()[0]
        return deleted


class FailedCopies(retention.Policy):
    """Copies that failed, were cancelled or are partly removed, and that nobody has seen to:
    a removal takes each away."""

    name = "failed copies"
    setting = "DUPLICATION_KEEP_FAILED_DAYS"

    def count(self, before: dt.datetime) -> int:
        return self._due(before).count()

    def batches(self, before: dt.datetime) -> Iterator[int]:
        for duplication in list(self._due(before)):
            try:
                start_removal(duplication=duplication, requested_by=None)
            except CannotRemove:
                # Retried, or in somebody's hands, since the list was made.
                yield 0
            else:
                yield 1

    def _due(self, before: dt.datetime) -> QuerySet[Duplication]:
        ended_badly = Q(status__in=[Duplication.Status.FAILED, Duplication.Status.CANCELLED])
        return Duplication.objects.filter(
            ended_badly | Q(deletion_began_at__isnull=False),
            ~Exists(Removal.objects.filter(UNFINISHED, duplication=OuterRef("pk"))),
            Q(new_episode__isnull=False) | Q(deletion_began_at__isnull=False),
            ended_at__lt=before,
            removed_at__isnull=True,
        ).order_by("pk")
