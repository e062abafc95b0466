"""Payloads in Dramatiq's own encoding, so that whatever actors may pass, workflows may pass."""

from __future__ import annotations

from typing import Any

from dramatiq import JSONEncoder, get_encoder

from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.errors import EncodingError, UnsupportedVersionError

__all__ = ["EncoderValues"]


class EncoderValues:
    """The `ValueCodec` of the process's encoder (`dramatiq.set_encoder`): strict JSON unless it is another."""

    def encode(self, value: Any) -> bytes:
        """Write a value; raises `EncodingError` naming the encoder and what it does not know."""
        encoder = get_encoder()
        if type(encoder) is JSONEncoder:
            return JSON_VALUES.encode(value)
        try:
            return encoder.encode(value)
        except Exception as problem:  # an encoder raises what it likes
            message = f"this cannot be written by {type(encoder).__name__}: {problem}"
            raise EncodingError(message) from problem

    def decode(self, data: bytes) -> Any:
        """Read a value back; raises `UnsupportedVersionError` for what the encoder did not write."""
        encoder = get_encoder()
        if type(encoder) is JSONEncoder:
            return JSON_VALUES.decode(data)
        try:
            return encoder.decode(data)
        except Exception as problem:  # an encoder raises what it likes
            message = f"this was not written by {type(encoder).__name__}, or not whole: {problem}"
            raise UnsupportedVersionError(message) from problem
