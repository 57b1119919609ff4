from __future__ import annotations

import dataclasses
import datetime as dt
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, default_storage
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from waffle.testutils import override_switch

from content.models import Block, Episode
from content.synthetic import make_episode
from duplication.exceptions import CannotStart
from duplication.levels import BLOCKS, CHILD_LEVELS, EPISODE, Level
from duplication.models import Duplication
from duplication.preview import Preview, preview, preview_briefly, wording
from duplication.preview import links as preview_links
from duplication.preview.counting import (
    SETTINGS,
    Count,
    descent_sql,
    next_size,
)
from duplication.preview.links import links_sql
from duplication.preview.media import media_sql
from duplication.preview.rates import PastCopy, estimate, past_copies, past_copy
from duplication.preview.resets import Reset, resets
from duplication.services import start_duplication
from tests.duplication.driving import duplicate
from tests.factories.content import BlockFactory, EpisodeFactory, ItemFactory, UserFactory

pytestmark = pytest.mark.django_db

LONG = 60.0


@pytest.fixture(autouse=True)
def enough_time(settings: Any, tmp_path: Path) -> None:
    """A slow machine doesn't decide what is found; a test that is about time sets its own."""
    settings.DUPLICATION_PREVIEW_SECONDS = LONG
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture
def admin() -> User:
    return UserFactory(is_superuser=True)


def counts(found: Any) -> dict[str, str]:
    return {level.stage: str(level.rows) for level in found.levels}


def slow_blocks(seconds: float) -> None:
    """From here on each block, with a file and a link, takes so long to read."""
    Block.objects.update(media="a.mp3", field_1="content:block/999999999")
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE blocks RENAME TO fast_blocks")
        cursor.execute(
            f"CREATE VIEW blocks AS SELECT *, pg_sleep({seconds})::text AS slept FROM fast_blocks"
        )


# --- rows --------------------------------------------------------------------------


def test_preview_counts_each_level_and_only_this_episode(admin: User) -> None:
    make_episode(parts=1, items=5, blocks=7)
    episode = make_episode(parts=2, items=3, blocks=4)
    found = preview(episode, admin)
    assert counts(found) == {"episode": "1", "parts": "2", "items": "6", "blocks": "24"}
    assert found.rows == Count(33, exact=True)


def test_preview_of_a_skewed_tree_counts_more_than_one_slice(admin: User) -> None:
    episode = make_episode(parts=2, items=5, blocks=100, skewed=True)
    assert counts(preview(episode, admin))["blocks"] == "1,000"


def test_preview_of_an_empty_episode_is_exact_and_says_none(admin: User) -> None:
    found = preview(EpisodeFactory(), admin)
    assert counts(found) == {"episode": "1", "parts": "0", "items": "0", "blocks": "0"}
    assert (wording.media(found.media), wording.links(found.links)) == (["None"], ["None"])


def test_preview_when_a_slice_takes_too_long_says_at_least(admin: User, settings: Any) -> None:
    episode = make_episode(parts=1, items=1, blocks=500)
    slow_blocks(0.005)
    settings.DUPLICATION_PREVIEW_SECONDS = 2.0
    found = preview(episode, admin)
    blocks = found.levels[-1].rows
    assert not blocks.exact
    assert blocks.number in range(1, 500)
    assert str(blocks) == f"at least {blocks.number}"
    assert counts(found)["items"] == "1"
    assert not found.media.files.exact
    assert not found.links.inside.exact
    assert found.expected.exact is False


def test_preview_when_one_row_stalls_is_an_answer_and_no_error(admin: User, settings: Any) -> None:
    episode = make_episode(parts=1, items=1, blocks=1)
    slow_blocks(3600)
    settings.DUPLICATION_PREVIEW_SECONDS = 0.4
    found = preview(episode, admin)
    assert counts(found)["blocks"] == "not counted"
    assert wording.media(found.media) == ["Not counted in the time there was."]
    assert wording.links(found.links) == ["Not all texts could be read in the time there was."]
    # The connection is as it was: no time-out, no aborted transaction.
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)


def test_preview_without_any_time_is_an_answer(admin: User, settings: Any) -> None:
    episode = make_episode(parts=1, items=1, blocks=1)
    settings.DUPLICATION_PREVIEW_SECONDS = 0.0
    found = preview(episode, admin)
    assert set(counts(found).values()) == {"1", "not counted"}


def test_preview_leaves_no_setting_behind_in_a_transaction(admin: User) -> None:
    episode = make_episode(parts=1, items=1, blocks=1)

    def now() -> list[Any]:
        with connection.cursor() as cursor:
            names = [*SETTINGS, "statement_timeout"]
            cursor.execute(f"SELECT {', '.join('current_setting(%s)' for _ in names)}", names)
            return list(cursor.fetchone())

    with transaction.atomic():
        before = now()
        preview(episode, admin)
        assert now() == before
        episode.title = "Still writable"
        episode.save()


@pytest.mark.parametrize("level", [level for _, level in CHILD_LEVELS], ids=lambda each: each.node)
def test_count_goes_along_the_indexes_only(level: Level) -> None:
    assert node_types(descent_sql(level), SETTINGS) <= {"Nested Loop", "Index Only Scan"}


@pytest.mark.parametrize(
    "sql",
    [media_sql(), *(links_sql(level) for _, level in CHILD_LEVELS)],
    ids=["media", *(f"links in {level.stage}" for _, level in CHILD_LEVELS)],
)
def test_reading_goes_along_the_indexes_and_gathers_no_level(sql: str) -> None:
    plan = node_types(sql, SETTINGS)
    # What takes the links of one row apart may aggregate; the level's rows are streamed.
    allowed = {"Nested Loop", "Index Only Scan", "Index Scan", "Subquery Scan"}
    of_one_row = {"Values Scan", "Function Scan", "Aggregate", "Unique", "Sort"}
    assert plan <= (allowed | of_one_row if "regexp" in sql else allowed)


def node_types(sql: str, settings: dict[str, str]) -> set[str]:
    """Of the plan on tables whose statistics say that they are empty."""
    with connection.cursor() as cursor, transaction.atomic():
        for setting in settings.items():
            cursor.execute("SELECT set_config(%s, %s, true)", setting)
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", {"episode": 1})
        (plan,) = cursor.fetchone()
        transaction.set_rollback(True)

    def types(node: dict[str, Any]) -> set[str]:
        return {node["Node Type"]}.union(*(types(each) for each in node.get("Plans", ())))

    return types(plan[0]["Plan"])


@pytest.mark.parametrize(
    ("size", "seconds", "left", "following"),
    [
        (64, 0.001, 2.0, 256),  # grows
        (1_000, 1.0, 2.0, 500),  # a quarter of what is left, at this pace
        (64, 1.0, 0.01, 1),  # never nothing
        (64, 0.0, 1.0, 256),
    ],
)
def test_next_size_grows_and_fits_what_is_left(
    size: int, seconds: float, left: float, following: int
) -> None:
    assert next_size(size, seconds, left) == following


# --- several -------------------------------------------------------------------------


def test_preview_briefly_counts_each() -> None:
    episodes = [make_episode(parts=n, items=1, blocks=1) for n in (1, 2)]
    found = preview_briefly(episodes)
    assert [counts(found[each.pk])["blocks"] for each in episodes] == ["1", "2"]


def test_preview_briefly_shares_the_time(settings: Any) -> None:
    """A large one doesn't take the time of those after it."""
    slow = make_episode(parts=1, items=1, blocks=1)
    fast = make_episode(parts=3, items=1, blocks=0)
    slow_blocks(3600)
    settings.DUPLICATION_PREVIEW_SECONDS = 3.0
    found = preview_briefly([slow, fast])
    assert counts(found[slow.pk]) | {"blocks": ""} == {
        "episode": "1",
        "parts": "1",
        "items": "1",
        "blocks": "",
    }
    assert not found[slow.pk].rows.exact
    assert counts(found[fast.pk])["parts"] == "3"


def test_preview_briefly_leaves_out_what_it_did_not_reach(settings: Any) -> None:
    settings.DUPLICATION_PREVIEW_SECONDS = 0.0
    assert preview_briefly([make_episode(parts=1, items=1, blocks=1)]) == {}


# --- media -----------------------------------------------------------------------------


def test_preview_of_media_counts_a_file_once_with_its_bytes(admin: User) -> None:
    default_storage.save("a.mp3", ContentFile(b"x" * 1000))
    default_storage.save("b.mp3", ContentFile(b"x" * 24))
    item = ItemFactory()
    for name in ("a.mp3", "a.mp3", "b.mp3", None, ""):
        BlockFactory(item=item, media=name)
    BlockFactory(media="another episode's.mp3")
    found = preview(item.part.episode, admin).media
    assert (found.files, found.bytes, found.missing) == (Count(2), Count(1024), Count(0))
    assert wording.media(found) == ["2 files, 1.0\xa0KB"]


def test_preview_of_media_names_the_first_missing_files(admin: User) -> None:
    item = ItemFactory()
    for number in range(7):
        BlockFactory(item=item, media=f"{number}.mp3")
    BlockFactory(item=item, media="../out of storage.mp3")
    found = preview(item.part.episode, admin).media
    assert (found.files, found.missing, found.bytes) == (Count(8), Count(8), Count(0))
    assert len(found.missing_examples) == 5
    assert wording.media(found)[1].startswith("8 not in storage: ")
    assert wording.media(found)[1].endswith(", …")


class Stalled(InMemoryStorage):
    """Answers for one file and is silent about the others until it is released."""

    released = threading.Event()

    def size(self, name: str) -> int:
        if name != "known.mp3":
            self.released.wait()
        return 1000


class Refusing(InMemoryStorage):
    def size(self, name: str) -> int:
        raise ConnectionError("no route to the storage")


@pytest.fixture
def use_storage(settings: Any) -> Callable[[type[InMemoryStorage]], None]:
    # Through the setting: Django then forgets the storage, whichever thread still asks for it.
    def use(storage: type[InMemoryStorage]) -> None:
        backend = f"{__name__}.{storage.__qualname__}"
        settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}

    return use


def test_preview_of_media_in_a_storage_that_stalls_says_at_least(
    admin: User, settings: Any, use_storage: Callable[[type[InMemoryStorage]], None]
) -> None:
    Stalled.released.clear()
    use_storage(Stalled)
    item = ItemFactory()
    for name in ("known.mp3", "silent.mp3"):
        BlockFactory(item=item, media=name)
    settings.DUPLICATION_PREVIEW_SECONDS = 2.0
    try:
        found = preview(item.part.episode, admin).media
    finally:
        Stalled.released.set()
    assert (found.files, found.bytes) == (Count(2), Count(1000, exact=False))
    assert wording.media(found) == ["2 files, at least 1000\xa0bytes"]


def test_preview_of_media_in_a_storage_that_refuses_says_why(
    admin: User, use_storage: Callable[[type[InMemoryStorage]], None]
) -> None:
    use_storage(Refusing)
    found = preview(BlockFactory(media="a.mp3").item.part.episode, admin).media
    assert (found.unreadable, found.bytes.exact) == (1, False)
    assert wording.media(found) == [
        "1 file, size not read",
        "1 with a size that can't be read: a.mp3: no route to the storage",
    ]


# --- links -----------------------------------------------------------------------------


def test_preview_of_links_tells_where_each_leads(admin: User) -> None:
    elsewhere = BlockFactory()
    item = ItemFactory(name="No link, only content: and text")
    part = item.part
    first = BlockFactory(
        item=item,
        field_1=f"content:part/{part.pk} content:item/{item.pk}, twice: content:item/{item.pk}.",
        field_2=f"See content:block/{elsewhere.pk}.",
        field_3="xcontent:block/1 is none",
    )
    part.name = "content:part/007 content:item/999999999"
    part.save()
    found = preview(part.episode, admin).links
    assert (found.inside, found.external, found.unresolved) == (Count(2), Count(1), Count(2))
    told = {wording.leaving_link(each) for each in found.examples}
    other = elsewhere.item.part.episode_id
    assert told == {
        f"part {part.pk}, name: content:part/007 (nothing)",
        f"part {part.pk}, name: content:item/999999999 (nothing)",
        f"block {first.pk}, field_2: content:block/{elsewhere.pk} (episode {other})",
    }
    assert wording.links(found) == [
        "2 into this tree: will point into the copy",
        "1 to other episodes: stay as they are",
        "2 to nothing: stay as they are",
    ]


def test_preview_of_links_agrees_with_the_copy(admin: User) -> None:
    elsewhere = BlockFactory()
    item = ItemFactory()
    BlockFactory(item=item, field_1=f"content:item/{item.pk} content:block/{elsewhere.pk}")
    BlockFactory(item=item, name="content:block/987654321...")
    found = preview(item.part.episode, admin).links
    duplication = duplicate(item.part.episode)
    kept = list(duplication.link_findings.values_list("points_to", flat=True))
    assert sorted(kept) == ["external", "unresolved"]
    assert (found.external.number, found.unresolved.number) == (1, 1)
    assert found.inside.number == 1


def test_preview_of_links_stops_at_a_bound(admin: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview_links, "MAX_LINKS", 64)
    item = ItemFactory()
    Block.objects.bulk_create(
        Block(item=item, name=f"content:block/99999{number}") for number in range(100)
    )
    found = preview(item.part.episode, admin).links
    assert found.unresolved == Count(64, exact=False)
    assert len(found.examples) == preview_links.MAX_EXAMPLES


# --- what is reset -----------------------------------------------------------------------


def test_resets_tell_every_declared_column_in_words() -> None:
    found = resets()
    told = {(level, reset.field) for reset in found for level in reset.levels}
    declared = {
        (level.stage, next(f.verbose_name for f in fields if f.column == column))
        for level in (EPISODE, *(below for _, below in CHILD_LEVELS))
        for fields in [level.model._meta.concrete_fields]
        for column in level.reset
    }
    assert told == declared
    values = {reset.field: reset.value for reset in found}
    assert values["status"] == "Draft, once it is verified"
    assert values["owner"] == "you"
    assert values["audio url"] == "none"
    assert values["generation status"] == "Pending"
    assert values["created at"] == "the time of the copy"


def test_resets_of_a_new_declaration_show_up_by_themselves() -> None:
    level = dataclasses.replace(BLOCKS, reset={"media": "''", "position": "7"})
    assert resets((level,)) == (
        Reset("media", "none", ("blocks",)),
        Reset("position", "7", ("blocks",)),
    )


def test_wording_of_resets_is_a_line_for_each_value() -> None:
    lines = wording.resets(resets())
    assert lines[0] == "Created at, updated at: the time of the copy, at every level"
    assert "Owner: you" in lines


# --- who may, what is in the way ----------------------------------------------------------


def test_preview_lists_all_missing_permissions() -> None:
    episode = EpisodeFactory()
    missing = preview(episode, UserFactory(permissions=["view_episode"])).missing_permissions
    assert [text.split(":")[0] for text in missing] == [
        "You may not duplicate episodes",
        f"Episode {episode.pk} belongs to somebody else",
    ]


def test_preview_for_who_may_lists_none(admin: User) -> None:
    assert preview(EpisodeFactory(), admin).missing_permissions == ()
    assert preview(EpisodeFactory(), None).missing_permissions == ()


def test_preview_tells_of_a_copy_that_is_being_made(admin: User) -> None:
    owner = UserFactory()
    episode = EpisodeFactory(owner=owner)
    assert preview(episode, admin).active is None
    duplication = start_duplication(episode_id=episode.pk, requested_by=admin).duplication
    seen, unseen = preview(episode, admin).active, preview(episode, owner).active
    assert seen is not None
    assert unseen is not None
    assert wording.active(seen) == f"Duplication {duplication.pk} is making a copy of this episode."
    assert wording.active(unseen) == "A copy of this episode is being made for somebody else."


def test_preview_tells_what_would_hold_it_up(admin: User) -> None:
    with override_switch("duplication", active=False):
        waiting = preview(EpisodeFactory(), admin).waiting
    assert waiting is not None
    assert (waiting.reason, waiting.seconds) == ("The switch “duplication” is off.", 30)
    assert preview(EpisodeFactory(), admin).waiting is None


def test_preview_tells_that_no_place_is_free(admin: User, settings: Any) -> None:
    settings.OPERATION_MAX_CONCURRENT_JOBS = 0
    waiting = preview(EpisodeFactory(), admin).waiting
    assert waiting is not None
    assert waiting.reason == "0 of at most 0 duplication jobs are running."


def test_preview_starts_and_changes_nothing(admin: User) -> None:
    episode = make_episode(parts=1, items=1, blocks=1)
    preview(episode, admin)  # the first one notes the switch that was asked for
    with CaptureQueriesContext(connection) as queries:
        preview(episode, admin)
    verbs = {each["sql"].split()[0] for each in queries}
    assert verbs <= {"SELECT", "SAVEPOINT", "ROLLBACK", "RELEASE", "DECLARE", "MOVE", "FETCH"}
    assert not Duplication.objects.exists()


def test_preview_with_too_many_lanes_is_refused(admin: User) -> None:
    with pytest.raises(CannotStart, match="lanes is 99"):
        preview(EpisodeFactory(), admin, lanes=99)


# --- how long it will take -----------------------------------------------------------------


def past(rows: int, seconds: float, *, lanes: int = 2, between: float = 0.0) -> PastCopy:
    """Its blocks took half of the seconds, the verification the other half."""
    levels = {"episode": 1, "parts": 1, "items": 1, "blocks": rows - 3}
    return PastCopy(lanes, rows, levels, {"blocks": seconds / 2, "verify": seconds / 2}, between)


def rows_of(blocks: int) -> dict[str, int]:
    return {"episode": 1, "parts": 1, "items": 1, "blocks": blocks - 3}


def test_estimate_of_copied_files_goes_with_their_number() -> None:
    one = past(1000, 0.0)
    one = dataclasses.replace(one, amounts={**one.amounts, "media": 10}, stages={"media": 20.0})
    many = estimate([one], {**rows_of(1000), "media": 100}, exact=True, lanes=2)
    none = estimate([one], {**rows_of(1000), "media": 0}, exact=True, lanes=2)
    assert (many.seconds, none.seconds) == (200.0, 0.0)


def test_estimate_without_a_past_copy_invents_no_number() -> None:
    found = estimate([], rows_of(1000), exact=True, lanes=2)
    assert (found.seconds, found.copies) == (None, 0)
    assert found.text == "No such copy was made here yet, so nothing is known."


def test_estimate_scales_with_the_rows_but_not_the_time_between() -> None:
    found = estimate([past(1000, 10.0, between=2.0)], rows_of(2000), exact=True, lanes=2)
    assert found.seconds == pytest.approx(22.0, abs=0.1)
    assert found.text == "about 22 s, from 1 past copy here"


def test_estimate_takes_the_median_so_that_one_odd_copy_does_not_matter() -> None:
    copies = [past(1000, seconds) for seconds in (9.0, 10.0, 11.0, 10.0, 5000.0)]
    found = estimate(copies, rows_of(1000), exact=True, lanes=2)
    assert (found.seconds, found.copies) == (10.0, 5)


def test_estimate_prefers_those_near_in_size() -> None:
    far = [past(100_000, 5.0) for _ in range(50)]
    near = [past(1000, 10.0) for _ in range(12)]
    assert estimate([*far, *near], rows_of(1000), exact=True, lanes=2).seconds == 10.0


def test_estimate_from_much_smaller_copies_says_that_nothing_is_known() -> None:
    found = estimate([past(10, 1.0), past(40, 1.0)], rows_of(1_000_000), exact=True, lanes=2)
    assert found.seconds is None
    assert found.text == "No copy of this size was made here yet: the largest had 40 rows."


def test_estimate_prefers_copies_with_as_many_lanes() -> None:
    copies = [*(past(1000, 10.0, lanes=4) for _ in range(3)), *(past(1000, 20.0) for _ in range(9))]
    assert estimate(copies, rows_of(1000), exact=True, lanes=4).seconds == 10.0
    assert estimate(copies, rows_of(1000), exact=True, lanes=1).seconds == 20.0


def test_estimate_of_what_is_not_all_counted_says_more_than() -> None:
    found = estimate([past(1000, 65.0)], rows_of(1000), exact=False, lanes=2)
    assert (found.exact, found.text) == (False, "more than 1 min 5 s, from 1 past copy here")


def test_estimate_of_less_than_a_second_is_said_so_if_all_is_counted() -> None:
    found = estimate([past(1000, 0.5)], rows_of(1000), exact=True, lanes=2)
    assert found.text == "less than 1 s, from 1 past copy here"
    found = estimate([past(1000, 0.5)], rows_of(1000), exact=False, lanes=2)
    assert (found.seconds, found.text) == (
        None,
        "Too little could be counted in the time there was.",
    )


def at(second: float) -> str:
    return (dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=second)).isoformat()


def test_past_copy_leaves_the_waiting_out() -> None:
    """Blocks took 10 s of which 4 were waiting; 1 s lay between two stages."""
    stages = {
        "episode": {"done": 1, "started_at": at(0), "ended_at": at(1), "waited_before": 0.0},
        "parts": {"done": 2, "started_at": at(1), "ended_at": at(2), "waited_before": 0.0},
        "items": {"done": 3, "started_at": at(2), "ended_at": at(3), "waited_before": 0.0},
        "blocks": {"done": 9, "started_at": at(4), "ended_at": at(14), "waited_before": 0.0},
        "verify": {"done": 30, "started_at": at(14), "ended_at": at(20), "waited_before": 4.0},
    }
    found = past_copy(
        Duplication(
            progress=stages,
            waited_seconds=4.0,
            lanes=3,
            started_at=dt.datetime.fromisoformat(at(0)),
            ended_at=dt.datetime.fromisoformat(at(20)),
        )
    )
    assert found is not None
    assert dict(found.stages) == {
        "episode": 1.0,
        "parts": 1.0,
        "items": 1.0,
        "blocks": 6.0,
        "verify": 6.0,
    }
    assert (found.rows, found.lanes, found.between) == (15, 3, 1.0)


def test_past_copy_with_an_incomplete_record_is_left_out() -> None:
    now = timezone.now()
    assert past_copy(Duplication(progress={}, started_at=now, ended_at=now)) is None


def test_past_copies_are_the_completed_ones_of_the_same_media_strategy(admin: User) -> None:
    duplicate(EpisodeFactory())
    start_duplication(episode_id=EpisodeFactory().pk, requested_by=admin)
    assert len(past_copies("share")) == 1
    assert past_copies("copy") == []


def test_past_copy_of_files_knows_how_many(admin: User) -> None:
    default_storage.save("a.mp3", ContentFile(b"x"))
    episode = BlockFactory(media="a.mp3").item.part.episode
    duplicate(episode, media_strategy="copy")
    [found] = past_copies("copy")
    assert found.amounts == {"episode": 1, "parts": 1, "items": 1, "blocks": 1, "media": 1}
    assert preview(episode, admin, media_strategy="copy").expected.copies == 1


def test_preview_expects_from_what_was_measured_here(admin: User) -> None:
    episode = make_episode(parts=1, items=2, blocks=3)
    duplicate(episode)
    found = preview(episode, admin)
    assert found.expected.seconds is not None
    assert found.expected.text.endswith(", from 1 past copy here")


def test_preview_is_plain_values(admin: User) -> None:
    found = preview(EpisodeFactory(), admin)
    assert isinstance(found, Preview)
    assert dataclasses.asdict(found)["levels"][0] == {
        "stage": "episode",
        "rows": {"number": 1, "exact": True},
    }
    assert Episode.objects.count() == 1
