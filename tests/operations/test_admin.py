"""The list, the page and the dashboard that every kind gets, with the toy's kind."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.db import connection
from django.db.models import Q
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from operations import control, events, runner, verbs
from operations.admin import dashboard
from operations.models import ClusterHeartbeat
from tests.factories.content import UserFactory
from tests.operations.toy.chore import CHORE
from tests.operations.toy.kind import TOY, misbehaving
from tests.operations.toy.models import Chore, ToyOperation

pytestmark = pytest.mark.django_db

LIST = "/admin/toy/toyoperation/"
DASHBOARD = "/admin/operations/"


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def admin() -> User:
    return UserFactory(is_staff=True, is_superuser=True)


@pytest.fixture
def browser(admin: User) -> Client:
    return client_of(admin)


def beating() -> None:
    now = timezone.now()
    ClusterHeartbeat.objects.create(
        cluster="one",
        hostname="here",
        pid=1,
        workers=2,
        started_at=now - dt.timedelta(minutes=1),
        beat_at=now,
    )


def page_of(toy: ToyOperation) -> str:
    return f"{LIST}{toy.pk}/change/"


def act(client: Client, verb: str, *toys: ToyOperation, **more: str) -> Any:
    chosen = [toy.pk for toy in toys]
    return client.post(LIST, {"action": f"{verb}_selected", "_selected_action": chosen, **more})


def told(response: Any) -> list[str]:
    return [str(each) for each in get_messages(response.wsgi_request)]


def statuses(*toys: ToyOperation) -> list[str]:
    return [ToyOperation.objects.get(pk=toy.pk).status for toy in toys]


def run(toy: ToyOperation) -> ToyOperation:
    while job := toy.jobs.filter(status__in=["pending", "in_progress"]).first():
        runner.run("toy", job.pk)
    toy.refresh_from_db()
    return toy


def fail(toy: ToyOperation) -> ToyOperation:
    def break_down(job: Any) -> None:
        raise ValueError("boom")

    with misbehaving(break_down):
        return run(toy)


# --- the list -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "done", "status"),
    [("pause", "asked to pause", "paused"), ("cancel", "asked to cancel", "cancelled")],
)
def test_action_does_its_verb_to_the_chosen_and_tells_the_refused(
    browser: Client, verb: str, done: str, status: str
) -> None:
    first, second, ended, other = TOY.start(), TOY.start(), run(TOY.start()), TOY.start()
    response = act(browser, verb, first, second, ended, confirmed="yes")
    assert statuses(first, second, ended, other) == [status, status, "completed", "pending"]
    assert told(response) == [
        f"2 toy operations were {done}.",
        f"toy {ended.pk} is completed: it can't {verb}.",
    ]


def test_action_resumes_and_retries_the_chosen(browser: Client) -> None:
    paused, failed = TOY.start(), fail(TOY.start())
    control.request_pause(TOY, paused)
    act(browser, "resume", paused)
    act(browser, "retry", failed)
    assert statuses(paused, failed) == ["in_progress", "in_progress"]


def test_action_asks_before_it_cancels(browser: Client) -> None:
    toy = TOY.start()
    response = act(browser, "cancel", toy)
    assert statuses(toy) == ["pending"]
    assert f"toy {toy.pk}: pending" in response.text
    fields = dict(response.context["fields"])
    assert fields == {"action": "cancel_selected", "confirmed": "yes", "_selected_action": toy.pk}
    browser.post(response.context["action"], fields)
    assert statuses(toy) == ["cancelled"]


def test_action_tells_ten_of_many_refused(browser: Client) -> None:
    response = act(browser, "retry", *[TOY.start() for _ in range(12)])
    assert len(told(response)) == 11
    assert told(response)[-1] == "2 more were refused."


def test_action_on_too_many_does_nothing(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "MAX_AT_ONCE", 2)
    toys = [TOY.start() for _ in range(3)]
    assert "more than 2 are chosen" in told(act(browser, "pause", *toys))[0]
    assert statuses(*toys) == ["pending"] * 3


def test_action_leaves_alone_what_is_only_to_be_seen() -> None:
    toy = TOY.start(requested_by=UserFactory())
    client = client_of(UserFactory(is_staff=True, permissions=["view_toyoperation"]))
    assert "somebody else's" in told(act(client, "pause", toy))[0]
    assert statuses(toy) == ["pending"]


def test_list_finds_an_id_and_nothing_by_words(browser: Client) -> None:
    toy, _ = TOY.start(), TOY.start()
    for text, found in ((str(toy.pk), [toy]), ("word", []), ("9" * 30, [])):
        assert list(browser.get(LIST, {"q": text}).context["cl"].result_list) == found


def test_list_without_any_says_so(browser: Client) -> None:
    assert "There are no toy operations yet." in browser.get(LIST).text


# --- the page ---------------------------------------------------------------------------


def test_page_needs_nothing_but_a_kind(browser: Client) -> None:
    toy = fail(TOY.start())
    text = browser.get(page_of(toy)).text
    assert "Toy operation" in text
    assert "ValueError: boom" in text
    assert 'data-verb="retry"' in text


def test_page_that_shows_the_end_to_who_asked_for_it_takes_it_off_the_bell(
    browser: Client, admin: User
) -> None:
    toy, others = run(TOY.start(requested_by=admin)), run(TOY.start(requested_by=UserFactory()))
    for each in (toy, others):
        browser.get(page_of(each))
    assert [ToyOperation.objects.get(pk=each.pk).seen_at is None for each in (toy, others)] == [
        False,
        True,
    ]


@pytest.mark.parametrize(("visibility", "is_seen"), [("hidden", False), ("visible", True)])
def test_page_that_draws_itself_anew_counts_as_seen_where_it_is_visible(
    browser: Client, admin: User, visibility: str, is_seen: bool
) -> None:
    toy = run(TOY.start(requested_by=admin))
    browser.get(page_of(toy), headers={"X-Live-Refresh": visibility})
    toy.refresh_from_db()
    assert (toy.seen_at is not None) is is_seen


def test_page_says_that_no_worker_runs_as_long_as_there_is_something_to_do(
    browser: Client,
) -> None:
    toy = TOY.start()
    assert "No worker is running," in browser.get(page_of(toy)).text
    beating()
    assert "No worker is running," not in browser.get(page_of(toy)).text
    ClusterHeartbeat.objects.all().delete()
    assert "No worker is running," not in browser.get(page_of(run(toy))).text


def messages_shown(client: Client, toy: ToyOperation, **query: Any) -> list[str]:
    return [row.message for row in client.get(page_of(toy), query).context["history"].rows]


def test_page_filters_events_by_sort_and_words(browser: Client) -> None:
    toy = TOY.start()
    events.append(toy, "feedback", stage="check", payload={"message": "apples"})
    events.append(toy, "feedback", stage="count", payload={"message": "pears"})
    events.append(toy, "progress", payload={"done": 1, "total": 2})
    events.append(toy, "exception", payload={"message": "worms"})
    events.append(toy, "pause_requested", payload={"by": "ada"})
    everything = ["by ada", "Worms", "1 of 2", "Pears", "Apples"]
    assert messages_shown(browser, toy) == ["by ada", "Worms", "Pears", "Apples"]
    assert messages_shown(browser, toy, events="all") == everything
    assert messages_shown(browser, toy, events="trouble") == ["Worms"]
    assert messages_shown(browser, toy, events="people") == ["by ada"]
    assert messages_shown(browser, toy, text="PEAR") == ["Pears"]
    assert messages_shown(browser, toy, text="Check") == ["Apples"]
    assert messages_shown(browser, toy, text="pause req") == ["by ada"]
    assert messages_shown(browser, toy, text="ada") == ["by ada"]
    assert messages_shown(browser, toy, text="z%") == []
    assert messages_shown(browser, toy, events="?", before="x") == messages_shown(browser, toy)


def test_page_leads_to_older_events_until_there_are_none(browser: Client) -> None:
    toy = TOY.start()
    for number in range(70):
        events.append(toy, "feedback", payload={"message": f"n{number}"})
    newest = browser.get(page_of(toy), {"text": "n"}).context["history"]
    older = browser.get(f"{page_of(toy)}?{newest.older}").context["history"]
    shown = [row.message for row in (*newest.rows, *older.rows)]
    assert shown == [f"N{number}" for number in range(69, -1, -1)]
    assert (newest.is_newest, older.is_newest, older.older) == (True, False, "")


def test_page_that_is_drawn_anew_leaves_messages_to_the_next(browser: Client) -> None:
    toy = TOY.start()
    browser.post(f"/operations/toy/{toy.pk}/pause")
    anew = browser.get(page_of(toy), headers={"X-Live-Refresh": "1"})
    assert "was asked to pause" not in anew.text
    assert "was asked to pause" in browser.get(page_of(toy)).text


# --- the dashboard ------------------------------------------------------------------------


def shown(client: Client) -> dict[str, list[int]]:
    context = client.get(DASHBOARD).context
    return {
        name: [entry.operation.pk for entry in context[name].shown]
        for name in ("attention", "running", "recent")
    }


def waiting() -> ToyOperation:
    toy = TOY.start()
    ToyOperation.objects.filter(pk=toy.pk).update(
        waiting_reason="The database is busy.",
        waiting_since=timezone.now(),
        waiting_until=dt.datetime(2030, 1, 1, 12, 4, 31, tzinfo=dt.UTC),
    )
    return toy


def stalled() -> ToyOperation:
    toy = TOY.start()
    ToyOperation.objects.filter(pk=toy.pk).update(
        status="in_progress", updated_at=timezone.now() - dt.timedelta(minutes=3)
    )
    return toy


def paused() -> ToyOperation:
    toy = TOY.start()
    return control.request_pause(TOY, toy)


def slow() -> ToyOperation:
    """Nothing was committed for long, but a worker holds it."""
    toy = stalled()
    toy.jobs.update(lease_until=timezone.now() + dt.timedelta(minutes=1))
    return toy


def cancelled() -> ToyOperation:
    return control.request_cancel(TOY, TOY.start())


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (lambda: fail(TOY.start()), "attention"),
        (waiting, "attention"),
        (stalled, "attention"),
        (TOY.start, "running"),
        (paused, "running"),
        (slow, "running"),
        (lambda: run(TOY.start()), "recent"),
        (cancelled, "recent"),
    ],
)
def test_dashboard_shows_each_operation_in_one_place(
    browser: Client, make: Callable[[], ToyOperation], place: str
) -> None:
    toy = make()
    found = shown(browser)
    assert found.pop(place) == [toy.pk]
    assert list(found.values()) == [[], []]


def test_dashboard_shows_what_most_needs_somebody_first(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed, asking = fail(TOY.start()), paused()
    monkeypatch.setattr(TOY, "asking", lambda: Q(pk=asking.pk))
    left, older, newer = stalled(), waiting(), waiting()
    order = [failed.pk, asking.pk, left.pk, newer.pk, older.pk]
    assert shown(browser)["attention"] == order
    monkeypatch.setattr(dashboard, "SHOWN", 2)
    assert shown(browser)["attention"] == order[:2]


def test_dashboard_shows_the_failed_of_one_kind_before_what_waits_of_another(
    browser: Client, admin: User
) -> None:
    failed = fail(TOY.start())
    chore = Chore.objects.create(requested_by=admin)
    CHORE.start_run(chore, "sweep")
    Chore.objects.filter(pk=chore.pk).update(waiting_reason="The database is busy.")
    attention = browser.get(DASHBOARD).context["attention"].shown
    assert [entry.operation for entry in attention] == [failed, chore]


def test_dashboard_leads_back_to_the_row_that_is_steered(browser: Client) -> None:
    toy = TOY.start()
    text = browser.get(DASHBOARD).text
    assert f'name="next" value="{DASHBOARD}#toy-{toy.pk}"' in text
    assert f'<a id="toy-{toy.pk}"' in text


def test_dashboard_tells_that_all_places_are_taken_from_a_wait(
    browser: Client, settings: Any
) -> None:
    settings.OPERATION_MAX_CONCURRENT_JOBS = 1
    slow()
    gates = {kind.name: kind for kind in browser.get(DASHBOARD).context["gates"].kinds}
    assert gates["toy"].wait is None
    text = browser.get(DASHBOARD).text
    assert "Others wait for a place: 1 of at most 1 toy jobs are running." in text


def test_dashboard_says_why_something_needs_attention(browser: Client) -> None:
    waiting(), stalled(), fail(TOY.start())
    text = browser.get(DASHBOARD).text
    assert "The database is busy." in text
    assert "12:04:31" in text
    assert "No worker has held it for 3 min" in text
    assert "boom" in text


def test_dashboard_says_what_to_do_when_nothing_runs(browser: Client) -> None:
    text = browser.get(DASHBOARD).text
    assert "No worker is running," in text
    assert "Nothing is running. Start something from a list" in text


@pytest.mark.parametrize(
    ("beat", "since", "state", "is_alive"),
    [(0, 60, "running", True), (60, 120, "silent", False), (0, 0, "starting", False)],
)
def test_dashboard_tells_living_clusters_from_silent_ones(
    browser: Client, beat: int, since: int, state: str, is_alive: bool
) -> None:
    now = timezone.now()
    ClusterHeartbeat.objects.create(
        cluster="one",
        hostname="here",
        pid=1,
        workers=2,
        started_at=now - dt.timedelta(seconds=since),
        beat_at=now - dt.timedelta(seconds=beat),
    )
    response = browser.get(DASHBOARD)
    assert [each.state for each in response.context["clusters"]] == [state]
    assert ("No worker is running," not in response.text) is is_alive


def test_dashboard_says_when_the_queue_can_not_be_asked(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "queue_depth", lambda: None)
    assert "Can't be asked" in browser.get(DASHBOARD).text


def test_dashboard_is_bounded_and_says_that_there_are_more(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "SHOWN", 2)
    toys = [TOY.start() for _ in range(3)]
    response = browser.get(DASHBOARD)
    assert shown(browser)["running"] == [toys[2].pk, toys[1].pk]
    assert "There are more: see the lists above." in response.text


def test_dashboard_takes_the_same_number_of_queries_for_more_operations(browser: Client) -> None:
    browser.get(DASHBOARD)  # the first look writes the switches
    counts = []
    for _ in range(2):
        for _ in range(3):
            fail(TOY.start(requested_by=UserFactory()))
            TOY.start(requested_by=UserFactory())
        with CaptureQueriesContext(connection) as queries:
            browser.get(DASHBOARD)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_dashboard_shows_only_what_the_user_may_see() -> None:
    toy = TOY.start(requested_by=UserFactory())
    seeing = client_of(UserFactory(is_staff=True, permissions=["view_toyoperation"]))
    assert shown(seeing)["running"] == [toy.pk]
    other = client_of(UserFactory(is_staff=True, permissions=["add_duplication"]))
    assert shown(other)["running"] == []


def test_dashboard_is_closed_to_who_may_see_no_operation(client: Client) -> None:
    other = client_of(UserFactory(is_staff=True, permissions=["view_episode"]))
    assert other.get(DASHBOARD).status_code == 403
    assert "Operations</a>" not in other.get("/admin/").text
    assert "/login/" in client.get(DASHBOARD).url
    assert "/login/" in client_of(UserFactory()).get(DASHBOARD).url


def test_index_leads_to_the_dashboard(browser: Client) -> None:
    assert f'<a href="{DASHBOARD}">Operations</a>' in browser.get("/admin/").text
