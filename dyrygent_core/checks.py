"""What a value from outside must be: the checks that constructors share, and the words in which they refuse.

A limit is compared before anything is copied. A message has the value that was given, shown safely.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sized
from enum import Enum
from itertools import islice
from typing import Any, Final, TypeVar, cast

import attrs

from dyrygent_core.errors import LimitError, UsageError, quoted

__all__ = [
    "MAX_ID_CHARACTERS",
    "MAX_WHOLE",
    "check_id",
    "check_int",
    "check_text",
    "check_whole",
    "instance",
    "is_key",
    "items_of",
    "named",
    "number",
    "shown",
    "text",
    "whole",
]

MAX_ID_CHARACTERS: Final = 255
MAX_WHOLE: Final = 2**53 - 1
"""Largest whole number in a policy: the largest that every reader of JSON keeps exactly (RFC 8259, section 6)."""

_LONGEST_SHOWN: Final = 80

_Member = TypeVar("_Member", bound=Enum)


def shown(value: object) -> str:
    """Show a foreign value in a message: on one line, cut to a readable length."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # the value's own; and an int may have too many digits, a list too many levels
        return f"{_article(type(value).__name__)} that cannot be shown"
    if not text.isprintable():
        text = ascii(text)[1:-1]
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiouAEIOU' else 'a'} {noun}"


def named(kind: type[_Member], what: str, value: object) -> _Member:
    """Return a member of an enumeration, which may be given by its value; raises `UsageError`."""
    if isinstance(value, kind):
        return value
    try:
        return kind(value)
    except ValueError:
        names = ", ".join(repr(member.value) for member in kind)
        message = f"{what} {shown(value)} is none of {names}"
        raise UsageError(message) from None


def check_id(value: object, what: str = "an id") -> str:
    """Return `value` if it may be an id: 1 to 255 characters of any text but NUL and lone surrogates.

    Raises `UsageError` otherwise. PostgreSQL cannot store the one, UTF-8 cannot write the other.
    """
    check_text(what, value)
    assert isinstance(value, str)
    if not 1 <= len(value) <= MAX_ID_CHARACTERS:
        message = f"{what} must have 1 to {MAX_ID_CHARACTERS} characters; {quoted(value)} has {len(value)}"
        raise UsageError(message)
    if "\0" in value or not _is_utf_8(value):
        message = f"{what} must not contain NUL or a lone surrogate: {quoted(value)}"
        raise UsageError(message)
    return value


def _is_utf_8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_text(what: str, value: object) -> None:
    """Raise `UsageError` unless `value` is text."""
    if not isinstance(value, str):
        message = f"{what} must be a str, not {type(value).__name__}: {shown(value)}"
        raise UsageError(message)


def check_int(what: str, value: object) -> None:
    """Raise `UsageError` unless `value` is a whole number; what is true or false is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        message = f"{what} must be a whole number, not {type(value).__name__}: {shown(value)}"
        raise UsageError(message)


def check_whole(what: str, value: object, least: int) -> None:
    """Raise `UsageError` unless `value` is a whole number from `least` to `MAX_WHOLE`."""
    check_int(what, value)
    assert isinstance(value, int)
    if value > MAX_WHOLE:
        message = f"{what} must be at most {MAX_WHOLE}, not {shown(value)}"
        raise UsageError(message)
    if value < least:
        message = f"{what} must be at least {least}, not {shown(value)}"
        raise UsageError(message)


def is_key(value: object) -> bool:
    """Tell whether this picks a part of a result: text, or a whole number that JSON keeps."""
    return isinstance(value, str) or (
        isinstance(value, int) and not isinstance(value, bool) and -MAX_WHOLE <= value <= MAX_WHOLE
    )


def items_of(what: str, value: Any, items: str, most: int, repair: str = "") -> tuple[Any, ...]:
    """Return a sequence as a tuple; raises `UsageError` for what is none, and `LimitError` for too long a one.

    `items` says what it is a sequence of. A text is refused, since its letters are hardly meant, and a mapping, since
    its values would be lost.
    """
    if _is_single(value):
        hint = "" if value is None or _is_mapping(value) else f"; write [{shown(value)}]"
        message = f"{what} must be a sequence of {items}, not {type(value).__name__}{hint}"
        raise UsageError(message)
    size = _size(value)
    if size is None or size <= most:
        found: tuple[Any, ...] = tuple(islice(value, most + 1))
        if len(found) <= most:
            return found
    told = "more" if size is None else f"{size:,}"
    message = f"{what} has at most {most:,} {items}, this one {told}{repair}"
    raise LimitError(message)


def _is_single(value: object) -> bool:
    return isinstance(value, str | bytes) or _is_mapping(value) or not isinstance(value, Iterable)


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _size(value: object) -> int | None:
    return len(value) if isinstance(value, Sized) else None


_Validator = Callable[[object, "attrs.Attribute[Any]", Any], None]


def text() -> _Validator:
    """Return a validator for a field that is text."""
    return lambda _, attribute, value: check_text(attribute.name, value)


def whole(least: int) -> _Validator:
    """Return a validator for a field that is a whole number from `least` on."""
    return lambda _, attribute, value: check_whole(attribute.name, value, least)


def number(least: int, most: int) -> _Validator:
    """Return a validator for a field that is a number in a range."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not least <= cast("float", value) <= most:  # which NaN is not either
            message = f"{attribute.name} must be a number from {least} to {most}, not {shown(value)}"
            raise UsageError(message)

    return check


def instance(kind: type[Any], repair: str) -> _Validator:
    """Return a validator for a field of one class; `repair` says what to write."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, kind):
            message = f"{attribute.name} must be {repair}, not {type(value).__name__}: {shown(value)}"
            raise UsageError(message)

    return check
