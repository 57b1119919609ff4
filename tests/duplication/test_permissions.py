from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied

from content.models import Episode
from duplication.permissions import check_may_duplicate
from tests.factories.content import EpisodeFactory, UserFactory

pytestmark = pytest.mark.django_db


def test_check_owner_with_the_permission_may() -> None:
    owner = UserFactory(permissions=["add_duplication"])
    check_may_duplicate(owner, EpisodeFactory(owner=owner))


def test_check_editor_of_any_episode_with_the_permission_may() -> None:
    editor = UserFactory(permissions=["add_duplication", "view_episode", "change_episode"])
    check_may_duplicate(editor, EpisodeFactory(owner=UserFactory()))


def test_check_owner_without_the_permission_is_told_which() -> None:
    owner = UserFactory()
    with pytest.raises(PermissionDenied, match=r"duplication\.add_duplication"):
        check_may_duplicate(owner, EpisodeFactory(owner=owner))


@pytest.mark.parametrize("permissions", [[], ["view_episode"], ["change_episode"]])
def test_check_somebody_elses_episode_is_refused_with_who_can(permissions: list[str]) -> None:
    user = UserFactory(permissions=["add_duplication", *permissions])
    with pytest.raises(PermissionDenied, match="belongs to somebody else"):
        check_may_duplicate(user, EpisodeFactory(owner=UserFactory()))


def test_check_inactive_owner_and_anonymous_are_refused() -> None:
    owner = UserFactory(permissions=["add_duplication"], is_active=False)
    for user in (owner, AnonymousUser()):
        with pytest.raises(PermissionDenied):
            check_may_duplicate(user, EpisodeFactory(owner=owner))


def test_check_copy_in_the_making_is_refused_even_to_a_superuser() -> None:
    root = UserFactory(is_superuser=True)
    copy = EpisodeFactory(owner=root, status=Episode.Status.COPYING)
    with pytest.raises(PermissionDenied):
        check_may_duplicate(root, copy)
