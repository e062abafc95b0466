"""One heap of events and one virtual time. Nothing here waits, and nothing runs at once with anything else.

What stands still in the middle of something (`wait`) lets all that is due meanwhile happen inside of its own call,
as if other threads and processes had gone on. So they interleave as a stack does: what began later ends first.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Final, Protocol

from attrs import frozen

__all__ = ["Loop", "Owner", "Poll"]

_DEEPEST: Final = 8
"""Pauses inside of pauses; what would pause beyond goes on at once."""


class Owner(Protocol):
    """Whom an event belongs to: it does not happen when that is dead, and later while it stands still."""

    is_alive: bool
    stopped_until_ms: int


@frozen
class Poll:
    """An action that looks whether there is something to do, again and again, and as a rule finds nothing."""

    look: Callable[[], object]

    def __call__(self) -> None:
        """Look."""
        self.look()


class Loop:
    """Lets events happen in the order of their times; of one time, in the order in which they were asked for."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._heap: list[tuple[int, int, Callable[[], object], Owner | None]] = []
        self._numbers = count()
        self._depth = 0

    def later(self, in_ms: int, action: Callable[[], object], owner: Owner | None = None) -> None:
        """Ask for something to be done in a while."""
        heapq.heappush(self._heap, (self.now_ms + in_ms, next(self._numbers), action, owner))

    def step(self) -> bool:
        """Let the next event happen; False if there is none."""
        if not self._heap:
            return False
        at_ms, number, action, owner = heapq.heappop(self._heap)
        self.now_ms = max(self.now_ms, at_ms)
        if owner is None or (owner.is_alive and owner.stopped_until_ms <= self.now_ms):
            action()
        elif owner.is_alive:
            heapq.heappush(self._heap, (owner.stopped_until_ms, number, action, owner))
        return True

    def wait(self, ms: int) -> None:
        """Stand still, and let happen what is due meanwhile."""
        if self._depth >= _DEEPEST:
            return
        end_ms = self.now_ms + ms
        self._depth += 1
        while self._heap and self._heap[0][0] <= end_ms:
            self.step()
        self._depth -= 1
        self.now_ms = max(self.now_ms, end_ms)

    @property
    def next_ms(self) -> int | None:
        """When the next event is that is no poll; None if there is none."""
        its = (at_ms for at_ms, _, action, owner in self._heap if not isinstance(action, Poll) and _lives(owner))
        return min(its, default=None)

    def skip(self, until_ms: int) -> None:
        """Let time pass in which nobody polls."""
        self._heap = [
            (max(at_ms, until_ms) if isinstance(action, Poll) else at_ms, number, action, owner)
            for at_ms, number, action, owner in self._heap
        ]
        heapq.heapify(self._heap)
        self.now_ms = until_ms


def _lives(owner: Owner | None) -> bool:
    return owner is None or owner.is_alive
