"""`manage.py demo_sync`, as a newcomer runs it: all reconciles, or it is said what doesn't."""

from __future__ import annotations

import signal
import sqlite3
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from config import embedded_postgres
from tests.processes import StartProcess, wait_until

SETTINGS = "config.settings.base"
ENTITIES = ("offices", "profiles", "doctors", "patients", "orders", "products")


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
class TestDemoSync:
    def test_demo_sync_on_a_fresh_machine_reconciles_and_does_so_again(
        self, start_process: StartProcess, tmp_path: Path
    ) -> None:
        server, legacy = tmp_path / "postgres", tmp_path / "legacy.sqlite3"
        environment = {
            "DATABASE_URL": "",
            "EMBEDDED_POSTGRES_DIR": str(server),
            "LEGACY_DATABASE_URL": f"sqlite:///{legacy}",
        }
        for _ in range(2):
            demo = start_process(
                "demo_sync", "--scale=0.002", settings_module=SETTINGS, environment=environment
            )
            assert demo.wait(deadline_seconds=240) == 0, demo.output()
            output = demo.output()
            with sqlite3.connect(legacy) as source:
                [(products,)] = source.execute("SELECT count(*) FROM dispatch_product").fetchall()
            for name in ENTITIES:
                rows, deleted, refused, migrated, target, differed, still = cells(output, name)
                assert migrated == target == rows - deleted - refused
                assert (differed > 0, still) == (True, 0)
                for kind in ("data integrity", "relationship integrity"):
                    assert f"✓ {name}, {kind}: passed" in output
            assert "✗" not in output
            assert "It would: " in output
            assert "overwrite the target " in output
            assert cells(output, "products")[0] == products
            assert "load-products: " in output
            assert "Everything reconciles" in output
            assert not demo.living()
        assert not embedded_postgres.is_running(server)

    def test_demo_sync_leaves_tables_alone_that_no_demo_made(
        self, start_process: StartProcess, tmp_path: Path
    ) -> None:
        legacy = tmp_path / "legacy.sqlite3"
        with sqlite3.connect(legacy) as source:
            source.execute("CREATE TABLE dispatch_office (id integer)")
        demo = start_process(
            "demo_sync",
            settings_module=SETTINGS,
            environment={"LEGACY_DATABASE_URL": f"sqlite:///{legacy}"},
        )
        assert demo.wait() == 1
        assert "dispatch_office already, and they weren't made here" in demo.output()
        assert "Traceback" not in demo.output()
        assert not demo.living()

    def test_demo_sync_interrupted_exits_130_and_leaves_no_process(
        self, start_process: StartProcess, tmp_path: Path
    ) -> None:
        demo = start_process(
            "demo_sync",
            "--scale=0.2",
            settings_module=SETTINGS,
            environment={"LEGACY_DATABASE_URL": f"sqlite:///{tmp_path}/legacy.sqlite3"},
        )
        wait_until(lambda: "load-" in demo.output(), "it loads", deadline_seconds=120)
        demo.send(signal.SIGINT)
        assert demo.wait() == 130
        assert "Traceback" not in demo.output()
        assert "Stopped; everything that was started has ended." in demo.output()
        assert not demo.living()


@pytest.mark.parametrize("scale", ["0", "11"])
def test_demo_sync_of_a_senseless_scale_is_refused(scale: str) -> None:
    with pytest.raises(CommandError, match="must be between"):
        call_command("demo_sync", f"--scale={scale}")


def cells(output: str, name: str) -> list[int]:
    """The numbers of an entity's row in the table at the end."""
    [row] = [line for line in output.splitlines() if line.startswith(f"│ {name} ")]
    return [int(cell.replace(",", "")) for cell in row.strip("│ ").split("│")[1:]]
