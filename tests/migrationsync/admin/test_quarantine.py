"""The list of quarantined rows, and trying them again."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from content.admin import pagination
from migrationsync.admin import quarantine
from migrationsync.exceptions import CannotRun
from migrationsync.loading import Loaded
from migrationsync.models import QuarantinedRow
from tests.factories.sync import QuarantinedRowFactory
from tests.migrationsync.admin.visiting import (
    QUARANTINE,
    number_of_queries,
    told,
    with_permissions,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser() -> Client:
    return with_permissions("view_quarantinedrow", "change_quarantinedrow")


@pytest.fixture
def retried(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The legacy ids of each call of the service, which brings none of them over but 17."""
    calls: list[list[int]] = []

    def retry(rows: Any, *, by: Any) -> Loaded:
        keys = sorted(rows.values_list("legacy_id", flat=True))
        calls.append(keys)
        over = keys.count(17)
        return Loaded(
            last=None,
            rows_read=len(keys),
            inserted=over,
            updated=0,
            unchanged=0,
            kept=0,
            quarantined=len(keys) - over,
            deleted=0,
            finished=True,
        )

    monkeypatch.setattr("migrationsync.services.quarantine.retry", retry)
    return calls


def shown(client: Client, query: str = "") -> list[int]:
    return sorted(
        each.legacy_id for each in client.get(f"{QUARANTINE}?{query}").context["cl"].result_list
    )


def act(client: Client, *rows: QuarantinedRow) -> Any:
    chosen = [row.pk for row in rows]
    return client.post(QUARANTINE, {"action": "retry_selected", "_selected_action": chosen})


def test_list_shows_what_is_open_with_reason_and_data(browser: Client) -> None:
    QuarantinedRowFactory(
        legacy_id=17,
        reasons=[{"column": "rent", "value": "<b>", "problem": "is no number"}],
        data={"id": 17, "rent": "<b>", "name": None, "city": "", "notes": "x" * 500},
        attempts=3,
    )
    QuarantinedRowFactory(resolved_at=timezone.now())
    text = browser.get(QUARANTINE).text
    assert "offices 17" in text
    assert "<code>rent</code> “&lt;b&gt;” is no number" in text
    assert "x" * 60 + "…" in text
    assert "x" * 61 not in text
    assert shown(browser) == [17]


def test_list_is_narrowed_by_state_entity_column_and_key(browser: Client) -> None:
    name = [{"column": "name", "value": "", "problem": "is nothing"}]
    QuarantinedRowFactory(legacy_id=1)
    QuarantinedRowFactory(legacy_id=2, reasons=name)
    QuarantinedRowFactory(legacy_id=3, entity_type="profiles")
    QuarantinedRowFactory(legacy_id=4, resolved_at=timezone.now())
    assert shown(browser) == [1, 2, 3]
    assert shown(browser, "state=resolved") == [4]
    assert shown(browser, "state=all") == [1, 2, 3, 4]
    assert shown(browser, "entity=profiles") == [3]
    assert shown(browser, "entity=offices&column=name") == [2]
    assert shown(browser, "q=3") == [3]
    assert shown(browser, "q=nonsense") == []


def test_list_without_any_says_what_it_is_for(browser: Client) -> None:
    assert "No row is in quarantine" in browser.get(QUARANTINE).text


def test_list_says_the_same_number_above_and_below(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pagination, "COUNT_LIMIT", 2)
    for _ in range(3):
        QuarantinedRowFactory()
    text = " ".join(browser.get(QUARANTINE).text.split())
    assert text.count("2+ quarantined rows") == 2
    assert "2 results" not in text


def test_list_asks_as_often_for_twenty_rows_as_for_one(browser: Client) -> None:
    QuarantinedRowFactory()
    of_one = number_of_queries(browser, QUARANTINE)
    for _ in range(20):
        QuarantinedRowFactory()
    assert number_of_queries(browser, QUARANTINE) == of_one


def test_retry_tries_the_chosen_and_tells_what_came_of_them(
    browser: Client, retried: list[list[int]]
) -> None:
    rows = [QuarantinedRowFactory(legacy_id=key) for key in (16, 17, 18)]
    QuarantinedRowFactory(legacy_id=19)
    response = act(browser, *rows)
    assert retried == [[16, 17, 18]]
    assert told(response)[0] == "1 row of 3 came over."
    assert told(response)[1].startswith("2 rows of 3 stayed in quarantine")


def test_retry_of_too_many_tries_none(
    browser: Client, retried: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "MAX_AT_ONCE", 2)
    response = act(browser, *(QuarantinedRowFactory() for _ in range(3)))
    assert "more than 2 rows are chosen" in told(response)[0]
    assert retried == []


def test_retry_says_that_the_source_is_away(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise CannotRun("The legacy database doesn't answer.")

    monkeypatch.setattr("migrationsync.services.quarantine.retry", refuse)
    assert "Nothing was brought over." in told(act(browser, QuarantinedRowFactory()))[0]


def test_retry_is_for_who_may_change(retried: list[list[int]]) -> None:
    row = QuarantinedRowFactory()
    viewer = with_permissions("view_quarantinedrow")
    act(viewer, row)
    viewer.post(f"{QUARANTINE}{row.pk}/retry/")
    assert retried == []
    assert "Try again" not in viewer.get(f"{QUARANTINE}{row.pk}/change/").text


def test_page_of_one_row_has_all_of_it_and_tries_it_alone(
    browser: Client, retried: list[list[int]]
) -> None:
    row = QuarantinedRowFactory(legacy_id=17, data={"notes": "x" * 500})
    QuarantinedRowFactory(legacy_id=18)
    url = f"{QUARANTINE}{row.pk}/change/"
    text = browser.get(url).text
    assert "x" * 500 in text
    response = browser.post(f"{QUARANTINE}{row.pk}/retry/")
    assert retried == [[17]]
    assert response.url == url
