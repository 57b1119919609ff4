"""Numbers, and yes or no."""

from __future__ import annotations

import dataclasses
import decimal
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from django.db import models
from django.db.backends.base.operations import BaseDatabaseOperations

from migrationsync import normal
from migrationsync.columns import Family, SourceColumn
from migrationsync.converters.base import ConversionError, Converter, failing
from migrationsync.converters.text import BLANKS, held

# More than any field holds.
MOST_DIGITS = 1000
_ROUNDING = decimal.Context(prec=2 * MOST_DIGITS, rounding=decimal.ROUND_HALF_UP)

_NUMBERS = frozenset({Family.INTEGER, Family.DECIMAL, Family.FLOAT, Family.TEXT})


def exact(value: Any) -> decimal.Decimal | None:
    """A number of any kind as a decimal; None for a blank text."""
    if isinstance(value, str):
        value = value.strip(BLANKS)
        if not value:
            return None
    try:
        # A float is the decimal that it is written as, not its binary neighbour.
        number = decimal.Decimal(repr(value) if isinstance(value, float) else value)
    except (decimal.InvalidOperation, TypeError, ValueError) as error:
        raise ConversionError(value, "is no number") from error
    if not number.is_finite():
        raise ConversionError(value, "is no finite number")
    return number


def with_places(number: decimal.Decimal, column: SourceColumn) -> decimal.Decimal:
    """A decimal as `column` holds it. Raises ConversionError: it has more places."""
    if column.places is not None:
        room = number.quantize(decimal.Decimal(1).scaleb(-column.places), context=_ROUNDING)
        if room != number:
            raise ConversionError(
                number, f"has more than the {column.places} decimal places of the source"
            )
    return number


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise ConversionError(value, "is beyond what the source's floats can hold") from error


@dataclass(frozen=True)
class Integer(Converter):
    """A whole number. 3.0 is one, 3.5 is refused; so is what the field has no room for."""

    least: int | None = None
    most: int | None = None

    reads = _NUMBERS | {Family.BOOLEAN}
    makes = Family.INTEGER
    fits = (models.IntegerField,)

    def convert(self, value: Any) -> int | None:
        if type(value) is not int:
            number = exact(value)
            if number is None:
                return None
            if abs(number.adjusted()) > 40 or number != number.to_integral_value():
                raise ConversionError(value, "is no whole number")
            value = int(number)
        if self.least is not None and value < self.least:
            raise ConversionError(value, f"is below {self.least}, the least the target can hold")
        if self.most is not None and value > self.most:
            raise ConversionError(value, f"is above {self.most}, the most the target can hold")
        return int(value)

    def sql(self, expression: str, column: SourceColumn) -> str | None:
        if column.family is not Family.INTEGER:
            return None
        limits = [f"{expression} < {self.least}"] if self.least is not None else []
        if self.most is not None:
            limits.append(f"{expression} > {self.most}")
        if not limits:
            return expression
        refused = failing(expression, "bigint")
        return f"CASE WHEN {' OR '.join(limits)} THEN {refused} ELSE {expression} END"

    def inverse(self, value: Any, column: SourceColumn) -> Any:
        match column.family:
            case Family.TEXT:
                return held(str(value), column)
            case Family.DECIMAL:
                return decimal.Decimal(value)
            case Family.FLOAT:
                return _float(value)
            case Family.BOOLEAN:
                return bool(value)
        return value

    def fitted(self, field: models.Field[Any, Any]) -> Self:
        least, most = BaseDatabaseOperations.integer_field_ranges[field.get_internal_type()]
        return dataclasses.replace(
            self,
            least=least if self.least is None else self.least,
            most=most if self.most is None else self.most,
        )


@dataclass(frozen=True)
class Key(Integer):
    """A legacy key. `null_as` is what the source has where there is none, besides its null."""

    null_as: int | None = None

    def convert(self, value: Any) -> int | None:
        key = super().convert(value)
        return None if key == self.null_as else key

    def sql(self, expression: str, column: SourceColumn) -> str | None:
        key = super().sql(expression, column)
        return key if key is None or self.null_as is None else f"nullif({key}, {self.null_as})"

    def nothing(self, column: SourceColumn) -> Any:
        if self.null_as is None:
            return super().nothing(column)
        return self.inverse(self.null_as, column)


@dataclass(frozen=True)
class Decimal(Converter):
    """A decimal number. Places and digits are the field's own, unless given.

    More places than that are refused where they aren't zeros, or rounded (half away from
    zero) with `rounded=True`. Floats are always rounded: their last places are noise.
    """

    places: int | None = None
    digits: int | None = None
    rounded: bool = False

    reads = _NUMBERS
    makes = Family.DECIMAL
    fits = (models.DecimalField,)

    def convert(self, value: Any) -> decimal.Decimal | None:
        number = exact(value)
        if number is None or self.places is None:
            return number
        if number.adjusted() > MOST_DIGITS:
            raise ConversionError(value, f"has more than {MOST_DIGITS} digits before the point")
        result = number.quantize(self._unit, context=_ROUNDING)
        if result != number and not (self.rounded or isinstance(value, float)):
            raise ConversionError(value, f"has more than {self.places} decimal places")
        # Of the result: 9.996 has one digit before the point, 10.00 has two.
        if self.digits is not None and abs(result) >= self._bound:
            room = self.digits - self.places
            raise ConversionError(value, f"has more than {room} digits before the point")
        return result if result else abs(result)

    def inverse(self, value: Any, column: SourceColumn) -> Any:
        number = decimal.Decimal(value)
        match column.family:
            case Family.TEXT:
                return held(f"{number:f}", column)
            case Family.FLOAT:
                return _float(number)
            case Family.INTEGER:
                return int(number)
        return with_places(number, column)

    @cached_property
    def _unit(self) -> decimal.Decimal:
        return decimal.Decimal(1).scaleb(-(self.places or 0))

    @cached_property
    def _bound(self) -> int:
        return 10 ** ((self.digits or MOST_DIGITS) - (self.places or 0))

    def sql(self, expression: str, column: SourceColumn) -> str | None:
        if column.family is Family.INTEGER:
            number = f"({expression})::numeric"
        elif column.family is Family.DECIMAL:
            number = expression
        else:
            return None
        if self.places is None:
            return self._finite(number, expression)
        fewer = column.family is Family.INTEGER or (
            column.places is not None and column.places <= self.places
        )
        if not (fewer or self.rounded):
            return None
        result = f"round({number}, {self.places})"
        if self.digits is not None:
            limit = 10 ** (self.digits - self.places)
            # NaN is above every number there is.
            refused = failing(expression, "numeric")
            return f"CASE WHEN abs({result}) >= {limit} THEN {refused} ELSE {result} END"
        return self._finite(result, expression)

    @staticmethod
    def _finite(number: str, expression: str) -> str:
        refused = failing(expression, "numeric")
        unbounded = "('NaN', 'Infinity', '-Infinity')"
        return f"CASE WHEN {number} IN {unbounded} THEN {refused} ELSE {number} END"

    def fitted(self, field: models.Field[Any, Any]) -> Self:
        if not isinstance(field, models.DecimalField):
            return self
        return dataclasses.replace(
            self,
            places=field.decimal_places if self.places is None else self.places,
            digits=field.max_digits if self.digits is None else self.digits,
        )

    def misdeclared(self) -> str:
        return "" if self.places is None or self.places >= 0 else "places must not be below 0"

    def normal(self, value: Any) -> str | None:
        return normal.text(value, self.makes, places=self.places)


@dataclass(frozen=True)
class Float(Converter):
    """A floating-point number, finite. One with more digits than a float keeps is refused, or
    rounded with `rounded=True`."""

    rounded: bool = False

    reads = _NUMBERS
    makes = Family.FLOAT
    fits = (models.FloatField,)

    def convert(self, value: Any) -> float | None:
        if type(value) is float and math.isfinite(value):
            return value or 0.0
        number = exact(value)
        if number is None:
            return None
        result = float(number)
        if math.isinf(result):
            raise ConversionError(value, "is beyond what a float can hold")
        # The float itself, or what it is written as: 0.1 has an endless binary neighbour.
        keeps = number in (decimal.Decimal(repr(result)), decimal.Decimal(result))
        if not (keeps or self.rounded):
            raise ConversionError(value, "has more digits than a float keeps")
        return result or 0.0

    def sql(self, expression: str, column: SourceColumn) -> str | None:
        if column.family not in (Family.INTEGER, Family.DECIMAL, Family.FLOAT):
            return None
        # By way of its text: a float4 is the number that it is written as. Zero has no sign.
        number = f"(({expression})::text::float8 + 0)"
        refused = [f"{expression} IN ('NaN', 'Infinity', '-Infinity')"]
        if column.family is Family.INTEGER:
            refused = []
        if column.family is not Family.FLOAT and not self.rounded:
            refused.append(f"{number}::text::numeric <> {expression}")
        if not refused:
            return number
        whens = " ".join(f"WHEN {each} THEN {failing(expression, 'float8')}" for each in refused)
        return f"CASE {whens} ELSE {number} END"

    def inverse(self, value: Any, column: SourceColumn) -> Any:
        number = decimal.Decimal(repr(value))
        match column.family:
            case Family.TEXT:
                return held(repr(value), column)
            case Family.INTEGER:
                if number != number.to_integral_value():
                    raise ConversionError(value, "is no whole number, which the source wants")
                return int(number)
            case Family.DECIMAL:
                return with_places(number, column)
        return float(value)


TRUE = ("1", "t", "true", "y", "yes", "on")
FALSE = ("0", "f", "false", "n", "no", "off")


@dataclass(frozen=True)
class Boolean(Converter):
    """Yes or no, from what legacy schemas have for it: 0/1, Y/N, t/f, yes/no, on/off, a bit.

    `yes` and `no` are what is written back into a text: Boolean(yes="Y", no="N"). All forms are
    read whatever they are.
    """

    yes: str = ""
    no: str = ""

    reads = frozenset({Family.BOOLEAN, Family.INTEGER, Family.TEXT, Family.BINARY})
    makes = Family.BOOLEAN
    fits = (models.BooleanField,)

    def convert(self, value: Any) -> bool | None:
        if value is True or value is False:
            return bool(value)
        # MySQL's bit(1).
        form = "01"[value[0]] if value in (b"\x00", b"\x01") else value
        form = str(form).strip(BLANKS).lower()
        if form in TRUE:
            return True
        if form in FALSE:
            return False
        if not form:
            return None
        raise ConversionError(value, "is neither yes nor no")

    def sql(self, expression: str, column: SourceColumn) -> str | None:
        if column.family is Family.BOOLEAN:
            return expression
        if column.family is Family.INTEGER:
            # “2” is no boolean, and says so.
            return f"({expression})::text::boolean"
        return None

    def one_way(self, column: SourceColumn | None = None) -> str:
        if column is None or column.family is not Family.TEXT or self.yes:
            return ""
        return "it isn't said how a text has yes and no, such as Boolean(yes=“Y”, no=“N”)"

    def inverse(self, value: Any, column: SourceColumn) -> Any:
        match column.family:
            case Family.TEXT:
                return held(self.yes if value else self.no, column)
            case Family.INTEGER:
                return int(value)
            case Family.BINARY:
                return b"\x01" if value else b"\x00"
        return bool(value)

    def misdeclared(self) -> str:
        if (self.yes or self.no) and not (self.yes.lower() in TRUE and self.no.lower() in FALSE):
            return "yes and no are texts that are read so, such as “Y” and “N”"
        return ""
