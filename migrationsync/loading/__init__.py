"""Brings rows of a legacy table over: `prepare` reads and converts, `write` stores."""

from migrationsync.loading.batches import Loaded, load_batch, load_rows, retry_quarantined
from migrationsync.loading.preparing import Prepared, prepare
from migrationsync.loading.writing import write

__all__ = [
    "Loaded",
    "Prepared",
    "load_batch",
    "load_rows",
    "prepare",
    "retry_quarantined",
    "write",
]
