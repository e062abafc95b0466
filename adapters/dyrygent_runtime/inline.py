"""Inline: whoever takes a turn also runs what follows from it, here and now, until nothing is left to be done.

Everything else is as ever: the conductor takes its turns over a journal. Only what would be sent is put in a queue of
this process, and a turn is over when that queue is empty and nothing waits for a time to come. Delays between attempts
are not waited for, and time-outs are not minded.

Each workflow is worked on by one thread at a time, so a task may start workflows of its own.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dyrygent_core import Attempt, Lost, Observation, RetryDue
from dyrygent_core.ports import Dispatch, Entry, WorkflowKey
from dyrygent_runtime.conductor import Conductor
from dyrygent_runtime.fold import Folded, is_in_flight
from dyrygent_runtime.reports import revoked

if TYPE_CHECKING:
    from dyrygent_runtime.engine_adapter import EngineAdapter

__all__ = ["Inline", "InlineConductor"]

_SILENT = "it has left no outcome"


class InlineConductor(Conductor):
    """A conductor whose turn is over when nothing of its workflow is left to be done."""

    def __init__(self, inline: Inline, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._inline = inline

    def turn(self, key: WorkflowKey, observations: Sequence[Observation], **options: Any) -> Folded:
        """Take a turn, and run all that follows from it."""
        folded = super().turn(key, observations, **options)
        return self.refresh(key) if self._inline.settle(key) else folded

    def begin(self, folded: Folded, at: Entry, calls: Sequence[bytes], until: int) -> Folded:
        """Begin a workflow, and run it to its end."""
        folded = super().begin(folded, at, calls, until)
        return self.refresh(folded.key) if self._inline.settle(folded.key) else folded


class Inline(ABC):
    """What is to be run here, by workflow. Threads may share it."""

    def __init__(self, adapter: EngineAdapter) -> None:
        self._adapter = adapter
        self._queues: dict[WorkflowKey, deque[Dispatch]] = {}
        self._busy: set[WorkflowKey] = set()
        self._lock = threading.Lock()

    @abstractmethod
    def run(self, item: Dispatch) -> None:
        """Run one attempt, and report its outcome."""

    def unsent(self, folded: Folded, silent: Sequence[Attempt]) -> tuple[Sequence[Attempt], Sequence[Lost]]:
        """Say which of the attempts in flight that are not queued here are to be sent, and which are lost."""
        return silent, ()

    def drop(self, item: Dispatch) -> None:  # noqa: B027  # not everybody keeps account of what is queued
        """Do without an attempt that was queued, and is not to be run."""

    def holds(self, key: WorkflowKey) -> bool:
        """Tell whether anything of a workflow is queued."""
        with self._lock:
            return bool(self._queues.get(key))

    def put(self, item: Dispatch) -> None:
        """Queue an attempt."""
        with self._lock:
            self._queues.setdefault(item.workflow, deque()).append(item)

    def settle(self, key: WorkflowKey) -> bool:
        """Run what is queued of a workflow, and what follows from that, to the end.

        Returns False, at once, if somebody is at it already: that one does the rest. What a task lets out that is no
        `Exception`, such as KeyboardInterrupt, comes out of here; what was queued is sent again the next time.
        """
        with self._lock:
            if key in self._busy:
                return False
            self._busy.add(key)
        work = _Work(self._adapter.conductor, self, key)
        try:
            while (item := self._next(key)) is not None or work.goes_on() or not self._leave(key):
                if item is not None:
                    work.do(item)
        except BaseException:
            self._give_up(key)
            raise
        return True

    def _next(self, key: WorkflowKey) -> Dispatch | None:
        with self._lock:
            queue = self._queues.get(key)
            return queue.popleft() if queue else None

    def _leave(self, key: WorkflowKey) -> bool:
        """Stop being the one who does the work; not if another thread has just queued some."""
        with self._lock:
            if self._queues.get(key):
                return False
            self._queues.pop(key, None)
            self._busy.discard(key)
            return True

    def _give_up(self, key: WorkflowKey) -> None:
        """Stop in the middle: what is queued is not held any more."""
        with self._lock:
            self._busy.discard(key)
            left = self._queues.pop(key, ())
        for item in left:
            self.drop(item)


class _Work:
    """The work on one workflow, by one thread."""

    def __init__(self, conductor: Conductor, inline: Inline, key: WorkflowKey) -> None:
        self._conductor = conductor
        self._inline = inline
        self._key = key
        self._done: set[Attempt] = set()

    def do(self, item: Dispatch) -> None:
        """Run one attempt, unless it is no longer wanted."""
        folded = self._conductor.refresh(self._key)
        if not is_in_flight(folded, item.attempt):
            self._inline.drop(item)
            return
        self._done.add(item.attempt)
        if item.attempt in folded.state.to_revoke:
            self._inline.drop(item)
            self._conductor.turn(self._key, [revoked(item.attempt)])
        else:
            self._inline.run(item)

    def goes_on(self) -> bool:
        """Do what a sweep does, without waiting for its time: retries that are due later, and what got lost."""
        conductor = self._conductor
        folded = conductor.refresh(self._key)
        in_flight = folded.state.attempts_in_flight
        unsent, lost = self._inline.unsent(folded, [it for it in in_flight if it not in self._done])
        observations: list[Observation] = [RetryDue(attempt) for attempt, _ in folded.state.delayed]
        observations += [*lost, *(Lost(it, _SILENT) for it in in_flight if it in self._done)]
        if observations:
            conductor.turn(self._key, observations)
            return True
        if unsent:
            conductor.send(folded, unsent, until=conductor.clock.monotonic_ms() + conductor.settings.owner_ms)
        return self._inline.holds(self._key) or conductor.refresh(self._key).seen != folded.seen
