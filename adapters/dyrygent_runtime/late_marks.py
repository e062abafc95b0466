"""Marks that may come a moment late, and so together with others: that attempts were sent.

Nobody asks before the grace time is over whether an attempt was sent, so its owner may take a fraction of that to say
so. A quick task has started by then in the same process, and its mark takes those before it along; others come many
in one call. What a process that dies had not written yet counts as never sent: unless it has started by then, the
sweep sends it again when the grace is over, under the same id.

Who sends what the sweep found must say so at once, lest the next sweep find it too; so must who starts a workflow, for
its process may have nothing else to do. That an attempt has started is never late: it tells what a dead worker ran.
A process that ends in order writes what waits.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias
from weakref import WeakSet

from dyrygent_core.errors import JournalUnavailableError, quoted
from dyrygent_core.ports import Journal, Mark, WorkflowKey
from dyrygent_runtime.forks import reset_after_fork
from dyrygent_runtime.settings import CHUNK, Settings

__all__ = ["LateMarks", "Later"]

_LOG = logging.getLogger("dyrygent")
_LATEST_MS: Final = 250
_SHARE_OF_GRACE: Final = 8

_ALL: Final[WeakSet[LateMarks]] = WeakSet()

Later: TypeAlias = Callable[[int, Callable[[], None]], object]
"""Has something done, once, in so many milliseconds."""


def _in_a_thread(in_ms: int, action: Callable[[], None]) -> None:
    timer = threading.Timer(in_ms / 1000, action)
    timer.name, timer.daemon = "dyrygent-marks", True
    timer.start()


class LateMarks:
    """The marks of one process that are still to be written. Threads may share it; a forked child begins with none."""

    def __init__(self, journal: Journal, settings: Settings, *, later: Later = _in_a_thread) -> None:
        self._journal = journal
        self._late_ms = min(_LATEST_MS, settings.grace_ms // _SHARE_OF_GRACE)
        self._later = later
        self._is_asked = False
        self._reset()
        reset_after_fork(self._reset)
        _ALL.add(self)

    def __len__(self) -> int:
        """Return how many marks wait."""
        with self._lock:
            return sum(map(len, self._waiting.values()))

    @property
    def waiting(self) -> list[tuple[WorkflowKey, Mark]]:
        """What waits, and of which workflows."""
        with self._lock:
            return [(key, mark) for key, marks in self._waiting.items() for mark in marks]

    def add(self, key: WorkflowKey, marks: Sequence[Mark]) -> None:
        """Write marks a quarter of a second later at most; at once if a whole chunk of the workflow's waits.

        Raises `JournalUnavailableError`.
        """
        with self._lock:
            waiting = self._waiting.setdefault(key, [])
            waiting += marks
            is_many = len(waiting) >= CHUNK
            is_to_ask = not is_many and not self._is_asked
            if is_to_ask:
                self._is_asked = True
        if is_many:
            self.write_with(key, ())
        elif is_to_ask:
            try:
                self._later(self._late_ms, self.flush)
            except RuntimeError:  # there are no more threads, or the interpreter ends (3.12)
                self.flush()

    def write_with(self, key: WorkflowKey, marks: Sequence[Mark]) -> int:
        """Write marks now, with those of the same workflow that wait; return the store's time.

        Raises `JournalUnavailableError`; what waited is given up, for it is a hint.
        """
        with self._lock:
            waiting = self._waiting.pop(key, [])
        return self._journal.mark(key, [*waiting, *marks])

    def flush(self) -> None:
        """Write all that waits; what the journal is away for is given up."""
        with self._lock:
            waiting = dict(self._waiting)
            self._waiting.clear()
            self._is_asked = False
        for key, marks in waiting.items():
            try:
                self._journal.mark(key, marks)
            except JournalUnavailableError as problem:
                _LOG.warning("workflow %s: marks not set, nor those after it: %s", quoted(key.id), problem)
                return  # each of the others would wait for the journal as long

    def forget(self) -> None:
        """Give up what waits, as a process does that dies."""
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[WorkflowKey, list[Mark]] = {}
        self._is_asked = False


def _flush_all() -> None:
    for marks in list(_ALL):
        marks.flush()


atexit.register(_flush_all)
