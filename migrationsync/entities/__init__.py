"""What is migrated, declared. `declarations` opens with an example."""

from migrationsync.entities.declarations import Check, Column, Entity, ForeignKey, RowError
from migrationsync.entities.registry import (
    EntityCycle,
    Registry,
    UnknownEntity,
    entities,
    register,
)

__all__ = [
    "Check",
    "Column",
    "Entity",
    "EntityCycle",
    "ForeignKey",
    "Registry",
    "RowError",
    "UnknownEntity",
    "entities",
    "register",
]
