"""Looking a row up in the id mapping, from either side."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from migrationsync import lookup
from migrationsync.admin.mappings import Wanted, parse
from migrationsync.models import AppliedChange
from tests.factories.sync import MappingFactory, QuarantinedRowFactory
from tests.migrationsync.admin.visiting import LOOK_UP, with_permissions

pytestmark = pytest.mark.django_db

KEY = uuid.UUID("01909af5-0c5e-7c3a-9f52-1a2b3c4d5e6f")


@pytest.fixture
def browser() -> Client:
    return with_permissions("view_legacyidmapping")


def answers(client: Client, text: str) -> list[str]:
    found = client.get(LOOK_UP, {"q": text}).context["answers"]
    return [f"{each.mapping.entity_type} {each.mapping.legacy_id}" for each in found]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("17", Wanted("", 17, None)),
        ("offices 17", Wanted("offices", 17, None)),
        ("Offices: 17", Wanted("offices", 17, None)),
        ("order-lines/17", Wanted("order-lines", 17, None)),
        (str(KEY), Wanted("", None, KEY)),
        (KEY.hex.upper(), Wanted("", None, KEY)),
        (f"offices {KEY}", Wanted("offices", None, KEY)),
        ("", None),
        ("offices", None),
        ("017", None),
        ("0", Wanted("", 0, None)),
        ("-5", Wanted("", -5, None)),
        ("offices -5", Wanted("offices", -5, None)),
        ("-0", None),
        ("9" * 40, None),
        ("offices 17 18", None),
        ("' OR 1=1", None),
    ],
)
def test_parse_takes_what_somebody_has_at_hand(text: str, wanted: Wanted | None) -> None:
    assert parse(text) == wanted


def test_look_up_answers_from_either_side(browser: Client) -> None:
    MappingFactory(legacy_id=17, uuid_id=KEY)
    MappingFactory(legacy_id=17, entity_type="profiles")
    MappingFactory(legacy_id=18)
    assert answers(browser, "17") == ["offices 17", "profiles 17"]
    assert answers(browser, "profiles 17") == ["profiles 17"]
    assert answers(browser, str(KEY)) == ["offices 17"]
    assert answers(browser, f"profiles {KEY}") == []
    assert answers(browser, "19") == []


def test_look_up_tells_all_that_is_known_of_the_row(browser: Client) -> None:
    mapping = MappingFactory(
        legacy_id=17,
        uuid_id=KEY,
        validation_status="validated",
        target_checksum="gone",
        last_synced="North\tBerlin\t\\N\t12.50\tt\t2020-01-01\t\\N\t\\N",
    )
    AppliedChange.objects.create(
        entity_type="offices", legacy_id=17, uuid=KEY, action="overwrite", side="target"
    )
    text = browser.get(LOOK_UP, {"q": "offices 17"}).text
    for expected in (str(KEY), "dispatch_office", "first", "Validated", mapping.checksum):
        assert expected in text
    assert "that was accepted" in text
    assert "Berlin" in text
    assert "Overwrite" in text


def test_look_up_shows_values_as_values_and_not_as_code(browser: Client) -> None:
    MappingFactory(
        legacy_id=18,
        entity_type="profiles",
        target_table="profiles",
        last_synced='17\tAda\t\\N\tnurse\t{"mails": true}\t\\N\t2024-05-02 10:00:00+00',
    )
    text = browser.get(LOOK_UP, {"q": "profiles 18"}).text
    assert "&quot;mails&quot;: true" in text
    assert "True" not in text
    assert "nothing" in text


def test_look_up_of_a_row_that_is_held_back_leads_to_the_reason(browser: Client) -> None:
    row = QuarantinedRowFactory(legacy_id=17)
    text = browser.get(LOOK_UP, {"q": "offices 17"}).text
    assert f"quarantinedrow/{row.pk}/change/" in text


def test_look_up_says_what_it_takes(browser: Client) -> None:
    assert "is neither a legacy id nor a UUID" in browser.get(LOOK_UP, {"q": "nonsense!"}).text
    assert "Did you mean “offices”?" in browser.get(LOOK_UP, {"q": "ofices 17"}).text
    assert "Nothing is mapped like that" in browser.get(LOOK_UP, {"q": "17"}).text


def test_look_up_shows_how_often_the_cache_had_it(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers: Any = {"hits": 750, "misses": 250, "hit_rate": 0.75, "size": 200, "capacity": 10_000}
    monkeypatch.setattr(lookup, "statistics", lambda: numbers)
    text = browser.get(LOOK_UP).text
    assert "75 %" in text
    assert "750 of 1,000" in text


def test_look_up_never_reads_the_whole_table(browser: Client) -> None:
    MappingFactory(legacy_id=17)
    with CaptureQueriesContext(connection) as queries:
        browser.get(LOOK_UP)
        browser.get(LOOK_UP, {"q": "17"})
    of_mappings = [each["sql"] for each in queries if "legacy_id_mappings" in each["sql"]]
    assert len(of_mappings) == 1
    assert "COUNT" not in of_mappings[0].upper()


def test_page_of_a_mapping_is_its_answer(browser: Client) -> None:
    mapping = MappingFactory(legacy_id=17)
    response = browser.get(f"{LOOK_UP}{mapping.pk}/change/", follow=True)
    [answer] = response.context["answers"]
    assert answer.mapping == mapping


def test_look_up_is_for_who_may_view() -> None:
    assert with_permissions("view_synchronizationjob").get(LOOK_UP).status_code == 403


def test_mappings_are_never_edited(browser: Client) -> None:
    mapping = MappingFactory()
    assert browser.get(f"{LOOK_UP}add/").status_code == 403
    assert browser.get(f"{LOOK_UP}{mapping.pk}/delete/").status_code == 403
