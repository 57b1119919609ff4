"""What is no text although it may be written as one: UUIDs, addresses of the net, and bytes."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import uuid
from dataclasses import dataclass
from typing import Any, Self

from django.db import models

from migrationsync.columns import Family, SourceColumn
from migrationsync.converters.base import ConversionError, Converter, failing
from migrationsync.converters.text import held, stripped

_UUID = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}(?:\1[0-9a-f]{4}){2}\1[0-9a-f]{12}", re.IGNORECASE)
_DIGITS = 32
_HYPHENATED = 36


@dataclass(frozen=True)
class UUID(Converter):
    """A UUID: of its own type, as 32 hexadecimal digits with its hyphens or without, or as its
    16 bytes. It goes back with hyphens where a text has room for them."""

    reads = frozenset({Family.UUID, Family.TEXT, Family.BINARY})
    makes = Family.UUID
    fits = (models.UUIDField,)

    def convert(self, value: Any) -> uuid.UUID | None:
        if isinstance(value, uuid.UUID):
            return value
        if isinstance(value, bytes | bytearray | memoryview) and len(value) == 16:
            return uuid.UUID(bytes=bytes(value))
        text = stripped(value)
        if not text:
            return None
        # Python's own reading takes hyphens anywhere.
        if not _UUID.fullmatch(text):
            raise ConversionError(text, "is no UUID")
        return uuid.UUID(text)

    def sql(self, expression: str, column: SourceColumn) -> str | None:
        return expression if column.family is Family.UUID else None

    def inverse(self, value: Any, column: SourceColumn) -> Any:
        if column.family is Family.UUID:
            return str(value)
        room = column.length or _HYPHENATED
        # A binary of 32 or 36 bytes has it as a text.
        if column.family is Family.BINARY and column.length not in (_DIGITS, _HYPHENATED):
            if room < 16:
                raise ConversionError(value, f"is longer than the {room} bytes of the source")
            return value.bytes
        return held(str(value) if room >= _HYPHENATED else value.hex, column)


@dataclass(frozen=True)
class Binary(Converter):
    """Bytes as they are; none at all are no null. `max_length` is the field's own, unless given."""

    max_length: int | None = None

    reads = frozenset({Family.BINARY})
    makes = Family.BINARY
    fits = (models.BinaryField,)

    def convert(self, value: Any) -> bytes:
        # SQLite has texts in any column.
        if not isinstance(value, bytes | bytearray | memoryview):
            raise ConversionError(value, "is no bytes")
        found = bytes(value)
        if self.max_length is not None and len(found) > self.max_length:
            raise ConversionError(found, f"is longer than {self.max_length} bytes")
        return found

    def sql(self, expression: str, column: SourceColumn) -> str | None:
        if column.family is not Family.BINARY:
            return None
        if self.max_length is None:
            return expression
        refused = failing(f"substring({expression} for 30)", "bytea")
        return (
            f"CASE WHEN octet_length({expression}) > {self.max_length} "
            f"THEN {refused} ELSE {expression} END"
        )

    def inverse(self, value: Any, column: SourceColumn) -> Any:
        found = bytes(value)
        if column.length is not None and len(found) > column.length:
            raise ConversionError(found, f"is longer than the {column.length} bytes of the source")
        return found

    def fitted(self, field: models.Field[Any, Any]) -> Self:
        if self.max_length is not None:
            return self
        return dataclasses.replace(self, max_length=field.max_length)

    def misdeclared(self) -> str:
        return (
            "" if self.max_length is None or self.max_length > 0 else "max_length must be above 0"
        )


@dataclass(frozen=True)
class IPAddress(Converter):
    """An address of the Internet Protocol: as a text, as its 4 or 16 bytes, or of version 4 as
    its number. One of version 4 in an address of version 6 (::ffff:10.0.0.1) is the same to a
    comparison.

    `protocol` ("ipv4", "ipv6" or "both") and `unpack_ipv4` (::ffff:10.0.0.1 is 10.0.0.1) are the
    field's own, unless given.
    """

    protocol: str = ""
    unpack_ipv4: bool | None = None

    reads = frozenset({Family.ADDRESS, Family.TEXT, Family.BINARY, Family.INTEGER})
    makes = Family.ADDRESS
    fits = (models.GenericIPAddressField,)

    def convert(self, value: Any) -> str | None:
        if isinstance(value, bytes | bytearray | memoryview) and len(value) in (4, 16):
            value = bytes(value)
        elif isinstance(value, bool) or not isinstance(value, int):
            value = stripped(value)
            if not value:
                return None
        try:
            # A number beyond version 4's would be taken for one of version 6.
            is_number = isinstance(value, int)
            found = ipaddress.IPv4Address(value) if is_number else ipaddress.ip_address(value)
        except ValueError as error:
            raise ConversionError(value, "is no IP address") from error
        if isinstance(found, ipaddress.IPv6Address):
            if found.scope_id:
                raise ConversionError(value, "names an interface, which the target can't store")
            is_unpacked = self.unpack_ipv4 or self.protocol == "ipv4"
            if is_unpacked and found.ipv4_mapped:
                found = found.ipv4_mapped
        if self.protocol in ("ipv4", "ipv6") and self.protocol != f"ipv{found.version}":
            raise ConversionError(value, f"is no address of {self.protocol}, which the target is")
        return str(found)

    def inverse(self, value: Any, column: SourceColumn) -> Any:
        found = ipaddress.ip_address(value)
        match column.family:
            case Family.INTEGER:
                if found.version == 6:
                    raise ConversionError(value, "is of version 6, and no number in the source")
                return int(found)
            case Family.BINARY:
                if column.length is not None and len(found.packed) > column.length:
                    raise ConversionError(
                        value, f"is longer than the {column.length} bytes of the source"
                    )
                return found.packed
            case Family.TEXT:
                return held(str(found), column)
        # MariaDB's has addresses of version 6 only, those of version 4 as such.
        is_mapped = found.version == 4 and column.declared == "inet6"
        return f"::ffff:{found}" if is_mapped else str(found)

    def normal(self, value: Any) -> str | None:
        """An address of version 4 is the same as version 6 writes it."""
        found = ipaddress.ip_address(str(value))
        mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
        return super().normal(mapped or found)

    def fitted(self, field: models.Field[Any, Any]) -> Self:
        if not isinstance(field, models.GenericIPAddressField):
            return self
        unpack_ipv4 = field.unpack_ipv4 if self.unpack_ipv4 is None else self.unpack_ipv4
        return dataclasses.replace(
            self, protocol=self.protocol or field.protocol.lower(), unpack_ipv4=unpack_ipv4
        )

    def misdeclared(self) -> str:
        known = ("", "both", "ipv4", "ipv6")
        return "" if self.protocol in known else "protocol is “ipv4”, “ipv6” or “both”"
