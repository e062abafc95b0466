"""What a forked child must make anew: locks that a thread of its parent may hold, and caches half-way through a change.

The locks of an engine's own library are out of reach, and a child that inherits a locked one waits for ever. So a fork
waits while a thread is inside such a library (`no_fork`).

Python keeps what is registered for forks for ever, so it is told of one function only; who goes away is forgotten.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

__all__ = ["no_fork", "reset_after_fork"]

_LONGEST_WAIT_S: Final = 10.0
"""A broker that does not answer must not stop the process that forks for longer."""

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


class _Gate:
    """Threads pass it in any number; a fork waits until no other is inside, and lets none in until it is done."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._depths: dict[int, int] = {}
        self._forking = 0

    def enter(self) -> None:
        here = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: not self._forking or here in self._depths, _LONGEST_WAIT_S)
            self._depths[here] = self._depths.get(here, 0) + 1

    def leave(self) -> None:
        here = threading.get_ident()
        with self._changed:
            self._depths[here] -= 1
            if not self._depths[here]:
                del self._depths[here]
            self._changed.notify_all()

    def close(self) -> None:
        here = threading.get_ident()
        self._changed.acquire()
        self._forking += 1
        self._changed.wait_for(lambda: self._depths.keys() <= {here}, _LONGEST_WAIT_S)

    def open(self) -> None:
        self._forking -= 1
        self._changed.notify_all()
        self._changed.release()

    def open_in_child(self) -> None:
        """Begin anew: of all threads, only the one that forked is here."""
        here = threading.get_ident()
        self._changed = threading.Condition(threading.RLock())
        self._depths = {here: self._depths[here]} if here in self._depths else {}
        self._forking = 0


_GATE: Final = _Gate()


@contextmanager
def no_fork() -> Generator[None]:
    """Let forks of this process wait meanwhile, at most ten seconds; for a `with`, or as a decorator."""
    _GATE.enter()
    try:
        yield
    finally:
        _GATE.leave()


os.register_at_fork(before=_GATE.close, after_in_parent=_GATE.open, after_in_child=_GATE.open_in_child)
os.register_at_fork(after_in_child=_reset_all)
