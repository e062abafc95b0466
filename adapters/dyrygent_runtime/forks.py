"""What a forked child must make anew: locks that a thread of its parent may hold, and caches half-way through a change.

Python keeps what is registered for forks for ever, so it is told of one function only; who goes away is forgotten.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Final

__all__ = ["reset_after_fork"]

_RESETS: Final[dict[int, weakref.WeakMethod[Callable[[], None]]]] = {}


def reset_after_fork(method: Callable[[], None]) -> None:
    """Have a method called in every forked child, for as long as its object lives."""
    key = id(method.__self__)  # type: ignore[attr-defined]  # it is bound
    _RESETS[key] = weakref.WeakMethod(method, lambda _: _RESETS.pop(key, None))


def _reset_all() -> None:
    for reference in list(_RESETS.values()):
        method = reference()
        if method is not None:
            method()


os.register_at_fork(after_in_child=_reset_all)
