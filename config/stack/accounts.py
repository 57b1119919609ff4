"""The log-ins of a development database: an administrator and an editor.

Their passwords are public, so nothing here runs under production's settings. Accounts
that exist keep what they have: a changed password stays changed.
"""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models import Q
from rest_framework.authtoken.models import Token

ADMINISTRATOR, EDITOR = "admin", "editor"
PASSWORDS = {ADMINISTRATOR: "demo-admin", EDITOR: "demo-editor"}
GROUP = "Editors"


class Login(NamedTuple):
    username: str
    password: str  # empty: its owner has changed it

    def __str__(self) -> str:
        return f"{self.username} / {self.password or '(the password you gave it)'}"


def refuse_in_production() -> None:
    """Raises ImproperlyConfigured under settings that are made for the open network."""
    if settings.SESSION_COOKIE_SECURE:
        raise ImproperlyConfigured(
            "This is for development: it creates accounts with public passwords and serves plain "
            "HTTP. In production run daphne and manage.py run_workers, see README.md."
        )


def ensure_accounts() -> list[Login]:
    """Create what is missing of the accounts, the editors' group and its permissions.

    Idempotent, in one transaction. Raises ImproperlyConfigured in production.
    """
    refuse_in_production()
    users = get_user_model()
    with transaction.atomic():
        if not users.objects.filter(username=ADMINISTRATOR).exists():
            users.objects.create_superuser(ADMINISTRATOR, password=PASSWORDS[ADMINISTRATOR])
        if not users.objects.filter(username=EDITOR).exists():
            users.objects.create_user(EDITOR, password=PASSWORDS[EDITOR], is_staff=True)
        editors, _ = Group.objects.get_or_create(name=GROUP)
        editors.permissions.add(*_editors_permissions())
        users.objects.get(username=EDITOR).groups.add(editors)
    return [_login(users.objects.get(username=name)) for name in (ADMINISTRATOR, EDITOR)]


def token_of(username: str) -> str:
    """The key the user's scripts authenticate with."""
    user = get_user_model().objects.get(username=username)
    return str(Token.objects.get_or_create(user=user)[0].key)


def _editors_permissions() -> list[Permission]:
    content = Q(content_type__app_label="content")
    duplications = Q(
        content_type__app_label="duplication",
        codename__in=["add_duplication", "view_duplication"],
    )
    generations = Q(
        content_type__app_label="generation",
        codename__in=["add_generationjob", "view_generationjob", "view_generationmetrics"],
    )
    return list(Permission.objects.filter(content | duplications | generations))


def _login(user: User) -> Login:
    password = PASSWORDS[user.username]
    return Login(user.username, password if user.check_password(password) else "")
