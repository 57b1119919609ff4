from __future__ import annotations

import io
import json
import signal
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from content.models import Episode
from duplication.kind import DUPLICATION
from duplication.models import Duplication
from operations import control
from tests.duplication.driving import run_to_end
from tests.factories.content import BlockFactory, EpisodeFactory
from tests.processes import StartProcess, start_process, wait_until

__all__ = ["start_process"]


def run(*arguments: Any) -> str:
    out = io.StringIO()
    call_command("duplicate_episode", *map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_duplicate_episode_starts_and_prints_the_id() -> None:
    episode = EpisodeFactory()
    out = run(episode.pk, "--title=Mine", "--lanes=3")
    duplication = Duplication.objects.get()
    assert out == f"Started duplication {duplication.pk} of episode {episode.pk}.\n"
    assert (duplication.title, duplication.lanes) == ("Mine", 3)


@pytest.mark.django_db
def test_duplicate_episode_while_one_is_active_takes_that_one() -> None:
    episode = EpisodeFactory()
    run(episode.pk)
    out = run(episode.pk)
    [duplication] = Duplication.objects.all()
    assert out == f"Under way already: duplication {duplication.pk} of episode {episode.pk}.\n"


@pytest.mark.django_db
def test_duplicate_episode_json_is_one_object() -> None:
    episode = EpisodeFactory()
    found = json.loads(run(episode.pk, "--json"))
    duplication = Duplication.objects.get()
    assert (found["id"], found["created"]) == (duplication.pk, True)
    assert (found["status"], found["verified"]) == ("pending", False)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([4711], "There is no episode 4711 to duplicate."),
        ([4711, "--lanes=99"], "lanes is 99: use a number from 1 to 8."),
        ([4711, f"--title={'x' * 256}"], "--title has 256 characters: at most 255."),
    ],
)
def test_duplicate_episode_that_cant_start_says_why(arguments: list[Any], message: str) -> None:
    with pytest.raises(CommandError) as raised:
        run(*arguments)
    assert (str(raised.value), raised.value.returncode) == (message, 1)


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_duplicate_episode_wait_shows_progress_to_the_verified_copy(
    start_process: StartProcess,
) -> None:
    episode = BlockFactory().item.part.episode
    command = start_process("duplicate_episode", str(episode.pk), "--wait")
    duplication = wait_until(Duplication.objects.first, "it is started")
    run_to_end(duplication)
    assert command.wait() == 0, command.output()
    assert "blocks: 1 of 1, 100 %" in command.output()
    copy = duplication.new_episode_id
    assert command.output().endswith(f"Episode {copy} is a complete and verified copy.\n")


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_duplicate_episode_wait_without_worker_says_so_and_fails_when_cancelled(
    start_process: StartProcess,
) -> None:
    command = start_process("duplicate_episode", str(EpisodeFactory().pk), "--wait", "--json")
    wait_until(lambda: "No worker is running" in command.output(), "it says so")
    duplication = Duplication.objects.get()
    control.request_cancel(DUPLICATION, duplication)
    assert command.wait() == 1
    lines = command.output().splitlines()
    [told] = [line for line in lines if line.startswith("{")]
    assert json.loads(told)["status"] == "cancelled"
    assert f"CommandError: Duplication {duplication.pk} is cancelled." in lines


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_duplicate_episode_wait_for_a_copy_that_fails_exits_1_with_the_reason(
    start_process: StartProcess,
) -> None:
    episode = EpisodeFactory()
    command = start_process("duplicate_episode", str(episode.pk), "--wait")
    duplication = wait_until(Duplication.objects.first, "it is started")
    Episode.objects.filter(pk=episode.pk).delete()
    run_to_end(duplication)
    assert command.wait() == 1
    assert f"is failed. Episode {episode.pk} no longer exists" in command.output()


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_duplicate_episode_wait_interrupted_exits_130_and_the_copy_goes_on(
    start_process: StartProcess,
) -> None:
    command = start_process("duplicate_episode", str(EpisodeFactory().pk), "--wait")
    wait_until(lambda: "No worker" in command.output(), "it waits")
    command.send(signal.SIGINT)
    assert command.wait() == 130
    duplication = Duplication.objects.get()
    assert "Traceback" not in command.output()
    assert f"{duplication} goes on" in command.output()
    assert duplication.is_active
