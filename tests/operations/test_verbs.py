"""What is offered when, to whom, to many at once, and when two click at the same time."""

import json
import threading
from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.db import connection

from operations import control, verbs
from operations.exceptions import InvalidTransition, Refused
from operations.models import Event, Operation
from tests.operations.toy.kind import TOY, ToyKind
from tests.operations.toy.models import ToyOperation

OFFERED = {
    "pending": ["pause", "cancel"],
    "in_progress": ["pause", "cancel"],
    "waiting": ["pause", "cancel"],
    "pausing": ["resume", "cancel"],
    "paused": ["resume", "cancel"],
    "cancelling": [],
    "failed": ["retry"],
    "cancelled": [],
    "completed": [],
}
# Not offered, but no mistake either: it is under way.
ASKED_ALREADY = {("pausing", "pause"), ("cancelling", "cancel")}
# Display statuses that are no status.
CHANGES = {
    "pausing": {"status": "in_progress", "requested": "pause"},
    "cancelling": {"status": "in_progress", "requested": "cancel"},
    "waiting": {"status": "in_progress", "waiting_reason": "The database is busy."},
}


def in_state(state, **fields):
    """An operation whose display status is `state`."""
    operation = TOY.start(**fields)
    changes = CHANGES.get(state, {"status": state})
    ToyOperation.objects.filter(pk=operation.pk).update(**changes)
    operation.refresh_from_db()
    assert operation.display_status == state
    return operation


@pytest.fixture
def owner(db):
    return get_user_model().objects.create_user("olga")


@pytest.mark.parametrize("state", OFFERED)
def test_offered_verbs_are_those_that_are_then_not_refused(owner, state):
    offered = [verb.name for verb in verbs.offered(in_state(state, requested_by=owner), owner)]
    assert offered == OFFERED[state]
    for name in verbs.VERBS:
        operation = in_state(state, requested_by=owner)
        if name in offered or (state, name) in ASKED_ALREADY:
            verbs.apply(name, operation, by=owner)
        else:
            with pytest.raises((InvalidTransition, Refused)):
                verbs.apply(name, operation, by=owner)


def test_offered_verbs_are_none_for_who_may_not_control_it(owner):
    other = get_user_model().objects.create_user("otto")
    operation = in_state("in_progress", requested_by=owner)
    assert verbs.offered(operation, other) == []
    with pytest.raises(PermissionDenied, match="somebody else"):
        verbs.apply("pause", operation, by=other)


def test_apply_with_the_change_permission_controls_anybodys(owner):
    operator = get_user_model().objects.create_user("otto")
    operator.user_permissions.add(Permission.objects.get(codename="change_toyoperation"))
    operation = verbs.apply("pause", in_state("in_progress", requested_by=owner), by=operator)
    assert Event.objects.get(name="toy.pause_requested").payload["by"] == "otto"
    assert operation.requested == "pause" or operation.status == "paused"


def test_apply_what_the_kind_refuses_changes_nothing(owner, monkeypatch):
    monkeypatch.setattr(ToyKind, "refusal", lambda self, operation, verb: f"No {verb} today.")
    for state, name in (
        ("pending", "pause"),
        ("paused", "resume"),
        ("failed", "retry"),
        ("paused", "cancel"),
    ):
        operation = in_state(state, requested_by=owner)
        assert verbs.offered(operation, owner) == []
        with pytest.raises(Refused, match=f"No {name} today"):
            verbs.apply(name, operation, by=owner)
        operation.refresh_from_db()
        assert operation.display_status == state


def test_resume_before_the_pause_is_reached_withdraws_it(driver):
    operation = in_state("pausing", rows=5)
    operation = control.resume(TOY, operation)
    assert operation.display_status == "in_progress"
    assert driver.run_to_end(operation)[-1] == "completed"


def test_apply_to_many_does_each_by_itself_and_says_why_not(owner):
    running, failed = (in_state(state, requested_by=owner) for state in ("in_progress", "failed"))
    theirs = in_state("in_progress")

    outcomes = verbs.apply_to_many(
        "pause", ToyOperation, [running.pk, failed.pk, theirs.pk, running.pk], by=owner
    )

    assert [each.operation_id for each in outcomes] == [running.pk, failed.pk, theirs.pk]
    assert outcomes[0].refusal == ""
    assert "is failed" in outcomes[1].refusal
    # Somebody else's is answered like one that doesn't exist.
    assert (outcomes[2].operation, outcomes[2].refusal[:11]) == (None, "There is no")
    theirs.refresh_from_db()
    assert theirs.requested == ""


# --- two users at once ----------------------------------------------------------


def raced(*calls):
    """Call all at the same moment, each with a connection of its own; what each came to."""
    barrier = threading.Barrier(len(calls))
    results = [None] * len(calls)

    def call(index):
        try:
            barrier.wait()
            results[index] = calls[index]()
        except (InvalidTransition, Refused) as error:
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=call, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("state", "name"), [("paused", "resume"), ("failed", "retry")])
def test_apply_by_two_users_at_once_has_one_winner_and_one_delivery(state, name, driver):
    operation = in_state(state)
    operation.jobs.update(status=state, due_at=None)

    results = raced(*[lambda: verbs.apply(name, operation, by=None)] * 2)

    assert sorted(isinstance(result, InvalidTransition) for result in results) == [False, True]
    done = "resumed" if name == "resume" else "retried"
    assert driver.names(operation).count(done) == 1
    assert driver.run_to_end(operation)[-1] == "completed"


@pytest.mark.django_db(transaction=True)
def test_apply_pause_and_cancel_at_once_ends_cancelled_whoever_is_first(driver):
    for _ in range(5):
        operation = in_state("in_progress")
        raced(
            lambda o=operation: verbs.apply("pause", o, by=None),
            lambda o=operation: verbs.apply("cancel", o, by=None),
        )
        operation.refresh_from_db()
        assert operation.status == "cancelled"
        sequence = [event.sequence for event in driver.events(operation)]
        assert sequence == list(range(1, len(sequence) + 1))


@pytest.mark.django_db(transaction=True)
def test_apply_cancel_and_resume_at_once_never_leaves_it_stuck(driver):
    for _ in range(5):
        operation = in_state("paused")
        operation.jobs.update(status="paused", due_at=None)
        raced(
            lambda o=operation: verbs.apply("resume", o, by=None),
            lambda o=operation: verbs.apply("cancel", o, by=None),
        )
        driver.run_to_end(operation)
        assert operation.status == "cancelled"


# --- the command ------------------------------------------------------------------


def test_control_command_tells_what_became_of_each(owner):
    running, failed = in_state("in_progress"), in_state("failed")
    out = StringIO()
    with pytest.raises(CommandError, match="1 of 2 refused"):
        call_command("control", "pause", "toy", str(running.pk), str(failed.pk), stdout=out)
    assert f"toy {running.pk}: asked to pause, now paused." in out.getvalue()
    assert "is failed" in out.getvalue()


def test_control_command_all_takes_those_it_can_be_done_to(owner):
    for state in ("in_progress", "pending", "completed"):
        in_state(state)
    out = StringIO()
    call_command("control", "cancel", "toy", "--all", "--json", stdout=out)
    assert [each["status"] for each in json.loads(out.getvalue())] == ["cancelled", "cancelled"]
    assert set(ToyOperation.objects.values_list("status", flat=True)) == {"cancelled", "completed"}


def test_control_command_with_nothing_to_do_says_so(db):
    out = StringIO()
    call_command("control", "retry", "toy", "--all", stdout=out)
    assert out.getvalue() == "There is nothing to retry.\n"


@pytest.mark.parametrize("arguments", [[], ["1", "--all"]])
def test_control_command_wants_ids_or_all(db, arguments):
    with pytest.raises(CommandError, match="ids of the operations, or --all"):
        call_command("control", "pause", "toy", *arguments)


def test_display_status_words_are_all_known_to_the_verbs():
    known = set(OFFERED)
    assert set(Operation.Status.values) <= known
    assert {status for verb in verbs.VERBS.values() for status in verb.statuses} <= known
