"""An engine that can all that the port knows, in this process: what the adapter suite itself is tried on.

The broker is a list under a lock. A worker has an adapter of its own, as another process would; one that is killed is
cut off from broker and journal, and what it runs goes on unheard.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from attrs import define, field

from dyrygent_core import Attempt, EncodingError, Failed, Failure, Outcome, Skipped, Succeeded, WorkflowState
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.errors import AdapterUnavailableError, JournalUnavailableError
from dyrygent_core.ports import (
    Capability,
    Dispatch,
    Finding,
    Journal,
    Refusal,
    Submission,
    WorkflowKey,
    WorkflowOutcome,
)
from dyrygent_runtime import Boot, EngineAdapter, Execution, Holdings, Identity, Settings, Sweeper
from dyrygent_runtime.failures import failure_of
from dyrygent_runtime.journals import MemoryJournal
from dyrygent_runtime.reports import Report
from dyrygent_testing import TASKS, AdapterEngine

__all__ = ["ALL", "FAST", "Broker", "ReferenceAdapter", "ReferenceEngine", "Revoked", "Worker"]

FAST: Final = Settings(poll_ms=20, sweep_interval_ms=50, grace_ms=500, lease_ms=600, cancel_grace_ms=500)
ALL: Final = frozenset(Capability) - {Capability.REPORTS_LOSS}
_STEP_S: Final = 0.005


class Revoked(BaseException):
    """Raised in the thread of a task that is to stop."""


class Dead(JournalUnavailableError, AdapterUnavailableError):  # noqa: N818  # it is none, it stands for a death
    """Raised in a process that is no more, by whatever it asks for."""


@define
class Broker:
    """What all processes share beside the journal. A message is an id and a text."""

    messages: list[tuple[str, bytes]] = field(factory=list)
    records: dict[str, tuple[int, Outcome, bytes | None]] = field(factory=dict)
    ends: dict[str, tuple[WorkflowState, Any]] = field(factory=dict)
    revoked: set[str] = field(factory=set)
    running: dict[str, int] = field(factory=dict)
    """The threads that attempts run in."""
    lock: threading.RLock = field(factory=threading.RLock)


class ReferenceAdapter(EngineAdapter):
    """Over a `Broker`, or over what stands between this process and it."""

    claims: ClassVar = ALL
    waits: ClassVar[Settings] = FAST
    is_down = False
    is_dead = False

    def __init__(self, broker: Broker, journal: Journal, *, send_limit: int | None = None) -> None:
        super().__init__(journal, settings=self.waits, send_limit=send_limit)
        self._broker = broker

    @property
    def broker(self) -> Broker:
        if self.is_dead:
            raise Dead
        if self.is_down:
            raise AdapterUnavailableError("the broker cannot be reached")
        return self._broker

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self.claims

    def dispatch(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        refusals = []
        for item in batch:
            try:
                self.send(self.id_of(item), self.text_of(item))
            except EncodingError as problem:
                refusals.append(Refusal(item.attempt, failure_of(problem)))
        return tuple(refusals)

    def id_of(self, item: Dispatch) -> str:
        return item.attempt_id

    def text_of(self, item: Dispatch) -> bytes:
        return JSON_VALUES.encode([Identity.of(item).as_text(), item.call.target, item.call.inputs.value])

    def send(self, message_id: str, text: bytes) -> None:
        broker = self.broker
        with broker.lock:
            broker.messages.append((message_id, text))

    def lookup(self, submissions: Sequence[Submission]) -> Mapping[Attempt, Finding]:
        found = {it.attempt: self.broker.records.get(it.attempt_id) for it in submissions}
        since = {it.attempt: it.since_ms for it in submissions}
        return {
            attempt: Finding(record[1], record[2])
            for attempt, record in found.items()
            if record is not None and record[0] >= since[attempt]
        }

    def waiting(self, submissions: Sequence[Submission]) -> Mapping[Attempt, int]:
        return {it.attempt: len(self.broker.messages) for it in submissions}

    def revoke(self, submissions: Sequence[Submission]) -> None:
        broker = self.broker
        with broker.lock:
            waiting = {message_id for message_id, _ in broker.messages}
            for it in submissions:
                if it.attempt_id in waiting:
                    broker.revoked.add(it.attempt_id)
                if (thread := broker.running.get(it.attempt_id)) is not None:
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Revoked))

    def hand_over(self, key: WorkflowKey, position: int, offset: int) -> bool:
        self.send("hand over", JSON_VALUES.encode([key.id, key.incarnation, position, offset]))
        return True

    def publish(self, outcome: WorkflowOutcome) -> None:
        if outcome.state is WorkflowState.RUNNING:
            self.broker.ends.pop(outcome.key.id, None)
        else:
            self.broker.ends[outcome.key.id] = (outcome.state, outcome.value)


class Cut:
    """A journal, until its process is dead."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.is_dead = False

    def __getattr__(self, name: str) -> Any:
        if self.is_dead and name != "namespace":
            raise Dead
        return getattr(self._journal, name)


class Worker:
    """Threads that take messages, a sweeper and a lease."""

    def __init__(self, adapter: ReferenceAdapter, cut: Cut, slots: int) -> None:
        self.adapter = adapter
        self.cut = cut
        self.is_stopping = threading.Event()
        self.holdings = Holdings(Boot.of_process("reference"))
        self.sweeper = self.make_sweeper()
        self.threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(slots)]
        if self.sweeper is not None:
            self.sweeper.start()
        for thread in self.threads:
            thread.start()

    def make_sweeper(self) -> Sweeper | None:
        return Sweeper(self.adapter.conductor, lease=self.holdings.lease)

    def stop(self) -> None:
        self.is_stopping.set()
        for thread in self.threads:
            thread.join()
        self.adapter.settle()
        if self.sweeper is not None:
            self.sweeper.stop()

    def kill(self) -> None:
        self.is_stopping.set()
        self.cut.is_dead = self.adapter.is_dead = True
        if self.sweeper is not None:
            self.sweeper.stop()

    def _serve(self) -> None:
        with contextlib.suppress(Dead):
            self._serve_on()

    def _serve_on(self) -> None:
        while not self.is_stopping.is_set():
            message = self._taken()
            if message is None:
                self.is_stopping.wait(_STEP_S)
            elif message[0] == "hand over":
                workflow_id, incarnation, *place = JSON_VALUES.decode(message[1])
                try:
                    self.adapter.conductor.go_on(WorkflowKey(workflow_id, incarnation), *place)
                except LookupError:
                    continue  # deleted since
            else:
                self._run(*message)

    def _taken(self) -> tuple[str, bytes] | None:
        broker = self.adapter.broker
        with broker.lock:
            if not broker.messages:
                return None
            message_id, text = broker.messages.pop(0)
            self.holdings.begin(message_id)
            return message_id, text

    def _run(self, attempt_id: str, text: bytes) -> None:
        written, target, inputs = JSON_VALUES.decode(text)
        identity, broker = Identity.from_text(written), self.adapter.broker
        if identity is None or not self.adapter.keeps(identity):
            return
        if attempt_id in broker.revoked:
            revoked = Failed(identity.attempt, Failure("Revoked"), is_revoked=True)
            self.adapter.outbox.report(identity.workflow, [revoked])
        else:
            execution = Execution.begin(self.adapter, self.identity_for(identity), self.holdings.boot)
            self.finish(attempt_id, execution, self.report_of(attempt_id, execution, target, inputs))
        self.holdings.drop(attempt_id)

    def identity_for(self, identity: Identity) -> Identity:
        return identity

    def report_of(self, attempt_id: str, execution: Execution, target: str, inputs: Mapping[str, Any]) -> Report:
        attempt = execution.identity.attempt
        if target not in TASKS:
            unknown = failure_of(LookupError(f"no function is named {target!r}"))
            return self.unknown(attempt, unknown), {}
        running = self.adapter.broker.running
        try:
            running[attempt_id] = threading.get_ident()
            try:
                value = TASKS[target](*inputs["args"], **inputs["kwargs"])
            finally:
                running.pop(attempt_id, None)  # it may run twice at once
        except Revoked as problem:
            return Failed(attempt, failure_of(problem), execution.ran, is_revoked=True), {}
        except (Exception, SystemExit) as problem:  # noqa: BLE001  # the task's
            return execution.raised(problem)
        return execution.returned(value)

    def unknown(self, attempt: Attempt, failure: Failure) -> Outcome:
        return Failed(attempt, failure, is_final=True)

    def finish(self, attempt_id: str, execution: Execution, report: Report) -> None:
        """Record the end in the engine, and then report it."""
        self.record(attempt_id, execution, report)
        execution.end(report)

    def record(self, attempt_id: str, execution: Execution, report: Report) -> None:
        outcome, results = report
        if not self.cut.is_dead and isinstance(outcome, Succeeded | Failed | Skipped):
            now_ms = self.adapter.journal.mark(execution.identity.workflow, [])
            value = results.get(outcome.attempt)
            self.adapter.broker.records[attempt_id] = (now_ms, outcome, value)


class ReferenceEngine(AdapterEngine):
    """With every hook."""

    adapter_kind: type[ReferenceAdapter] = ReferenceAdapter
    worker_kind: type[Worker] = Worker

    limit_s = 20.0

    def __init__(self, limit_s: float = limit_s) -> None:
        self.limit_s = limit_s
        self.broker = Broker()
        self.journal = MemoryJournal("reference")
        self.client = self.adapter_kind(self.broker, self.journal)
        self.worker: Worker | None = None
        super().__init__(self.client)

    def start_worker(self) -> None:
        if self.worker is None:
            cut: Any = Cut(self.journal)
            self.worker = self.worker_kind(self.adapter_kind(self.broker, cut, send_limit=100), cut, self.slots)

    def stop_worker(self) -> None:
        if self.worker is not None:
            self.worker.stop()
            self.worker = None

    def kill_worker(self) -> None:
        if self.worker is not None:
            self.worker.kill()
            self.worker = None

    def close(self) -> None:
        self.stop_worker()

    def queued_ids(self) -> Sequence[str]:
        return [message_id for message_id, _ in self.broker.messages]

    def repeat(self, attempt_id: str) -> None:
        self.broker.messages += [it for it in self.broker.messages if it[0] == attempt_id]

    def forget(self, attempt_id: str) -> None:
        self.broker.messages[:] = [it for it in self.broker.messages if it[0] != attempt_id]

    @contextmanager
    def outage(self) -> Iterator[None]:
        self.client.is_down = True
        yield
        self.client.is_down = False

    def told(self, workflow_id: str) -> tuple[WorkflowState, Any] | None:
        return self.broker.ends.get(workflow_id)
