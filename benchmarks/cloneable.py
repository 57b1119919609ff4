"""The content tree as django-clone's documentation has it: models that carry its mixin.

Proxies of the product's own models, each with its children as proxies, so that the clone
goes all the way down. For the benchmark's process alone.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from model_clone import CloneMixin

from content.models import Block, Episode, Item, Part


class _Children:
    """A relation to children, with the children as proxies. Read as the relation's manager."""

    def __init__(self, proxy: type[models.Model], parent: str) -> None:
        self._proxy = proxy
        self._parent = parent

    def __get__(self, instance: models.Model | None, owner: type[models.Model]) -> Any:
        return self._proxy._default_manager.filter(**{self._parent: instance})


class CloneableBlock(CloneMixin, Block):
    class Meta:
        proxy = True
        app_label = "content"


class CloneableItem(CloneMixin, Item):
    _clone_m2o_or_o2m_fields = ["blocks"]
    blocks = _Children(CloneableBlock, "item")

    class Meta:
        proxy = True
        app_label = "content"


class CloneablePart(CloneMixin, Part):
    _clone_m2o_or_o2m_fields = ["items"]
    items = _Children(CloneableItem, "part")

    class Meta:
        proxy = True
        app_label = "content"


class CloneableEpisode(CloneMixin, Episode):
    _clone_m2o_or_o2m_fields = ["parts"]
    parts = _Children(CloneablePart, "episode")

    class Meta:
        proxy = True
        app_label = "content"
