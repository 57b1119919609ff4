"""Gives back to the source what the target changed, where a job goes both ways.

Writes to the source, through `migrationsync.source.writing`, and keeps what it had there before
until the caller has stored the rest on our side (checksums, applied changes), in a transaction of
its own: all of these are safe to repeat when the two fell apart.
"""

from migrationsync.returning.deleting import delete_back, delete_back_forced
from migrationsync.returning.inserting import insert_back
from migrationsync.returning.refusing import refusals
from migrationsync.returning.restoring import restore
from migrationsync.returning.results import Returned
from migrationsync.returning.updating import give_back, give_back_forced
from migrationsync.source.writing import MayNotWrite

__all__ = [
    "MayNotWrite",
    "Returned",
    "delete_back",
    "delete_back_forced",
    "give_back",
    "give_back_forced",
    "insert_back",
    "refusals",
    "restore",
]
