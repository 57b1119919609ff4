"""The legacy database, as it is read."""

from migrationsync.source.errors import (
    Drift,
    SchemaDrift,
    SourceDenied,
    SourceError,
    SourceFailed,
    SourceInterrupted,
    SourceUnreachable,
)
from migrationsync.source.reading import Batch, Source
from migrationsync.source.schema import Table

__all__ = [
    "Batch",
    "Drift",
    "SchemaDrift",
    "Source",
    "SourceDenied",
    "SourceError",
    "SourceFailed",
    "SourceInterrupted",
    "SourceUnreachable",
    "Table",
]
