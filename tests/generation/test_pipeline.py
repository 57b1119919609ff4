"""Outline and script as stages: what is kept, what the episode says, what is paid."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import OperationalError

from content.models import Block
from generation.kind import GENERATION, SCRIPT_IS_READY
from generation.models import GenerationJob, GenerationMetrics, GenerationSegment
from generation.providers.contract import ProviderBusy, ProviderFailed, Usage
from generation.stages.outline import USED_AGAIN
from generation.stages.script import EDITED
from operations import control, events, verbs
from operations.models import Event
from operations.snapshots import snapshot
from tests.duplication.driving import run_to_end
from tests.factories.content import (
    BlockFactory,
    ItemFactory,
    PartFactory,
    UserFactory,
)
from tests.generation import stub_text
from tests.generation.making import make_episode, start, write
from tests.generation.stub_text import StubText

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stubs")]


def messages(generation: GenerationJob) -> list[str]:
    found = Event.objects.filter(kind="generation", operation_id=str(generation.pk))
    return [event.payload["message"] for event in found if event.name == "generation.feedback"]


def raise_at(wanted: str, *errors: Exception) -> Any:
    """Have the provider raise these, one after the other, at the call of this name."""
    left = list(errors)

    def on_call(name: str) -> None:
        if name == wanted and left:
            raise left.pop(0)

    StubText.on_call = on_call
    return left


# --- the way ---------------------------------------------------------------------------


def test_snapshot_weighs_the_stages_whose_units_differ() -> None:
    generation = start(make_episode("One is the first."))
    weights = {"outline": 5, "script": 20, "audio": 65, "upload": 10}
    assert snapshot(generation)["weights"] == weights


def test_outline_and_script_are_written_and_the_generation_stops_to_have_them_read() -> None:
    episode = make_episode("One is the first.", "Two is the second.", type="dialogue")
    generation = write(episode)
    assert generation.status == "paused"
    assert [chapter["title"] for chapter in generation.outline["chapters"]] == ["Part 0", "Part 1"]
    said = [(turn["chapter"], turn["text"]) for turn in generation.script["turns"]]
    assert (0, "One is the first.") in said
    assert (1, "Two is the second.") in said
    assert StubText.calls == ["outline", "script of Part 0", "script of Part 1"]
    assert messages(generation) == [SCRIPT_IS_READY]
    assert not generation.portions.exists()


def test_the_episode_tells_of_each_stage_as_it_is_reached() -> None:
    episode = make_episode("One.", "Two.")
    told: list[Any] = []

    def look(name: str) -> None:
        episode.refresh_from_db()
        told.append((name, episode.generation_status, episode.generation_progress))

    StubText.on_call = look
    generation = start(episode, stop_before_audio=True)
    episode.refresh_from_db()
    assert (episode.generation_status, episode.generation_job_id, episode.generation_progress) == (
        "PENDING",
        str(generation.pk),
        0,
    )
    assert episode.generation_started_at is None
    run_to_end(generation)
    assert told == [
        ("outline", "GENERATING_OUTLINE", 0),
        ("script of Part 0", "GENERATING_SCRIPT", 5),
        ("script of Part 1", "GENERATING_SCRIPT", 15),
    ]
    episode.refresh_from_db()
    assert episode.generation_progress == 25
    assert episode.generation_started_at is not None
    assert episode.generation_completed_at is None


def test_usage_is_counted_by_stage_and_in_all() -> None:
    generation = write(make_episode("One.", "Two."))
    assert generation.usage == {
        "outline": stub_text.OUTLINE_USAGE.as_json(),
        "script": (stub_text.SCRIPT_USAGE + stub_text.SCRIPT_USAGE).as_json(),
    }
    assert generation.cost == Decimal("0.05")


# --- when it goes wrong ------------------------------------------------------------------


def test_failure_is_the_episodes_and_retry_goes_on_behind_what_was_paid_for() -> None:
    episode = make_episode("One.", "Two.", "Three.")
    raise_at("script of Part 1", ProviderFailed("provider_refused", "It won't say that."))
    generation = start(episode, stop_before_audio=True)
    run_to_end(generation)
    episode.refresh_from_db()
    assert (generation.status, generation.error_code) == ("failed", "provider_refused")
    assert (episode.generation_status, episode.generation_error) == ("FAILED", "It won't say that.")
    assert GenerationMetrics.objects.get().outcome == "failed"

    verbs.apply("retry", generation, by=None)
    episode.refresh_from_db()
    assert (episode.generation_status, episode.generation_error) == ("GENERATING_SCRIPT", None)
    run_to_end(generation)
    assert generation.status == "paused"
    assert StubText.calls == [
        "outline",
        "script of Part 0",
        "script of Part 1",
        "script of Part 1",
        "script of Part 2",
    ]
    assert [turn["chapter"] for turn in generation.script["turns"]] == [0, 0, 1, 1, 2, 2]


def test_busy_provider_is_waited_for_with_its_reason_and_no_attempt_used() -> None:
    generation = start(make_episode("One."), stop_before_audio=True)
    paid = Usage(tokens_in=7, cost=Decimal("0.001"))
    raise_at("outline", *[ProviderBusy("It answers 429.", 30, usage=paid) for _ in range(7)])
    for _ in range(7):  # more than a job may be attempted
        assert run_to_end(generation) == ["waiting"]
        assert generation.waiting_reason == "It answers 429."
        generation.jobs.update(not_before=None)
    run_to_end(generation)
    assert generation.status == "paused"
    assert generation.usage["outline"]["tokens_in"] == 100 + 7 * 7


def test_failed_call_that_was_paid_for_is_counted() -> None:
    paid = Usage(tokens_in=9, cost=Decimal("0.003"))
    raise_at("outline", ProviderFailed("provider_length", "Too long.", usage=paid))
    generation = start(make_episode("One."))
    run_to_end(generation)
    assert (generation.status, generation.cost) == ("failed", Decimal("0.003"))


def test_step_that_is_rolled_back_pays_for_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    generation = start(make_episode("One.", "Two."), stop_before_audio=True)
    failed: list[str] = []
    append = events.append

    def deadlock_once(operation: Any, name: str, **fields: Any) -> Any:
        if name == "progress" and fields["stage"] not in failed:
            failed.append(fields["stage"])
            error = OperationalError("deadlock detected")
            error.__cause__ = type("Deadlock", (Exception,), {"sqlstate": "40P01"})()
            raise error
        return append(operation, name, **fields)

    monkeypatch.setattr(events, "append", deadlock_once)
    run_to_end(generation)
    assert failed == ["outline", "script"]
    assert generation.status == "paused"
    assert StubText.calls == ["outline", "script of Part 0", "script of Part 1"]
    assert generation.cost == Decimal("0.05")


def test_generation_that_costs_more_than_one_may_stops_with_the_figure(settings: Any) -> None:
    generation = start(make_episode("One.", "Two."), stop_before_audio=True)
    settings.GENERATION_MAX_USD_PER_GENERATION = Decimal("0.02")
    run_to_end(generation)
    assert (generation.status, generation.error_code) == ("failed", "cost_limit")
    assert "$0.03" in generation.error_message
    settings.GENERATION_MAX_USD_PER_GENERATION = Decimal("1")
    verbs.apply("retry", generation, by=None)
    run_to_end(generation)
    assert StubText.calls == ["outline", "script of Part 0", "script of Part 1"]


# --- content that changes ------------------------------------------------------------------


def test_content_edited_between_outline_and_script_is_what_is_said() -> None:
    episode = make_episode("One.", "Two.")
    generation = start(episode, stop_before_audio=True)

    def edit(name: str) -> None:
        if name == "outline" and len(StubText.calls) == 1:
            Block.objects.filter(item__part__name="Part 1").delete()
            part = PartFactory(episode=episode, position=9, name="Part 9")
            BlockFactory(item=ItemFactory(part=part, name=""), field_2="Nine.")

    StubText.on_call = edit
    run_to_end(generation)
    assert generation.status == "paused"
    assert [chapter["title"] for chapter in generation.outline["chapters"]] == ["Part 0", "Part 9"]
    assert {turn["text"] for turn in generation.script["turns"]} >= {"One.", "Nine."}
    assert EDITED in messages(generation)


# --- what is used again ----------------------------------------------------------------------


def test_same_words_are_written_of_once() -> None:
    episode = make_episode("One.", "Two.")
    first = write(episode)
    control.request_cancel(GENERATION, first)
    StubText.calls = []
    second = write(episode)
    assert StubText.calls == []
    assert second.cost == 0
    assert (second.outline, second.script) == (first.outline, first.script)
    assert USED_AGAIN in messages(second)


def test_copy_of_an_episode_uses_what_was_written_of_the_original() -> None:
    first = write(make_episode("One.", "Two."))
    copy = make_episode("One.", "Two.", orig_id=first.episode_id, title="A copy")
    StubText.calls = []
    second = write(copy)
    assert StubText.calls == []
    assert second.script["turns"] == first.script["turns"]
    parts = list(copy.parts.order_by("position").values_list("pk", flat=True))
    assert [chapter["part_id"] for chapter in second.outline["chapters"]] == parts
    assert second.outline["title"] == "A copy"


def test_words_that_changed_are_written_of_anew() -> None:
    episode = make_episode("One.", "Two.")
    control.request_cancel(GENERATION, write(episode))
    Block.objects.filter(item__part__name="Part 1").update(field_2="Two and a half.")
    StubText.calls = []
    write(episode)
    assert len(StubText.calls) == 3


@pytest.mark.parametrize(
    ("stage", "calls"),
    [("outline", ["outline", "script of Part 0"]), ("script", ["script of Part 0"])],
)
def test_regenerating_from_a_stage_makes_it_and_what_is_behind_it_anew(
    stage: str, calls: list[str]
) -> None:
    episode = make_episode("One.")
    first = write(episode)
    control.request_cancel(GENERATION, first)
    StubText.calls = []
    second = write(episode, from_stage=stage)
    assert StubText.calls == calls
    assert second.base == (first if stage == "script" else None)
    assert second.progress["outline"]["ended_at"]


# --- ends --------------------------------------------------------------------------------------


def test_cancelled_generation_leaves_the_episode_as_it_was_before() -> None:
    episode = make_episode("One.")
    generation = write(episode)
    control.request_cancel(GENERATION, generation)
    episode.refresh_from_db()
    assert (
        episode.generation_status,
        episode.generation_job_id,
        episode.generation_progress,
        episode.generation_started_at,
    ) == ("PENDING", None, 0, None)
    assert GenerationMetrics.objects.get().outcome == "cancelled"


def test_cancelled_generation_of_an_episode_with_audio_leaves_it_completed() -> None:
    episode = make_episode("One.", audio_url="https://example.org/old.mp3")
    control.request_cancel(GENERATION, write(episode))
    episode.refresh_from_db()
    assert (episode.generation_status, episode.generation_progress) == ("COMPLETED", 100)
    assert episode.audio_url == "https://example.org/old.mp3"


def test_failed_generation_is_not_retried_behind_a_newer_one() -> None:
    episode = make_episode("One.")
    raise_at("outline", ProviderFailed("provider_refused", "No."))
    failed = start(episode)
    run_to_end(failed)
    write(episode)
    failed = GenerationJob.objects.get(pk=failed.pk)
    assert "Another generation" in GENERATION.refusal(failed, "retry")
    assert verbs.offered(failed, UserFactory(is_superuser=True)) == []


def test_no_segment_is_made_before_the_audio_stage() -> None:
    write(make_episode("One."))
    assert not GenerationSegment.objects.exists()
