"""The local adapter: plain Python functions, by name, in threads of this process.

It is the reference of the adapter port and the embedded default. With a `MemoryJournal` a workflow lives as long
as the process; with an `SqlJournal` on a file another process goes on where this one died: make a `LocalAdapter`
with the same functions and journal, and its sweeper finds what is unfinished.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeAlias, cast

from dyrygent_core import Attempt, Call, Failed, Outcome, Ran, UsageError, Workflow
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.errors import AdapterUnavailableError, JournalUnavailableError, UnknownNodeError, quoted
from dyrygent_core.ports import (
    Clock,
    Dispatch,
    Finding,
    Journal,
    Lease,
    Mark,
    MarkKind,
    Refusal,
    Submission,
    ValueCodec,
    WorkflowKey,
    WorkflowOutcome,
)
from dyrygent_runtime import Conductor, OnConflict, Run, Settings, Sweeper, start
from dyrygent_runtime.failures import failure_of
from dyrygent_runtime.journals import MemoryJournal
from dyrygent_runtime.late_marks import LateMarks
from dyrygent_runtime.listeners import Listener
from dyrygent_runtime.outbox import Outbox
from dyrygent_runtime.reports import raised, returned
from dyrygent_runtime.settling import settle

__all__ = ["LocalAdapter"]

_LOG = logging.getLogger("dyrygent")

Functions: TypeAlias = Mapping[str, Callable[..., Any]]

_LOCAL_POLL_MS = 100


class LocalAdapter:
    """Runs workflows of `functions`, by name, in `workers` threads.

    `journal`: where workflows are kept; a `MemoryJournal` by default. `listeners`: who is told what changes, see
    `dyrygent_runtime.listeners`.
    Use it as a context manager, or call `close`; a workflow that is under way then waits in its journal.
    """

    def __init__(
        self,
        functions: Functions,
        *,
        workers: int = 4,
        journal: Journal | None = None,
        settings: Settings | None = None,
        clock: Clock | None = None,
        listeners: Iterable[Listener] = (),
    ) -> None:
        if workers < 1:
            message = f"workers must be at least 1, not {workers}"
            raise UsageError(message)
        _check_functions(functions)
        self._functions = dict(functions)
        self.journal = journal if journal is not None else MemoryJournal()
        settings = settings or Settings(poll_ms=_LOCAL_POLL_MS)
        self._marks = LateMarks(self.journal, settings)
        self.conductor = Conductor(
            self.journal, self, settings=settings, clock=clock, listeners=listeners, mark=self._marks.add
        )
        self._identity = Lease(f"local@{socket.gethostname()}:{os.getpid()}", secrets.token_hex(8))
        self._lock = threading.Lock()
        self._active: set[str] = set()
        self._reserved: set[str] = set()
        self._revoked: set[str] = set()
        self._is_closed = False
        self._outbox = Outbox(self.conductor)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="dyrygent-local")
        self._sweeper = Sweeper(self.conductor, lease=self._lease)
        self._sweeper.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<LocalAdapter of {len(self._functions)} functions>"

    def start(
        self,
        workflow: Workflow,
        *,
        id: str | None = None,  # noqa: A002  # the word a user expects here
        on_conflict: OnConflict | str = OnConflict.EXISTING,
        tags: Sequence[str] = (),
    ) -> Run:
        """Start a workflow, see `dyrygent_runtime.start`."""
        if self._is_closed:
            message = "this LocalAdapter is closed; make another"
            raise UsageError(message)
        return start(self, workflow, id=id, on_conflict=on_conflict, tags=tags)

    def close(self) -> None:
        """Let the functions that run now end, start no more, and stop sweeping.

        If the journal is away, their outcomes are tried to be recorded for some seconds more.
        """
        self._is_closed = True
        self._sweeper.stop()
        self._threads.shutdown(wait=True, cancel_futures=True)
        settle(self._outbox, self._marks)

    # The adapter port

    @property
    def values(self) -> ValueCodec:
        """Plain JSON."""
        return JSON_VALUES

    def check(self, call: Call) -> None:
        """Refuse a target that is no function here, and options, which this engine has none of."""
        if call.target not in self._functions:
            raise UnknownFunctionError(call.target, known=self._functions)
        if call.options:
            message = f"the local engine knows no options, so {quoted(call.target)} cannot have {sorted(call.options)}"
            raise UsageError(message)

    def dispatch(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        """Queue attempts for the threads; an id that is queued or runs already is left alone (A1)."""
        refusals: list[Refusal] = []
        for item in batch:
            if item.call.target not in self._functions:
                refusals.append(
                    Refusal(item.attempt, failure_of(UnknownFunctionError(item.call.target, known=self._functions)))
                )
                continue
            with self._lock:
                if self._is_closed:
                    raise AdapterUnavailableError("this LocalAdapter is closed")
                if item.attempt_id in self._active | self._reserved:
                    continue
                self._reserved.add(item.attempt_id)
                self._threads.submit(self._run, item)
        return tuple(refusals)

    def lookup(self, submissions: Sequence[Submission]) -> Mapping[Attempt, Finding]:
        """Tell which attempts are in this process; their outcomes it reports by itself (A3)."""
        with self._lock:
            return {it.attempt: Finding() for it in submissions if it.attempt_id in self._active | self._reserved}

    def waiting(self, submissions: Sequence[Submission]) -> Mapping[Attempt, int]:
        """Know nothing of other processes' queues (A6); what waits here is in this one's lease."""
        return {}

    def revoke(self, submissions: Sequence[Submission]) -> None:
        """Drop attempts that have not begun; a running function cannot be stopped (A4)."""
        with self._lock:
            self._revoked |= {it.attempt_id for it in submissions} & self._reserved

    def hand_over(self, key: WorkflowKey, position: int, offset: int) -> bool:
        """Leave all of it to the owner: there is no other process."""
        return False

    def publish(self, outcome: WorkflowOutcome) -> None:
        """Do nothing: whoever waits watches the journal (A5)."""

    # What runs in the threads

    def _run(self, item: Dispatch) -> None:
        """Run one attempt and report its outcome (A2)."""
        with self._lock:
            self._reserved.discard(item.attempt_id)
            self._active.add(item.attempt_id)
        try:
            outcome, results = self._outcome(item)
            if outcome is not None:
                self._outbox.report(item.workflow, [outcome], results)
        except Exception:  # noqa: BLE001  # nobody reads this thread's future
            _LOG.exception("workflow %s: an outcome was not recorded", quoted(item.workflow.id))
        finally:
            with self._lock:
                self._active.discard(item.attempt_id)

    def _outcome(self, item: Dispatch) -> tuple[Outcome | None, dict[Attempt, bytes]]:
        if self._is_closed:
            return None, {}
        if item.attempt_id in self._revoked:
            self._revoked.discard(item.attempt_id)
            return Failed(item.attempt, failure_of(RuntimeError("revoked")), is_revoked=True), {}
        started_ms = self._mark_started(item)
        begun_ms = self.conductor.clock.monotonic_ms()
        inputs = item.call.inputs.value
        try:
            value = self._functions[item.call.target](*inputs["args"], **inputs["kwargs"])
        except Exception as problem:  # noqa: BLE001  # the user's function
            return raised(item.attempt, problem, self._ran(started_ms, begun_ms)), {}
        ran = self._ran(started_ms, begun_ms)
        return returned(item.attempt, value, JSON_VALUES, is_kept=item.is_kept, measure=item.measure, ran=ran)

    def _mark_started(self, item: Dispatch) -> int | None:
        mark = Mark(MarkKind.STARTED, item.attempt, self._identity.worker, self._identity.boot)
        try:
            return self._marks.write_with(item.workflow, [mark])
        except JournalUnavailableError as problem:
            _LOG.warning("workflow %s: the start is not marked: %s", quoted(item.workflow.id), problem)
            return None

    def _ran(self, started_ms: int | None, begun_ms: int) -> Ran | None:
        if started_ms is None:
            return None
        return Ran(started_ms, self.conductor.clock.monotonic_ms() - begun_ms, self._identity.worker)

    def _lease(self) -> Lease:
        with self._lock:
            return Lease(self._identity.worker, self._identity.boot, frozenset(self._active), frozenset(self._reserved))


class UnknownFunctionError(UnknownNodeError):
    """A call names a function that the local adapter was not given."""

    def __str__(self) -> str:
        """Say which, and the closest that there is."""
        close = self.args[2]
        hint = f"; did you mean {quoted(close[0])}?" if close else "; add it to LocalAdapter(functions)"
        return f"no function is named {quoted(self.node)}{hint}"


def _check_functions(functions: object) -> None:
    if not isinstance(functions, Mapping):
        message = f"LocalAdapter takes its functions by name, as {{name: function}}, not as {type(functions).__name__}"
        raise UsageError(message)
    for name, function in cast("Mapping[object, object]", functions).items():
        if not isinstance(name, str) or not callable(function):
            message = (
                f"LocalAdapter was given {quoted(repr(name))}: {type(function).__name__}; write {{name: function}}"
            )
            raise UsageError(message)
