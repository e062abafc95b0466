"""Exceptions told in text, and told again."""

from __future__ import annotations

from typing import Final

from dyrygent_core import Failure

__all__ = ["failure_of"]

_LONGEST_MESSAGE: Final = 10_000


def failure_of(problem: BaseException) -> Failure:
    """Tell an exception in text. Its arguments are kept where they are plain values and short."""
    kind = type(problem)
    message = _text(problem)
    is_plain = all(isinstance(arg, str | int | float | bool | None) for arg in problem.args)
    args = tuple(problem.args) if is_plain and len(repr(problem.args)) <= _LONGEST_MESSAGE else None
    return Failure(kind.__name__, message[:_LONGEST_MESSAGE], kind.__module__, args)


def _text(problem: BaseException) -> str:
    try:
        return str(problem)
    except Exception as broken:  # noqa: BLE001  # a user's own __str__
        return f"(its message cannot be shown: {type(broken).__name__})"
