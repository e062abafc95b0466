"""What a forked child must make anew: locks that a thread of its parent may hold, and caches half-way through a change.

Python keeps what is registered for forks for ever, so it is told of one function only; who goes away is forgotten.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Final

__all__ = ["reset_after_fork"]

_RESETS: Final[dict[int, tuple[weakref.ref[object], Callable[[object], None]]]] = {}


def reset_after_fork(method: Callable[[], None]) -> None:
    """Have a method called in every forked child, for as long as its object lives."""
    owner, function = method.__self__, method.__func__  # type: ignore[attr-defined]  # it is bound
    key, resets = id(owner), _RESETS  # whose name is gone when the interpreter ends
    _RESETS[key] = weakref.ref(owner, lambda _: resets.pop(key, None)), function


def _reset_all() -> None:
    for reference, function in list(_RESETS.values()):
        owner = reference()
        if owner is not None:
            function(owner)


os.register_at_fork(after_in_child=_reset_all)
