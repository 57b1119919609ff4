"""What a source's column holds, in words that every engine shares."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Family(enum.StrEnum):
    """Types that are read alike, whatever an engine calls them."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"  # a clock's reading, of no zone
    INSTANT = "instant"  # a moment, the same everywhere
    TIME = "time"  # of a day, of no zone; or a length of time, on engines that make no difference
    DURATION = "duration"
    JSON = "json"
    UUID = "uuid"
    BINARY = "binary"
    ADDRESS = "address"  # of the Internet Protocol
    ARRAY = "array"
    OTHER = "other"


@dataclass(frozen=True)
class SourceColumn:
    """A column as the source declares it.

    `length` is the most characters of a text or bytes of a binary (None: no bound worth the
    name), `places` the decimal places of a number or of a time's seconds (None: any number).
    `items` is of an array what its items are.
    `has_default`: a new row that says nothing about it gets a value all the same.
    """

    name: str
    family: Family
    declared: str
    is_nullable: bool = True
    length: int | None = None
    places: int | None = None
    has_default: bool = False
    items: Family | None = None
