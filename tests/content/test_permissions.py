from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser

from content.models import Episode
from content.permissions import (
    can_add_episode,
    can_change_episode,
    can_delete_episode,
    can_view_episode,
)
from tests.factories.content import EpisodeFactory, UserFactory

pytestmark = pytest.mark.django_db

MAY = (can_view_episode, can_change_episode, can_delete_episode)


@pytest.mark.parametrize(
    ("permissions", "expected"),
    [
        ([], [False, False, False]),
        (["view_episode"], [True, False, False]),
        (["view_episode", "change_episode"], [True, True, False]),
        (["view_episode", "delete_episode"], [True, False, True]),
        # Who may not view it can't reach it either.
        (["change_episode", "delete_episode"], [False, False, False]),
    ],
)
def test_permissions_of_others_follow_the_model_permissions(
    permissions: list[str], expected: list[bool]
) -> None:
    user = UserFactory(permissions=permissions)
    episode = EpisodeFactory(owner=UserFactory())
    assert [may(user, episode) for may in MAY] == expected
    assert (episode in Episode.objects.viewable_by(user)) == expected[0]


def test_permissions_of_the_owner_need_no_model_permission() -> None:
    user = UserFactory()
    episode = EpisodeFactory(owner=user)
    assert all(may(user, episode) for may in MAY)
    assert episode in Episode.objects.viewable_by(user)


def test_permissions_on_a_copy_in_the_making_are_nobodys() -> None:
    user = UserFactory(is_superuser=True)
    episode = EpisodeFactory(owner=user, status=Episode.Status.COPYING)
    assert not any(may(user, episode) for may in MAY)


def test_permissions_of_anonymous_are_none() -> None:
    episode = EpisodeFactory(owner=None)
    assert not any(may(AnonymousUser(), episode) for may in MAY)


def test_can_add_episode_takes_the_model_permission() -> None:
    assert not can_add_episode(UserFactory())
    assert can_add_episode(UserFactory(permissions=["add_episode"]))
