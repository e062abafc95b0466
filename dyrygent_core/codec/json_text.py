"""Versioned JSON: what every other file here is written with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from dyrygent_core.errors import EncodingError, UnsupportedVersionError, quoted

__all__ = ["FORMAT", "MALFORMED", "check_version", "dumps", "loads", "malformed"]

FORMAT: Final = 1


def dumps(fields: Mapping[str, Any]) -> str:
    """Write fields as JSON; raises `EncodingError`."""
    try:
        return json.dumps(fields, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as problem:
        message = f"this cannot be written as JSON: {problem}"
        raise EncodingError(message) from problem


def loads(data: str | bytes, what: str) -> dict[str, Any]:
    """Read fields of this format; raises `UnsupportedVersionError`, naming `what` it was."""
    try:
        written: Any = json.loads(data)
    except (ValueError, RecursionError):
        message = f"{what} is not JSON"
        raise UnsupportedVersionError(message) from None
    fields = cast("dict[str, Any]", written) if isinstance(written, dict) else {}
    check_version(fields.get("v"), what)
    return fields


MALFORMED: Final = (LookupError, TypeError, ValueError, OverflowError)
"""What reading raises where something else stands than this release would write."""


def malformed(what: str, problem: Exception) -> UnsupportedVersionError:
    """Say that something is of this format, but not as this release writes it."""
    return UnsupportedVersionError(
        f"{what} is of format {FORMAT} but not as this release writes it ({type(problem).__name__}: {problem}); "
        f"another program or a newer release wrote it"
    )


def check_version(version: object, what: str) -> None:
    """Raise `UnsupportedVersionError` for any other format."""
    if version != FORMAT:
        message = f"{what} is written in format {quoted(repr(version))}; this release reads format {FORMAT}"
        raise UnsupportedVersionError(message)
