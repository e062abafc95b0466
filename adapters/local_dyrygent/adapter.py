"""The local adapter: plain Python functions, by name, in threads of this process or in the one that starts.

It is the reference of the adapter port and the embedded default. With a `MemoryJournal` a workflow lives as long
as the process; with a SQLite file another process goes on where this one died: make a `LocalAdapter` with the same
functions and file.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, ClassVar, Final, Self

from dyrygent_core import Attempt, Call, Lost, UsageError, Workflow
from dyrygent_core.errors import AdapterUnavailableError, quoted
from dyrygent_core.ports import Capability, Clock, Dispatch, Finding, Journal, Refusal, Submission
from dyrygent_runtime import Conductor, EngineAdapter, Run, Settings, Sweeper
from dyrygent_runtime.execution import Execution
from dyrygent_runtime.failures import failure_of
from dyrygent_runtime.fold import Folded
from dyrygent_runtime.holdings import Boot, Holdings
from dyrygent_runtime.identity import Identity
from dyrygent_runtime.inline import Inline, InlineConductor
from dyrygent_runtime.journals import MemoryJournal, open_journal
from dyrygent_runtime.lease import LeaseKeeper
from dyrygent_runtime.listeners import Listener
from dyrygent_runtime.portability import NEUTRAL_OPTIONS
from dyrygent_runtime.reports import Report, revoked
from local_dyrygent.functions import Functions, Registered, UnknownFunctionError, check_workers
from local_dyrygent.life import Life
from local_dyrygent.threads import Threads

__all__ = ["LocalAdapter"]

_LOG = logging.getLogger("dyrygent")

_SETTINGS: Final = Settings(poll_ms=100, sweep_interval_ms=1_000)
"""Asking costs little here, and so a process that is started again goes on within a second."""
_STOP_S: Final = 5.0


class LocalAdapter(EngineAdapter):
    """Runs workflows of `functions`, by name, in `workers` threads; with `workers=0` in the thread that starts them.

    `functions`: what returns a coroutine, such as an `async def`, is run to its end, all in one event loop.
    `workers`: with 0, `start` returns when the workflow has ended; functions run one after the other, delays between
    attempts are not waited for, and time-outs and deadlines are not minded.
    `journal`: where workflows are kept, also as a URL such as `sqlite:///runs.db`; a `MemoryJournal` by default.
    `listeners`: who is told what changes, see `dyrygent_runtime.listeners`.

    Use it as a context manager, or call `close`; a workflow that is under way then waits in its journal. What is
    unfinished there when the adapter is made, threads go on with at once; without threads, `resume` does.
    Raises `UsageError` for functions, a number of workers and a URL that cannot be.
    """

    engine: ClassVar[str] = "LocalAdapter"

    def __init__(
        self,
        functions: Functions,
        *,
        workers: int = 4,
        journal: Journal | str | None = None,
        settings: Settings | None = None,
        clock: Clock | None = None,
        listeners: Iterable[Listener] = (),
    ) -> None:
        check_workers(workers)
        self._registered = Registered(functions)
        self._owns_journal = isinstance(journal, str)
        self.inline = _Here(self) if workers == 0 else None
        boot = Boot.of_process("local")
        super().__init__(
            open_journal(journal) if isinstance(journal, str) else MemoryJournal() if journal is None else journal,
            settings=settings or _SETTINGS,
            clock=clock,
            listeners=listeners,
            conductor=Conductor if self.inline is None else partial(InlineConductor, self.inline),
            boot=boot,
        )
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._revoked: set[str] = set()
        self._is_closed = False
        self._has_ended = False
        self.holdings = Holdings(boot)
        conductor = self.conductor
        self.life = Life(self.journal, conductor.settings, conductor.clock, self.holdings)
        self.life.begin()
        self._threads = Threads(workers, "dyrygent-local")
        self._sweeper = Sweeper(conductor, lease=self.holdings.lease, before=self.life.look)
        self._keeper = LeaseKeeper(self.journal, conductor.settings, conductor.clock, self.holdings.lease)
        if self.inline is None:
            self._sweeper.start()
        else:
            self._keeper.start()
        atexit.register(self._go)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, Exception):
            self.close()
        else:
            self._let_be()

    def __repr__(self) -> str:
        return f"<LocalAdapter of {len(self._registered)} functions>"

    def _start(self, workflow: Workflow, **options: Any) -> Run:
        """Without threads, run it to its end."""
        self._check_open()
        run = super()._start(workflow, **options)
        if self.inline is not None:
            self.inline.finish(run)
            self._sweeper.purge()
        return run

    def resume(self) -> tuple[Run, ...]:
        """Go on with all that is unfinished in the journal; return its runs, the newest first.

        Without threads it returns when what nobody else is at has ended. Threads go on by themselves, and may have
        ended some of it since the adapter was made; that is among the runs at the first call.
        """
        self._check_open()
        found, self.life.found = self.life.found, ()
        keys = dict.fromkeys([*self.life.open_workflows(), *(found if self.inline is None else ())])
        runs = tuple(Run(self.conductor, key) for key in keys)
        if self.inline is not None:
            for run in reversed(runs):
                self.inline.finish(run)
        return runs

    def close(self) -> None:
        """Let the functions that run now end, start no more, and stop sweeping.

        If the journal is away, their outcomes are tried to be recorded for some seconds more. Where the adapter is
        left by Ctrl-C, `sys.exit` or the end of the interpreter, it does not wait for its functions: they end with
        the process, and their attempts are lost.
        """
        self._stop()
        self._threads.join()
        self._registered.close()
        self.settle()
        self._end()

    def _stop(self) -> None:
        with self._lock:
            self._is_closed = True
        self._sweeper.stop()
        self._keeper.stop(_STOP_S)
        self._threads.stop()

    def _let_be(self) -> None:
        """Begin nothing more, and wait for nothing; what still runs has its lease for as long as the process lives."""
        self._stop()
        if not self.holdings.lease().active:
            self._go()

    def _go(self) -> None:
        """Leave what runs behind: the interpreter ends."""
        if os.getpid() != self._pid:
            return
        self._stop()
        self.settle()
        self._end()

    def _end(self) -> None:
        atexit.unregister(self._go)
        if self._has_ended:
            return
        self._has_ended = True
        self.life.end()
        if self._owns_journal:
            self.journal.dispose()

    def _check_open(self) -> None:
        if self._is_closed:
            message = "this LocalAdapter is closed; make another"
            raise UsageError(message)
        if os.getpid() != self._pid:
            message = "this LocalAdapter was made before this process was forked; make another here"
            raise UsageError(message)

    # The adapter port

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Its attempts are in this process, whose lease names them, and go with it."""
        return frozenset({Capability.WAITING, Capability.REVOKE_WAITING, Capability.REPORTS_START, Capability.LEASES})

    def check(self, call: Call) -> None:
        """Refuse a target that is no function here, and options that only some other engine knows."""
        self._registered.check(call.target)
        unknown = sorted(call.options.keys() - NEUTRAL_OPTIONS)
        if unknown:
            message = (
                f"the local engine knows no option {unknown[0]!r}, so {quoted(call.target)} cannot have it; "
                f"of all options, it takes {', '.join(sorted(NEUTRAL_OPTIONS))}"
            )
            raise UsageError(message)

    def dispatch(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        """Queue attempts for the threads; an id that is queued or runs already is left alone (A1)."""
        refusals: list[Refusal] = []
        for item in batch:
            try:
                self._registered.check(item.call.target)
            except UnknownFunctionError as problem:
                refusals.append(Refusal(item.attempt, failure_of(problem)))
                continue
            with self._lock:
                if self._is_closed or os.getpid() != self._pid:
                    raise AdapterUnavailableError("this LocalAdapter is closed")
                if not self.holdings.reserve(item.attempt_id):
                    continue
                if self.inline is None:
                    self._threads.submit(partial(self._run, item))
                else:
                    self.inline.put(item)
        return tuple(refusals)

    def lookup(self, submissions: Sequence[Submission]) -> Mapping[Attempt, Finding]:
        """Tell which attempts are in this process, and which nobody has any more; outcomes are reported (A3)."""
        alone_ms = self.life.alone_since_ms
        findings: dict[Attempt, Finding] = {}
        for it in submissions:
            if it.attempt_id in self.holdings:
                findings[it.attempt] = Finding()
            elif alone_ms is not None and it.since_ms < alone_ms:
                findings[it.attempt] = Finding(gone_before_ms=alone_ms)
        return findings

    def waiting(self, submissions: Sequence[Submission]) -> Mapping[Attempt, int]:
        """Know that none waits (A6): processes hold what was sent to them, and there is nothing between them."""
        return {it.attempt: 0 for it in submissions}

    def revoke(self, submissions: Sequence[Submission]) -> None:
        """Drop attempts that have not begun; a running function cannot be stopped (A4)."""
        reserved = self.holdings.lease().reserved
        with self._lock:
            self._revoked |= {it.attempt_id for it in submissions} & reserved

    # Running

    def run(self, item: Dispatch) -> None:
        """Run one attempt in this thread, and report its outcome (A2).

        What interrupts it, such as KeyboardInterrupt, comes out of here, and the attempt is lost.
        """
        self.holdings.begin(item.attempt_id)
        try:
            execution = Execution.begin(self, Identity.of(item), self.holdings.boot)
            try:
                report = self._called(item, execution)
            except BaseException as interruption:
                lost = Lost(item.attempt, f"interrupted by {type(interruption).__name__}")
                execution.end((lost, {}))
                raise
            execution.end(report)
        finally:
            self.holdings.drop(item.attempt_id)

    def _run(self, item: Dispatch) -> None:
        """Run one attempt in a thread of this adapter's own, where nobody sees what comes out."""
        with self._lock:
            is_revoked = item.attempt_id in self._revoked
            self._revoked.discard(item.attempt_id)
        try:
            if is_revoked:
                self.holdings.drop(item.attempt_id)
                self.outbox.report(item.workflow, [revoked(item.attempt)])
            else:
                self.run(item)
        except Exception:  # noqa: BLE001  # of ours; an exception of the function is its outcome
            _LOG.exception("workflow %s: an outcome was not recorded", quoted(item.workflow.id))
        except BaseException as problem:  # noqa: BLE001  # it ends a thread, but neither this one nor the process
            _LOG.warning("workflow %s: a function has raised %s", quoted(item.workflow.id), type(problem).__name__)

    def _called(self, item: Dispatch, execution: Execution) -> Report:
        try:
            value = self._registered.run(item.call)
        except Exception as problem:  # noqa: BLE001  # the user's function
            return execution.raised(problem)
        return execution.returned(value)


class _Here(Inline):
    """Runs in the thread that starts."""

    def __init__(self, adapter: LocalAdapter) -> None:
        super().__init__(adapter)
        self._local = adapter

    def run(self, item: Dispatch) -> None:
        """Run one attempt."""
        self._local.run(item)

    def drop(self, item: Dispatch) -> None:
        """Hold an attempt no more that is not to be run."""
        self._local.holdings.drop(item.attempt_id)

    def unsent(self, folded: Folded, silent: Sequence[Attempt]) -> tuple[Sequence[Attempt], Sequence[Lost]]:
        """Take over what an earlier process, or an interruption, has left; nothing while others live."""
        if not silent or not self._local.life.is_alone():
            return (), ()
        marks = self._local.journal.marks(folded.key, silent)
        started = {it: marks[it].worker for it in silent if it in marks and marks[it].started_ms is not None}
        unsent = [it for it in silent if it not in started]
        return unsent, [Lost(it, f"{worker} no longer runs it") for it, worker in started.items()]

    def finish(self, run: Run) -> None:
        """Go on with a workflow that was started before."""
        conductor = self._local.conductor
        if not conductor.refresh(run.key).state.is_finished:
            self.settle(run.key)
        folded = conductor.refresh(run.key)
        if folded.state.is_finished:
            conductor.finish(folded)
