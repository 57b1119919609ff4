from __future__ import annotations

import io
import json
import signal
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from generation.kind import GENERATION
from generation.models import GenerationJob
from operations import control
from tests.duplication.driving import run_to_end
from tests.factories.content import BlockFactory, EpisodeFactory, UserFactory
from tests.generation.making import generate, make_episode
from tests.processes import StartProcess, start_process, wait_until

__all__ = ["start_process"]


def run(*arguments: Any) -> str:
    out = io.StringIO()
    call_command("generate_episode", *map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.mark.django_db
@pytest.mark.usefixtures("stubs")
class TestWithStubs:
    def test_generate_episode_starts_and_prints_the_id(self) -> None:
        episode, user = make_episode(), UserFactory()
        out = run(
            *(episode.pk, "--voice=tenor", "--guest-voice=soprano", "--speed=1.5"),
            f"--user={user.username}",
        )
        generation = GenerationJob.objects.get()
        assert out == f"Started generation {generation.pk} of episode {episode.pk}.\n"
        assert generation.voices == {"host": "tenor", "guest": "soprano"}
        assert (generation.speed, generation.requested_by) == (1.5, user)

    def test_generate_episode_while_one_is_active_takes_that_one(self) -> None:
        episode = make_episode()
        run(episode.pk)
        out = run(episode.pk)
        (generation,) = GenerationJob.objects.all()
        assert out == f"Under way already: generation {generation.pk} of episode {episode.pk}.\n"

    def test_generate_episode_from_a_stage_takes_what_is_before_it(self) -> None:
        episode = make_episode()
        before = generate(episode)
        run(episode.pk, "--from-stage=audio", "--voice=tenor")
        generation = GenerationJob.objects.latest("pk")
        assert (generation.from_stage, generation.base) == ("audio", before)
        assert generation.voices["host"] == "tenor"

    def test_generate_episode_json_is_one_object(self) -> None:
        found = json.loads(run(make_episode().pk, "--json"))
        generation = GenerationJob.objects.get()
        assert found == {
            "id": generation.pk,
            "created": True,
            "episode": generation.episode_id,
            "status": "pending",
            "error_code": "",
            "error_message": "",
        }

    def test_generate_episode_estimate_shows_what_it_would_use_and_starts_nothing(
        self, settings: Any
    ) -> None:
        episode = make_episode("One is the first.", "Two is the second.")
        item = episode.parts.first().items.get()
        silent = BlockFactory.create_batch(7, item=item, field_1="survey")
        lines = run(episode.pk, "--estimate").splitlines()
        assert lines[0] == (
            f"Generating the audio of episode {episode.pk}, “{episode.title}”, would use:"
        )
        told = dict(line.split(maxsplit=1) for line in lines[1:5])
        assert told["Cost"].startswith("about $0.05")
        assert told["Characters"].endswith("0 of them (0%) from the cache")
        assert told["Time"] == "not known before the first one here"
        assert lines[5] == "Not said: 7 blocks."
        assert lines[6].startswith(f"  block {silent[0].pk}: ")
        assert lines[11] == "  and 2 more"
        assert not GenerationJob.objects.exists()

        settings.GENERATION_MAX_USD_PER_GENERATION = Decimal("0.01")
        assert "It would be refused: It would cost about $0.05" in run(episode.pk, "--estimate")

    def test_generate_episode_estimate_of_what_was_said_before_counts_the_cache(self) -> None:
        episode = make_episode("One is the first.", "Two is the second.")
        made = generate(episode)
        lines = run(episode.pk, "--estimate").splitlines()
        told = dict(line.split(maxsplit=1) for line in lines[1:5])
        chars = f"{made.chars_paid:,}"
        assert told["Characters"] == f"{chars}, {chars} of them (100%) from the cache"
        assert told["Time"] == "less than 1 s"

    def test_generate_episode_estimate_json_is_one_object(self) -> None:
        episode = make_episode()
        BlockFactory(item=episode.parts.first().items.get(), field_1="survey")
        found = json.loads(run(episode.pk, "--estimate", "--json"))
        assert Decimal(found["cost"]) > Decimal("0.05")
        assert (found["cached_share"], len(found["left_out"]), found["limit"]) == (0.0, 1, "")

    @pytest.mark.parametrize("then", [[], ["--estimate"]])
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--speed=99"], "speed is 99: use a number from 0.25 to 4."),
            (["--voice="], "The host's voice must be a name of 1 to 64 characters."),
            (["--user=nobody"], "There is no user “nobody”."),
        ],
    )
    def test_generate_episode_that_cant_start_says_why(
        self, options: list[str], then: list[str], message: str
    ) -> None:
        with pytest.raises(CommandError) as raised:
            run(make_episode().pk, *options, *then)
        assert (str(raised.value), raised.value.returncode) == (message, 1)
        assert not GenerationJob.objects.exists()

    @pytest.mark.parametrize("then", [[], ["--estimate"]])
    def test_generate_episode_that_is_not_there_or_says_nothing_says_so(
        self, then: list[str]
    ) -> None:
        for episode in (4711, make_episode(status="copying").pk):
            with pytest.raises(CommandError, match=f"There is no episode {episode} to generate."):
                run(episode, *then)
        with pytest.raises(CommandError, match="has nothing to say: it has no blocks"):
            run(EpisodeFactory().pk, *then)


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("stubs")
class TestWait:
    def test_generate_episode_wait_shows_progress_and_what_was_made(
        self, start_process: StartProcess, settings: Any
    ) -> None:
        environment = _environment(settings)
        episode = make_episode("One is the first.", "Two is the second.")
        command = start_process(
            "generate_episode", str(episode.pk), "--wait", environment=environment
        )
        generation = wait_until(GenerationJob.objects.first, "it is started")
        run_to_end(generation)
        assert command.wait() == 0, command.output()
        output = command.output()
        segments = generation.segments.count()
        assert f"audio: {segments} of {segments}, 100 %" in output
        assert f"Episode {episode.pk} has its audio." in output
        told = dict(line.split(maxsplit=1) for line in output.splitlines()[-5:])
        assert told["File"] == str(settings.MEDIA_ROOT / generation.audio_name)
        assert (settings.MEDIA_ROOT / generation.audio_name).stat().st_size > 0
        assert told["Segments"] == f"{segments}, 0 of them from the cache"
        assert told["Characters"] == f"{generation.chars_paid:,} paid for, 0 from the cache"
        assert told["Cost"] == f"${generation.cost:.2f}"

    def test_generate_episode_wait_json_tells_what_was_made(
        self, start_process: StartProcess, settings: Any
    ) -> None:
        episode = make_episode("One is the first.")
        generate(episode)
        command = start_process(
            *("generate_episode", str(episode.pk), "--wait", "--json", "--from-stage=audio"),
            environment=_environment(settings),
        )
        generation = wait_until(
            GenerationJob.objects.filter(status="pending").first, "it is started"
        )
        run_to_end(generation)
        assert command.wait() == 0, command.output()
        (line,) = [each for each in command.output().splitlines() if each.startswith("{")]
        told = json.loads(line)
        assert (told["status"], told["chars_paid"], told["cost"]) == ("completed", 0, "0.000000")
        assert told["cache_hits"] == told["segments"] > 0
        assert told["duration_ms"] == generation.audio_duration_ms

    def test_generate_episode_wait_for_one_that_fails_exits_1_with_the_reason(
        self, start_process: StartProcess, settings: Any
    ) -> None:
        episode = make_episode()
        command = start_process(
            "generate_episode", str(episode.pk), "--wait", environment=_environment(settings)
        )
        generation = wait_until(GenerationJob.objects.first, "it is started")
        with transaction.atomic():
            job = generation.jobs.get()
            control.fail(GENERATION, job, code="boom", message="Out of air.", trace="")
        assert command.wait() == 1
        failed = f"CommandError: Generation {generation.pk} is failed. Out of air."
        assert failed in command.output()

    def test_generate_episode_wait_interrupted_exits_130_and_it_goes_on(
        self, start_process: StartProcess, settings: Any
    ) -> None:
        command = start_process(
            "generate_episode", str(make_episode().pk), "--wait", environment=_environment(settings)
        )
        wait_until(lambda: "No worker" in command.output(), "it waits")
        command.send(signal.SIGINT)
        assert command.wait() == 130
        generation = GenerationJob.objects.get()
        assert "Traceback" not in command.output()
        assert f"{generation} goes on" in command.output()
        assert generation.is_active


def _environment(settings: Any) -> dict[str, str]:
    """The stubs, for a process of its own."""
    return {
        "GENERATION_TEXT_PROVIDER": settings.GENERATION_TEXT_PROVIDER,
        "GENERATION_SPEECH_PROVIDER": settings.GENERATION_SPEECH_PROVIDER,
        "MEDIA_ROOT": str(settings.MEDIA_ROOT),
    }
