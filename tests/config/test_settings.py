"""What the settings modules refuse, and what they make of an environment."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from typing import Any

import pytest
from django.db.backends.postgresql.client import DatabaseClient
from waffle.models import Switch

from config.env import INSECURE_SECRET_KEY, ROOT
from tests.processes import database_url

GOOD = {
    "SECRET_KEY": secrets.token_urlsafe(64),
    "DEBUG": "false",
    "ALLOWED_HOSTS": "encore.example.org",
    "DATABASE_URL": "postgres://encore:secret@db.example.org:5432/encore",
}


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python in the project, with nothing of this process's environment but where programs are."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def settings_of(module: str, *names: str, **environment: str) -> dict[str, Any]:
    """The values of these settings in a process of that environment."""
    code = (
        "import importlib, json, sys; settings = importlib.import_module(sys.argv[1]);"
        "print(json.dumps({name: getattr(settings, name) for name in sys.argv[2:]}, default=str))"
    )
    answer = python("-c", code, f"config.settings.{module}", *names, **environment)
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


# --- production -----------------------------------------------------------------


@pytest.mark.processes
def test_production_knows_where_to_collect_static_files() -> None:
    environment = {**GOOD, "DJANGO_SETTINGS_MODULE": "config.settings.production"}
    answer = python("manage.py", "collectstatic", "--noinput", "--dry-run", **environment)
    assert answer.returncode == 0, answer.stderr
    assert f"to '{ROOT / 'staticfiles'}'" in answer.stdout


@pytest.mark.processes
@pytest.mark.parametrize(
    ("bad", "hint"),
    [
        ({"SECRET_KEY": INSECURE_SECRET_KEY}, "secrets.token_urlsafe(64)"),
        ({"DEBUG": "true"}, "DEBUG=false"),
        ({"ALLOWED_HOSTS": ""}, "ALLOWED_HOSTS=encore.example.org"),
        ({"DATABASE_URL": ""}, "DATABASE_URL=postgres://"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_production_with_a_development_value_refuses_to_start_and_says_what_to_set(
    bad: dict[str, str], hint: str
) -> None:
    environment = {**GOOD, **bad, "DJANGO_SETTINGS_MODULE": "config.settings.production"}
    answer = python("manage.py", "check", **environment)
    assert answer.returncode != 0
    assert "ImproperlyConfigured" in answer.stderr
    assert hint in answer.stderr


@pytest.mark.processes
@pytest.mark.django_db
def test_production_with_good_values_passes_the_deployment_check() -> None:
    environment = {
        **GOOD,
        "DATABASE_URL": database_url(),
        "DJANGO_SETTINGS_MODULE": "config.settings.production",
    }
    answer = python("manage.py", "check", "--deploy", "--fail-level", "WARNING", **environment)
    assert answer.returncode == 0, answer.stderr
    assert "no issues (0 silenced)" in answer.stdout


@pytest.mark.processes
def test_production_sends_cookies_over_https_alone_and_insists_on_it() -> None:
    secured = settings_of(
        "production",
        "DEBUG",
        "SESSION_COOKIE_SECURE",
        "CSRF_COOKIE_SECURE",
        "SECURE_SSL_REDIRECT",
        "SECURE_HSTS_SECONDS",
        **GOOD,
    )
    assert secured == {
        "DEBUG": False,
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "SECURE_SSL_REDIRECT": True,
        "SECURE_HSTS_SECONDS": 31_536_000,
    }


# --- every module ---------------------------------------------------------------


@pytest.mark.processes
def test_database_with_a_socket_folder_as_a_parameter_has_it_as_its_host() -> None:
    url = "postgresql://encore@:5432/encore?host=%2Ftmp%2Fx"
    found = settings_of("base", "DATABASES", **{**GOOD, "DATABASE_URL": url})
    database = found["DATABASES"]["default"]
    assert (database["HOST"], database["PORT"]) == ("/tmp/x", 5432)
    assert "host" not in database["OPTIONS"]
    arguments, _ = DatabaseClient.settings_to_cmd_args_env(database, [])
    assert arguments[arguments.index("-h") + 1] == "/tmp/x"


@pytest.mark.processes
def test_database_with_parameters_of_its_own_keeps_them() -> None:
    url = "postgres://encore:secret@db.example.org/encore?sslmode=require&connect_timeout=9"
    found = settings_of("base", "DATABASES", **{**GOOD, "DATABASE_URL": url})
    options = found["DATABASES"]["default"]["OPTIONS"]
    assert (options["sslmode"], options["connect_timeout"]) == ("require", 9)
    assert options["application_name"] == "encore"


@pytest.mark.processes
def test_media_root_relative_starts_in_the_project_and_absolute_stays() -> None:
    relative = settings_of("base", "MEDIA_ROOT", **GOOD, MEDIA_ROOT="elsewhere")
    absolute = settings_of("base", "MEDIA_ROOT", **GOOD, MEDIA_ROOT="/srv/media")
    assert relative["MEDIA_ROOT"] == str(ROOT / "elsewhere")
    assert absolute["MEDIA_ROOT"] == "/srv/media"


@pytest.mark.processes
@pytest.mark.parametrize(
    ("environment", "broker", "database"),
    [
        ({}, "operations.queue.broker.SkipLockedBroker", "default"),
        ({"QUEUE_BROKER": "redis"}, "operations.queue.redis_broker.RedisBroker", None),
        ({"QUEUE_BROKER": "sqs"}, "operations.queue.sqs_broker.SqsBroker", None),
    ],
)
def test_queue_broker_chooses_and_only_the_database_is_part_of_transactions(
    environment: dict[str, str], broker: str, database: str | None
) -> None:
    address = "redis://redis.example.org/1"
    found = settings_of("base", "Q_CLUSTER", **GOOD, REDIS_URL=address, **environment)
    queue = found["Q_CLUSTER"]
    assert (queue["broker_class"], queue.get("orm")) == (broker, database)
    assert queue.get("redis") == (address if "RedisBroker" in broker else None)
    assert queue["name"] == "duplicate_episodes"


@pytest.mark.processes
def test_time_zone_is_the_environments_and_utc_without_it() -> None:
    assert settings_of("base", "TIME_ZONE", **GOOD) == {"TIME_ZONE": "UTC"}
    found = settings_of("base", "TIME_ZONE", **GOOD, TIME_ZONE="Europe/Berlin")
    assert found == {"TIME_ZONE": "Europe/Berlin"}


@pytest.mark.processes
@pytest.mark.parametrize("zone", ["Berlin", "", "../etc/passwd", "Europe"])
def test_time_zone_that_there_is_not_is_refused_with_the_way_out(zone: str) -> None:
    answer = python("-c", "import config.settings.base", **GOOD, TIME_ZONE=zone)
    assert answer.returncode != 0
    last = answer.stderr.splitlines()[-1]
    assert f"TIME_ZONE is “{zone}”" in last
    assert "Europe/Berlin" in last


# --- the feature switches -------------------------------------------------------


SWITCH_IN_ANOTHER_PROCESS = """
import django, sys
django.setup()
import waffle
for line in sys.stdin:
    print(waffle.switch_is_active("duplication"), flush=True)
"""


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_switch_is_on_until_flipped_and_a_flip_reaches_a_running_process_at_once() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SWITCH_IN_ANOTHER_PROCESS],
        cwd=ROOT,
        env={
            **os.environ,
            "DATABASE_URL": database_url(),
            "DJANGO_SETTINGS_MODULE": "config.settings.test",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin
        assert process.stdout

        def is_on_there() -> bool:
            process.stdin.write("?\n")
            process.stdin.flush()
            return process.stdout.readline() == "True\n"

        assert is_on_there()
        switch = Switch.objects.get(name="duplication")  # created by being asked for
        assert switch.active
        for active in (False, True):
            switch.active = active
            switch.save()
            assert is_on_there() is active
    finally:
        process.kill()
        process.communicate()
