"""`manage.py demo_generate`, as a newcomer runs it: to a file that can be heard, or to a reason."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from config import embedded_postgres
from generation.audio import mp3
from generation.kind import GENERATION
from generation.models import GenerationJob
from operations import control
from tests.generation import stub_speech
from tests.processes import ManagedProcess, StartProcess, wait_until

needs_processes = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def running_demo(start_process: StartProcess, tmp_path: Path) -> ManagedProcess:
    """A demo in the midst of speaking."""
    demo = start_process(
        "demo_generate",
        environment={
            "MEDIA_ROOT": str(tmp_path / "media"),
            "GENERATION_SPEECH_PROVIDER": stub_speech.PATH,
            "STUB_SPEECH_DELAY_SECONDS": "1",
        },
    )
    wait_until(GenerationJob.objects.filter(progress__has_key="audio").exists, "it speaks")
    wait_until(lambda: "accepted" in demo.output(), "it watches")
    return demo


class TestDemoGenerate:
    pytestmark = needs_processes

    def test_demo_generate_on_a_fresh_machine_ends_with_audio_and_what_the_cache_saved(
        self, start_process: StartProcess, tmp_path: Path
    ) -> None:
        server, media = tmp_path / "postgres", tmp_path / "media"
        demo = start_process(
            "demo_generate",
            environment={
                "DATABASE_URL": "",
                "EMBEDDED_POSTGRES_DIR": str(server),
                "MEDIA_ROOT": str(media),
            },
        )
        assert demo.wait(deadline_seconds=240) == 0, demo.output()
        output = demo.output()
        first, again = output.split("Once more, ")
        segments = _told(first, "Segments").removesuffix(", 0 of them from the cache")
        assert int(segments) > 1
        assert f"audio: {segments} of {segments}, 100 %" in first
        assert _told(again, "Segments") == f"{segments}, {segments} of them from the cache"
        chars = _told(first, "Characters").removesuffix(" paid for, 0 from the cache")
        assert _told(again, "Characters") == f"0 paid for, {chars} from the cache"
        assert _cells(again, "Characters paid for") == [chars, "0", chars]
        assert _cells(again, "Segments made") == [segments, "0", segments]
        path = Path(_told(again, "File"))
        assert path.is_relative_to(media)
        with path.open("rb") as file:
            assert mp3.measure(file).duration_ms > 60_000
        assert "/admin/generation/generationjob/2/change/" in output
        assert not demo.living()
        assert not embedded_postgres.is_running(server)

    def test_demo_generate_interrupted_exits_130_with_one_line_and_leaves_no_process(
        self, running_demo: ManagedProcess
    ) -> None:
        before = running_demo.output()
        running_demo.send(signal.SIGINT)
        assert running_demo.wait() == 130
        assert "Traceback" not in running_demo.output()
        last = running_demo.output().removeprefix(before).splitlines()[-1]
        assert last.startswith("Stopped; everything that was started has ended. Generation ")
        assert not running_demo.living()

    def test_demo_generate_cancelled_by_somebody_exits_1_with_the_reason_and_the_log(
        self, running_demo: ManagedProcess
    ) -> None:
        generation = GenerationJob.objects.get()
        control.request_cancel(GENERATION, generation)
        assert running_demo.wait() == 1
        expected = f"CommandError: Generation {generation.pk} is cancelled"
        assert expected in running_demo.output()
        assert "demo.log" in running_demo.output()
        assert not running_demo.living()


def test_demo_generate_of_a_file_that_is_not_there_is_one_clear_line() -> None:
    with pytest.raises(CommandError) as raised:
        call_command("demo_generate", file="nowhere.json")
    assert str(raised.value) == "Can't read FILE nowhere.json: No such file or directory."


def _told(output: str, name: str) -> str:
    (value,) = [line[12:] for line in output.splitlines() if line.startswith(f"{name:<12}")]
    return value


def _cells(output: str, name: str) -> list[str]:
    (row,) = [line for line in output.splitlines() if line.startswith(f"│ {name} ")]
    return [cell.strip() for cell in row.split("│")[2:-1]]
