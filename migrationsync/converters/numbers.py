"""Numbers, and yes or no."""

from __future__ import annotations

import dataclasses
import decimal
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from django.db import models
from django.db.backends.base.operations import BaseDatabaseOperations

from migrationsync import normal
from migrationsync.columns import Family, SourceColumn
from migrationsync.converters.base import ConversionError, Converter, failing
from migrationsync.converters.text import BLANKS

# More than any field holds.
MOST_DIGITS = 1000
_ROUNDING = decimal.Context(prec=2 * MOST_DIGITS, rounding=decimal.ROUND_HALF_UP)

_NUMBERS = frozenset({Family.INTEGER, Family.DECIMAL, Family.FLOAT, Family.TEXT})


def _exact(value: Any) -> decimal.Decimal | None:
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
            number = _exact(value)
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

    def fitted(self, field: models.Field[Any, Any]) -> Self:
        least, most = BaseDatabaseOperations.integer_field_ranges[field.get_internal_type()]
        return dataclasses.replace(
            self,
            least=least if self.least is None else self.least,
            most=most if self.most is None else self.most,
        )


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
        number = _exact(value)
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


TRUE = ("1", "t", "true", "y", "yes", "on")
FALSE = ("0", "f", "false", "n", "no", "off")


@dataclass(frozen=True)
class Boolean(Converter):
    """Yes or no, from what legacy schemas have for it: 0/1, Y/N, t/f, yes/no, on/off, a bit."""

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
