from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from content.models import Episode
from content.services import update_episode
from content.synthetic import make_episode
from duplication.models import Removal
from tests.duplication.driving import duplicate, run_to_end
from tests.processes import StartProcess, start_process

__all__ = ["start_process"]


def run(*arguments: Any) -> str:
    out = io.StringIO()
    call_command("remove_copy", *map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.fixture
def duplication(db):
    return duplicate(make_episode(parts=1, items=1, blocks=2))


def test_remove_copy_starts_and_prints_the_id(duplication):
    out = run(duplication.pk)
    removal = Removal.objects.get()
    assert out == f"Started removal {removal.pk} of the copy of duplication {duplication.pk}.\n"
    assert "Under way already" in run(duplication.pk)
    run_to_end(removal)
    assert Episode.objects.get() == duplication.episode


def test_remove_copy_json_is_one_object(duplication):
    found = json.loads(run(duplication.pk, "--json", "--even-if-changed"))
    assert (found["created"], found["status"]) == (True, "pending")
    assert (found["duplication"], found["even_if_changed"]) == (duplication.pk, True)


def test_remove_copy_of_nothing_is_refused(db):
    with pytest.raises(CommandError, match=r"There is no duplication 4711\."):
        run(4711)


def test_remove_copy_that_was_changed_is_refused_and_names_the_option(duplication):
    update_episode(episode=duplication.new_episode, changes={"title": "Mine"})
    with pytest.raises(CommandError, match="--even-if-changed"):
        run(duplication.pk)
    assert "Started" in run(duplication.pk, "--even-if-changed")


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_remove_copy_wait_ends_with_nothing_left(start_process: StartProcess) -> None:
    duplication = duplicate(make_episode(parts=1, items=2, blocks=20))
    start_process("run_workers", "--workers", "1")
    command = start_process("remove_copy", str(duplication.pk), "--wait")
    assert command.wait() == 0, command.output()
    assert "Nothing of the copy is left." in command.output()
    assert Episode.objects.get() == duplication.episode
