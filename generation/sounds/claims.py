"""Who makes which sound: claims in the cache's rows, so that each is made once.

A claim is a row that is *making*, with its maker and an end. The end is moved on while the
maker's worker lives; it is long enough for the longest time between two of its looks (a
commit that waits for locks, a rest, a lost connection), and short enough that who waits for
the sounds of one that died doesn't wait for long.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import connection

from generation.models import AudioCache, GenerationJob

CLAIM_SECONDS = 60

Claims = dict[str, dt.datetime]


def claim(
    generation: GenerationJob, parameters: Mapping[str, Any], *, takes_own: bool
) -> tuple[Claims, set[str]]:
    """Claim the keys of `parameters` (key -> what shapes the sound); commits.

    Returns those that are ours now, each with its claim's end, and which of them are taken
    over: something may have been kept for these. Not ours are those that are ready, and those
    that another makes. `takes_own`: the generation's earlier worker is known to be gone, so
    its claims needn't run out.
    """
    if not parameters:
        return {}, set()
    keys = sorted(parameters)  # one order of locks for all
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO audio_cache AS sound (cache_key, state, maker_id, making_until, parameters,
                audio_name, audio_bytes, mime_type, checksum, duration_ms, usage_count)
            SELECT key, 'making', %(maker)s, clock_timestamp() + make_interval(secs => %(seconds)s),
                parameters, '', 0, %(mime_type)s, '', 0, 1
            FROM unnest(%(keys)s::text[], %(parameters)s::jsonb[]) AS wanted (key, parameters)
            ON CONFLICT (cache_key) DO UPDATE
                SET maker_id = excluded.maker_id, making_until = excluded.making_until
                WHERE sound.state = 'making' AND (
                    sound.making_until IS NULL OR sound.making_until <= clock_timestamp()
                    OR (%(takes_own)s AND sound.maker_id = excluded.maker_id))
            RETURNING cache_key, making_until, xmax <> 0
            """,
            {
                "maker": generation.pk,
                "mime_type": AudioCache._meta.get_field("mime_type").get_default(),
                "seconds": CLAIM_SECONDS,
                "keys": keys,
                "parameters": [json.dumps(parameters[key]) for key in keys],
                "takes_own": takes_own,
            },
        )
        found = cursor.fetchall()
    return {key: end for key, end, _ in found}, {key for key, _, taken_over in found if taken_over}


def extend(claims: Claims) -> Claims:
    """Move the ends of these claims on; commits. What has run out and was taken is left out."""
    return _set_end(claims, seconds=CLAIM_SECONDS)


def release(claims: Claims) -> None:
    """Let others have these claims at once; commits. The rows stay: who comes next looks for
    what may have been kept. Claims that are no longer ours aren't touched."""
    _set_end(claims, seconds=0)


def _set_end(claims: Claims, *, seconds: int) -> Claims:
    if not claims:
        return {}
    # The end that was set last proves whose claim it is.
    keys = sorted(claims)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE audio_cache SET making_until = clock_timestamp() + make_interval(secs => %s)
            FROM unnest(%s::text[], %s::timestamptz[]) AS held (key, until)
            WHERE cache_key = held.key AND making_until = held.until AND state = 'making'
            RETURNING cache_key, making_until
            """,
            [seconds, keys, [claims[key] for key in keys]],
        )
        return dict(cursor.fetchall())


def set_back(generation: GenerationJob, names: Iterable[tuple[str, str]]) -> None:
    """Have these sounds, (key, name of the file), made again: their files are gone or broken.

    In the caller's transaction. A row that names another file by now is left as it is: that
    one is looked at when it is read.
    """
    pairs = sorted(names)
    keys = [key for key, _ in pairs]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE audio_cache SET state = 'making', making_until = clock_timestamp()
            FROM unnest(%s::text[], %s::text[]) AS broken (key, name)
            WHERE cache_key = broken.key AND audio_name = broken.name AND state = 'ready'
            """,
            [keys, [name for _, name in pairs]],
        )
    generation.segments.filter(cache_key__in=keys).update(
        state="pending", duration_ms=None, start_ms=None
    )
