"""Operations that are run again and again: what is told of them during, between and after runs."""

import datetime as dt

import pytest
from django.contrib.admin import site
from django.contrib.auth import get_user_model
from django.db.models import Q
from django.template.loader import render_to_string
from django.test import RequestFactory
from django.utils import timezone

from operations import control, leases, notifications, retention, runner, verbs, watching
from operations.admin import dashboard
from operations.exceptions import InvalidTransition, Refused
from operations.models import Event, IdempotencyKey
from operations.snapshots import snapshot
from operations.stages import Stage
from operations.templatetags.watching import control_buttons
from tests.operations.toy.chore import CHORE, ROWS, failing
from tests.operations.toy.kind import TOY
from tests.operations.toy.models import Chore, ChoreJob

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner():
    return get_user_model().objects.create_superuser("ada")


@pytest.fixture
def chore(owner):
    """Never run."""
    return Chore.objects.create(requested_by=owner)


@pytest.fixture
def idle(chore):
    """Has run once, and waits for its next run."""
    CHORE.start_run(chore, "sweep", "dust")
    return CHORE.run_to_end(chore)


def names(chore):
    events = Event.objects.filter(kind="chore", operation_id=str(chore.pk))
    return [event.name.removeprefix("chore.") for event in events]


def section_of(chore):
    """The dashboard's parts that show it."""
    page = site.get_model_admin(Chore)
    found = Chore.objects.filter(pk=chore.pk)
    parts = (dashboard.attention, dashboard.running, dashboard.recent)
    return [part.__name__ for part in parts if found.filter(part(page)).exists()]


# --- names and words of the state ----------------------------------------------------------


def test_state_has_the_kernels_name_and_its_kinds_words(chore):
    job = CHORE.start_run(chore, "sweep")
    seen = []
    for changes in (
        {},
        {"status": "running"},
        {"waiting_reason": "Busy."},
        {"requested": "pause"},
        {"requested": "cancel"},
        {"requested": "", "waiting_reason": "", "status": "paused"},
    ):
        Chore.objects.filter(pk=chore.pk).update(**changes)
        chore.refresh_from_db()
        seen.append((chore.display_status, chore.state_label))
    assert seen == [
        ("pending", "Scheduled"),
        ("in_progress", "Running"),
        ("waiting", "Waiting"),
        ("pausing", "Pausing"),
        ("cancelling", "Cancelling"),
        ("paused", "Paused"),
    ]
    assert job.status_name == "pending"
    assert TOY.start().state_label == "Pending"


def test_state_on_a_page_shows_the_words_and_goes_by_the_name(idle):
    shown = render_to_string("operations/state.html", {"operation": idle})
    assert 'data-state="pending"' in shown
    assert ">Scheduled<" in shown


# --- a run after the other -----------------------------------------------------------------


def test_run_is_done_by_its_own_jobs_in_its_own_stages(idle):
    assert [row.name for row in watching.stage_rows(idle, CHORE.stages_of(idle))] == [
        "sweep",
        "dust",
    ]
    CHORE.start_run(idle, "polish")
    idle.refresh_from_db()
    assert [stage["stage"] for stage in snapshot(idle)["stages"]] == ["polish"]
    assert snapshot(idle)["stages"][0]["done"] == 0
    again = CHORE.run_to_end(idle)
    assert again.run == 2
    assert again.progress["polish"]["done"] == ROWS
    assert ChoreJob.objects.filter(chore=idle, status="done").count() == 3


def test_begin_again_forgets_the_last_run_and_tells_watchers(idle, owner):
    Chore.objects.filter(pk=idle.pk).update(waited_seconds=9, seen_at=timezone.now())
    CHORE.start_run(idle, "polish", by=owner)
    idle.refresh_from_db()
    assert (idle.started_at, idle.ended_at, idle.seen_at, idle.progress) == (None, None, None, {})
    assert (idle.waited_seconds, idle.waiting_since, idle.error_code) == (0, None, "")
    assert names(idle)[-1] == "run_requested"
    assert Event.objects.order_by("pk").last().payload["by"] == "ada"
    assert idle.is_active
    assert watching.percent(idle, CHORE.stages_of(idle)) is None


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_begin_again_takes_the_edge_from_how_it_ended(idle, status):
    Chore.objects.filter(pk=idle.pk).update(status=status, error_code="x", error_message="X.")
    CHORE.start_run(idle, "polish")
    idle.refresh_from_db()
    assert idle.has_status("PENDING")
    assert (idle.error_code, idle.error_message) == ("", "")
    assert CHORE.run_to_end(idle).run == 2


def test_begin_again_of_a_paused_one_is_refused(idle):
    control.request_pause(CHORE, idle)
    with pytest.raises(InvalidTransition):
        CHORE.start_run(idle, "polish")
    idle.refresh_from_db()
    assert idle.run == 1


def test_begin_again_while_a_worker_has_a_job_of_the_last_run_is_refused(chore):
    job = CHORE.start_run(chore, "sweep")
    assert leases.claim(CHORE, job.pk).job
    Chore.objects.filter(pk=chore.pk).update(status="failed")
    with pytest.raises(Refused, match="try again soon"):
        CHORE.start_run(chore, "polish")


def test_job_of_an_earlier_run_is_not_worked_on_and_keeps_nothing_from_its_end(chore):
    CHORE.start_run(chore, "sweep")
    left_over = CHORE.add_job(Chore.objects.get(pk=chore.pk), "sweep", lane=1)
    with failing():
        runner.run("chore", CHORE.jobs_of(Chore.objects.get()).get(lane=0).pk)
    job = CHORE.start_run(chore, "sweep")
    assert runner.run("chore", left_over.pk) == "not_taken"
    left_over.refresh_from_db()
    assert (left_over.status_name, left_over.due_at) == ("paused", None)
    assert runner.run("chore", job.pk) == "completed"
    assert "completed" in names(chore)


def test_retry_goes_on_with_the_last_runs_jobs_only(idle):
    first = ChoreJob.objects.filter(chore=idle).first()
    ChoreJob.objects.filter(pk=first.pk).update(status="failed")
    job = CHORE.start_run(idle, "polish")
    with failing():
        assert runner.run("chore", job.pk) == "failed"
    idle.refresh_from_db()
    assert section_of(idle) == ["attention"]
    control.retry(CHORE, idle)
    first.refresh_from_db()
    assert first.status_name == "failed"
    assert CHORE.run_to_end(idle).has_status("PENDING")


def test_following_job_is_none_of_another_run(idle):
    job = CHORE.start_run(idle, "polish")
    Chore.objects.filter(pk=idle.pk).update(run=3)
    later = CHORE.add_job(Chore.objects.get(), "polish")
    Chore.objects.filter(pk=idle.pk).update(run=2)
    runner.run_on("chore", job.pk)
    later.refresh_from_db()
    assert later.status_name == "pending"


def test_wait_counts_though_a_job_of_an_earlier_run_is_in_hand(idle):
    ChoreJob.objects.filter(chore=idle).update(lease_until=timezone.now() + dt.timedelta(minutes=1))
    Chore.objects.filter(pk=idle.pk).update(run=2, steps=["polish"])
    job = CHORE.add_job(Chore.objects.get(), "polish")
    claimed = leases.claim(CHORE, job.pk).job
    leases.postpone(CHORE, claimed, leases.Wait(5, "Busy."))
    idle.refresh_from_db()
    assert idle.waiting_reason == "Busy."


# --- between two runs ----------------------------------------------------------------------


def test_idle_one_is_not_active_though_it_is_not_over(idle):
    assert idle.has_status("PENDING")
    assert not idle.is_active
    assert not idle.is_over
    assert names(idle)[-2:] == ["completed", "scheduled"]
    assert watching.percent(idle, CHORE.stages_of(idle)) == 100
    assert "data-since" not in render_to_string("operations/lasted.html", {"operation": idle})


def test_statuses_are_final_where_no_edge_leads_on(idle):
    assert set(TOY.operation.final_statuses()) == {"COMPLETED", "CANCELLED"}
    assert Chore.final_statuses() == []


def test_dashboard_shows_a_run_and_the_end_of_the_last_one_but_no_waiting_for_the_next(chore):
    seen = [section_of(chore)]
    job = CHORE.start_run(chore, "sweep", "dust")
    seen.append(section_of(chore))
    runner.run("chore", job.pk)
    seen.append(section_of(chore))
    CHORE.run_to_end(chore)
    Chore.objects.update(updated_at=timezone.now() - dt.timedelta(days=1))
    seen.append(section_of(chore))
    CHORE.start_run(chore, "sweep")
    seen.append(section_of(chore))
    assert seen == [[], ["running"], ["running"], ["recent"], ["running"]]


def test_bell_tells_of_the_last_runs_end_until_the_next_begins(idle, owner):
    assert notifications.unseen(owner) == [idle]
    assert notifications.count(owner) == 1
    notifications.mark_seen(idle, owner)
    assert notifications.count(owner) == 0
    CHORE.start_run(idle, "sweep")
    assert notifications.count(owner) == 0
    CHORE.run_to_end(idle)
    assert notifications.count(owner) == 1


def test_bell_counts_the_ends_of_all_kinds_together(idle, owner, driver):
    toy = TOY.start(requested_by=owner)
    driver.run_to_end(toy)
    assert notifications.count(owner) == 2


def test_pause_of_an_idle_one_is_reached_at_once_and_resume_leaves_it_waiting(idle):
    ended_at = idle.ended_at
    idle = control.request_pause(CHORE, idle)
    assert (idle.display_status, idle.requested) == ("paused", "")
    idle = control.resume(CHORE, idle)
    idle.refresh_from_db()
    assert idle.display_status == "pending"
    assert idle.ended_at == ended_at
    assert names(idle)[-4:] == ["pause_requested", "paused", "resumed", "scheduled"]
    assert not ChoreJob.objects.filter(chore=idle).exclude(status="done").exists()


def test_pause_of_one_that_never_ran_is_taken_back_too(chore):
    control.request_pause(CHORE, chore)
    control.resume(CHORE, chore)
    chore.refresh_from_db()
    assert chore.has_status("PENDING")
    assert CHORE.start_run(chore, "sweep")


def test_resume_within_a_run_goes_on_with_it(chore):
    CHORE.start_run(chore, "sweep")
    control.request_pause(CHORE, chore)
    chore.refresh_from_db()
    assert chore.display_status == "paused"
    control.resume(CHORE, chore)
    chore.refresh_from_db()
    assert chore.has_status("IN_PROGRESS")
    assert CHORE.run_to_end(chore).has_status("PENDING")


def test_resume_that_its_kind_turns_into_waiting_delivers_no_job(chore, monkeypatch):
    job = CHORE.start_run(chore, "sweep")
    control.request_pause(CHORE, chore)
    monkeypatch.setattr(CHORE, "on_resumed", control.schedule)
    control.resume(CHORE, chore)
    chore.refresh_from_db()
    job.refresh_from_db()
    assert (chore.status_name, job.status_name, job.due_at) == ("pending", "paused", None)


def test_cancel_of_an_idle_one_is_its_end_now(idle, owner):
    notifications.mark_seen(idle, owner)
    before = idle.ended_at
    idle = control.request_cancel(CHORE, idle)
    assert idle.display_status == "cancelled"
    assert idle.ended_at > before
    assert idle.started_at is None  # not “cancelled after” the time since its last run began
    assert notifications.unseen(owner) == [idle]


def test_offered_verbs_of_an_idle_one_are_those_of_a_pending_one(idle, owner):
    assert [verb.name for verb in verbs.offered(idle, owner)] == ["pause", "cancel"]


def test_buttons_of_one_that_can_run_again_stay_when_it_has_ended(chore, owner):
    request = RequestFactory().get("/")
    request.user = owner
    Chore.objects.update(recurs=False)
    CHORE.start_run(chore, "sweep")
    ended = CHORE.run_to_end(chore)
    assert ended.has_status("COMPLETED")
    assert control_buttons({"request": request}, ended)["buttons"]


# --- what is kept --------------------------------------------------------------------------


@pytest.fixture
def thirty_days(settings):
    settings.OPERATION_KEEP_EVENTS_DAYS = 30


def days_ago(number):
    return timezone.now() - dt.timedelta(days=number)


def moved(chore, days):
    """The run that has just ended, so many days back."""
    Event.objects.filter(created_at__gt=days_ago(0.5)).update(created_at=days_ago(days))
    Chore.objects.filter(pk=chore.pk).update(started_at=days_ago(days), ended_at=days_ago(days))


@pytest.mark.parametrize("now", ["idle", "queued", "under way", "paused"])
def test_prune_takes_old_events_of_earlier_runs_whatever_goes_on_now(thirty_days, idle, now):
    moved(idle, 40)
    CHORE.start_run(idle, "sweep")
    CHORE.run_to_end(idle)
    moved(idle, 35)
    CHORE.start_run(idle, "sweep", "dust")
    if now == "idle":
        CHORE.run_to_end(idle)
    elif now != "queued":
        runner.run("chore", CHORE.jobs_of(Chore.objects.get()).get().pk)
    if now == "paused":
        control.request_pause(CHORE, idle)
    kept = set(Event.objects.filter(created_at__gt=days_ago(1)).values_list("pk", flat=True))
    before = Event.objects.count()
    pruned = retention.prune().rows["events"]
    left = set(Event.objects.values_list("pk", flat=True))
    assert kept <= left
    if now == "queued":  # when it began isn't known yet: with the next one
        assert pruned == 0
    else:
        assert left == kept
        assert pruned == before - len(kept) > 0


def test_prune_takes_all_of_one_that_has_waited_long_for_its_next_run(thirty_days, idle):
    moved(idle, 31)
    retention.prune()
    assert not Event.objects.exists()


def test_prune_leaves_the_last_run_of_one_under_way_however_long(thirty_days, chore):
    CHORE.start_run(chore, "sweep", "dust")
    runner.run("chore", CHORE.jobs_of(Chore.objects.get()).get().pk)
    Chore.objects.update(started_at=days_ago(100))
    Event.objects.update(created_at=days_ago(99))
    assert retention.prune().rows["events"] == 0


def test_prune_takes_keys_of_one_that_waits_for_its_next_run(thirty_days, idle):
    key = IdempotencyKey.objects.create(
        kind="chore", key="k", request_hash="", operation_id=str(idle.pk)
    )
    IdempotencyKey.objects.filter(pk=key.pk).update(created_at=days_ago(31))
    assert retention.prune().rows["idempotency keys"] == 1


def test_prune_takes_events_of_what_can_be_no_operation_any_more(thirty_days):
    for kind, operation_id in (("chore", "12"), ("toy", "0198f000-0000-7000-8000-000000000000")):
        Event.objects.create(kind=kind, operation_id=operation_id, sequence=1, name="x")
    Event.objects.update(created_at=days_ago(31))
    assert retention.prune().rows["events"] == 2


def test_one_that_couldnt_even_begin_fails_and_says_why_once(idle, owner):
    for message in ("No broom.", "No broom.", "No dust."):
        control.fail_to_begin(idle, code="nothing", message=message)

    idle.refresh_from_db()
    assert (idle.status_name, idle.error_message) == ("failed", "No dust.")
    failed = Event.objects.filter(kind="chore", operation_id=str(idle.pk), name="chore.failed")
    assert [each.payload["message"] for each in failed] == ["No broom.", "No dust."]
    assert notifications.unseen(owner) == [idle]


def test_one_that_is_paused_isnt_failed_before_it_has_begun(idle):
    idle.take("pause")
    with pytest.raises(InvalidTransition):
        control.fail_to_begin(idle, code="nothing", message="No broom.")


# --- what only comes to be known as it goes on ----------------------------------------------


def weights_told(chore):
    events = Event.objects.filter(operation_id=str(chore.pk), name="chore.progress")
    return [event.payload.get("weights") for event in events.order_by("sequence")]


def test_first_step_of_each_job_tells_how_much_each_stage_weighs(chore, monkeypatch):
    monkeypatch.setattr(
        type(CHORE),
        "stages_of",
        lambda self, operation: [
            Stage(name, name, weight=7 * index) for index, name in enumerate(operation.steps, 1)
        ],
    )
    CHORE.start_run(chore, "sweep", "dust")
    CHORE.run_to_end(chore)
    assert weights_told(chore) == [{"sweep": 7, "dust": 14}] * 2
    assert snapshot(chore)["weights"] == {"sweep": 7, "dust": 14}


def test_stages_without_weights_tell_none(chore):
    CHORE.start_run(chore, "sweep")
    CHORE.run_to_end(chore)
    assert weights_told(chore) == [None]


def test_one_that_asks_needs_attention_and_tells_its_question(chore, owner, client, monkeypatch):
    other = Chore.objects.create(requested_by=owner)
    for each in (chore, other):
        CHORE.start_run(each, "sweep")
    monkeypatch.setattr(type(CHORE), "asking", lambda self: Q(pk=chore.pk))
    monkeypatch.setattr(
        type(CHORE), "question", lambda self, op: "Under the bed too?" if op == chore else ""
    )
    for each in (chore, other):
        control.request_pause(CHORE, each)
    assert section_of(chore) == ["attention"]
    assert section_of(other) == ["running"]
    chore.refresh_from_db()
    assert snapshot(chore)["question"] == "Under the bed too?"
    told = {
        event.operation_id: event.payload["question"]
        for event in Event.objects.filter(name="chore.paused")
    }
    assert told == {str(chore.pk): "Under the bed too?", str(other.pk): ""}
    client.force_login(owner)
    text = client.get("/admin/operations/").text
    assert text.count("Under the bed too?") == 1
    assert client.get("/admin/toy/chore/").text.count("Under the bed too?") == 1
