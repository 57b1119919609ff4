"""Applied changes: looked up, seen before and after, undone."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from migrationsync.models import AppliedChange
from migrationsync.services import decisions
from tests.factories.content import UserFactory
from tests.factories.sync import RunFactory
from tests.migrationsync.admin.deciding import CHANGES, as_read, differing, record, target
from tests.migrationsync.admin.visiting import (
    client_of,
    number_of_queries,
    told,
    with_permissions,
)
from tests.migrationsync.syncing import Dispatch

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser() -> Client:
    return with_permissions("view_appliedchange", "change_synchronizationjob")


@pytest.fixture
def job(dispatch: Dispatch) -> Any:
    return differing(dispatch)


@pytest.fixture
def change(job: Any) -> AppliedChange:
    """Office 3 was overwritten by a person."""
    of = record("both_changed")
    by = UserFactory(username="grace")
    _, token = decisions.explanation(of)
    decisions.decide(of, "source_wins", token=token, by=by)
    return AppliedChange.objects.get()


def made(**fields: Any) -> AppliedChange:
    fields = {"entity_type": "offices", "legacy_id": 1, "action": "overwrite", **fields}
    return AppliedChange.objects.create(side="target", before={}, after={}, **fields)


def page_of(change: AppliedChange) -> str:
    return f"{CHANGES}{change.pk}/change/"


def undo_of(change: AppliedChange) -> str:
    return f"{CHANGES}{change.pk}/undo/"


def shown(client: Client, query: str = "") -> list[AppliedChange]:
    return list(client.get(f"{CHANGES}?{query}").context["cl"].result_list)


# --- the list -----------------------------------------------------------------------------


def test_list_says_what_was_done_by_whom(browser: Client, change: AppliedChange) -> None:
    text = as_read(browser.get(CHANGES))
    assert "offices 3" in text
    assert "Overwrite the target" in text
    assert "by grace" in text


def test_change_is_looked_up_by_legacy_id_and_uuid(browser: Client) -> None:
    one = made(legacy_id=17, uuid=uuid4())
    made(legacy_id=170)
    extra = made(legacy_id=None, uuid=uuid4())
    assert shown(browser, "q=17") == [one]
    assert shown(browser, f"q={one.uuid}") == [one]
    assert shown(browser, f"q={extra.uuid}") == [extra]
    assert shown(browser, "q=nonsense") == []
    assert shown(browser, f"q={'9' * 30}") == []


def test_list_is_filtered(browser: Client) -> None:
    run = RunFactory()
    one = made(run=run)
    undone = made(entity_type="profiles", undone_at=timezone.now())
    assert shown(browser, f"run={run.pk}") == [one]
    assert shown(browser, "undone=yes") == [undone]
    assert shown(browser, "undone=no") == [one]
    assert shown(browser, "entity=profiles") == [undone]
    assert shown(browser, "side__exact=source") == []


def test_empty_list_says_so(browser: Client) -> None:
    assert "Nothing has been changed yet." in as_read(browser.get(CHANGES))


def test_list_takes_as_many_queries_for_many(browser: Client, change: AppliedChange) -> None:
    made(run=RunFactory(), applied_by=UserFactory())
    few = number_of_queries(browser, CHANGES)
    for _ in range(20):
        made(run=RunFactory(), applied_by=UserFactory())
    assert number_of_queries(browser, CHANGES) == few


# --- the page -----------------------------------------------------------------------------


def test_page_shows_before_and_after(browser: Client, change: AppliedChange) -> None:
    response = browser.get(page_of(change))
    rows = {row.name: row for row in response.context["rows"]}
    assert (rows["name"].before.text, rows["name"].after.text) == ("Bremen", "Celle")
    assert rows["name"].differs
    assert not rows["is_active"].differs
    text = as_read(response)
    assert "on the target's side" in text
    assert "by grace" in text
    assert "The record in three columns" in text


def test_change_without_rows_says_so(browser: Client, job: Any) -> None:
    change = AppliedChange.objects.create(
        entity_type="offices", legacy_id=1, action="gone_by_now", side="target"
    )
    text = as_read(browser.get(page_of(change)))
    assert "only what the mapping says of the two changed" in text
    assert "gone_by_now" in text


def test_delete_shows_that_there_is_no_row_after(browser: Client, job: Any) -> None:
    change = AppliedChange.objects.create(
        entity_type="offices",
        legacy_id=1,
        action="delete_target",
        side="target",
        before={"name": "Bremen", "city": None},
    )
    rows = browser.get(page_of(change)).context["rows"]
    assert [(row.after.text, row.differs) for row in rows] == [("no row", True)] * 2


def test_undo_asks_and_then_puts_the_row_back(browser: Client, change: AppliedChange) -> None:
    assert target(3).get().name == "Celle"
    assert "Undo: overwrite the target, offices 3?" in as_read(browser.get(undo_of(change)))
    assert target(3).get().name == "Celle"
    response = browser.post(undo_of(change))
    assert response.url == page_of(change)
    assert told(response)[-1] == "offices 3: what was done is undone."
    assert target(3).get().name == "Bremen"
    text = as_read(browser.get(page_of(change)))
    assert "It was: overwrite the target. Undone" in text
    assert "Undo…" not in text


def test_undo_that_is_refused_says_why(browser: Client, change: AppliedChange) -> None:
    target(3).update(name="Since then")
    response = browser.post(undo_of(change))
    assert "It has changed since" in told(response)[-1]
    assert target(3).get().name == "Since then"


def test_undo_comes_twice_and_is_done_once(browser: Client, change: AppliedChange) -> None:
    browser.post(undo_of(change))
    target(3).update(name="Afterwards")
    assert "undone already" in told(browser.post(undo_of(change)))[-1]
    assert target(3).get().name == "Afterwards"


# --- who may what -----------------------------------------------------------------------


def test_what_is_not_permitted_is_said_on_a_page_of_ours(change: AppliedChange) -> None:
    response = with_permissions("view_appliedchange").post(undo_of(change))
    assert response.status_code == 403
    assert "permitted to you" in response.text
    assert "needs a permission" in response.text
    assert "To the start page" in response.text


def test_who_may_see_only_does_not_undo(change: AppliedChange) -> None:
    onlooker = with_permissions("view_appliedchange")
    assert "Undo…" not in as_read(onlooker.get(page_of(change)))
    assert onlooker.get(undo_of(change)).status_code == 403
    assert onlooker.post(undo_of(change)).status_code == 403
    assert target(3).get().name == "Celle"


def test_whose_job_it_is_sees_and_undoes_its_own(dispatch: Dispatch) -> None:
    owner = UserFactory(is_staff=True, permissions=["add_synchronizationjob"])
    differing(dispatch, by=owner)
    of = record("source_changed")
    decisions.decide(of, "source_wins", token=decisions.explanation(of)[1], by=owner)
    [change] = AppliedChange.objects.all()
    foreign = made(run=RunFactory())
    client = client_of(owner)
    assert shown(client) == [change]
    assert client.get(page_of(foreign)).url == CHANGES
    client.post(undo_of(change))
    assert target(1).get().name == "Bremen"


def test_change_of_a_job_that_is_gone_is_undone_by_who_may_change_any(
    browser: Client, change: AppliedChange
) -> None:
    AppliedChange.objects.update(run=None, record=None)
    browser.post(undo_of(change))
    assert target(3).get().name == "Bremen"


def test_others_are_refused(job: Any) -> None:
    assert with_permissions("view_episode").get(CHANGES).status_code == 403
    assert with_permissions("view_episode").get(page_of(made())).status_code == 403
