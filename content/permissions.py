"""Who may do what with an episode: the one rule, for API, pages and other apps.

An owner may view, change and delete their own episodes; anybody else needs the model's
permission for it. Creating takes the `add_episode` permission. Nobody sees a copy in the
making, so whoever may not view may not change or delete either.
"""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser, AnonymousUser

from content.models import Episode

AnyUser = AbstractUser | AnonymousUser


def can_add_episode(user: AnyUser) -> bool:
    return _has_permission(user, "add")


def can_view_episode(user: AnyUser, episode: Episode) -> bool:
    if episode.status in Episode.HIDDEN:
        return False
    return _is_owner(user, episode) or _has_permission(user, "view")


def can_change_episode(user: AnyUser, episode: Episode) -> bool:
    return _may(user, "change", episode)


def can_delete_episode(user: AnyUser, episode: Episode) -> bool:
    return _may(user, "delete", episode)


def _may(user: AnyUser, verb: str, episode: Episode) -> bool:
    if not can_view_episode(user, episode):
        return False
    return _is_owner(user, episode) or _has_permission(user, verb)


def _is_owner(user: AnyUser, episode: Episode) -> bool:
    return user.is_authenticated and user.is_active and episode.owner_id == user.pk


def _has_permission(user: AnyUser, verb: str) -> bool:
    return user.has_perm(f"content.{verb}_episode")
