"""Whose the files of episodes' audio are, while some are written and others deleted.

A file is named after its content, so what one generation writes another may just be about to
lose. Who writes says so first, in the row (`promise`); who deletes holds all promises (`hold`)
while it looks at the rows and deletes. So a file that a generation counts on isn't deleted, and
one that was deleted before the promise is found to be missing after it.
"""

from __future__ import annotations

from django.db import connection, transaction

from generation.models import GenerationJob

LOCK_SPACE = 0x0EA0


def promise(generation_id: int, name: str) -> None:
    """The generation will have the file `name`. Call it before looking whether the file is
    there, or writing it; commits. Idempotent."""
    with transaction.atomic():
        _lock("pg_advisory_xact_lock_shared")
        GenerationJob.objects.filter(pk=generation_id).update(audio_name=name)


def hold() -> None:
    """Nobody promises until the end of the transaction."""
    _lock("pg_advisory_xact_lock")


def _lock(function: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s, 0)", [LOCK_SPACE])
