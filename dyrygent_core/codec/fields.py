"""Typed fields: what each value that was written must be, and the words in which it is refused.

Each function here reads one value and raises `ValueError` for one of another type; a field that is not there at all is
a `KeyError`. Whether values fit together is decided by whoever reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeAlias, TypeVar, cast, overload

from dyrygent_core.checks import shown
from dyrygent_core.errors import quoted

__all__ = [
    "LIST",
    "Fields",
    "all_of",
    "check_known",
    "flag",
    "known",
    "listed",
    "mapped",
    "odd",
    "row",
    "text",
    "texts",
    "unique",
    "whole",
    "wholes",
]

Fields: TypeAlias = Mapping[str, object]
"""A mapping as it was written."""
LIST: Final[type[list[object]]] = list
"""For `row`: a list of anything."""

_A = TypeVar("_A")
_B = TypeVar("_B")
_C = TypeVar("_C")
_D = TypeVar("_D")
_E = TypeVar("_E")


# A field by its name


def text(fields: Fields, name: str) -> str:
    """Read a text."""
    value = fields[name]
    if not isinstance(value, str):
        raise odd(name, "a str", value)
    return value


def whole(fields: Fields, name: str, least: int | None = None) -> int:
    """Read a whole number, from `least` on."""
    value = fields[name]
    if not isinstance(value, int) or isinstance(value, bool):
        raise odd(name, "a whole number", value)
    if least is not None and value < least:
        raise odd(name, f"{least} or more", value)
    return value


def flag(fields: Fields, name: str) -> bool:
    """Read what is true or false."""
    value = fields[name]
    if not isinstance(value, bool):
        raise odd(name, "true or false", value)
    return value


def texts(fields: Fields, name: str) -> tuple[str, ...]:
    """Read a list of texts."""
    return all_of(str, fields[name], name)


def wholes(fields: Fields, name: str) -> tuple[int, ...]:
    """Read a list of whole numbers."""
    return all_of(int, fields[name], name)


def all_of(kind: type[_A], value: object, what: str) -> tuple[_A, ...]:
    """Read a list of values of one type."""
    items = listed(value, what)
    if not {kind}.issuperset(map(type, items)) and not all(_is_a(kind, item) for item in items):
        raise odd(what, f"a list of {kind.__name__}", value)
    return cast("tuple[_A, ...]", tuple(items))


# Any value


def listed(value: object, what: str) -> list[object]:
    """Read a list of anything."""
    if not isinstance(value, list):
        raise odd(what, "a list", value)
    return cast("list[object]", value)


def mapped(value: object, what: str) -> dict[str, object]:
    """Read a mapping from texts to anything."""
    if not isinstance(value, dict):
        raise odd(what, "a mapping", value)
    return cast("dict[str, object]", value)


@overload
def row(value: object, what: str, a: type[_A], b: type[_B], /) -> tuple[_A, _B]: ...
@overload
def row(value: object, what: str, a: type[_A], b: type[_B], c: type[_C], /) -> tuple[_A, _B, _C]: ...
@overload
def row(value: object, what: str, a: type[_A], b: type[_B], c: type[_C], d: type[_D], /) -> tuple[_A, _B, _C, _D]: ...
@overload
def row(
    value: object, what: str, a: type[_A], b: type[_B], c: type[_C], d: type[_D], e: type[_E], /
) -> tuple[_A, _B, _C, _D, _E]: ...
def row(value: object, what: str, *kinds: type[object]) -> tuple[Any, ...]:
    """Read a list of so many values, each of its own type."""
    items = tuple(listed(value, what))
    if tuple(map(type, items)) != kinds and not _is_row(items, kinds):
        raise odd(what, f"[{', '.join(kind.__name__ for kind in kinds)}]", value)
    return items


def _is_row(items: tuple[object, ...], kinds: tuple[type[object], ...]) -> bool:
    return len(items) == len(kinds) and all(map(_is_a, kinds, items))


def _is_a(kind: type[object], item: object) -> bool:
    """Tell whether an item is of a type; what is true or false is no number."""
    return isinstance(item, kind) and not isinstance(item, bool)


def unique(pairs: list[tuple[int, _A]], what: str) -> dict[int, _A]:
    """Return pairs of a number and something as a dict; none may be there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        message = f"{what} has one number twice"
        raise ValueError(message)
    return found


# The whole of them


def known(names: str) -> frozenset[str]:
    """Return the names of fields, given as one text."""
    return frozenset(names.split())


def check_known(fields: Fields, names: AbstractSet[str], what: str = "it") -> None:
    """Raise `ValueError` for a field that no release wrote."""
    if not fields.keys() <= names:
        message = f"there is no field {quoted(min(fields.keys() - names))} in {what}"
        raise ValueError(message)


def odd(what: str, wanted: str, value: object) -> ValueError:
    """Say that a value is not what it must be."""
    return ValueError(f"{what} must be {wanted}, not {type(value).__name__}: {shown(value)}")
