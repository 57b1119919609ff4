from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone

from operations.models import ClusterHeartbeat


def beat(*, seconds_ago: float) -> None:
    now = timezone.now()
    ClusterHeartbeat.objects.create(
        cluster="alpha",
        hostname="worker-1",
        pid=1,
        workers=2,
        started_at=now - dt.timedelta(days=1),
        beat_at=now - dt.timedelta(seconds=seconds_ago),
    )


def checks(response: Any) -> dict[str, bool]:
    return {name: check["ok"] for name, check in response.json()["checks"].items()}


@pytest.fixture
def unreachable_database(db: None) -> Iterator[None]:
    """As when the server is gone: a port where nobody listens."""
    connection.close()
    settings = connection.settings_dict
    kept = {name: settings[name] for name in ("HOST", "PORT", "PASSWORD")}
    settings.update(HOST="127.0.0.1", PORT="1", PASSWORD="hunter2")
    yield
    settings.update(kept)


def test_healthz_answers_without_the_database() -> None:
    # Without the database's mark a query would raise.
    response = Client().get("/healthz")
    assert response.status_code == 200
    assert response.json() == {"status": "ok"}
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_probe_with_another_method_is_refused(path: str, method: str) -> None:
    assert getattr(Client(), method)(path).status_code == 405


@pytest.mark.django_db
def test_readyz_with_everything_there_is_ready() -> None:
    beat(seconds_ago=50)
    response = Client().get("/readyz")
    assert response.status_code == 200
    assert response.json()["status"] == "ok"
    assert checks(response) == {"database": True, "migrations": True, "queue": True}
    assert Client().head("/readyz").status_code == 200


@pytest.mark.django_db
def test_readyz_with_a_migration_to_apply_says_how() -> None:
    beat(seconds_ago=1)
    MigrationRecorder.Migration.objects.filter(app="duplication").delete()
    response = Client().get("/readyz")
    assert response.status_code == 503
    assert checks(response) == {"database": True, "migrations": False, "queue": True}
    assert "manage.py migrate" in response.json()["checks"]["migrations"]["why"]


@pytest.mark.django_db
def test_readyz_with_workers_gone_quiet_says_since_when() -> None:
    beat(seconds_ago=70)
    response = Client().get("/readyz")
    assert response.status_code == 503
    assert checks(response) == {"database": True, "migrations": True, "queue": False}
    latest = ClusterHeartbeat.objects.get().beat_at
    assert f"{latest:%H:%M:%S} UTC" in response.json()["checks"]["queue"]["why"]


@pytest.mark.django_db
def test_readyz_without_any_worker_says_how_to_start_them() -> None:
    why = Client().get("/readyz").json()["checks"]["queue"]["why"]
    assert "manage.py run_workers" in why


@pytest.mark.django_db(transaction=True)
def test_readyz_without_the_database_says_so_and_nothing_secret(
    unreachable_database: None,
) -> None:
    response = Client().get("/readyz")
    assert response.status_code == 503
    assert response.json() == {
        "status": "unavailable",
        "checks": {
            "database": {"ok": False, "why": "The database doesn't answer."},
            "migrations": {"ok": False, "why": "Not looked at: the database doesn't answer."},
            "queue": {"ok": False, "why": "Not looked at: the database doesn't answer."},
        },
    }


@pytest.mark.django_db(transaction=True)
def test_readyz_with_a_check_that_is_kept_waiting_gives_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("config.health.STATEMENT_TIMEOUT_MS", 1_000)
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(f"LOCK TABLE {ClusterHeartbeat._meta.db_table}")
        response = Client().get("/readyz")
    finally:
        other.close()
    assert response.status_code == 503
    assert checks(response) == {"database": True, "migrations": True, "queue": False}
