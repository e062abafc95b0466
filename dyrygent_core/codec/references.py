"""References: where in a value a result belongs, and which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dyrygent_core.refs import Default, Key, Reference

__all__ = ["read_references", "renamed_key", "write_references"]


def write_references(references: Sequence[Reference], renamed: Mapping[str, str]) -> list[Any]:
    """Give references as lists."""
    return [
        [list(it.at), renamed.get(it.node, it.node), list(it.path)]
        + ([] if it.fallback is None else [it.fallback.value])
        for it in references
    ]


def read_references(written: Sequence[Any]) -> tuple[Reference, ...]:
    """Read them back."""
    return tuple(
        Reference(tuple(at), node, tuple(path), Default(rest[0]) if rest else None) for at, node, path, *rest in written
    )


def renamed_key(key: Key, renamed: Mapping[str, str]) -> Key:
    """Give the name that stands for an id where ids are replaced."""
    return renamed.get(key, key) if isinstance(key, str) else key
