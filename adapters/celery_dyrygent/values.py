"""Payloads in the app's own serialisation, so that whatever its tasks may pass, workflows may pass."""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import serialization
from kombu.exceptions import KombuError

from dyrygent_core.errors import EncodingError, UnsupportedVersionError

__all__ = ["KombuValues"]


class KombuValues:
    """The `ValueCodec` of an app: kombu, with the app's `result_serializer`."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def encode(self, value: Any) -> bytes:
        """Write a value; raises `EncodingError` naming the serialiser and what it does not know."""
        name = self._app.conf.result_serializer
        try:
            _, _, data = serialization.dumps(value, serializer=name)
        except (KombuError, TypeError, ValueError, RecursionError) as problem:
            message = f"this cannot be written by the serializer {name!r}: {problem}"
            raise EncodingError(message) from problem
        return data.encode() if isinstance(data, str) else bytes(data)

    def decode(self, data: bytes) -> Any:
        """Read a value back; raises `UnsupportedVersionError` for what the app's serialiser did not write."""
        name = self._app.conf.result_serializer
        content_type, encoding, _ = serialization.dumps(None, serializer=name)
        if not data:  # which kombu gives back as it is
            message = f"this was not written by the serializer {name!r}: it is empty"
            raise UnsupportedVersionError(message)
        try:
            return serialization.loads(data, content_type, encoding, accept={content_type})
        except (KombuError, TypeError, ValueError, RecursionError) as problem:
            message = f"this was not written by the serializer {name!r}, or not whole: {problem}"
            raise UnsupportedVersionError(message) from problem
