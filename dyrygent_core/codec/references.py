"""References: where in a value a result belongs, and which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from dyrygent_core.calls import Template
from dyrygent_core.checks import check_id, is_key
from dyrygent_core.codec.fields import LIST, listed, odd, row
from dyrygent_core.refs import ITEM, SUMMARY, Default, Key, Reference

__all__ = ["read_keys", "read_template", "renamed_key", "write_references"]


def write_references(references: Sequence[Reference], renamed: Mapping[str, str]) -> list[Any]:
    """Give references as lists."""
    return [
        [list(it.at), renamed.get(it.node, it.node), list(it.path)]
        + ([] if it.fallback is None else [it.fallback.value])
        for it in references
    ]


def read_template(value: Any, references: object) -> Template:  # a payload
    """Read a value and the references that fill its holes.

    Raises `ValueError` for what is no reference, and for one whose place in the value is not there, or not empty.
    """
    found = tuple(map(_read_reference, listed(references, "references")))
    for reference in found:
        _check_place(value, reference.at)
    return Template(value, found)


def _read_reference(written: object) -> Reference:
    items = listed(written, "a reference")
    at, node, path = row(items[:3], "a reference", LIST, str, LIST)
    fallback = items[3:]
    if len(fallback) > 1:
        message = "a reference has a place, a node, a path and perhaps a default, and nothing else"
        raise ValueError(message)
    if node not in (ITEM, SUMMARY):
        check_id(node)
    return Reference(read_keys(at), node, read_keys(path), Default(fallback[0]) if fallback else None)


def read_keys(written: list[object]) -> tuple[Key, ...]:
    """Read a path; raises `ValueError`."""
    if not all(map(is_key, written)):
        raise odd("a path", "a list of keys", written)
    return cast("tuple[Key, ...]", tuple(written))


def _check_place(value: Any, at: Sequence[Key]) -> None:  # a payload
    for key in at:
        if not _has(value, key):
            raise odd("the place of a reference", "in the value", list(at))
        value = value[key]
    if value is not None:
        raise odd("the place of a reference", "null in the value", list(at))


def _has(holder: object, key: Key) -> bool:
    if isinstance(holder, dict):
        return key in holder
    return isinstance(holder, list) and isinstance(key, int) and 0 <= key < len(cast("list[object]", holder))


def renamed_key(key: Key, renamed: Mapping[str, str]) -> Key:
    """Give the name that stands for an id where ids are replaced."""
    return renamed.get(key, key) if isinstance(key, str) else key
