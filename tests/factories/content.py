"""Rows of the content tree."""

from __future__ import annotations

from typing import Any

import factory
from django.contrib.auth.models import Permission, User

from content.models import Block, Episode, Item, Part


class UserFactory(factory.django.DjangoModelFactory[User]):
    username = factory.Sequence(lambda n: f"user-{n}")

    class Meta:
        model = User
        skip_postgeneration_save = True

    @factory.post_generation
    def permissions(self: User, create: bool, extracted: list[str] | None, **kwargs: Any) -> None:
        """`UserFactory(permissions=["view_episode"])`"""
        if create and extracted:
            self.user_permissions.set(Permission.objects.filter(codename__in=extracted))


class EpisodeFactory(factory.django.DjangoModelFactory[Episode]):
    title = factory.Sequence(lambda n: f"Episode {n}")

    class Meta:
        model = Episode


class PartFactory(factory.django.DjangoModelFactory[Part]):
    episode = factory.SubFactory(EpisodeFactory)
    name = factory.Sequence(lambda n: f"Part {n}")

    class Meta:
        model = Part


class ItemFactory(factory.django.DjangoModelFactory[Item]):
    part = factory.SubFactory(PartFactory)
    name = factory.Sequence(lambda n: f"Item {n}")

    class Meta:
        model = Item


class BlockFactory(factory.django.DjangoModelFactory[Block]):
    item = factory.SubFactory(ItemFactory)
    name = factory.Sequence(lambda n: f"Block {n}")
    field_1 = "html"
    field_2 = "<p>A text.</p>"

    class Meta:
        model = Block
