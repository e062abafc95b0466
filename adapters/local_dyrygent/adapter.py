"""The local adapter: plain Python functions, by name, in threads of this process.

It is the reference of the adapter port and the embedded default. With a `MemoryJournal` a workflow lives as long
as the process; with an `SqlJournal` on a file another process goes on where this one died: make a `LocalAdapter`
with the same functions and journal, and its sweeper finds what is unfinished.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, cast

from dyrygent_core import Attempt, Call, Failed, UsageError, Workflow
from dyrygent_core.errors import AdapterUnavailableError, UnknownNodeError, quoted
from dyrygent_core.ports import Capability, Clock, Dispatch, Finding, Journal, Refusal, Submission
from dyrygent_runtime import EngineAdapter, OnConflict, Run, Settings, Sweeper
from dyrygent_runtime.execution import Execution
from dyrygent_runtime.failures import failure_of
from dyrygent_runtime.holdings import Boot, Holdings
from dyrygent_runtime.identity import Identity
from dyrygent_runtime.journals import MemoryJournal
from dyrygent_runtime.listeners import Listener
from dyrygent_runtime.reports import Report

__all__ = ["LocalAdapter"]

_LOG = logging.getLogger("dyrygent")

Functions: TypeAlias = Mapping[str, Callable[..., Any]]

_LOCAL_POLL_MS: Final = 100


class LocalAdapter(EngineAdapter):
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
        super().__init__(
            journal if journal is not None else MemoryJournal(),
            settings=settings or Settings(poll_ms=_LOCAL_POLL_MS),
            clock=clock,
            listeners=listeners,
        )
        self._lock = threading.Lock()
        self._revoked: set[str] = set()
        self._is_closed = False
        self._holdings = Holdings(Boot.of_process("local"))
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="dyrygent-local")
        self._sweeper = Sweeper(self.conductor, lease=self._holdings.lease)
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
        return super().start(workflow, id=id, on_conflict=on_conflict, tags=tags)

    def close(self) -> None:
        """Let the functions that run now end, start no more, and stop sweeping.

        If the journal is away, their outcomes are tried to be recorded for some seconds more.
        """
        self._is_closed = True
        self._sweeper.stop()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self.settle()

    # The adapter port

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Its attempts are in this process, whose lease names them, and go with it."""
        return frozenset({Capability.REVOKE_WAITING, Capability.REPORTS_START, Capability.LEASES})

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
                if self._holdings.reserve(item.attempt_id):
                    self._threads.submit(self._run, item)
        return tuple(refusals)

    def lookup(self, submissions: Sequence[Submission]) -> Mapping[Attempt, Finding]:
        """Tell which attempts are in this process; their outcomes it reports by itself (A3)."""
        return {it.attempt: Finding() for it in submissions if it.attempt_id in self._holdings}

    def revoke(self, submissions: Sequence[Submission]) -> None:
        """Drop attempts that have not begun; a running function cannot be stopped (A4)."""
        reserved = self._holdings.lease().reserved
        with self._lock:
            self._revoked |= {it.attempt_id for it in submissions} & reserved

    # What runs in the threads

    def _run(self, item: Dispatch) -> None:
        """Run one attempt and report its outcome (A2)."""
        self._holdings.begin(item.attempt_id)
        try:
            if not self._is_closed:
                self._run_to_the_end(item)
        except Exception:  # noqa: BLE001  # nobody reads this thread's future
            _LOG.exception("workflow %s: an outcome was not recorded", quoted(item.workflow.id))
        finally:
            self._holdings.drop(item.attempt_id)

    def _run_to_the_end(self, item: Dispatch) -> None:
        with self._lock:
            is_revoked = item.attempt_id in self._revoked
            self._revoked.discard(item.attempt_id)
        if is_revoked:
            revoked = Failed(item.attempt, failure_of(RuntimeError("revoked")), is_revoked=True)
            self.outbox.report(item.workflow, [revoked])
            return
        execution = Execution.begin(self, Identity.of(item), self._holdings.boot)
        execution.end(self._called(item, execution))

    def _called(self, item: Dispatch, execution: Execution) -> Report:
        inputs = item.call.inputs.value
        try:
            value = self._functions[item.call.target](*inputs["args"], **inputs["kwargs"])
        except Exception as problem:  # noqa: BLE001  # the user's function
            return execution.raised(problem)
        return execution.returned(value)


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
