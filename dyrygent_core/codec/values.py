"""Payloads, where the engine has no serialisation of its own: strict JSON."""

from __future__ import annotations

import json
from typing import Any, Final

from dyrygent_core.errors import EncodingError

__all__ = ["JSON_VALUES", "JsonValues"]


class JsonValues:
    """The plain `ValueCodec`: strict JSON in UTF-8. Tuples come back as lists, keys as str, NaN is refused."""

    def encode(self, value: Any) -> bytes:  # a payload
        """Write a value down; raises `EncodingError` naming the type that JSON does not know."""
        try:
            return json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode()
        except (TypeError, ValueError, RecursionError) as problem:
            message = f"this cannot be written as JSON: {problem}; pass str, int, float, bool, None, lists and dicts"
            raise EncodingError(message) from problem

    def decode(self, data: bytes) -> Any:  # a payload
        """Read a value back."""
        return json.loads(data)


JSON_VALUES: Final = JsonValues()
