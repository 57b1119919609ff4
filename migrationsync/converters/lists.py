"""Lists: PostgreSQL's arrays, JSON's, and those that a text holds."""

from __future__ import annotations

import dataclasses
import decimal
import json
from dataclasses import dataclass
from typing import Any, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models

from migrationsync.columns import Family, SourceColumn
from migrationsync.converters.base import ConversionError, Converter
from migrationsync.converters.fields import of_one
from migrationsync.converters.text import held, stripped

# What an item is in JSON; all else is a text there.
_IN_JSON = {
    Family.INTEGER: Family.INTEGER,
    Family.BOOLEAN: Family.BOOLEAN,
    Family.FLOAT: Family.FLOAT,
    Family.DECIMAL: Family.FLOAT,
}


@dataclass(frozen=True)
class Array(Converter):
    """A list, from PostgreSQL's array, from JSON (a column of its own type, or a text), or with
    `separator` from a text: Array(separator=",") reads “a,b”.

    `item` reads each; unless given it is the usual one of the field's items. A null among them
    stays one; of nothing but blanks an item of text is '', any other null. A blank text and JSON's
    null are no list at all.
    """

    item: Converter | None = None
    separator: str = ""

    reads = frozenset({Family.ARRAY, Family.JSON, Family.TEXT})
    makes = Family.ARRAY
    fits = (ArrayField,)

    def __post_init__(self) -> None:
        if self.separator:
            object.__setattr__(self, "reads", frozenset({Family.TEXT}))

    @property
    def _item(self) -> Converter:
        if self.item is None:
            raise TypeError("Array(item): it isn't known what its items are")
        return self.item

    def convert(self, value: Any) -> list[Any] | None:
        if not isinstance(value, list | tuple):
            value = self._items(value)
        return None if value is None else [self._one(*each) for each in enumerate(value, 1)]

    def _items(self, value: Any) -> list[Any] | None:
        text = stripped(value)
        if not text:
            return None
        if self.separator:
            return text.split(self.separator)
        try:
            # A number as it is written: a float has fewer digits.
            found = json.loads(text, parse_float=decimal.Decimal)
        except (ValueError, RecursionError) as error:
            raise ConversionError(text, f"is no JSON: {error}") from error
        if not isinstance(found, list | None):
            raise ConversionError(text, "is no list")
        return found

    def _one(self, number: int, item: Any) -> Any:
        if item is None:
            return None
        try:
            found = self._item.convert(item)
        except ConversionError as error:
            raise ConversionError(item, f"(item {number}) {error.why}") from error
        return "" if found is None and self._item.makes is Family.TEXT else found

    def one_way(self, column: SourceColumn | None = None) -> str:
        if isinstance(self._item, Array):
            return self._item.one_way(column)
        return self._item.one_way(column and self._column(column))

    def inverse(self, value: Any, column: SourceColumn) -> Any:
        items = self._back(value, column)
        if column.family is Family.ARRAY:
            return items
        if self.separator:
            return held(self.separator.join("" if each is None else each for each in items), column)
        return held(json.dumps(items, ensure_ascii=False), column)

    def _back(self, value: Any, column: SourceColumn) -> list[Any]:
        if isinstance(self._item, Array):
            return [None if each is None else self._item._back(each, column) for each in value]
        of_items = self._column(column)
        return [
            # '' is no item that a converter makes, see `_one`.
            each if each in (None, "") else self._item.inverse(each, of_items)
            for each in value
        ]

    def _column(self, column: SourceColumn) -> SourceColumn:
        """What an item is in such a column."""
        family = column.items
        if column.family is not Family.ARRAY and not self.separator:
            family = _IN_JSON.get(self._item.makes)
        return SourceColumn(column.name, family or Family.TEXT, column.declared)

    def fitted(self, field: models.Field[Any, Any]) -> Self:
        if not isinstance(field, ArrayField):
            return self
        of_items = field.base_field
        item = self.item
        if item is None:
            item = Array.of(of_items) if isinstance(of_items, ArrayField) else of_one(of_items)
        return dataclasses.replace(self, item=item and item.fitted(of_items))

    @classmethod
    def of(cls, field: ArrayField[Any, Any]) -> Self | None:
        """The usual one for such a field; None where its items have none."""
        fitted = cls().fitted(field)
        return fitted if fitted.item is not None else None

    def misfit(self, field: models.Field[Any, Any]) -> str:
        if not isinstance(field, ArrayField):
            return super().misfit(field)
        item = self.fitted(field).item
        of_items = field.base_field
        if item is None:
            return f"doesn't know how to read a {type(of_items).__name__}: say Array(item)"
        return (why := item.misfit(of_items)) and f"is of {type(item).__name__}, which {why}"

    def misdeclared(self) -> str:
        item = self.item
        if item is not None and not isinstance(item, Converter):
            return "its item is no converter; make one, with parentheses: Array(Text())"
        if item is not None and item.makes is Family.JSON:
            return "a list of JSON is a JSONField's, with Json()"
        if self.separator and isinstance(item, Array):
            return "a text with a separator holds no lists of lists"
        return item.misdeclared() if item is not None else ""

    def normal(self, value: Any) -> str | None:
        items = [None if each is None else self._item.normal(each) for each in value]
        return json.dumps(items, ensure_ascii=False)
