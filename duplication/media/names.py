"""How the file of a copy is named, and how its name leads back: as SQL.

A copy's file is `copies/<duplication>/<hash of the source's name>-<its last part>`: the same
source has the same target again after a crash, no two sources have one target, and no two
duplications share a file. Read by people, so the last part and its extension stay, in
characters and a length that every storage takes.
"""

from __future__ import annotations

FOLDER = "copies"
HASH_DIGITS = 16
NAME_LENGTH = 100


def target_sql(source: str) -> str:
    """The name of the copy of the file that the expression `source` names. Parameter:
    duplication."""
    own = f"^{FOLDER}/[0-9]+/[0-9a-f]{{{HASH_DIGITS}}}-"
    # The copy of a copy's file loses the first copy's hash, or names would grow for ever.
    last_part = f"regexp_replace(regexp_replace({source}, '{own}', ''), '^.*/', '')"
    readable = f"regexp_replace({last_part}, '[^A-Za-z0-9._-]+', '_', 'g')"
    return (
        f"'{FOLDER}/' || %(duplication)s || '/'"
        f" || left(encode(sha256(convert_to({source}, 'UTF8')), 'hex'), {HASH_DIGITS})"
        f" || '-' || right({readable}, {NAME_LENGTH})"
    )


def original_sql(name: str) -> str:
    """The original's name for the file that the expression `name` names, or that name itself
    where it isn't a file made for this copy. Parameter: duplication."""
    return f"""
        coalesce((
            SELECT file.source FROM duplication_media file
            WHERE file.duplication_id = %(duplication)s AND file.target = {name}
        ), {name})"""


def own_sql(name: str) -> str:
    """The name of the copy's own file where the expression `name` names one of the original's
    that was copied, else that name itself. Parameter: duplication."""
    return f"""
        coalesce((
            SELECT file.target FROM duplication_media file
            WHERE file.duplication_id = %(duplication)s AND file.source = {name}
                AND file.status = 'copied'
        ), {name})"""


def is_unsettled_sql(name: str) -> str:
    """Whether the expression `name` names a file of which nobody has tried yet to make one for
    the copy. Parameter: duplication."""
    return f"""
        (coalesce({name}, '') <> '' AND NOT EXISTS (
            SELECT 1 FROM duplication_media file
            WHERE file.duplication_id = %(duplication)s AND file.source = {name}
                AND file.status IN ('copied', 'missing')
        ))"""


def is_original_sql(name: str) -> str:
    """Whether the expression `name` names a file of the original that the copy has its own
    for. Parameter: duplication."""
    return f"""
        EXISTS (
            SELECT 1 FROM duplication_media file
            WHERE file.duplication_id = %(duplication)s AND file.source = {name}
                AND file.status = 'copied'
        )"""
