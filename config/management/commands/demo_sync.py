"""`manage.py demo_sync`: a legacy database migrated, changed on both sides, and reconciled.

Owns the story that is told, and what both sides do meanwhile. The API starts everything, the
websocket shows it. The legacy database is a file of the demo's own, or what LEGACY_DATABASE_URL
names: only tables that were made for demos are replaced there.
"""

from __future__ import annotations

import json
import os
import uuid
from collections import Counter
from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser
from django.db import connection, connections
from django.db.models import Max, Sum
from django.urls import reverse
from rich.table import Table

from config.env import ROOT, env
from config.legacy import legacy_database
from config.management.commands.serve import PORT
from config.stack import accounts, encore
from config.stack.accounts import Login
from config.stack.demos import Demonstration, with_log
from migrationsync.dispatch.legacy.tables import TABLES
from migrationsync.entities import Entity, entities
from migrationsync.models import (
    DataDifferential,
    LegacyIdMapping,
    MigrationValidationReport,
    QuarantinedRow,
    SynchronizationJob,
    SynchronizationRun,
)
from migrationsync.resolving.rules import Action
from migrationsync.services.jobs import delete_job
from migrationsync.source import Source
from migrationsync.validating.completeness import WRONG
from operations import verbs

LEGACY = ROOT / ".local" / "demo-legacy.sqlite3"
JOB = "Dispatch office (demo)"
SCALE = 0.02
# Of every table so many rows: by the source, by the target, by both.
CHANGED = 10
Purpose = SynchronizationRun.Purpose


class Command(Demonstration):
    help = (
        "Start web server and workers, make a legacy database, migrate it through the API with "
        "live progress, change both sides, compare, resolve and validate. Exit code 0: everything "
        "reconciles."
    )
    username = accounts.ADMINISTRATOR

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--scale",
            type=float,
            default=SCALE,
            help="Of the legacy database; 1 is 1.2 million rows. Default: %(default)s.",
        )

    def handle(self, *, scale: float, **options: Any) -> None:
        if not 0.001 <= scale <= 10:
            raise CommandError("--scale must be between 0.001 and 10.")
        self.scale = scale
        self.entities = entities.in_order(
            each.name for each in entities if each.source in {table.name for table in TABLES}
        )
        self.tables = {each.name: each.source for each in self.entities}
        self.legacy = env("LEGACY_DATABASE_URL") or _new_file()
        _connect(self.legacy)
        self.present(options)

    # --- the story ------------------------------------------------------------------

    def perform(self) -> None:
        self._end_last()
        _clear(self.entities)
        where = env.db_url_config(self.legacy)
        self.console.print(f"\nThe legacy database, {where['NAME']}:")
        call_command("make_legacy", scale=self.scale, stdout=self.stream)

        self.console.print("\n1. Migrate it: parents before children, bad rows into quarantine.")
        self.job = self._post(
            "jobs",
            {
                "job_name": JOB,
                "job_type": SynchronizationJob.Type.DIFFERENTIAL_MIGRATION,
                "entities_to_sync": list(self.tables),
                "conflict_resolution": SynchronizationJob.Resolution.MANUAL,
                # The generator makes more awkward rows than a migration should put up with.
                "max_failed_percent": "50",
            },
        )["id"]
        self._run(Purpose.LOAD)

        self.console.print("\n2. Both sides are changed, as they are while a migration goes on.")
        for who, what in (("source", _change_source), ("target", _change_target)):
            made = what(self.entities)
            self.console.print(f"   In the {who}: {_listed(made)}.")

        self.console.print("\n3. Compare, by checksums of segments through the id mapping.")
        self.before = self._compare()

        self.console.print("\n4. Resolve: first a dry run, then the source wins.")
        chosen = {"filter": {"job": self.job}, "strategy": "source_wins"}
        preview = self._post("differentials/preview", chosen)
        deletes = sum(found["deletes"] for found in preview["deletes"].values())
        would = {Action(name).label: number for name, number in preview["actions"].items()}
        self.console.print(f"   It would: {_listed(Counter(would))}.")
        if preview["is_over_budget"]:
            self.console.print(f"   More deletes than the budget: {deletes} are approved.")
        self._post("differentials/resolve", {**chosen, "approved_deletes": deletes})
        self._follow()

        self.console.print("\n5. Validate: completeness, data, relationships.")
        self._run(Purpose.VALIDATE)

        self.console.print("\n6. Compare once more.")
        self.after = self._compare()

    def _end_last(self) -> None:
        """The last demo may have been killed in the middle of a run."""
        job = SynchronizationJob.objects.select_related("latest_run").filter(job_name=JOB).first()
        if job is None or job.latest_run is None or not job.latest_run.is_open:
            return
        self.console.print(
            f"\nThe last demo was cut off in run {job.latest_run.number}: it is cancelled, once "
            "the worker that had it is known to be gone."
        )
        verbs.apply("cancel", job, by=None)
        self.watch(SynchronizationJob.kind, str(job.pk))

    def _run(self, purpose: str) -> None:
        self._post(
            f"jobs/{self.job}/run",
            {"purpose": purpose},
            headers={"Idempotency-Key": str(uuid.uuid4())},
        )
        self._follow()

    def _follow(self) -> None:
        """Raises CommandError where the run isn't completed."""
        self.under_way = f"“{JOB}”"
        self.watch(SynchronizationJob.kind, self.job)
        job = SynchronizationJob.objects.select_related("latest_run").get(pk=self.job)
        run = job.latest_run
        if run is None or run.outcome != SynchronizationRun.Outcome.COMPLETED:
            raise CommandError(with_log(f"{JOB} is {job.status}. {job.error_message}".rstrip()))
        self.under_way = ""

    def _compare(self) -> Counter[str]:
        """How many records differ, by entity; those in quarantine are known, and not among
        them."""
        self._run(Purpose.COMPARE)
        run = SynchronizationRun.objects.filter(job=self.job).latest("number")
        found = DataDifferential.objects.filter(checkpoint__run=run).exclude(
            kind=DataDifferential.DifferenceKind.QUARANTINED
        )
        by_entity = found.values("entity_type").annotate(found=Sum("record_count"))
        return Counter({each["entity_type"]: each["found"] for each in by_entity})

    def _post(self, path: str, body: dict[str, Any], **options: Any) -> Any:
        return self.client.post(f"/api/v1/sync/{path}", json.dumps(body).encode(), **options)

    # --- the end --------------------------------------------------------------------

    def conclude(self, logins: list[Login]) -> None:
        rows = [self._row(entity) for entity in self.entities]
        self.console.print(_table(rows))
        reports = MigrationValidationReport.objects.filter(run__job=self.job)
        self.console.print("\nValidation:")
        for report in reports.order_by("id"):
            self.console.print(f"  {_mark(report)} {report}{_what_is_wrong(report)}")
        wrong = [row["entity"] for row in rows if not _reconciles(row)]
        wrong += [
            str(each) for each in reports if _is_of_rows(each) and not _is_accounted_for(each)
        ]
        if wrong:
            raise CommandError(with_log(f"It doesn't reconcile: {'; '.join(wrong)}."))
        page = reverse("admin:migrationsync_synchronizationjob_change", args=[self.job])
        self.console.print(
            "\nEverything reconciles: every row of the source is migrated, in quarantine with its "
            "reason, or marked as deleted.\n"
            f"To see it: LEGACY_DATABASE_URL={self.legacy} make serve, "
            f"then http://{encore.HOST}:{PORT}{page}\n"
            f"Log in as {logins[0]}."
        )

    def _row(self, entity: Entity) -> dict[str, Any]:
        with connections["legacy"].cursor() as cursor:
            cursor.execute(
                f"SELECT count(*), count(deleted) "  # noqa: S608
                f"FROM {self.tables[entity.name]}"
            )
            rows, deleted = cursor.fetchone()
        mapped = LegacyIdMapping.objects.filter(entity_type=entity.name)
        return {
            "entity": entity.name,
            "source": rows,
            "deleted": deleted,
            "quarantined": QuarantinedRow.objects.filter(
                entity_type=entity.name, resolved_at=None
            ).count(),
            "migrated": mapped.count(),
            "target": entity.target._base_manager.count(),
            "before": self.before[entity.name],
            "after": self.after[entity.name],
        }


def _reconciles(row: dict[str, Any]) -> bool:
    alive = row["source"] - row["deleted"]
    return bool(row["migrated"] == row["target"] == alive - row["quarantined"] and not row["after"])


def _is_accounted_for(report: MigrationValidationReport) -> bool:
    """A row that was refused is: the quarantine has it, with the reason."""
    known = WRONG["quarantined"]
    return all(each["what"] == known for each in report.discrepancy_details)


def _mark(report: MigrationValidationReport) -> str:
    if report.validation_passed:
        return "✓"
    return "•" if _is_accounted_for(report) or not _is_of_rows(report) else "✗"


def _is_of_rows(report: MigrationValidationReport) -> bool:
    """How quick it was says nothing of whether the two sides reconcile, and a busy machine is
    slow."""
    return report.validation_type != MigrationValidationReport.Type.PERFORMANCE_CHECK


def _what_is_wrong(report: MigrationValidationReport) -> str:
    wrong = "; ".join(f"{e['count']:,} {e['what']}" for e in report.discrepancy_details)
    if not wrong:
        return ""
    return f" ({wrong}; accounted for)" if _is_accounted_for(report) else f" ({wrong})"


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="\nWhat came of it", title_justify="left")
    table.add_column("", no_wrap=True)
    headings = ("Source", "Deleted", "Refused", "Migrated", "Target", "Differed", "Still")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        name, *numbers = row.values()
        table.add_row(name, *(f"{number:,}" for number in numbers))
    return table


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{what.replace('_', ' ')} {number:,}" for what, number in counts.items())


# --- what happens outside Encore ------------------------------------------------------


def _new_file() -> str:
    """The address of an empty database."""
    LEGACY.parent.mkdir(exist_ok=True)
    LEGACY.unlink(missing_ok=True)
    return f"sqlite:///{LEGACY}"


def _connect(url: str) -> None:
    """Known to Django here and in the processes started from here."""
    os.environ["LEGACY_DATABASE_URL"] = url
    connections.settings["legacy"] = legacy_database(url)
    connections.configure_settings(connections.settings)


def _clear(chosen: tuple[Entity, ...]) -> None:
    """Removes what the last demo left. Raises CommandError where the tables hold anything else."""
    job = SynchronizationJob.objects.filter(job_name=JOB).first()
    names = [entity.name for entity in chosen]
    if job is None:
        if any(entity.target._base_manager.exists() for entity in chosen):
            raise CommandError(
                f"The tables of {', '.join(names)} hold rows that no demo made: run the demo in "
                "another database."
            )
        return
    delete_job(job, by=None)
    LegacyIdMapping.objects.filter(entity_type__in=names).delete()
    QuarantinedRow.objects.filter(entity_type__in=names).delete()
    tables = ", ".join(connection.ops.quote_name(each.target._meta.db_table) for each in chosen)
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {tables}")


def _mapped(entity: Entity) -> list[int]:
    keys = LegacyIdMapping.objects.filter(entity_type=entity.name).order_by("legacy_id")
    return list(keys.values_list("legacy_id", flat=True)[: 5 * CHANGED])


def _change_source(chosen: tuple[Entity, ...]) -> Counter[str]:
    """Of each table some rows are edited; of the last one some are new, and some are gone."""
    made: Counter[str] = Counter()
    leaf = chosen[-1]
    with connections["legacy"].cursor() as cursor:
        for entity in chosen:
            keys = _mapped(entity)
            edited = [*keys[:CHANGED], *keys[2 * CHANGED : 3 * CHANGED]]
            places = ", ".join(["%s"] * len(edited))
            cursor.execute(
                f"UPDATE {entity.source} SET created = '2012-05-06 07:08:09' "  # noqa: S608
                f"WHERE id IN ({places})",
                edited,
            )
            made["edited"] += len(edited)
        gone = _mapped(leaf)[3 * CHANGED : 4 * CHANGED]
        cursor.execute(
            f"DELETE FROM {leaf.source} WHERE id IN ({', '.join(['%s'] * len(gone))})",  # noqa: S608
            gone,
        )
        made["deleted"] = len(gone)
        cursor.execute(
            f"INSERT INTO {leaf.source} SELECT id + 100000000, "  # noqa: S608
            f"{', '.join(name for name in _columns(leaf) if name != 'id')} "
            f"FROM {leaf.source} WHERE id IN ({', '.join(['%s'] * CHANGED)})",
            _mapped(leaf)[:CHANGED],
        )
        made["added"] = CHANGED
    return made


def _change_target(chosen: tuple[Entity, ...]) -> Counter[str]:
    """Of each table some rows are edited, half of them such as the source edited too; of the last
    one some are gone."""
    made: Counter[str] = Counter()
    newest = chosen[-1].target._base_manager.aggregate(newest=Max("created_at"))["newest"]
    for entity in chosen:
        keys = _mapped(entity)[CHANGED : 3 * CHANGED]
        made["edited"] += _rows(entity, keys).update(created_at=newest)
    leaf = chosen[-1]
    made["deleted"], _ = _rows(leaf, _mapped(leaf)[4 * CHANGED :]).delete()
    return made


def _rows(entity: Entity, legacy_ids: list[int]) -> Any:
    mapped = LegacyIdMapping.objects.filter(entity_type=entity.name, legacy_id__in=legacy_ids)
    return entity.target._base_manager.filter(pk__in=mapped.values("uuid_id"))


def _columns(entity: Entity) -> list[str]:
    table = Source().table(entity.source)
    return list(table.columns) if table else []
