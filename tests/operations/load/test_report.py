import datetime as dt
import io
import json
import uuid

import pytest
from django.core.management import call_command
from django.utils import timezone
from waffle.testutils import override_switch

from operations.gates.load import readings, state
from operations.gates.load.reading import Figure, NothingToRead
from operations.models import Event
from tests.operations.load.collectors import Says
from tests.operations.toy.kind import TOY

WOULD_WAIT = 75


class Report:
    def __init__(self, **options):
        self.code, stream = 0, io.StringIO()
        try:
            call_command("load_report", stdout=stream, **options)
        except SystemExit as end:
            self.code = end.code
        self.text = stream.getvalue()

    def line(self, start):
        return next(line for line in self.text.splitlines() if line.startswith(start))


def as_json():
    report = Report(json=True)
    told = json.loads(report.text)
    return report.code, told, next(kind for kind in told["kinds"] if kind["kind"] == "toy")


@pytest.fixture
def signals(monkeypatch):
    def signals(*collectors):
        monkeypatch.setattr(state, "COLLECTORS", collectors)

    return signals


def test_report_of_a_quiet_installation_says_proceed(db):
    report = Report()
    assert report.code == 0
    assert report.line("toy") == (
        "toy: switch on, exceptions 0 of 5 in 60 s, jobs 0 of 5, its next step would proceed, "
        "its next claim would proceed"
    )
    assert "While a signal can't be read: proceed." in report.text


def test_report_shows_each_signal_as_it_is(db, signals):
    signals(
        Says(Figure(86.24)),
        Says(Figure(2), signal="Sessions", unit="", limit=10),
        Says(NothingToRead("No replica is connected."), signal="Replication lag", unit=" s"),
        Says(Figure(1), signal="Latency", limit=None),
        Says(OSError("no route"), signal="Disk"),
    )
    report = Report()
    assert report.text.splitlines()[:5] == [
        "Database CPU: now 86.2%, limit 80%, seen less than 1 s ago, state over",
        "Sessions: now 2, limit 10, seen less than 1 s ago, state ok",
        "Replication lag: limit 80 s, seen less than 1 s ago, "
        "state nothing to read (No replica is connected)",
        "Latency: state not configured (Set the test)",
        "Disk: limit 80%, seen less than 1 s ago, state unreadable (no route)",
    ]


def test_report_while_over_a_limit_says_wait_by_word_and_exit_code(db, signals):
    signals(Says(Figure(86)))
    report = Report()
    assert report.code == WOULD_WAIT
    wait = "would wait 1 min: Database CPU 86% > 80%."
    assert report.line("toy").endswith(f"its next step {wait}, its next claim {wait}")


def test_report_in_json_holds_figures_limits_and_verdict(db, signals):
    then = timezone.now() - dt.timedelta(seconds=90)
    signals(Says(Figure(86, at=then)), Says(OSError("no route"), signal="Disk"))
    code, told, toy = as_json()
    assert code == WOULD_WAIT
    assert told["would_wait"] is True
    assert told["when_unreadable"] == "proceed"
    cpu, disk = told["readings"]
    assert 90 <= cpu.pop("age_seconds") < 120
    assert cpu == {
        "signal": "Database CPU",
        "state": "over",
        "value": 86,
        "limit": 80,
        "unit": "%",
        "why": "",
    }
    assert (disk["state"], disk["value"], disk["why"]) == ("unreadable", None, "no route")
    assert toy["wait"] == {"seconds": 60, "reason": "Database CPU 86% > 80%."}
    assert toy["claim_wait"] == toy["wait"]


def test_report_with_the_switch_off_says_so(db):
    with override_switch("toy", active=False):
        code, _, toy = as_json()
    assert (code, toy["switch"]) == (WOULD_WAIT, False)
    assert "is off" in toy["wait"]["reason"]


def test_report_counts_exceptions_within_the_window(db):
    for sequence in range(1, 6):
        Event.objects.create(kind="toy", operation_id="1", sequence=sequence, name="toy.exception")
    _, _, toy = as_json()
    assert toy["exceptions"] == {"count": 5, "limit": 5, "window_seconds": 60}
    assert "exceptions" in toy["wait"]["reason"]


def running(operation):
    until = timezone.now() + dt.timedelta(minutes=1)
    operation.jobs.update(lease_token=uuid.uuid4(), lease_until=until)
    return operation


def held_up(operation):
    operation.jobs.update(not_before=timezone.now() + dt.timedelta(seconds=20))
    return operation


def test_report_with_all_places_taken_says_that_what_runs_goes_on(db, settings):
    settings.OPERATION_MAX_CONCURRENT_JOBS = 1
    busy, waiting = running(TOY.start()), held_up(TOY.start())
    code, told, toy = as_json()
    assert (code, told["would_wait"]) == (0, False)
    assert toy["jobs"] == {"running": 1, "limit": 1}
    assert toy["wait"] is None
    assert "1 of at most 1" in toy["claim_wait"]["reason"]
    waits = {each["operation"]: each["wait"] for each in toy["latency"]}
    assert waits == {busy.pk: None, waiting.pk: toy["claim_wait"]}


def test_report_with_the_switch_off_says_so_of_each_job(db):
    running(TOY.start()), held_up(TOY.start())
    with override_switch("toy", active=False):
        _, _, toy = as_json()
        text = Report().text
    assert ["is off" in each["wait"]["reason"] for each in toy["latency"]] == [True, True]
    assert "is off" in toy["claim_wait"]["reason"]
    assert "next step would proceed" not in "".join(
        line for line in text.splitlines() if line.startswith("toy ")
    )


def test_report_shows_the_latency_of_jobs_that_are_held(db):
    operation = TOY.start()
    until = timezone.now() + dt.timedelta(seconds=20)
    operation.jobs.update(
        not_before=until,
        latency={
            "steps": 9,
            "ms_per_row": 0.05,
            "slowdown": 7.3,
            "slow_steps": 3,
            "hold_until": until.isoformat(),
        },
    )
    job = operation.jobs.get()
    line = Report().line(f"toy {operation.pk}, Count {job.pk}: usual 0.05 ms a row")
    assert "last step 7.3 ×, its next step would wait" in line

    code, _, toy = as_json()
    assert code == 0  # others of the kind would proceed
    (pace,) = toy["latency"]
    assert (pace["slowdown"], pace["limit"]) == (7.3, 4.0)
    assert 0 < pace["wait"]["seconds"] <= 20


def test_report_in_a_terminal_is_a_table(db, signals, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    signals(Says(Figure(12)))
    report = Report()
    assert "Database CPU" in report.text
    assert "│" in report.text


def test_readings_of_an_installation_without_settings_say_how_to_configure_each(db, settings):
    settings.LOAD_MAX_REPLICATION_LAG_SECONDS = 0
    assert [(each.signal, each.note) for each in readings()] == [
        ("Active database sessions", "Set LOAD_MAX_ACTIVE_SESSIONS above 0."),
        ("Replication lag", "Set LOAD_MAX_REPLICATION_LAG_SECONDS above 0."),
        ("Database CPU", "Set LOAD_RDS_INSTANCE."),
    ]
