"""The review page: one record in three columns, and what is decided there."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from migrationsync.admin.showing import changes
from migrationsync.dispatch.models import Office
from migrationsync.entities import entities
from migrationsync.models import AppliedChange, DataDifferential, DifferentialRecord
from migrationsync.services import decisions
from migrationsync.source import SourceUnreachable
from tests.factories.content import UserFactory
from tests.factories.sync import CheckpointFactory, DifferentialFactory, JobFactory, RunFactory
from tests.migrationsync.admin.deciding import (
    CHANGES,
    DIFFERENTIALS,
    EXTRA,
    REPORTS,
    as_read,
    differing,
    legacy,
    record,
    review_of,
    target,
)
from tests.migrationsync.admin.visiting import (
    client_of,
    number_of_queries,
    told,
    with_permissions,
)
from tests.migrationsync.syncing import Dispatch, sync

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(dispatch: Dispatch) -> Any:
    return differing(dispatch)


@pytest.fixture
def browser() -> Client:
    return with_permissions("view_datadifferential", "change_synchronizationjob")


def shown(client: Client, url: str) -> dict[str, Any]:
    """A page as a person reads it."""
    response = client.get(url)
    assert response.status_code == 200
    context = response.context
    return {
        "record": context["record"],
        "position": (context.get("position"), context.get("open_count")),
        "token": context.get("token"),
        "context": context,
        "text": as_read(response),
    }


def decide(client: Client, job: Any, kind: str, strategy: str, **more: str) -> Any:
    """What the button posts, as the record's page has it."""
    of = record(kind)
    page = shown(client, review_of(job, record=of.pk))
    fields = {"record": of.pk, "token": page["token"], "strategy": strategy, **more}
    return client.post(review_of(job), fields)


# --- what is shown ----------------------------------------------------------------------


def test_record_is_shown_in_three_columns_with_who_changed_what(browser: Client, job: Any) -> None:
    page = shown(browser, review_of(job, record=record("both_changed").pk))
    rows = {row.name: row for row in page["context"]["rows"]}
    name, phone, city = rows["name"], rows["phone"], rows["city"]
    assert [each.text for each in name[2:5]] == ["Celle", "Bremen", "Bremen"]
    assert (name.differs, name.source_changed, name.target_changed) == (True, True, False)
    assert phone.current.text == "+49421123"
    assert (phone.differs, phone.source_changed, phone.target_changed) == (True, False, True)
    assert not city.differs
    assert [row.name for row in page["context"]["rows"]][:2] == ["name", "phone"]
    assert "The source changed name; the target changed phone." in page["text"]
    assert "Both changed since they were last made alike." in page["text"]


def test_first_open_one_is_shown_and_neighbours_lead_through_all(browser: Client, job: Any) -> None:
    url, seen = review_of(job), []
    while url:
        page = shown(browser, url)
        seen.append(page["record"].pk)
        assert page["position"] == (str(len(seen)), "7")
        url = page["context"]["next_url"]
    assert len(seen) == len(set(seen)) == 7
    url, back = page["context"]["previous_url"], []
    while url:
        page = shown(browser, url)
        back.append(page["record"].pk)
        url = page["context"]["previous_url"]
    assert back == seen[-2::-1]


def test_only_one_kind_is_walked_through(browser: Client, job: Any) -> None:
    page = shown(browser, review_of(job, kind="both_changed"))
    assert page["record"] == record("both_changed")
    assert page["position"] == ("1", "1")
    assert page["context"]["next_url"] == page["context"]["previous_url"] == ""


def test_row_that_cannot_be_migrated_is_shown_by_its_own_columns(
    browser: Client, dispatch: Dispatch, job: Any
) -> None:
    dispatch.change(7, column="opened", to="soon")
    page = shown(browser, review_of(job, record=record("missing").pk))
    assert dict(page["context"]["raw_rows"])["opened"].text == "soon"
    assert page["context"]["rows"] == []
    assert "can't be migrated as it is" in page["text"]


def test_row_of_the_target_only_is_shown(browser: Client, job: Any) -> None:
    page = shown(browser, review_of(job, record=record("extra").pk))
    rows = {row.name: row for row in page["context"]["rows"]}
    assert rows["name"].current.text == EXTRA
    assert rows["name"].legacy.text == "no row"


def test_nothing_left_says_so_with_the_ways_on(browser: Client, dispatch: Dispatch) -> None:
    job = dispatch.job(entities_to_sync=["offices"])
    page = shown(browser, review_of(job))
    assert "Nothing is left to decide" in page["text"]
    assert "To the synchronization" in page["text"]
    page = shown(browser, review_of(differing(dispatch), kind="quarantined"))
    assert "there are 7 offices to decide" in page["text"]


def test_decision_that_is_not_for_the_kind_is_disabled_with_the_reason(
    browser: Client, job: Any
) -> None:
    page = shown(browser, review_of(job, record=record("missing").pk))
    refusals = [each.refusal for each in page["context"]["choices"]]
    assert [bool(each) for each in refusals] == [False, True, False]
    assert refusals[1] in page["text"]


def test_legacy_database_away_is_said_and_keeps_the_place(
    browser: Client, job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: Any, **kwargs: Any) -> Any:
        raise SourceUnreachable("The legacy database doesn't answer.")

    page = shown(browser, review_of(job))
    following = shown(browser, page["context"]["next_url"])
    monkeypatch.setattr(decisions, "explanation", away)
    page = shown(browser, page["context"]["next_url"])
    assert page["record"] == following["record"]
    assert "The legacy database doesn't answer." in page["text"]
    assert page["position"] == ("2", "7")
    assert page["context"]["previous_url"]
    assert "Decide" not in page["text"]
    monkeypatch.setattr(decisions, "decide", away)
    fields = {"record": page["record"].pk, "token": following["token"], "strategy": "skip"}
    response = browser.post(review_of(job), fields)
    assert told(response) == ["Nothing was decided. The legacy database doesn't answer."]
    assert response.url == review_of(job, record=page["record"].pk)


def test_superseded_record_is_not_to_be_decided(browser: Client, job: Any) -> None:
    old = record("both_changed")
    sync(job, "compare")
    page = shown(browser, review_of(job, record=old.pk))
    assert "A later comparison has replaced this finding" in page["text"]
    assert not page["context"]["may_be_decided"]
    assert shown(browser, review_of(job))["position"] == ("1", "7")


def test_long_text_is_shown_around_the_first_difference() -> None:
    [row] = changes({"notes": "a" * 9000 + "old"}, {"notes": "a" * 9000 + "new"})
    assert "old" in row.before.text
    assert "new" in row.after.text
    assert len(row.before.text) < 1_300


# --- what is decided ----------------------------------------------------------------------


def test_source_wins_overwrites_and_leads_to_the_next(browser: Client, job: Any) -> None:
    before = shown(browser, review_of(job, record=record("both_changed").pk))
    of = before["record"]
    response = decide(browser, job, "both_changed", "source_wins")
    assert target(3).get().name == "Celle"
    of.refresh_from_db()
    assert of.state == DifferentialRecord.State.RESOLVED
    page = shown(browser, response.url)
    assert page["context"]["last"].record == of
    assert page["record"] != of
    assert page["position"][1] == "6"
    assert "Undo" in page["text"]


def test_target_wins_and_skip_leave_the_target(browser: Client, job: Any) -> None:
    decide(browser, job, "both_changed", "target_wins")
    decide(browser, job, "source_changed", "skip")
    assert target(3).get().phone == "+49421123"
    assert target(1).get().name == "Bremen"
    states = dict(
        DifferentialRecord.objects.filter(legacy_id__in=[1, 3]).values_list("legacy_id", "state")
    )
    assert states == {3: "resolved", 1: "skipped"}


def test_last_one_decided_leads_to_what_is_open_before_it(browser: Client, job: Any) -> None:
    url = review_of(job)
    while following := shown(browser, url)["context"]["next_url"]:
        url = following
    page = shown(browser, url)
    fields = {"record": page["record"].pk, "token": page["token"], "strategy": "skip"}
    response = browser.post(review_of(job), fields)
    assert shown(browser, response.url)["position"] == ("1", "6")


def test_stale_decision_is_refused_and_shows_the_fresh_record(browser: Client, job: Any) -> None:
    of = record("both_changed")
    token = shown(browser, review_of(job, record=of.pk))["token"]
    target(3).update(name="Somebody was faster")
    fields = {"record": of.pk, "token": token, "strategy": "source_wins"}
    response = browser.post(review_of(job), fields)
    assert response.url == review_of(job, record=of.pk)
    page = shown(browser, response.url)
    assert "The record changed since you looked" in page["text"]
    assert "Somebody was faster" in page["text"]
    assert page["token"] != token
    assert target(3).get().name == "Somebody was faster"


def test_decision_comes_twice_and_is_done_once(browser: Client, job: Any) -> None:
    of = record("source_changed")
    token = shown(browser, review_of(job, record=of.pk))["token"]
    fields = {"record": of.pk, "token": token, "strategy": "source_wins"}
    browser.post(review_of(job), fields)
    response = browser.post(review_of(job), fields)
    assert told(response)[-1].startswith("Nothing was decided.")
    assert AppliedChange.objects.count() == 1


def test_what_could_not_be_done_says_why_and_stays(
    browser: Client, dispatch: Dispatch, job: Any
) -> None:
    dispatch.change(7, column="opened", to="soon")
    of = record("missing")
    response = decide(browser, job, "missing", "source_wins")
    assert response.url == review_of(job, record=of.pk)
    page = shown(browser, response.url)
    assert "Couldn't be resolved:" in page["text"]
    assert record("missing").outcome in page["text"]
    assert page["context"]["may_be_decided"]
    assert page["position"][1] == "7"


def test_delete_asks_first(browser: Client, job: Any) -> None:
    response = decide(browser, job, "deleted_in_source", "source_wins")
    assert "Delete offices 4 from the target?" in response.text
    assert target(4).exists()
    browser.post(response.context["action"], dict(response.context["fields"]))
    assert not target(4).exists()


def test_undo_of_the_last_leads_back_to_its_record(browser: Client, job: Any) -> None:
    of = record("source_changed")
    page = shown(browser, decide(browser, job, "source_changed", "source_wins").url)
    assert target(1).get().name == "Celle"
    response = browser.post(review_of(job), {"undo": page["context"]["last"].change.pk})
    assert response.url == review_of(job, record=of.pk)
    assert target(1).get().name == "Bremen"
    assert shown(browser, response.url)["record"] == of


def test_undo_that_is_refused_says_why(browser: Client, job: Any) -> None:
    page = shown(browser, decide(browser, job, "source_changed", "source_wins").url)
    target(1).update(name="Since then")
    response = browser.post(review_of(job), {"undo": page["context"]["last"].change.pk})
    assert len(told(response)) == 1
    assert target(1).get().name == "Since then"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"record": "x", "strategy": "skip"},
        {"record": "99999", "strategy": "skip"},
        {"record": "9" * 30, "strategy": "skip"},
        {"undo": "nonsense"},
    ],
)
def test_nonsense_is_answered_with_a_message(browser: Client, job: Any, fields: Any) -> None:
    response = browser.post(review_of(job), fields)
    assert response.status_code == 302
    assert len(told(response)) == 1
    assert not AppliedChange.objects.exists()


def test_strategy_that_nobody_offers_is_refused(browser: Client, job: Any) -> None:
    assert told(decide(browser, job, "source_changed", "manual_review"))
    assert told(decide(browser, job, "missing", "target_wins"))[-1].startswith("Nothing was")
    assert not DifferentialRecord.objects.exclude(state="open").exists()


def test_both_ways_the_target_wins_in_the_legacy_table(dispatch: Dispatch) -> None:
    browser = with_permissions("view_datadifferential", "change_synchronizationjob")
    job = differing(dispatch, sync_direction="bidirectional")
    page = shown(browser, review_of(job, record=record("target_changed").pk))
    assert "Writes the target's values back into the legacy row." in page["text"]
    decide(browser, job, "target_changed", "target_wins")
    assert legacy(dispatch, 2, "phone") == "+49421123"
    response = decide(browser, job, "deleted_in_target", "target_wins")
    assert "Delete offices 5 from the source?" in response.text


# --- who may what ---------------------------------------------------------------------------


def test_who_may_see_sees_and_does_not_decide(job: Any) -> None:
    onlooker = with_permissions("view_datadifferential")
    page = shown(onlooker, review_of(job))
    assert "Decide" not in page["text"]
    fields = {"record": page["record"].pk, "token": page["token"], "strategy": "skip"}
    assert onlooker.post(review_of(job), fields).status_code == 403
    assert not DifferentialRecord.objects.exclude(state="open").exists()


def test_whose_job_it_is_decides(dispatch: Dispatch) -> None:
    owner = UserFactory(is_staff=True, permissions=["add_synchronizationjob"])
    job = differing(dispatch, by=owner)
    decide(client_of(owner), job, "source_changed", "source_wins")
    assert record("source_changed").decided_by == owner


def test_review_of_what_is_no_longer_declared_says_so_on_the_jobs_page(
    browser: Client, job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entities, "declared", [])
    response = browser.get(review_of(job))
    assert str(job.pk) in response.url
    assert "declare it again to decide about them" in told(response)[-1]
    monkeypatch.undo()


def test_others_are_told_nothing(job: Any) -> None:
    stranger = with_permissions("add_synchronizationjob")
    assert stranger.get(review_of(job)).status_code == 404
    assert with_permissions().get(review_of(job)).status_code == 403
    seer = with_permissions("view_datadifferential")
    assert seer.get(review_of(job, entity="elsewhere")).status_code == 404
    assert seer.get(review_of(JobFactory.build())).status_code == 404


def test_who_may_see_jobs_alone_sees_nothing_of_what_they_found(job: Any) -> None:
    seer = with_permissions("view_synchronizationjob")
    assert seer.get(review_of(job)).status_code == 403
    maker = with_permissions("view_synchronizationjob", "add_synchronizationjob")
    assert maker.get(review_of(job)).status_code == 404
    assert list(maker.get(DIFFERENTIALS).context["cl"].result_list) == []
    assert list(maker.get(CHANGES).context["cl"].result_list) == []
    assert list(maker.get(REPORTS).context["cl"].result_list) == []


def test_record_of_another_job_is_not_shown(browser: Client, job: Any) -> None:
    foreign = DifferentialFactory(
        checkpoint=CheckpointFactory(run=RunFactory(job=JobFactory()))
    ).records.get()
    assert shown(browser, review_of(job, record=foreign.pk))["record"] != foreign


def test_queries_do_not_grow_with_what_there_is(browser: Client, job: Any) -> None:
    few = number_of_queries(browser, review_of(job))
    checkpoint = DataDifferential.objects.filter(superseded_at=None).first().checkpoint
    for number in range(5):
        DifferentialFactory(
            checkpoint=checkpoint, legacy_ids=list(range(100 * number, 100 * number + 50))
        )
    assert number_of_queries(browser, review_of(job)) == few


def test_count_stops_at_a_bound(browser: Client, job: Any) -> None:
    checkpoint = DataDifferential.objects.filter(superseded_at=None).first().checkpoint
    found = DifferentialFactory(checkpoint=checkpoint, legacy_ids=list(range(1_200)))
    page = shown(browser, review_of(job))
    assert page["position"] == ("1", "1,000+")
    page = shown(browser, review_of(job, record=found.records.order_by("-pk").first().pk))
    assert page["position"] == ("", "1,000+")
    assert Office.objects.count() == 6


@pytest.mark.parametrize("key", [0, -3])
def test_record_of_key_zero_or_below_is_reviewed_listed_and_undone(
    dispatch: Dispatch, key: int
) -> None:
    browser = with_permissions(
        "view_datadifferential",
        "view_appliedchange",
        "change_synchronizationjob",
        "view_legacyidmapping",
    )
    dispatch.add_offices(key, 1)
    job = dispatch.job(entities_to_sync=["offices"])
    sync(job, "load")
    dispatch.change(key, to="Celle")
    sync(job, "compare")
    page = shown(browser, review_of(job))
    assert page["record"].key == key
    decide(browser, job, "source_changed", "source_wins")
    assert target(key).get().name == "Celle"
    change = AppliedChange.objects.get()
    assert str(change) == f"overwrite offices {key}"
    [listed] = browser.get(f"{CHANGES}?q={key}").context["cl"].result_list
    assert listed == change
    page = browser.get(f"{CHANGES}{change.pk}/change/")
    assert f"offices {key}" in as_read(page)
    found = browser.get(page.context["look_up_url"])
    assert [each.mapping.legacy_id for each in found.context["answers"]] == [key]
    undone = browser.post(review_of(job), {"undo": change.pk})
    assert told(undone)[-1] == f"offices {key}: undone."
    assert target(key).get().name == "Bremen"
