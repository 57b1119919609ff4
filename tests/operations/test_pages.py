"""Steering an operation from a page, with the toy's kind."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.messages import get_messages
from django.template import Context, Template
from django.test import Client, RequestFactory
from django.urls import reverse

from operations import control, runner
from tests.factories.content import UserFactory
from tests.operations.toy.kind import TOY, misbehaving
from tests.operations.toy.models import ToyOperation

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> User:
    return UserFactory()


@pytest.fixture
def toy(owner: User) -> ToyOperation:
    return TOY.start(requested_by=owner)


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def url(toy: ToyOperation, verb: str) -> str:
    return reverse("operation-control", args=["toy", toy.pk, verb])


def told(response: Any) -> list[str]:
    return [str(each) for each in get_messages(response.wsgi_request)]


def fail(toy: ToyOperation) -> None:
    def break_down(job: Any) -> None:
        raise ValueError("boom")

    with misbehaving(break_down):
        runner.run("toy", toy.jobs.get().pk)
    toy.refresh_from_db()
    assert toy.status == "failed"


def buttons(toy: ToyOperation, user: Any) -> dict[str, bool]:
    """The verbs that have a button, and whether it is shown."""
    request = RequestFactory().get("/here?x=1")
    request.user = user
    template = Template("{% load watching %}{% control_buttons toy %}")
    html = template.render(Context({"request": request, "toy": toy, "csrf_token": "t"}))
    assert not html.strip() or 'name="next" value="/here?x=1"' in html
    return {
        form.split('data-verb="')[1].split('"')[0]: "hidden>" not in form.split("<input")[0]
        for form in html.split("<form")[1:]
    }


# --- doing ---------------------------------------------------------------------------


def test_control_does_the_verb_says_so_and_goes_back(owner: User, toy: ToyOperation) -> None:
    response = client_of(owner).post(url(toy, "pause"), {"next": "/admin/?p=1"})
    assert response.url == "/admin/?p=1"
    assert told(response) == [f"toy {toy.pk} was asked to pause."]
    toy.refresh_from_db()
    assert toy.status == "paused"


def test_control_that_is_refused_goes_to_the_top_of_the_page_where_it_is_told(
    owner: User, toy: ToyOperation
) -> None:
    client, wanted = client_of(owner), {"next": "/admin/#toy-1"}
    assert client.post(url(toy, "pause"), wanted).url == "/admin/#toy-1"
    response = client.post(url(toy, "retry"), wanted)
    assert response.url == "/admin/"
    assert "can't" in told(response)[-1] or "paused" in told(response)[-1]


def test_control_retries_a_failed_operation(owner: User, toy: ToyOperation) -> None:
    fail(toy)
    client_of(owner).post(url(toy, "retry"))
    toy.refresh_from_db()
    assert toy.status == "in_progress"


@pytest.mark.parametrize(
    "wanted", ["", "https://elsewhere.example/", "//elsewhere.example", "javascript:alert(1)"]
)
def test_control_goes_nowhere_but_to_our_own_pages(
    owner: User, toy: ToyOperation, wanted: str
) -> None:
    assert client_of(owner).post(url(toy, "pause"), {"next": wanted}).url == reverse("home")


def test_control_that_is_refused_says_why(owner: User, toy: ToyOperation) -> None:
    response = client_of(owner).post(url(toy, "retry"))
    assert told(response) == [f"toy {toy.pk} is pending: it can't retry."]


def test_control_that_its_kind_refuses_says_the_kinds_reason(
    owner: User, toy: ToyOperation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TOY, "refusal", lambda operation, verb: "Too late.")
    assert told(client_of(owner).post(url(toy, "pause"))) == ["Too late."]


# --- asking once more ------------------------------------------------------------------


def test_control_asks_before_it_cancels(owner: User, toy: ToyOperation) -> None:
    client = client_of(owner)
    response = client.get(url(toy, "cancel"), {"next": "/somewhere"})
    assert "Stops for good" in response.text
    assert 'href="/somewhere"' in response.text
    toy.refresh_from_db()
    assert toy.status == "pending"
    assert client.post(url(toy, "cancel"), {"next": "/somewhere"}).url == "/somewhere"
    toy.refresh_from_db()
    assert toy.status == "cancelled"


def test_control_asks_in_the_frame_of_the_page_it_came_from(toy: ToyOperation) -> None:
    client = client_of(UserFactory(is_staff=True, is_superuser=True))
    admin = client.get(url(toy, "cancel"), {"next": "/admin/"})
    user = client.get(url(toy, "cancel"), {"next": "/"})
    assert "admin/base_site.html" in [each.name for each in admin.templates]
    assert "admin/base_site.html" not in [each.name for each in user.templates]


def test_control_does_not_ask_what_can_not_be_done(owner: User, toy: ToyOperation) -> None:
    control.request_cancel(TOY, toy)
    response = client_of(owner).get(url(toy, "cancel"), {"next": "/somewhere"})
    assert response.url == "/somewhere"
    assert told(response) == [f"toy {toy.pk} is cancelled: you can't cancel it now."]


def test_control_changes_nothing_by_get(owner: User, toy: ToyOperation) -> None:
    assert client_of(owner).get(url(toy, "pause")).status_code == 405


def test_control_without_a_csrf_token_is_refused(owner: User, toy: ToyOperation) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner)
    assert client.post(url(toy, "pause")).status_code == 403


# --- who ---------------------------------------------------------------------------------


def test_control_of_anothers_operation_is_not_found(toy: ToyOperation) -> None:
    client = client_of(UserFactory())
    for verb in ("pause", "cancel"):
        assert client.post(url(toy, verb)).status_code == 404
        assert client.get(url(toy, verb)).status_code == 404
    toy.refresh_from_db()
    assert toy.status == "pending"


def test_control_with_only_the_view_permission_is_refused(toy: ToyOperation) -> None:
    response = client_of(UserFactory(permissions=["view_toyoperation"])).post(url(toy, "pause"))
    assert "somebody else's" in told(response)[0]


def test_control_asks_a_stranger_to_log_in(client: Client, toy: ToyOperation) -> None:
    assert "/login" in client.post(url(toy, "pause")).url


@pytest.mark.parametrize("path", ["toy/9/pause", "nothing/1/pause", "toy/1/explode"])
def test_control_of_what_there_is_not_is_not_found(owner: User, path: str) -> None:
    assert client_of(owner).post(f"/operations/{path}").status_code == 404
    assert client_of(owner).post(f"/operations/toy/{'9' * 30}/pause").status_code == 404


# --- buttons -------------------------------------------------------------------------------


def test_buttons_show_what_is_offered_and_hold_the_rest_ready(
    owner: User, toy: ToyOperation
) -> None:
    assert buttons(toy, owner) == {"pause": True, "resume": False, "retry": False, "cancel": True}
    control.request_pause(TOY, toy)
    toy.refresh_from_db()
    assert buttons(toy, owner) == {"pause": False, "resume": True, "retry": False, "cancel": True}


def test_buttons_leave_out_what_the_kind_refuses(
    owner: User, toy: ToyOperation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TOY, "refusal", lambda operation, verb: "no" if verb == "cancel" else "")
    assert buttons(toy, owner) == {"pause": True, "resume": False, "retry": False}


def test_buttons_are_for_who_may_control(toy: ToyOperation) -> None:
    assert buttons(toy, UserFactory(permissions=["view_toyoperation"])) == {}
    assert buttons(toy, AnonymousUser()) == {}
    assert buttons(toy, UserFactory(permissions=["change_toyoperation"])) != {}


def test_buttons_end_with_the_operation(owner: User, toy: ToyOperation) -> None:
    control.request_cancel(TOY, toy)
    toy.refresh_from_db()
    assert buttons(toy, owner) == {}
