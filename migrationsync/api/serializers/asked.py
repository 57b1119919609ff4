"""What a request may say: a field that there isn't is refused, not passed over."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from rest_framework import serializers

InstanceT = TypeVar("InstanceT")
# What the browsable pages send along.
_PASSED_OVER = {"csrfmiddlewaretoken"}


# Base of what is sent: with a misspelt field the rest would be done, and answered as if all had
# been. No docstring: the API's description would have it for each that has none.
class AskedSerializer(serializers.Serializer[InstanceT]):
    def to_internal_value(self, data: Any) -> Any:
        unknown = self._unknown(data) if isinstance(data, Mapping) else {}
        try:
            found = super().to_internal_value(data)
        except serializers.ValidationError as error:
            if unknown and isinstance(error.detail, dict):
                raise serializers.ValidationError({**error.detail, **unknown}) from error
            raise
        if unknown:
            raise serializers.ValidationError(unknown)
        return found

    def _unknown(self, data: Mapping[str, Any]) -> dict[str, list[str]]:
        there = [name for name, field in self.fields.items() if not field.read_only]
        return {
            name: [f"There is no such field to be sent. {_meant(name, there)}"]
            for name in data
            if name not in there and name not in _PASSED_OVER
        }


def _meant(name: str, there: list[str]) -> str:
    near = difflib.get_close_matches(name, there, n=1)
    return f"Did you mean “{near[0]}”?" if near else f"There are: {', '.join(there)}."
