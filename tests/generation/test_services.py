"""Starting a generation, by whom and however often, and editing its script."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from content.models import Episode
from generation.exceptions import CannotEdit, CannotGenerate, LimitReached, ScriptChanged
from generation.files import StorageRefused
from generation.kind import GENERATION
from generation.models import GenerationJob
from generation.script.script import InvalidScript
from generation.services import edit_script, start_generation, start_many
from generation.sounds import kept
from operations import control, verbs
from operations.exceptions import IdempotencyKeyReused
from operations.models import Event
from tests.duplication.driving import duplicate, run_to_end
from tests.factories.content import BlockFactory, EpisodeFactory, UserFactory
from tests.generation.making import generate, make_episode, start, write
from tests.generation.stub_text import StubText

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stubs")]


def refusal_of(episode: Episode, **options: Any) -> CannotGenerate:
    with pytest.raises(CannotGenerate) as refused:
        start(episode, **options)
    assert not GenerationJob.objects.filter(episode=episode, status="pending").exists()
    return refused.value


# --- once ----------------------------------------------------------------------------------


def test_second_click_is_answered_with_the_first_generation() -> None:
    episode = make_episode()
    first = start_generation(episode_id=episode.pk, requested_by=None)
    second = start_generation(episode_id=episode.pk, requested_by=None, from_stage="outline")
    assert (first.created, second.created) == (True, False)
    assert first.generation == second.generation
    assert first.generation.jobs.count() == 1


@pytest.mark.django_db(transaction=True)
def test_clicks_at_the_same_time_start_one() -> None:
    episode = make_episode()

    def click(_: int) -> int:
        try:
            return start(episode).pk
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(click, range(4)))) == 1
    assert GenerationJob.objects.count() == 1


def test_key_is_answered_with_what_it_was_answered_with() -> None:
    user, episode = UserFactory(), make_episode()
    first = start(episode, requested_by=user, idempotency_key="k")
    control.request_cancel(GENERATION, first)
    assert start(episode, requested_by=user, idempotency_key="k") == first
    assert start(episode, requested_by=user, idempotency_key="l") != first
    with pytest.raises(IdempotencyKeyReused):
        start(episode, requested_by=user, idempotency_key="k", speed=2.0)


# --- what is refused, with the way out -------------------------------------------------------


def test_episode_that_is_hidden_or_not_there_is_not_generated() -> None:
    assert refusal_of(make_episode(status="copying")).code == "not_found"
    assert refusal_of(Episode(pk=4711)).code == "not_found"


def test_episode_without_words_says_so() -> None:
    refused = refusal_of(EpisodeFactory())
    assert refused.code == "nothing_to_say"
    assert "it has no blocks" in str(refused)
    silent = BlockFactory(field_1="survey", field_2="How was it?").item.part.episode
    assert "1 blocks carry no speech" in str(refusal_of(silent))


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"from_stage": "dance"}, "from_stage", "outline, script, audio, upload"),
        ({"from_stage": "script"}, "nothing_to_reuse", "no outline yet"),
        ({"from_stage": "audio"}, "nothing_to_reuse", "no script yet"),
        ({"from_stage": "upload"}, "nothing_to_reuse", "no whole set of sounds yet"),
        ({"voices": {"owner": "x"}}, "voices", "host or guest"),
        ({"voices": {"host": " "}}, "voices", "1 to 64"),
        ({"speed": 9.0}, "speed", "0.25 to 4"),
        ({"speed": float("nan")}, "speed", "0.25 to 4"),
    ],
)
def test_options_that_are_not_possible_say_what_is(
    options: dict[str, Any], code: str, words: str
) -> None:
    refused = refusal_of(make_episode(), **options)
    assert refused.code == code
    assert words in str(refused)


def test_one_that_would_cost_too_much_is_refused_with_the_figure(settings: Any) -> None:
    settings.GENERATION_MAX_USD_PER_GENERATION = Decimal("0.01")
    refused = refusal_of(make_episode())
    assert isinstance(refused, LimitReached)
    assert "about $0.05" in str(refused)
    assert "$0.01" in str(refused)


def test_day_is_spent_by_what_has_ended_and_by_what_still_runs(settings: Any) -> None:
    settings.GENERATION_MAX_USD_PER_DAY = Decimal("0.12")
    ended = write(make_episode("One."))  # cost 0.03
    control.request_cancel(GENERATION, ended)
    start(make_episode("Two."))  # expected: a little more than 0.05
    refused = refusal_of(make_episode("Three."))
    assert isinstance(refused, LimitReached)
    assert "$0.04 are left" in str(refused)
    settings.GENERATION_MAX_USD_PER_DAY = Decimal("0.15")
    assert start(make_episode("Four."))


@pytest.mark.django_db(transaction=True)
def test_last_dollar_is_spent_once(settings: Any) -> None:
    settings.GENERATION_MAX_USD_PER_DAY = Decimal("0.06")
    episodes = [make_episode(f"Number {number}.") for number in range(4)]

    def click(episode: Episode) -> bool:
        try:
            return bool(start(episode))
        except LimitReached:
            return False
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(click, episodes)) == [False, False, False, True]


# --- voices ------------------------------------------------------------------------------------


def test_voices_are_the_providers_then_those_used_last_then_the_originals() -> None:
    episode = make_episode()
    assert start(episode).voices == {"host": "alto", "guest": "bass"}
    chosen = make_episode()
    control.request_cancel(GENERATION, start(chosen, voices={"host": "tenor"}, speed=1.5))
    again = start(chosen)
    assert (again.voices, again.speed) == ({"host": "tenor", "guest": "bass"}, 1.5)
    copy = start(make_episode(orig_id=chosen.pk))
    assert (copy.voices["host"], copy.speed) == ("tenor", 1.5)


# --- many -------------------------------------------------------------------------------------


def test_many_are_started_each_by_itself() -> None:
    good, silent, active = make_episode(), EpisodeFactory(), make_episode()
    running = start(active)
    outcomes = start_many([good, silent, active], requested_by=None, idempotency_key="k")
    assert [bool(each.started and each.started.created) for each in outcomes] == [
        True,
        False,
        False,
    ]
    assert "nothing to say" in outcomes[1].refusal
    assert outcomes[2].started
    assert outcomes[2].started.generation == running


# --- the script ---------------------------------------------------------------------------------


def turns(*texts: str, speaker: str = "host") -> dict[str, Any]:
    return {"turns": [{"speaker": speaker, "chapter": 0, "text": text} for text in texts]}


def test_edited_script_is_what_is_said() -> None:
    generation = write(make_episode("One."))
    edited = edit_script(generation, turns("Hello."), version=0, by=UserFactory(username="ann"))
    assert (edited.script_version, bool(edited.script_edited_at)) == (1, True)
    verbs.apply("resume", generation, by=None)
    run_to_end(generation)
    assert [segment.text for segment in generation.segments.all()] == ["Hello."]
    event = Event.objects.get(name="generation.script_edited")
    assert event.payload["by"] == "ann"


def test_of_two_edits_of_one_version_the_second_is_told() -> None:
    generation = write(make_episode("One."))
    edit_script(generation, turns("Mine."), version=0, by=None)
    with pytest.raises(ScriptChanged) as told:
        edit_script(generation, turns("Yours."), version=0, by=None)
    assert told.value.version == 1
    generation.refresh_from_db()
    assert generation.script["turns"][0]["text"] == "Mine."


def test_script_that_cannot_be_said_is_refused_with_its_place() -> None:
    generation = write(make_episode("One."))
    for data, place in (
        (turns(""), "turns[0].text"),
        (turns("x", speaker="guest"), "turns[0].speaker"),
    ):
        with pytest.raises(InvalidScript) as refused:
            edit_script(generation, data, version=0, by=None)
        assert refused.value.place == place


def test_script_is_not_edited_before_it_is_there_nor_while_it_is_said() -> None:
    generation = start(make_episode("One."))
    with pytest.raises(CannotEdit, match="no script yet"):
        edit_script(generation, turns("x"), version=0, by=None)
    GenerationJob.objects.update(script=turns("x"), outline={"title": "", "chapters": []})
    with pytest.raises(CannotEdit, match="pause it"):
        edit_script(generation, turns("x"), version=0, by=None)


def test_script_that_is_said_already_is_edited_when_its_generation_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(name: str) -> None:
        raise StorageRefused("No room.")

    with monkeypatch.context() as patched:
        patched.setattr(kept, "read", refuse)
        generation = generate(make_episode("One."))
    assert (generation.status, generation.error_code) == ("failed", "storage_refused")
    with pytest.raises(CannotEdit, match="only its upload is left"):
        edit_script(generation, turns("x"), version=0, by=None)


def test_what_was_left_out_stays_told_in_an_edited_script() -> None:
    episode = make_episode("One.")
    silent = BlockFactory(item__part__episode=episode, field_1="survey", field_2="How was it?")
    edited = edit_script(write(episode), turns("Hello."), version=0, by=None)
    assert [each["block_id"] for each in edited.script["left_out"]] == [silent.pk]


def test_edits_are_used_again_for_their_episode_and_its_copies_only() -> None:
    episode = make_episode("One.")
    generation = write(episode)
    edit_script(generation, turns("Edited."), version=0, by=None)
    control.request_cancel(GENERATION, generation)
    StubText.calls = []
    assert write(make_episode("One.", orig_id=episode.pk)).script["turns"][0]["text"] == "Edited."
    assert StubText.calls == []
    # A stranger's episode of the same words.
    assert write(make_episode("One.")).script["turns"][0]["text"] != "Edited."


# --- from end to end ----------------------------------------------------------------------------


def test_generated_again_nothing_is_paid_for() -> None:
    episode = make_episode("One.", "Two.")
    first = generate(episode)
    second = generate(episode)
    assert (first.status, second.status) == ("completed", "completed")
    assert first.chars_paid > 0
    assert (second.cost, second.chars_paid, second.chars_cached) == (0, 0, first.chars_paid)


def test_copy_is_generated_for_nothing() -> None:
    episode = make_episode("One.", "Two.")
    first = generate(episode, voices={"host": "tenor"})
    assert first.status == "completed"
    new = duplicate(Episode.objects.get(pk=episode.pk)).new_episode
    assert new is not None
    assert (new.audio_url, new.generation_status, new.generation_job_id) == ("", "PENDING", None)
    second = generate(new)
    assert second.status == "completed"
    assert (second.cost, second.chars_paid, second.chars_cached) == (0, 0, first.chars_paid)
