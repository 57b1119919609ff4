"""Texts: free ones, addresses, numbers to call, codes, and JSON that was stored as text."""

from __future__ import annotations

import dataclasses
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn, Self

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.db import models

from migrationsync.columns import Family, SourceColumn
from migrationsync.converters.base import ConversionError, Converter, failing, literal

# Named one by one, so that Python and PostgreSQL strip the same.
BLANKS = " \t\n\r\v\f\u00a0\u2007\u202f\u3000\ufeff"
_SQL_BLANKS = literal(BLANKS)


def stripped(value: Any) -> str:
    """A text without blanks around it. Raises ConversionError for what PostgreSQL can't store."""
    if isinstance(value, bytes | bytearray | memoryview):
        try:
            value = bytes(value).decode()
        except UnicodeDecodeError as error:
            raise ConversionError(bytes(value), "is no UTF-8 text") from error
    elif not isinstance(value, str):
        value = str(value)
    if "\x00" in value:
        raise ConversionError(value, "holds a NUL character, which PostgreSQL can't store")
    return value.strip(BLANKS)


def held(text: str, column: SourceColumn) -> Any:
    """A text as `column`, of texts or bytes, has it. Raises ConversionError: it is too long."""
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        raise ConversionError(text, "can't be written as UTF-8") from error
    is_binary = column.family is Family.BINARY
    if column.length is not None and len(encoded if is_binary else text) > column.length:
        unit = "bytes" if is_binary else "characters"
        raise ConversionError(text, f"is longer than the {column.length} {unit} of the source")
    return encoded if is_binary else text


def _stripped_sql(expression: str) -> str:
    # An enum is no text to PostgreSQL.
    return f"nullif(btrim(({expression})::text, {_SQL_BLANKS}), '')"


@dataclass(frozen=True)
class Text(Converter):
    """A text without blanks around it; nothing but blanks is null.

    `max_length` is the field's own, unless given. A longer text is refused, or cut to it with
    `cut=True`.
    """

    max_length: int | None = None
    cut: bool = False

    reads = frozenset({Family.TEXT, Family.INTEGER, Family.UUID, Family.BINARY})
    makes = Family.TEXT
    # Of a file, its path: the file itself stays where it is.
    fits = (models.CharField, models.TextField, models.FileField, models.FilePathField)

    def convert(self, value: Any) -> str | None:
        text = stripped(value)
        if self.max_length is not None and len(text) > self.max_length:
            if not self.cut:
                raise ConversionError(text, f"is longer than {self.max_length} characters")
            text = text[: self.max_length].strip(BLANKS)
        return text or None

    def sql(self, expression: str, column: SourceColumn) -> str | None:
        if column.family not in (Family.TEXT, Family.INTEGER, Family.UUID):
            return None
        text = _stripped_sql(expression)
        if self.max_length is None:
            return text
        if self.cut:
            return _stripped_sql(f"left({text}, {self.max_length})")
        # Where it can't be longer, nothing has to be looked at.
        if column.length is not None and column.length <= self.max_length:
            return text
        return (
            f"CASE WHEN char_length({text}) > {self.max_length} "
            f"THEN {failing(f'left({text}, 60)', 'text')} ELSE {text} END"
        )

    def one_way(self, column: SourceColumn | None = None) -> str:
        return "it was cut, and what was left out would be lost" if self.cut else ""

    def inverse(self, value: Any, column: SourceColumn) -> Any:
        if column.family not in (Family.INTEGER, Family.UUID):
            return held(value, column)
        try:
            return int(value) if column.family is Family.INTEGER else str(uuid.UUID(value))
        except ValueError as error:
            raise ConversionError(value, f"is no {column.declared}") from error

    def fitted(self, field: models.Field[Any, Any]) -> Self:
        if self.max_length is not None:
            return self
        return dataclasses.replace(self, max_length=field.max_length)

    def misdeclared(self) -> str:
        return (
            "" if self.max_length is None or self.max_length > 0 else "max_length must be above 0"
        )


_validate_email = EmailValidator()


@dataclass(frozen=True)
class Email(Converter):
    """An e-mail address by Django's rules, in lower case."""

    reads = frozenset({Family.TEXT})
    makes = Family.TEXT
    fits = (models.CharField, models.TextField)

    def convert(self, value: Any) -> str | None:
        address = stripped(value).lower()
        if not address:
            return None
        try:
            _validate_email(address)
        except ValidationError as error:
            raise ConversionError(address, "is no e-mail address") from error
        return address

    def inverse(self, value: Any, column: SourceColumn) -> Any:
        return held(value, column)


_PHONE = re.compile(r"(?P<international>\+|00)?(?P<digits>\d+)")
_PHONE_MARKS = str.maketrans("", "", " -./()\u00a0\u2011\u2013")


@dataclass(frozen=True)
class Phone(Converter):
    """A telephone number in the international form of E.164, such as +493012345678.

    `country` is the calling code of numbers without one, `trunk` what is dialled before a
    number inside that country: Germany is Phone("49"), North America Phone("1", trunk="1").
    """

    country: str
    trunk: str = "0"

    reads = frozenset({Family.TEXT, Family.INTEGER})
    makes = Family.TEXT
    fits = (models.CharField, models.TextField)

    def convert(self, value: Any) -> str | None:
        written = stripped(value)
        if not written:
            return None
        # “(0)” is for who dials inside the country: +49 (0) 30 … is +49 30 …
        found = _PHONE.fullmatch(written.replace("(0)", "").translate(_PHONE_MARKS))
        if found is None:
            raise ConversionError(written, "is no telephone number")
        digits = found["digits"]
        if not found["international"]:
            digits = self.country + digits.removeprefix(self.trunk)
        if not 7 <= len(digits) <= 15:
            raise ConversionError(written, "has too few or too many digits for a telephone number")
        return f"+{digits}"

    def one_way(self, column: SourceColumn | None = None) -> str:
        if column is None or column.family is Family.TEXT:
            return ""
        return f"a {column.declared} has no room for its “+”"

    def inverse(self, value: Any, column: SourceColumn) -> Any:
        return held(value, column)

    def misdeclared(self) -> str:
        good = self.country.isdigit() and (self.trunk.isdigit() or not self.trunk)
        return "" if good else "country and trunk are digits, such as Phone(“49”)"


@dataclass(frozen=True)
class Choice(Converter):
    """A legacy code becomes a choice: Choice({1: "nurse", 2: "doctor"}).

    Codes are compared as texts without blanks around them. A code that isn't named is refused.
    """

    choices: Mapping[str | int, str]

    reads = frozenset({Family.TEXT, Family.INTEGER, Family.BOOLEAN})
    makes = Family.TEXT
    fits = (models.CharField, models.TextField)

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", {str(code): to for code, to in self.choices.items()})

    def convert(self, value: Any) -> str | None:
        code = stripped(int(value) if isinstance(value, bool) else value)
        if not code:
            return None
        try:
            return self.choices[code]
        except KeyError:
            known = ", ".join(map(str, self.choices))
            raise ConversionError(value, f"is none of the known codes ({known})") from None

    def sql(self, expression: str, column: SourceColumn) -> str | None:
        if column.family not in (Family.TEXT, Family.INTEGER):
            return None
        code = _stripped_sql(expression)
        whens = " ".join(
            f"WHEN {literal(str(known))} THEN {literal(to)}" for known, to in self.choices.items()
        )
        return (
            f"CASE WHEN {code} IS NULL THEN NULL "
            f"ELSE CASE {code} {whens} ELSE {failing(expression, 'text')} END END"
        )

    @cached_property
    def _codes(self) -> dict[str, list[str]]:
        """The codes of each choice."""
        codes: dict[str, list[str]] = {}
        for code, to in self.choices.items():
            codes.setdefault(to, []).append(str(code))
        return codes

    def one_way(self, column: SourceColumn | None = None) -> str:
        for to, codes in self._codes.items():
            if len(codes) > 1:
                return f"“{to}” is {' and '.join(codes)}, and it can't be told which to write"
        return ""

    def inverse(self, value: Any, column: SourceColumn) -> Any:
        try:
            [code] = self._codes[value]
        except KeyError:
            known = ", ".join(self._codes)
            raise ConversionError(value, f"has no code in the source ({known} have)") from None
        if column.family is Family.TEXT:
            return held(code, column)
        try:
            return int(code) if column.family is Family.INTEGER else bool(int(code))
        except ValueError as error:
            raise ConversionError(value, f"is “{code}”, which is no {column.declared}") from error

    def misdeclared(self) -> str:
        return "" if self.choices else "it names no codes"


# Behind a backslash that is escaped itself it is a text like any other.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


@dataclass(frozen=True)
class Json(Converter):
    """JSON, from a column of its own type or from text. A blank text and JSON's null are null."""

    reads = frozenset({Family.JSON, Family.TEXT})
    makes = Family.JSON
    fits = (models.JSONField,)

    def convert(self, value: Any) -> Any:
        if isinstance(value, dict | list | bool | int | float):
            return value
        text = stripped(value)
        if not text:
            return None
        if "\\u0000" in text and _NUL.search(text):
            raise ConversionError(text, "holds a NUL character, which PostgreSQL can't store")
        try:
            return json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ConversionError(text, f"is no JSON: {error}") from error

    def document(self, value: Any) -> str | None:
        """What `convert` was given, as the text that PostgreSQL can read itself, with all digits
        of its numbers. None where it was no text, or a subclass reads it in a way of its own."""
        if type(self).convert is not Json.convert or not isinstance(value, str | bytes):
            return None
        return stripped(value)

    def sql(self, expression: str, column: SourceColumn) -> str | None:
        if column.family is not Family.JSON:
            return None
        return f"nullif(({expression})::jsonb, 'null'::jsonb)"

    def inverse(self, value: Any, column: SourceColumn) -> Any:
        try:
            return held(json.dumps(value, ensure_ascii=False, allow_nan=False), column)
        except (TypeError, ValueError) as error:
            raise ConversionError(value, f"is no JSON: {error}") from error
