"""Eager: with `task_always_eager` the tasks of a workflow are applied here and now, by whoever starts it.

Everything else is as ever: the conductor takes its turns over a journal, and Celery's signals tell it how each task
ended, since `Task.apply` sends them too. Only what would be published is put in a queue of this process, and a turn
is over when that queue is empty and nothing waits for a time to come. What Celery does not mind when it is eager is not
minded here either: countdowns, delays between attempts, time limits and time-outs.

Each workflow is worked on by one thread at a time, so a task may start workflows of its own.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from celery import Celery
from celery.exceptions import NotRegistered, Retry, TaskRevokedError

from celery_dyrygent.ends import end_of
from celery_dyrygent.identity import HEADER
from dyrygent_core import Attempt, Failed, Lost, Observation, Outcome, RetryDue, WorkflowState
from dyrygent_core.ports import Dispatch, Entry, Journal, Refusal, WorkflowKey
from dyrygent_runtime import Conductor
from dyrygent_runtime.failures import failure_of
from dyrygent_runtime.fold import Folded, is_in_flight
from dyrygent_runtime.identity import Identity
from dyrygent_runtime.journals import MemoryJournal
from dyrygent_runtime.reports import raised

if TYPE_CHECKING:
    from celery_dyrygent.adapter import CeleryAdapter

__all__ = ["EagerConductor", "Inline", "applying", "eager_journal", "is_eager"]

_NO_OPTIONS_OF_APPLY: Final = frozenset({"args", "kwargs", "task_id", "throw", "retries", "link", "link_error"})


def is_eager(app: Celery) -> bool:
    """Tell whether the app applies its tasks where they are called."""
    return bool(app.conf.task_always_eager)


_JOURNALS: weakref.WeakKeyDictionary[Celery, MemoryJournal] = weakref.WeakKeyDictionary()


def eager_journal(app: Celery) -> Journal | None:
    """Give the memory journal of an eager app: one for all of its adapters, unless it names another itself."""
    if not is_eager(app) or app.conf.get("dyrygent_journal") is not None:
        return None
    return _JOURNALS.setdefault(app, MemoryJournal(app.conf.get("dyrygent_namespace") or app.main or "celery"))


_HERE = threading.local()


def applying(app: Celery) -> CeleryAdapter | None:
    """Give the adapter whose workflow this thread is working on, if it is one of this app."""
    adapter: CeleryAdapter | None = getattr(_HERE, "adapter", None)
    return adapter if adapter is not None and adapter.app is app else None


@contextmanager
def _applied_by(adapter: CeleryAdapter) -> Generator[None]:
    before = getattr(_HERE, "adapter", None)
    _HERE.adapter = adapter
    try:
        yield
    finally:
        _HERE.adapter = before


class EagerConductor(Conductor):
    """A conductor whose turn is over when nothing of its workflow is left to be done."""

    adapter: CeleryAdapter

    def turn(self, key: WorkflowKey, observations: Sequence[Observation], **options: Any) -> Folded:
        """Take a turn, and apply all that follows from it."""
        folded = super().turn(key, observations, **options)
        return self.refresh(key) if self._settle(key) else folded

    def begin(self, folded: Folded, at: Entry, calls: Sequence[bytes], until: int) -> Folded:
        """Begin a workflow, and run it to its end."""
        folded = super().begin(folded, at, calls, until)
        return self.refresh(folded.key) if self._settle(folded.key) else folded

    def _settle(self, key: WorkflowKey) -> bool:
        inline = self.adapter.inline
        return inline is not None and inline.settle(key)


class Inline:
    """What an eager adapter has to apply, by workflow. Threads may share it."""

    def __init__(self, adapter: CeleryAdapter) -> None:
        self._adapter = adapter
        self._queues: dict[WorkflowKey, deque[Dispatch]] = {}
        self._busy: set[WorkflowKey] = set()
        self._lock = threading.Lock()

    def take(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        """Queue attempts; refuse those whose task is not registered in this process (A1)."""
        refusals: list[Refusal] = []
        for item in batch:
            if self._knows(item.call.target):
                with self._lock:
                    self._queues.setdefault(item.workflow, deque()).append(item)
            else:
                refusals.append(Refusal(item.attempt, failure_of(NotRegistered(item.call.target))))
        return tuple(refusals)

    def settle(self, key: WorkflowKey) -> bool:
        """Apply what is queued of a workflow, and what follows from that, to the end.

        Returns False, at once, if somebody is at it already: that one does the rest. With `task_eager_propagates` it
        raises the exception of the first failed node when the workflow has ended in failure.
        """
        with self._lock:
            if key in self._busy:
                return False
            self._busy.add(key)
        work = _Work(self._adapter, key)
        try:
            with _applied_by(self._adapter):
                while (item := self._next(key)) is not None or work.goes_on() or not self._leave(key):
                    if item is not None:
                        work.apply(item)
        finally:
            with self._lock:
                self._busy.discard(key)
        if self._adapter.app.conf.task_eager_propagates:
            work.propagate()
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

    def _knows(self, name: str) -> bool:
        app = self._adapter.app
        if name not in app.tasks:
            app.loader.import_default_modules()  # as a worker does at its start
        return name in app.tasks


class _Work:
    """The work on one workflow, by one thread."""

    def __init__(self, adapter: CeleryAdapter, key: WorkflowKey) -> None:
        self._adapter = adapter
        self._key = key
        self._applied: set[Attempt] = set()
        self._problems: dict[Attempt, BaseException] = {}

    def apply(self, item: Dispatch) -> None:
        """Apply one task; its signals report its outcome."""
        folded = self._adapter.conductor.refresh(self._key)
        if not is_in_flight(folded, item.attempt):
            return
        self._applied.add(item.attempt)
        if item.attempt in folded.state.to_revoke:
            revoked = failure_of(TaskRevokedError("revoked"))
            self._report(Failed(item.attempt, revoked, is_revoked=True))
            return
        try:
            result = self._applied_to_the_end(item)
        except Exception as problem:  # noqa: BLE001  # of a retry, which Celery lets out with `task_eager_propagates`
            self._report(raised(item.attempt, problem))
            self._problems[item.attempt] = problem
        else:
            if isinstance(result.result, BaseException):
                self._problems[item.attempt] = result.result

    def _applied_to_the_end(self, item: Dispatch) -> Any:
        """Apply a task and its retries; Celery's own way with them lets the second out with `task_eager_propagates`."""
        inputs = item.call.inputs.value
        options = {key: value for key, value in item.call.options.items() if key not in _NO_OPTIONS_OF_APPLY}
        options["headers"] = {**(options.get("headers") or {}), HEADER: Identity.of(item).as_text()}
        task = self._adapter.app.tasks[item.call.target]
        signature = task.signature(inputs["args"], inputs["kwargs"], task_id=item.attempt_id, **options)
        while True:
            try:
                return signature.apply(throw=False)
            except Retry as again:
                signature = again.sig

    def goes_on(self) -> bool:
        """Do what a sweep does, without waiting for its time: retries that are due later, and what got lost."""
        conductor = self._adapter.conductor
        folded = conductor.refresh(self._key)
        observations: list[Observation] = [RetryDue(attempt) for attempt, _ in folded.state.delayed]
        silent = [it for it in folded.state.attempts_in_flight if it in self._applied]
        observations += [Lost(it, "its task has left no outcome, as one that rejects its message") for it in silent]
        if observations:
            conductor.turn(self._key, observations)
            return True
        unsent = folded.state.attempts_in_flight
        if unsent:
            conductor.send(folded, unsent, until=conductor.clock.monotonic_ms() + conductor.settings.owner_ms)
        return bool(unsent)

    def propagate(self) -> None:
        """Raise what the first failed node has raised, if the workflow has failed."""
        adapter = self._adapter
        state = adapter.conductor.refresh(self._key).state
        if not state.is_finished or state.workflow_state not in (WorkflowState.FAILURE, WorkflowState.ERROR):
            return
        attempt = state.first_failed_attempt
        if attempt in self._problems:
            raise self._problems[attempt]
        raise end_of(adapter, self._key)["result"]

    def _report(self, outcome: Outcome) -> None:
        self._adapter.outbox.report(self._key, [outcome])
