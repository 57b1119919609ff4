"""The legacy database, as it is read."""

from migrationsync.source.errors import Drift, SchemaDrift, SourceError, SourceUnreachable
from migrationsync.source.reading import Batch, Count, Source
from migrationsync.source.schema import Table

__all__ = [
    "Batch",
    "Count",
    "Drift",
    "SchemaDrift",
    "Source",
    "SourceError",
    "SourceUnreachable",
    "Table",
]
