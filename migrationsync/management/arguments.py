"""The arguments of `manage.py sync`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from migrationsync.management import asking
from migrationsync.models import DataDifferential, MigrationValidationReport
from migrationsync.models.differentials import Strategy


def add_arguments(parser: CommandParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, explanation, add in (
        ("run", "Run it now, and follow it to its end.", _run),
        ("status", "All there are; or one, with how far it is and its next runs.", _status),
        ("diff", "Compare, and list what differs. Changes neither side.", _diff),
        ("resolve", "Resolve what the last comparisons found.", _resolve),
        ("validate", "Validate what was brought over.", _validate),
    ):
        verb = verbs.add_parser(name, help=explanation, description=explanation)
        add(verb)
        verb.add_argument(
            "--json",
            action="store_true",
            dest="as_json",
            help="Print one JSON object; progress to stderr.",
        )


def _run(parser: CommandParser) -> None:
    _job(parser)
    _entities(parser)
    _since(parser, "Bring over only what was changed since, by the source's time stamps.")
    parser.add_argument(
        "--approve-deletes",
        type=asking.number,
        metavar="N",
        help="Let the run that stopped to ask delete up to N records, and follow it.",
    )
    parser.add_argument("--detach", action="store_true", help="Start it, and don't follow it.")


def _status(parser: CommandParser) -> None:
    _job(parser, nargs="?")


def _diff(parser: CommandParser) -> None:
    _job(parser, nargs="?")
    _entities(parser)
    _since(parser, "Compare only what was changed since, by the source's time stamps.")
    parser.add_argument(
        "--source-only",
        action="store_true",
        help="Only what the source did since the last sync, which is quicker.",
    )
    parser.add_argument(
        "--examples", type=asking.number, default=5, metavar="N", help="Ids of each kind: 5."
    )


def _resolve(parser: CommandParser) -> None:
    _job(parser)
    parser.add_argument(
        "--strategy",
        required=True,
        choices=[Strategy.SOURCE_WINS.value, Strategy.TARGET_WINS.value, Strategy.SKIP.value],
    )
    parser.add_argument("--entity", help="Only of this one.")
    parser.add_argument(
        "--kind", choices=DataDifferential.DifferenceKind.values, help="Only of this kind."
    )
    parser.add_argument(
        "--records",
        nargs="+",
        type=asking.key,
        metavar="ID",
        help="Only these of --entity: legacy ids, or UUIDs of rows that have none.",
    )
    parser.add_argument("--dry-run", action="store_true", help="Only show what would be done.")
    parser.add_argument(
        "--approve-deletes",
        type=asking.number,
        default=0,
        metavar="N",
        help="Delete up to N records, where the synchronization may not without asking.",
    )


def _validate(parser: CommandParser) -> None:
    _job(parser)
    _entities(parser)
    parser.add_argument(
        "--types", nargs="+", choices=MigrationValidationReport.Type.values, help="Only so."
    )


def _job(parser: CommandParser, **options: Any) -> None:
    parser.add_argument("job", metavar="JOB", help="The synchronization: its name.", **options)


def _entities(parser: CommandParser) -> None:
    parser.add_argument("--entities", nargs="+", metavar="ENTITY", help="Only these.")


def _since(parser: CommandParser, explanation: str) -> None:
    parser.add_argument("--since", type=asking.moment, metavar="TIME", help=explanation)
