"""The list of differentials, the page of one, and the dry run before some are resolved."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from migrationsync.admin import differentials
from migrationsync.dispatch.models import Office
from migrationsync.models import AppliedChange, DataDifferential, SynchronizationRun
from migrationsync.services import decisions
from migrationsync.source import SourceUnreachable
from tests.factories.content import UserFactory
from tests.factories.sync import CheckpointFactory, DifferentialFactory, JobFactory, RunFactory
from tests.migrationsync.admin.deciding import (
    DIFFERENTIALS,
    RESOLVE,
    as_read,
    differential,
    differing,
    page_of,
    record,
    target,
)
from tests.migrationsync.admin.visiting import (
    client_of,
    number_of_queries,
    told,
    with_permissions,
)
from tests.migrationsync.syncing import Dispatch, sync, sync_to_end

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(dispatch: Dispatch) -> Any:
    return differing(dispatch)


@pytest.fixture
def browser() -> Client:
    return with_permissions("view_datadifferential", "change_synchronizationjob")


def shown(client: Client, query: str = "") -> list[DataDifferential]:
    return list(client.get(f"{DIFFERENTIALS}?{query}").context["cl"].result_list)


def act(client: Client, strategy: str, *chosen: DataDifferential) -> Any:
    fields = {"action": strategy, "_selected_action": [each.pk for each in chosen]}
    return client.post(DIFFERENTIALS, fields)


def dry_run(client: Client, strategy: str, *chosen: DataDifferential) -> Any:
    return client.get(act(client, strategy, *chosen).url)


def fields_of(response: Any, **more: Any) -> dict[str, Any]:
    """What the dry run's form posts."""
    fields: dict[str, Any] = {"strategy": response.context["strategy"].value, **more}
    for name, value in response.context["chosen"]:
        fields.setdefault(name, []).append(value)
    return fields


# --- the list ---------------------------------------------------------------------------


def test_list_has_a_line_for_each_with_what_is_open(browser: Client, job: Any) -> None:
    text = as_read(browser.get(DIFFERENTIALS))
    assert len(shown(browser)) == 7
    assert "1 offices: changed in both" in text
    assert "To be decided" in text
    assert "1 of 1" in text
    assert f"by Run 2 of {job.job_name}" in text
    assert "8 columns" in text


def test_list_shows_what_is_to_be_decided_unless_asked_for_more(browser: Client, job: Any) -> None:
    old = {each.pk for each in shown(browser)}
    sync(job, "compare")
    assert not old & {each.pk for each in shown(browser)}
    assert {each.pk for each in shown(browser, "state=superseded")} == old
    assert len(shown(browser, "state=all")) == 14
    assert shown(browser, "state=resolved") == []


def test_list_is_filtered(browser: Client, job: Any) -> None:
    other = DifferentialFactory(
        checkpoint=CheckpointFactory(entity_type="profiles", run=RunFactory(job=JobFactory()))
    )
    [found] = shown(browser, "kind__exact=extra")
    assert found.kind == "extra"
    assert shown(browser, "entity=profiles") == [other]
    assert shown(browser, f"job={other.checkpoint.sync_job_id}") == [other]
    assert shown(browser, f"run={other.checkpoint.run_id}") == [other]
    assert shown(browser, "job=nonsense") == []


def test_empty_list_says_what_to_do(browser: Client) -> None:
    assert "Nothing is left to decide." in as_read(browser.get(DIFFERENTIALS))


def test_list_takes_as_many_queries_for_many(browser: Client, job: Any) -> None:
    few = number_of_queries(browser, DIFFERENTIALS)
    for number in range(20):
        run = RunFactory(job=JobFactory())
        DifferentialFactory(checkpoint=CheckpointFactory(run=run), legacy_ids=[number, number + 1])
    assert number_of_queries(browser, DIFFERENTIALS) == few


# --- the page ---------------------------------------------------------------------------


def test_page_says_how_was_compared_and_shows_the_records(browser: Client, job: Any) -> None:
    response = browser.get(page_of(differential("both_changed")))
    text = as_read(response)
    assert "by checksum of both sides' rows" in text
    assert "monthly_rent from rent" in text
    assert "dispatch_office to offices" in text
    assert "Review one by one" in text
    [row] = response.context["records"]
    assert row.record.legacy_id == 3


def test_records_are_paged_by_key_and_filtered(
    browser: Client, job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(differentials, "RECORDS_SHOWN", 2)
    found = DifferentialFactory(
        checkpoint=differential("extra").checkpoint, legacy_ids=[11, 12, 13, 14, 15]
    )
    found.records.filter(legacy_id=12).update(state="failed", decided_at=found.created_at)
    url, keys = page_of(found), []
    query = ""
    while query is not None:
        context = browser.get(f"{url}?{query}").context
        keys.append([row.record.key for row in context["records"]])
        query = context["next_query"] or None
    assert keys == [[11, 12], [13, 14], [15]]
    context = browser.get(f"{url}?records=failed").context
    assert [row.record.key for row in context["records"]] == [12]
    assert len(browser.get(f"{url}?records=nonsense&after=x").context["records"]) == 2


def test_page_of_what_is_not_there_leads_to_the_list(browser: Client, job: Any) -> None:
    gone = DifferentialFactory.build()
    for key in (gone.pk, "nonsense"):
        response = browser.get(f"{DIFFERENTIALS}{key}/change/")
        assert response.url == DIFFERENTIALS
        assert "isn't yours to see" in told(response)[0]


def test_superseded_page_offers_no_decision(browser: Client, job: Any) -> None:
    old = differential("both_changed")
    sync(job, "compare")
    text = as_read(browser.get(page_of(old)))
    assert "A later comparison of these offices has ended" in text
    assert "The ticked ones" not in text


def test_page_takes_as_many_queries_for_many(browser: Client, job: Any) -> None:
    one = number_of_queries(browser, page_of(differential("extra")))
    many = DifferentialFactory(
        checkpoint=differential("extra").checkpoint, legacy_ids=list(range(40))
    )
    assert number_of_queries(browser, page_of(many)) <= one


# --- the dry run --------------------------------------------------------------------------


def test_dry_run_says_what_would_be_done_and_does_nothing(browser: Client, job: Any) -> None:
    response = dry_run(
        browser, "source_wins", differential("both_changed"), differential("deleted_in_source")
    )
    text = as_read(response)
    assert "Nothing is changed yet. 2 records" in text
    assert "Overwrite the target 1" in text
    assert "Delete from the target 1" in text
    assert "name Bremen → becomes Celle" in text
    assert "Within the budget 1 in all" in text
    assert target(4).exists()
    assert target(3).get().name == "Bremen"
    assert not AppliedChange.objects.exists()
    assert SynchronizationRun.objects.count() == 2


def test_dry_run_starts_a_run_that_resolves(browser: Client, job: Any) -> None:
    chosen = [differential("both_changed"), differential("deleted_in_source")]
    response = dry_run(browser, "source_wins", *chosen)
    response = browser.post(RESOLVE, fields_of(response))
    assert response.url == reverse("admin:migrationsync_synchronizationjob_change", args=[job.pk])
    assert told(response)[-1] == f"Run 3 of {job.job_name} resolves what you chose."
    sync_to_end(job)
    assert target(3).get().name == "Celle"
    assert not target(4).exists()
    assert {each.kind for each in shown(browser, "state=resolved")} == {
        "both_changed",
        "deleted_in_source",
    }


def test_ticked_records_alone_are_resolved(browser: Client, dispatch: Dispatch) -> None:
    job = dispatch.job(entities_to_sync=["offices"])
    dispatch.add_offices(1, 2, 3)
    sync(job, "compare")
    first, second, _ = differential("missing").records.order_by("pk")
    response = browser.get(RESOLVE, {"strategy": "source_wins", "record": [first.pk, second.pk]})
    assert response.context["records"] == 2
    browser.post(RESOLVE, fields_of(response))
    sync_to_end(job)
    assert Office.objects.count() == 2


def test_what_could_not_be_done_is_to_be_decided_again(browser: Client, job: Any) -> None:
    found = differential("source_changed")
    found.records.update(state="failed", decided_at=found.created_at)
    [row] = browser.get(page_of(found)).context["records"]
    assert row.may_be_decided
    response = dry_run(browser, "source_wins", found)
    assert response.context["records"] == 1
    browser.post(RESOLVE, fields_of(response))
    sync_to_end(job)
    assert target(1).get().name == "Celle"


def test_over_the_budget_the_number_has_to_be_approved(browser: Client, dispatch: Dispatch) -> None:
    job = differing(dispatch, max_deletes=0)
    response = dry_run(browser, "source_wins", differential("deleted_in_source"))
    assert response.context["over"] == 1
    assert "Over the budget 1 in all. Without asking at most 0 records may be deleted" in as_read(
        response
    )
    refused = browser.post(RESOLVE, fields_of(response))
    assert "more than may be deleted without asking" in as_read(refused)
    assert SynchronizationRun.objects.count() == 2
    for wrong in ("0", "-1", "x", "9" * 30):
        browser.post(RESOLVE, fields_of(response, approved_deletes=wrong))
    assert SynchronizationRun.objects.count() == 2
    browser.post(RESOLVE, fields_of(response, approved_deletes="1"))
    sync_to_end(job)
    assert not target(4).exists()


def test_delete_count_is_shown_by_entity_with_its_share(
    browser: Client, dispatch: Dispatch
) -> None:
    differing(dispatch, max_deleted_percent=1)
    response = dry_run(browser, "source_wins", differential("deleted_in_source"))
    [row] = response.context["deletes"]
    assert (row.entity, row.deletes, row.records, row.is_over) == ("offices", 1, 6, True)
    assert response.context["over"] == 1


@pytest.mark.parametrize("strategy", ["source_wins", "target_wins", "skip"])
def test_every_action_leads_to_its_dry_run(browser: Client, job: Any, strategy: str) -> None:
    response = dry_run(browser, strategy, differential("both_changed"))
    assert response.status_code == 200
    assert response.context["strategy"] == strategy
    assert response.context["records"] == 1


def test_decision_that_is_not_for_the_kind_is_refused_with_the_reason(
    browser: Client, job: Any
) -> None:
    response = dry_run(browser, "target_wins", differential("missing"))
    assert "can't be resolved by" in as_read(response)
    assert "Resolve 1 record" not in as_read(response)


def test_nothing_chosen_and_nonsense_are_refused(browser: Client, job: Any) -> None:
    for query, problem in (
        ("strategy=source_wins", "Tick at least one record."),
        (f"strategy=manual_review&record={record('extra').pk}", "Choose who wins."),
        ("strategy=skip&record=x&differential=y", "was decided meanwhile"),
        (f"strategy=skip&record={'9' * 30}", "was decided meanwhile"),
        ("strategy=skip&" + "record=1&" * 101, "choose at most 100 at a time"),
    ):
        response = browser.get(f"{RESOLVE}?{query}")
        assert response.status_code == 302
        assert problem in told(response)[-1]


def test_differentials_of_two_jobs_are_refused(browser: Client, job: Any) -> None:
    other = DifferentialFactory(checkpoint=CheckpointFactory(run=RunFactory(job=JobFactory())))
    response = browser.get(act(browser, "skip", differential("extra"), other).url)
    assert "of several synchronizations" in told(response)[-1]


def test_too_many_differentials_are_refused(
    browser: Client, job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(differentials, "MAX_CHOSEN", 1)
    response = act(browser, "skip", differential("extra"), differential("missing"))
    assert "more than 1 are chosen" in told(response)[0]


def test_what_was_decided_meanwhile_is_left_out(browser: Client, job: Any) -> None:
    url = act(browser, "source_wins", differential("both_changed")).url
    record("both_changed")
    differential("both_changed").records.update(
        state="resolved", decided_at=differential("both_changed").created_at
    )
    assert "was decided meanwhile" in told(browser.get(url))[-1]


def test_job_that_is_running_is_said(browser: Client, job: Any) -> None:
    response = dry_run(browser, "source_wins", differential("both_changed"))
    fields = fields_of(response)
    browser.post(RESOLVE, fields)
    again = browser.post(RESOLVE, {"strategy": "skip", "differential": differential("extra").pk})
    assert "is at it already" in as_read(again)


def test_legacy_database_away_is_said(
    browser: Client, job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: Any, **kwargs: Any) -> Any:
        raise SourceUnreachable("The legacy database doesn't answer.")

    monkeypatch.setattr(decisions, "preview", away)
    response = dry_run(browser, "source_wins", differential("both_changed"))
    assert "The legacy database doesn't answer." in as_read(response)
    assert "Go back" in as_read(response)


def test_first_twenty_are_shown_of_many(browser: Client, dispatch: Dispatch) -> None:
    job = dispatch.job(entities_to_sync=["offices"])
    dispatch.add_offices(*range(1, 26))
    sync(job, "compare")
    response = dry_run(browser, "source_wins", differential("missing"))
    assert len(response.context["examples"]) == 20
    assert "The first 20, field by field" in as_read(response)


# --- who may what ---------------------------------------------------------------------------


def test_who_may_see_only_is_offered_nothing(job: Any) -> None:
    onlooker = with_permissions("view_datadifferential")
    assert len(shown(onlooker)) == 7
    text = as_read(onlooker.get(page_of(differential("extra"))))
    assert "The ticked ones" not in text
    assert onlooker.get(act(onlooker, "skip", differential("extra")).url).status_code == 403
    fields = {"strategy": "skip", "differential": differential("extra").pk}
    assert onlooker.post(RESOLVE, fields).status_code == 403


def test_whose_job_it_is_sees_and_resolves_its_own(dispatch: Dispatch) -> None:
    owner = UserFactory(is_staff=True, permissions=["add_synchronizationjob"])
    job = differing(dispatch, by=owner)
    other = DifferentialFactory(checkpoint=CheckpointFactory(run=RunFactory(job=JobFactory())))
    client = client_of(owner)
    assert len(shown(client)) == 7
    assert client.get(page_of(other)).url == DIFFERENTIALS
    response = dry_run(client, "source_wins", differential("source_changed"))
    client.post(RESOLVE, fields_of(response))
    sync_to_end(job)
    assert target(1).get().name == "Celle"


def test_others_are_refused(job: Any) -> None:
    stranger = with_permissions("view_episode")
    for url in (DIFFERENTIALS, page_of(differential("extra")), f"{RESOLVE}?strategy=skip"):
        assert stranger.get(url).status_code == 403
    assert Client().get(DIFFERENTIALS).url.startswith("/admin/login/")
