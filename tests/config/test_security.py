"""What a browser is told on real responses, and that our pages obey it."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import models
from django.test import AsyncClient, Client, override_settings
from django.urls import reverse

from content.synthetic import make_episode
from tests.factories.content import UserFactory

pytestmark = pytest.mark.django_db

STATIC_FILE = "/static/admin/css/base.css"
PRODUCTION_STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
# Scripts of these types are data: a browser doesn't run them.
DATA_TYPES = {"application/json", "application/ld+json"}


class Offences(HTMLParser):
    """Collects what `script-src 'self'; style-src 'self'` would keep a browser from using."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "script" and "src" not in given and given.get("type") not in DATA_TYPES:
            self.found.append(f"inline script at {self.getpos()}")
        if tag == "style":
            self.found.append(f"inline style sheet at {self.getpos()}")
        for name, value in attributes:
            if name.startswith("on") or name == "style":
                self.found.append(f"{tag} {name}={value!r}")
            if (value or "").strip().lower().startswith("javascript:"):
                self.found.append(f"{tag} {name}={value!r}")


@pytest.fixture
def operator() -> User:
    return UserFactory(is_staff=True, is_superuser=True)


@pytest.fixture
def browser(operator: User) -> Client:
    client = Client()
    client.force_login(operator)
    return client


def a_row_of(model: type[models.Model]) -> models.Model | None:
    return model._default_manager.first()


def admin_pages() -> list[str]:
    """Index, and of each registered model the list, the form to add and one to change."""
    pages = [reverse("admin:index")]
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        pages += [reverse(f"{name}_changelist"), reverse(f"{name}_add")]
        if row := a_row_of(model):
            pages += [reverse(f"{name}_{page}", args=[row.pk]) for page in ("change", "delete")]
            pages += [reverse(f"{name}_history", args=[row.pk])]
    return pages


def test_offences_finds_each_kind() -> None:
    page = (
        "<script>x</script><script type='application/json'>{}</script><script src='a.js'></script>"
        "<style>x</style><a href=' JavaScript:x' onclick='x'></a><p style='x'></p>"
    )
    assert len(Offences(page).found) == 5


def test_pages_obey_their_own_content_security_policy(browser: Client, operator: User) -> None:
    make_episode(parts=1, items=1, blocks=1, owner=operator)
    offences: dict[str, Any] = {}
    seen = 0
    for page in admin_pages():
        response = browser.get(page)
        if response.status_code == 403:  # a page its model's admin has switched off
            continue
        assert response.status_code == 200, page
        seen += 1
        if found := Offences(response.content.decode()).found:
            offences[page] = found
    assert offences == {}
    assert seen > 20


def test_login_page_obeys_the_content_security_policy() -> None:
    response = Client().get(reverse("admin:login"))
    assert response.status_code == 200
    assert Offences(response.content.decode()).found == []


@pytest.mark.parametrize("path", ["/admin/login/", "/api/v1/episodes", "/healthz", "/nowhere"])
def test_responses_carry_the_security_headers(path: str) -> None:
    response = Client().get(path)
    policy = {
        name: values
        for name, *values in (
            directive.split() for directive in response["Content-Security-Policy"].split(";")
        )
    }
    assert policy["default-src"] == policy["script-src"] == policy["style-src"] == ["'self'"]
    assert policy["object-src"] == policy["frame-ancestors"] == ["'none'"]
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"
    assert response["Referrer-Policy"] == "same-origin"
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"


def test_session_and_csrf_cookies_are_out_of_a_scripts_reach() -> None:
    User.objects.create_user("ada", password="correct horse", is_staff=True)
    client = Client()
    client.get("/admin/login/")
    client.post("/admin/login/", {"username": "ada", "password": "correct horse"})
    for name in ("sessionid", "csrftoken"):
        assert client.cookies[name]["httponly"]
        assert client.cookies[name]["samesite"] == "Lax"


@override_settings(
    SECURE_SSL_REDIRECT=True,
    SECURE_HSTS_SECONDS=60,
    SECURE_REDIRECT_EXEMPT=[r"^healthz$", r"^readyz$"],
)
def test_https_is_insisted_on_but_not_for_probes() -> None:
    client = Client()
    assert client.get("/admin/login/")["Location"] == "https://testserver/admin/login/"
    assert "max-age=60" in client.get("/admin/login/", secure=True)["Strict-Transport-Security"]
    assert client.get("/healthz").status_code == 200


# --- static files ---------------------------------------------------------------


def test_static_files_in_development_are_served_from_where_they_lie() -> None:
    response = Client().get(STATIC_FILE)
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/css")
    assert b"--primary" in response.content


async def test_static_files_over_asgi_are_served_without_a_warning() -> None:
    response = await AsyncClient().get(STATIC_FILE)
    assert response.status_code == 200
    assert b"--primary" in response.content


def test_static_files_answer_ranges_and_those_who_have_them_already() -> None:
    client = Client()
    whole = client.get(STATIC_FILE)
    part = client.get(STATIC_FILE, headers={"Range": "bytes=2-11"})
    assert (part.status_code, part.content) == (206, whole.content[2:12])
    cached = client.get(STATIC_FILE, headers={"If-Modified-Since": whole["Last-Modified"]})
    assert (cached.status_code, cached.content) == (304, b"")
    head = client.head(STATIC_FILE)
    assert (head.content, head["Content-Length"]) == (b"", str(len(whole.content)))


def test_static_files_collected_for_production_are_served_under_their_hash(
    tmp_path: Path,
) -> None:
    with override_settings(
        STATIC_ROOT=tmp_path, STORAGES=PRODUCTION_STORAGES, WHITENOISE_USE_FINDERS=False
    ):
        call_command("collectstatic", interactive=False, verbosity=0)
        page = Client().get("/admin/login/").content.decode()
        start = page.index("/static/admin/css/base.")
        hashed = page[start : page.index('"', start)]
        response = Client().get(hashed)
    assert hashed != STATIC_FILE
    assert response.status_code == 200
    assert "immutable" in response["Cache-Control"]
