"""Versioned JSON: what every other file here is written with. Strict: UTF-8, no NaN, no infinity, no key twice."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NoReturn, cast

from dyrygent_core.errors import EncodingError, UnsupportedVersionError, quoted

__all__ = ["FORMAT", "MALFORMED", "check_keys", "check_version", "dumps", "loads", "loads_line", "malformed", "parse"]

FORMAT: Final = 1
_ENCODER: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def dumps(fields: Mapping[str, Any]) -> str:
    """Write fields as JSON; raises `EncodingError`."""
    try:
        text = _ENCODER.encode(fields)
        check_keys(text)
    except (TypeError, ValueError, RecursionError) as problem:
        message = f"this cannot be written as JSON: {problem}"
        raise EncodingError(message) from problem
    return text


def check_keys(text: str) -> None:
    """Raise `ValueError` for a mapping just written that has one key twice: 1 and "1" are one text in JSON.

    Cost: a third of what writing it took; that of reading it back too where some key may have been a number.
    """
    if _WAS_NO_TEXT.search(text):
        json.loads(text, object_pairs_hook=_check_pairs)


_WAS_NO_TEXT: Final = re.compile(r'"(?:-?[0-9][^"]*|true|false|null)":')
"""A key that may have been a number, a bool or None; without one, no two keys have become the same."""


def _check_pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        message = f"a mapping has two keys that are both {quoted(name)} in JSON, and one value would be lost"
        raise ValueError(message)
    return fields


def loads(data: str | bytes, what: str) -> dict[str, object]:
    """Read fields of this format; raises `UnsupportedVersionError`, naming `what` it was."""
    return _fields_of(_parsed(data, what, _EACH_KEY_ONCE), what)


def loads_line(data: str | bytes, what: str) -> dict[str, object]:
    """Read the same, faster where it is short: most lines have no more colons than fields, so no key twice."""
    fields = _fields_of(parse(data, what), what)
    colons = data.count(":") if isinstance(data, str) else data.count(b":")
    return fields if colons == len(fields) else loads(data, what)


def _fields_of(written: object, what: str) -> dict[str, object]:
    fields = cast("dict[str, object]", written) if isinstance(written, dict) else {}
    check_version(fields.get("v"), what)
    return fields


def parse(data: str | bytes, what: str) -> Any:  # a payload
    """Read any value; raises `UnsupportedVersionError` for what is not strict JSON, naming `what` it was.

    Of a key that stands twice the last counts: to look for them takes a third of the time again, and writers refuse.
    """
    return _parsed(data, what, _STRICT)


def _parsed(data: str | bytes, what: str, decoder: json.JSONDecoder) -> Any:  # a payload
    try:
        text = (data if isinstance(data, str) else str(data, "utf-8")).strip(_BLANKS)
        value, end = decoder.raw_decode(text)  # `decode` takes twice as long, to look for blanks
    except (ValueError, RecursionError) as problem:
        message = f"{what} is not JSON: {problem}"
        raise UnsupportedVersionError(message) from None
    if end < len(text):
        message = f"{what} is not JSON: something follows at character {end}"
        raise UnsupportedVersionError(message)
    return value


def _refuse(constant: str) -> NoReturn:
    message = f"there is no {constant}"
    raise ValueError(message)


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        message = "a number is out of range"
        raise ValueError(message)
    return number


_BLANKS: Final = " \t\n\r"
_STRICT: Final = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
_EACH_KEY_ONCE: Final = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_check_pairs)


MALFORMED: Final = (LookupError, TypeError, ValueError, AttributeError, OverflowError)
"""What reading raises where something else stands than this release would write."""


def malformed(what: str, problem: Exception) -> UnsupportedVersionError:
    """Say that something is of this format, but not as this release writes it."""
    return UnsupportedVersionError(
        f"{what} is of format {FORMAT} but not as this release writes it ({type(problem).__name__}: {problem}); "
        f"another program or a newer release wrote it"
    )


def check_version(version: object, what: str) -> None:
    """Raise `UnsupportedVersionError` for any other format."""
    if type(version) is not int or version != FORMAT:  # and `True` is equal to it
        message = f"{what} is written in format {quoted(repr(version))}; this release reads format {FORMAT}"
        raise UnsupportedVersionError(message)
