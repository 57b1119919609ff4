"""What belongs to a copy and how much it is, decided once at its start."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import OperationalError, connection, transaction

from duplication.levels import CHILD_LEVELS, Level
from duplication.models import Duplication
from operations.database_errors import is_contention

# Counting must not stall the copy: past this the total is unknown and there is one lane.
COUNT_TIMEOUT_MS = 10_000
# A lane below this many rows costs more to hand over than it saves.
MIN_ROWS_PER_LANE = 20_000


def high_water(cursor: Any) -> dict[str, Any]:
    """The largest id of each level's table, and the snapshot, all of one moment.

    Rows with a larger id were added after the copy began and don't belong to it.
    """
    marks = ", ".join(
        f"coalesce((SELECT max(id) FROM {level.table}), 0)" for _, level in CHILD_LEVELS
    )
    cursor.execute(f"SELECT pg_current_snapshot()::text, {marks}")
    snapshot, *values = cursor.fetchone()
    stages = [level.stage for _, level in CHILD_LEVELS]
    return {"snapshot": snapshot, **dict(zip(stages, values, strict=True))}


class Measured(NamedTuple):
    """`total`: rows of a level that belong to the copy; None when counting took too long.

    `bounds`: the (parent, id) at which each lane but the last ends, inclusive.
    """

    total: int | None
    bounds: list[list[int]]


def measure(duplication: Duplication, above: Level, level: Level) -> Measured:
    """How large a level is and where its lanes end. The level above must have been copied.

    Lanes get equal numbers of rows, however these are spread over the parents. Reads
    only the index on (parent, id).
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, true)", [str(COUNT_TIMEOUT_MS)]
            )
            return _measure(cursor, duplication, above, level)
    except OperationalError as error:
        if not is_contention(error):
            raise
        return Measured(None, [])


def _measure(cursor: Any, duplication: Duplication, above: Level, level: Level) -> Measured:
    parameters = {
        "duplication": duplication.pk,
        "high_water": duplication.high_water[level.stage],
        "lanes": duplication.lanes,
        "min_rows": MIN_ROWS_PER_LANE,
    }
    # Parents in the walk's order with the rows up to and including each; a lane ends in
    # the parent in which its share of all rows is reached.
    cursor.execute(
        f"""
        WITH sizes AS (
            SELECT p.org_id AS parent, count(*) AS n
            FROM id_map p JOIN {level.table} c ON c.{level.parent_column} = p.org_id
            WHERE p.duplication_id = %(duplication)s AND p.type = '{above.node}'
                AND c.id <= %(high_water)s
            GROUP BY p.org_id
        ),
        running AS (
            SELECT parent, n, sum(n) OVER (ORDER BY parent) AS upto, sum(n) OVER () AS total
            FROM sizes
        ),
        lanes AS (
            SELECT least(%(lanes)s, max(total) / %(min_rows)s)::int AS n, max(total) AS total
            FROM running
        ),
        ends AS (
            SELECT share, ceil(lanes.total * share / lanes.n)::bigint AS target
            FROM lanes, generate_series(1, lanes.n - 1) AS share
        )
        SELECT total, parent, within FROM (
            SELECT (SELECT total FROM lanes) AS total, NULL::bigint AS parent,
                NULL::bigint AS within, 0 AS share
            UNION ALL
            SELECT running.total, running.parent, target - (upto - n), share
            FROM ends JOIN running ON upto >= target AND upto - n < target
        ) found ORDER BY share""",
        parameters,
    )
    (total, _, _), *ends = cursor.fetchall()
    bounds = []
    for _, parent, within in ends:
        # Not paging: one look per lane, at the id that ends its share within one parent.
        cursor.execute(
            f"SELECT id FROM {level.table} WHERE {level.parent_column} = %s AND id <= %s"
            " ORDER BY id OFFSET %s LIMIT 1",
            [parent, parameters["high_water"], int(within) - 1],
        )
        bounds.append([parent, cursor.fetchone()[0]])
    return Measured(int(total or 0), bounds)
