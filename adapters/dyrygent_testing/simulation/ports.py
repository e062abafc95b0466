"""The journal and the adapter of one simulated process: the real store and the shared engine, behind the gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dyrygent_core import Attempt, Begin, Call
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.errors import AdapterUnavailableError
from dyrygent_core.ports import (
    Appended,
    Capability,
    Created,
    Dispatch,
    Finding,
    Journal,
    Mark,
    Refusal,
    Submission,
    ValueCodec,
    WorkflowKey,
    WorkflowOutcome,
)
from dyrygent_runtime import Conductor
from dyrygent_testing.simulation.agenda import Agenda
from dyrygent_testing.simulation.engine import Engine, HandOver
from dyrygent_testing.simulation.faults import Fault, FaultKind
from dyrygent_testing.simulation.gate import Gate, Living, check_alive
from dyrygent_testing.simulation.record import Recorder
from dyrygent_testing.simulation.trace import Named

__all__ = ["FaultyJournal", "SimulatedAdapter"]


class FaultyJournal:
    """Passes every call on to a store, whatever calls the port has; any may fail, before or after it was done."""

    def __init__(self, store: Journal, process: Living, gate: Gate, recorder: Recorder, agenda: Agenda) -> None:
        self._store = store
        self._agenda = agenda
        self._process = process
        self._gate = gate
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:  # whatever the store has
        found = getattr(self._store, name)
        if not callable(found):
            return found

        place = f"journal.{name}"

        def call(*args: Any, **kwargs: Any) -> Any:
            names = self._before(name, args, kwargs)
            return self._gate.through(self._process, place, lambda: self._done(name, found, args, kwargs), names)

        self.__dict__[name] = call
        return call

    def _before(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Sequence[Named]:
        """Note what a call is about; give the attempts that a fault of it would name."""
        doing = self._recorder.doing
        if args and isinstance(args[0], WorkflowKey):
            doing.workflow = args[0].id
        if name == "append":
            doing.nonces.append(kwargs["nonce"])
            doing.deals_with(args[0].id, [it.attempt for it in args[1] if hasattr(it, "attempt")])
        elif name == "mark":
            marks: Sequence[Mark] = args[1]
            doing.deals_with(args[0].id, [it.attempt for it in marks])
            return [(args[0].id, it.attempt) for it in marks]
        return ()

    def _done(self, name: str, found: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        answer = found(*args, **kwargs)
        self._agenda.note(name, args, kwargs, answer)
        if isinstance(answer, Appended):
            self._recorder.write(args[0], kwargs["nonce"], answer.first, args[1], kwargs.get("results") or {})
        elif isinstance(answer, Created) and self._recorder.is_first(answer.key.id):
            self._recorder.doing.nonces.append(kwargs["nonce"])
            self._recorder.write(answer.key, kwargs["nonce"], 1, [Begin()], {})
        return answer


class SimulatedAdapter:
    """One process's side of the engine."""

    def __init__(self, engine: Engine, process: Living, gate: Gate, recorder: Recorder) -> None:
        self._engine = engine
        self._process = process
        self._gate = gate
        self._recorder = recorder
        self.conductor: Conductor
        """Set by whoever makes both."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """All but stopping what runs, and telling of a death before the lease does."""
        return frozenset(Capability) - {Capability.REVOKE_RUNNING, Capability.REPORTS_LOSS}

    @property
    def values(self) -> ValueCodec:
        """Plain JSON."""
        return JSON_VALUES

    def check(self, call: Call) -> None:
        """Accept every call."""

    def dispatch(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        """Send message by message (A1)."""
        names = [(it.workflow.id, it.attempt) for it in batch]
        for workflow, attempt in names:
            self._recorder.doing.deals_with(workflow, [attempt])
        return self._gate.through(self._process, "engine.dispatch", lambda: self._send_all(batch), names)

    def lookup(self, submissions: Sequence[Submission]) -> Mapping[Attempt, Finding]:
        """Read the engine's record (A3)."""
        workflow = self._recorder.doing.workflow
        return self._gate.through(
            self._process,
            "engine.lookup",
            lambda: self._engine.look_up(submissions),
            [(workflow, it.attempt) for it in submissions],
            blind={},
        )

    def waiting(self, submissions: Sequence[Submission]) -> Mapping[Attempt, int]:
        """Count what is in the one queue, or on its way there (A6)."""
        return self._gate.through(
            self._process,
            "engine.waiting",
            lambda: dict.fromkeys((it.attempt for it in submissions), self._engine.length),
        )

    def revoke(self, submissions: Sequence[Submission]) -> None:
        """Have attempts dropped when they are picked up (A4)."""
        ids = {it.attempt_id for it in submissions}
        self._gate.through(self._process, "engine.revoke", lambda: self._engine.revoked.update(ids))

    def hand_over(self, key: WorkflowKey, position: int, offset: int) -> bool:
        """Leave the rest to whoever takes a message."""

        def leave() -> bool:
            self._send(HandOver(key, position, offset))
            return True

        return self._gate.through(self._process, "engine.hand_over", leave)

    def publish(self, outcome: WorkflowOutcome) -> None:
        """Note it (A5)."""
        self._gate.through(self._process, "engine.publish", lambda: self._recorder.publish(self._process.life, outcome))

    def _send_all(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        for item in batch:
            self._send(item)
        return ()

    def _send(self, content: Dispatch | HandOver) -> None:
        names = [(content.workflow.id, content.attempt)] if isinstance(content, Dispatch) else []
        blow = self._gate.meet(self._process, "message.sent", names)
        fault = None if blow is None else blow.fault
        kind = None if fault is None else fault.kind
        if kind is FaultKind.UNAVAILABLE:
            message = "simulated: the broker went away between two messages"
            raise AdapterUnavailableError(message)
        if isinstance(content, Dispatch):
            self._recorder.send(content)
        for late_ms in _copies(fault):
            self._engine.send(content, late_ms=late_ms)
        if blow is not None and kind is FaultKind.CRASH:
            self._process.die(at=blow.number)
            check_alive(self._process)


def _copies(fault: Fault | None) -> tuple[int, ...]:
    """Say how many messages become of one, and how late each is."""
    match None if fault is None else fault.kind:
        case FaultKind.LOSE:
            return ()
        case FaultKind.DUPLICATE:
            return 0, 0 if fault is None else fault.ms
        case FaultKind.DELAY:
            return (0 if fault is None else fault.ms,)
        case _:
            return (0,)
