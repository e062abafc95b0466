"""Payloads, where the engine has no serialisation of its own: strict JSON."""

from __future__ import annotations

import json
from typing import Any, Final

from dyrygent_core.codec.json_text import check_keys, parse
from dyrygent_core.errors import EncodingError

__all__ = ["JSON_VALUES", "JsonValues"]


_ENCODER: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":"), ensure_ascii=False)


class JsonValues:
    """The plain `ValueCodec`: strict JSON in UTF-8. Tuples come back as lists, keys as str, NaN is refused."""

    def encode(self, value: Any) -> bytes:  # a payload
        """Write a value down.

        Raises `EncodingError` naming the type that JSON does not know, or the key that would be there twice.
        """
        try:
            text = _ENCODER.encode(value)
            check_keys(text)
            return text.encode()
        except (TypeError, ValueError, RecursionError) as problem:
            message = f"this cannot be written as JSON: {problem}; pass str, int, float, bool, None, lists and dicts"
            raise EncodingError(message) from problem

    def decode(self, data: bytes) -> Any:  # a payload
        """Read a value back; raises `UnsupportedVersionError` for what no release wrote, such as NaN."""
        return parse(data, "this value")


JSON_VALUES: Final = JsonValues()
