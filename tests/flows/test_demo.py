"""`manage.py demo`, as a newcomer runs it: to a verified copy, or to a clear reason."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.core.management import CommandError, call_command

from config import embedded_postgres
from duplication.kind import DUPLICATION
from duplication.models import Duplication
from operations import control
from tests.processes import ManagedProcess, StartProcess, wait_until

needs_processes = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def running_demo(start_process: StartProcess) -> ManagedProcess:
    """A demo in the midst of copying."""
    demo = start_process("demo", "--parts=10", "--items=100", "--blocks=500")
    wait_until(
        Duplication.objects.filter(status=Duplication.Status.IN_PROGRESS).exists, "it copies"
    )
    wait_until(lambda: "accepted" in demo.output(), "it watches")
    return demo


class TestDemo:
    pytestmark = needs_processes

    def test_demo_on_a_fresh_machine_shows_a_verified_copy_and_leaves_nothing(
        self, start_process: StartProcess, tmp_path: Path
    ) -> None:
        server = tmp_path / "postgres"
        demo = start_process(
            "demo", environment={"DATABASE_URL": "", "EMBEDDED_POSTGRES_DIR": str(server)}
        )
        assert demo.wait(deadline_seconds=180) == 0, demo.output()
        output = demo.output()
        assert "imported through the API" in output
        for level, rows in {"episode": 1, "parts": 3, "items": 8, "blocks": 30}.items():
            cells = [cell.strip() for cell in _row(output, level).split("│")[1:-1]]
            assert cells == [level, str(rows), str(rows), "yes"]
        assert "blocks: 30 of 30, 100 %" in output
        assert "The copy, episode 2, is verified: 42 rows" in output
        assert "/admin/content/episode/2/change/" in output
        assert "admin / demo-admin or editor / demo-editor" in output
        assert not demo.living()
        assert not embedded_postgres.is_running(server)

    def test_demo_with_numbers_copies_an_episode_made_of_them(
        self, start_process: StartProcess
    ) -> None:
        demo = start_process("demo", "--parts=2", "--items=3", "--blocks=4")
        assert demo.wait(deadline_seconds=180) == 0, demo.output()
        assert "blocks: 24 of 24, 100 %" in demo.output()
        copy = Duplication.objects.get().new_episode
        assert copy
        assert copy.owner
        assert copy.owner.username == "editor"
        assert copy.parts.count() == 2

    def test_demo_interrupted_exits_130_with_one_line_and_leaves_no_process(
        self, running_demo: ManagedProcess
    ) -> None:
        before = running_demo.output()
        running_demo.send(signal.SIGINT)
        assert running_demo.wait() == 130
        assert "Traceback" not in running_demo.output()
        last = running_demo.output().removeprefix(before).splitlines()[-1]
        assert last.startswith("Stopped; everything that was started has ended. Duplication ")
        assert not running_demo.living()

    def test_demo_killed_leaves_no_process(self, running_demo: ManagedProcess) -> None:
        running_demo.send(signal.SIGKILL)
        running_demo.wait()
        wait_until(lambda: not running_demo.living(), "the children have ended")

    def test_demo_workers_killed_exits_1_with_the_reason_and_the_log(
        self, running_demo: ManagedProcess
    ) -> None:
        _child(running_demo, "run_workers").kill()
        assert running_demo.wait() == 1
        assert "CommandError: workers has ended (SIGKILL)" in running_demo.output()
        assert "demo.log" in running_demo.output()
        assert not running_demo.living()

    def test_demo_copy_cancelled_by_somebody_exits_1(self, running_demo: ManagedProcess) -> None:
        duplication = Duplication.objects.get()
        control.request_cancel(DUPLICATION, duplication)
        assert running_demo.wait() == 1
        expected = f"CommandError: Duplication {duplication.pk} is cancelled"
        assert expected in running_demo.output()
        assert not running_demo.living()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": "abc"}, "PARTS must be a whole number above 0, not 'abc'."),
        ({"blocks": "0"}, "BLOCKS must be a whole number above 0, not '0'."),
        ({"file": "nowhere.json"}, "Can't read FILE nowhere.json: No such file or directory."),
        ({"file": "x", "items": "3"}, "Give either FILE or PARTS, ITEMS and BLOCKS, not both."),
    ],
)
def test_demo_bad_input_is_one_clear_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CommandError) as raised:
        call_command("demo", **options)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("not JSON", "can't be imported: "),
        ('{"title": 1, "parts": [2]}', r"\$.title: Expected a string, .* \(1 more; "),
    ],
)
def test_demo_file_that_is_no_document_is_one_clear_line(
    tmp_path: Path, text: str, mistake: str
) -> None:
    path = tmp_path / "document.json"
    path.write_text(text)
    with pytest.raises(CommandError, match=mistake) as raised:
        call_command("demo", file=str(path))
    assert "\n" not in str(raised.value)


def _row(output: str, level: str) -> str:
    return next(line for line in output.splitlines() if line.startswith(f"│ {level} "))


def _child(process: ManagedProcess, word: str) -> psutil.Process:
    return next(child for child in process.children() if word in child.cmdline())
