"""Exceptions told in text, and told again."""

from __future__ import annotations

from typing import Any, Final

from dyrygent_core import EncodingError, Failure
from dyrygent_core.codec import JSON_VALUES

__all__ = ["failure_of", "failure_told"]

_LONGEST_MESSAGE: Final = 10_000


def failure_of(problem: BaseException) -> Failure:
    """Tell an exception in text. Its arguments are kept where they are plain values and short."""
    kind = type(problem)
    return failure_told(kind.__name__, _text(problem), str(kind.__module__ or ""), problem.args)


def failure_told(kind: str, message: str, module: str = "", args: tuple[Any, ...] | None = None) -> Failure:
    """Tell an exception that is known by these parts of it, cut to what the journal should hold."""
    return Failure(kind, message[:_LONGEST_MESSAGE], module, None if args is None else _plain(args))


def _plain(args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Give arguments that the journal can write and read back; there are numbers that JSON cannot."""
    if not all(isinstance(arg, str | int | float | bool | None) for arg in args):
        return None
    try:
        is_short = len(JSON_VALUES.encode(args)) <= _LONGEST_MESSAGE
    except EncodingError:
        return None
    return args if is_short else None


def _text(problem: BaseException) -> str:
    try:
        return str(problem)
    except Exception as broken:  # noqa: BLE001  # a user's own __str__
        return f"(its message cannot be shown: {type(broken).__name__})"
