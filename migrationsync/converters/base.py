"""What a converter is, and how it refuses.

Writing one's own: subclass `Converter`, say what it reads and what it makes, and give it
`convert`. It must be pure: the same value always becomes the same result.

    @dataclass(frozen=True)
    class Celsius(Converter):
        reads = frozenset({Family.INTEGER, Family.DECIMAL})
        makes = Family.DECIMAL
        fits = (models.DecimalField,)

        def convert(self, value: Any) -> decimal.Decimal:
            return (decimal.Decimal(value) - 32) * 5 / 9

What it makes can go back to the source where it has `inverse` too.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from django.db import models

from migrationsync import normal
from migrationsync.columns import Family, SourceColumn

SHOWN_CHARACTERS = 60
RAISED_CHARACTERS = 200


class ConversionError(Exception):
    """A value that can't be converted: what it is (shortened), why not, and in which column."""

    def __init__(self, value: object, why: str, column: str = "") -> None:
        self.value = shortened(value)
        self.why = why
        self.column = column
        super().__init__(f"{column}: {self.value} {why}" if column else f"{self.value} {why}")

    def at(self, column: str) -> ConversionError:
        error = ConversionError("", self.why, column)
        error.value = self.value
        error.args = (f"{column}: {self.value} {self.why}",)
        return error


def shortened(value: object) -> str:
    """A value as a message shows it. Of a long one only the beginning is formatted."""
    if isinstance(value, str | bytes) and len(value) > SHOWN_CHARACTERS:
        unit = "characters" if isinstance(value, str) else "bytes"
        return f"{value[:SHOWN_CHARACTERS]!r}… ({len(value):,} {unit})"
    text = repr(value) if isinstance(value, str | bytes) else str(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def raised(error: Exception) -> str:
    """What somebody's own code raised, for a message."""
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return said if len(said) <= RAISED_CHARACTERS else f"{said[:RAISED_CHARACTERS]}…"


@dataclass(frozen=True)
class Converter:
    """Turns a source's values into a target field's.

    `reads` are the families of columns that it understands, `makes` the family of what it
    makes, `fits` the classes of fields that take it. It makes what the field has in Python: of an
    ArrayField a list, of a JSONField what JSON has.
    """

    reads: ClassVar[frozenset[Family]]
    makes: ClassVar[Family]
    fits: ClassVar[tuple[type[models.Field[Any, Any]], ...]]

    def __init_subclass__(cls) -> None:
        # Who converts in another way has said nothing yet of how PostgreSQL would.
        if "convert" in vars(cls) and "sql" not in vars(cls):
            cls.sql = Converter.sql  # type: ignore[method-assign]

    def convert(self, value: Any) -> Any:
        """`value` is never None. Answers None for what means nothing; raises ConversionError."""
        raise NotImplementedError

    def sql(self, expression: str, column: SourceColumn) -> str | None:
        """The same in PostgreSQL's SQL, over `expression` of `column`'s type.

        Where `convert` refuses, the statement fails; it never lets a value through that
        `convert` would not. None: only Python can. Percent signs are single: double them in a
        statement that has parameters.
        """
        return None

    def one_way(self, column: SourceColumn | None = None) -> str:
        """Why what it makes can't be written back (into `column`, where that is known), whatever
        it is; empty where it can."""
        has_inverse = type(self).inverse is not Converter.inverse
        return "" if has_inverse else f"{type(self).__name__} has no inverse"

    def back(self, value: Any, column: SourceColumn) -> Any:
        """What to write into `column`, so that `convert` makes `value` of it again.

        `value` is never None. Raises ConversionError where nothing is read as `value`, the column
        has no room for it, or it can't be told which of several to write.
        """
        if why := self.one_way(column):
            raise ConversionError(value, f"can't be written back: {why}")
        written = self.inverse(value, column)
        try:
            again = self.convert(written)
        except ConversionError as error:
            raise ConversionError(
                value, f"can't be written back: read again, it {error.why}"
            ) from (error)
        if again is None or self.normal(again) != self.normal(value):
            raise ConversionError(
                value, f"can't be written back: it would be read again as {shortened(again)}"
            )
        return written

    def inverse(self, value: Any, column: SourceColumn) -> Any:
        """The likely one for `back`, which looks whether it is read as `value` again."""
        raise NotImplementedError

    def nothing(self, column: SourceColumn) -> Any:
        """What to write into `column` where there is nothing: its null, or what is read as one.

        Raises ConversionError where it has neither.
        """
        if column.is_nullable:
            return None
        if column.family is Family.TEXT:
            with contextlib.suppress(ConversionError):
                if self.convert("") is None:
                    return ""
        raise ConversionError(None, "is nothing, but the source requires a value")

    def literal(self, value: Any) -> str:
        """A value that it makes, in PostgreSQL's SQL."""
        if isinstance(value, bytes):
            return f"'\\x{value.hex()}'::bytea"
        return literal(json.dumps(value) if self.makes is Family.JSON else str(value))

    def fitted(self, field: models.Field[Any, Any]) -> Self:
        """This converter with the field's limits, where it was given none."""
        return self

    def misfit(self, field: models.Field[Any, Any]) -> str:
        """Why it isn't for such a field; empty where it is."""
        if isinstance(field, self.fits):
            return ""
        return f"is for {' or '.join(each.__name__ for each in self.fits)}"

    def misdeclared(self) -> str:
        """What is wrong with how it was declared; empty where nothing is."""
        return ""

    def normal(self, value: Any) -> str | None:
        """The normal form of what it makes, see `migrationsync.normal`."""
        return normal.text(value, self.makes)


def literal(text: str) -> str:
    """A text as a literal of standard SQL."""
    return "'" + text.replace("'", "''") + "'"


def failing(expression: str, cast: str) -> str:
    """SQL that fails with the value in its message, and not before a row has reached it."""
    return f"('not to be converted: ' || ({expression})::text)::boolean::text::{cast}"
