"""Processes that conduct and run workflows together, over a real store, until one of them is killed.

Their engine is a folder: a message is a file, whoever renames it has it, and one that is held by a dead process is
gone, as with brokers that are told at once. All that is run is written line by line into one file, which no process
that dies can take back.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import secrets
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from dyrygent_core import Attempt, UsageError, Workflow, WorkflowState, call
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.errors import JournalUnavailableError
from dyrygent_core.ports import (
    Dispatch,
    Finding,
    Journal,
    Lease,
    Mark,
    MarkKind,
    Refusal,
    Submission,
    WorkflowKey,
    WorkflowOutcome,
)
from dyrygent_runtime import Conductor, Run, Settings, Sweeper, start
from dyrygent_runtime.faults import FaultPoint, Reach, kill_from_environment
from dyrygent_runtime.journals import open_journal
from dyrygent_runtime.outbox import Outbox
from dyrygent_runtime.reports import raised, returned
from tests.dyrygent_runtime.engine import ManualEngine

__all__ = ["END", "SETTINGS", "Place", "Wish", "serve", "story"]

END: Final = "end"
SETTINGS: Final = Settings(
    poll_ms=100, sweep_interval_ms=300, grace_ms=3_000, lease_ms=3_000, resend_after_ms=6_000, snapshot_entries=4
)
"""As short as a machine that is busy with other things allows: what is late is taken for dead."""
_PAUSE_S: Final = 0.01
_DOUBLED_EVERY: Final = 5
_UNHEARD_EVERY: Final = 6
_TIMEOUT_MS: Final = 600


def story() -> Workflow:
    """Build what passes every fault point: a fan, a map, a node that fails in the first round, one that goes silent."""
    workflow = Workflow()
    source = workflow.add(call("list"), id="source")
    doubled = workflow.add(call("double", workflow.item), each=source, id="doubled")
    total = workflow.add(call("sum", doubled.result), id="total")
    sides = [workflow.add(call("sum", source.result), id=f"side-{number}") for number in range(3)]
    silent = workflow.add(call("silent", total.result), id="silent", timeout=_TIMEOUT_MS, max_attempts=2)
    fragile = workflow.add(call("fragile", total.result), id="fragile")
    workflow.add(call("sum", [silent.result, fragile.result, *(side.result for side in sides)]), id="join")
    workflow.finally_(call("state", workflow.summary), id="last")
    return workflow


@frozen
class Wish:
    """What somebody asks a process for: to start a workflow, or to run it again."""

    workflow: str
    is_rerun: bool = False


@frozen
class _HandOver:
    key: WorkflowKey
    position: int
    offset: int


@frozen
class Place:
    """The folder that is the engine."""

    folder: Path
    _numbers: Iterator[int] = field(factory=count)

    def make(self) -> None:
        for name in ("new", "queue", "held", "records"):
            (self.folder / name).mkdir(parents=True)

    def put(self, content: object) -> None:
        """Send a message: it is there as a whole, or not at all."""
        name = f"{os.getpid()}-{next(self._numbers)}-{secrets.token_hex(4)}"
        (self.folder / "new" / name).write_bytes(pickle.dumps(content))
        (self.folder / "new" / name).rename(self.folder / "queue" / name)

    def take(self) -> Any:
        """Receive a message; None if there is none that another has not taken before."""
        for name in sorted(it.name for it in (self.folder / "queue").iterdir()):
            held = self.folder / "held" / name
            try:
                (self.folder / "queue" / name).rename(held)
            except FileNotFoundError:
                continue
            return pickle.loads(held.read_bytes())  # noqa: S301  # written above
        return None

    @property
    def length(self) -> int:
        return sum(1 for _ in (self.folder / "queue").iterdir())

    def keep(self, attempt_id: str, finding: Finding) -> None:
        """Record how an execution ended."""
        name = secrets.token_hex(8)
        (self.folder / "new" / name).write_bytes(pickle.dumps(finding))
        (self.folder / "new" / name).rename(self._record(attempt_id))

    def find(self, attempt_id: str) -> Finding | None:
        try:
            found: Finding = pickle.loads(self._record(attempt_id).read_bytes())  # noqa: S301
        except FileNotFoundError:
            return None
        return found

    def say(self, *words: object) -> None:
        """Write a line, at once and for good."""
        descriptor = os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())
        os.close(descriptor)

    def said(self) -> list[list[str]]:
        log = self.folder / "log"
        return [line.split() for line in log.read_text().splitlines()] if log.exists() else []

    def _record(self, attempt_id: str) -> Path:
        return self.folder / "records" / hashlib.blake2b(attempt_id.encode()).hexdigest()[:32]


class FolderEngine(ManualEngine):
    """The adapter of one process. Every fifth attempt that it sends is delivered twice."""

    def __init__(self, place: Place, journal: Journal, reach: Reach) -> None:
        super().__init__()
        self.place = place
        self._sent = 0
        self.conductor = Conductor(journal, self, settings=SETTINGS, reach=reach)

    def dispatch(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        for item in batch:
            self._sent += 1
            self.place.say("sent", *_words(item))
            self.place.put(item)
            if self._sent % _DOUBLED_EVERY == 0:
                self.place.say("doubled", *_words(item))
                self.place.put(item)
        return ()

    def lookup(self, submissions: Sequence[Submission]) -> Mapping[Attempt, Finding]:
        found = {it.attempt: self.place.find(it.attempt_id) for it in submissions}
        return {attempt: finding for attempt, finding in found.items() if finding is not None}

    def waiting(self, submissions: Sequence[Submission]) -> Mapping[Attempt, int]:
        return dict.fromkeys((it.attempt for it in submissions), self.place.length)

    def revoke(self, submissions: Sequence[Submission]) -> None:
        """Drop nothing: whoever is revoked here has ended."""

    def hand_over(self, key: WorkflowKey, position: int, offset: int) -> bool:
        self.place.put(_HandOver(key, position, offset))
        return True

    def publish(self, outcome: WorkflowOutcome) -> None:
        self.place.say("published", outcome.key.id, outcome.state.name)


class _Unheard:
    """A real journal whose every sixth append is done, and then reported as failed."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._appends = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def append(self, *args: Any, **options: Any) -> Any:
        appended = self._journal.append(*args, **options)
        self._appends += 1
        if self._appends % _UNHEARD_EVERY == 0:
            raise JournalUnavailableError("the reply was lost")
        return appended


class _Worker:
    """Runs one attempt at a time, and does what is wished for."""

    def __init__(self, engine: FolderEngine) -> None:
        self._engine = engine
        self._place = engine.place
        self._name = f"worker-{os.getpid()}"
        self._boot = secrets.token_hex(8)
        self._active: frozenset[str] = frozenset()
        self._outbox = Outbox(engine.conductor, send_limit=1)

    def lease(self) -> Lease:
        return Lease(self._name, self._boot, self._active, frozenset())

    def go_on(self) -> bool:
        """Do what the next message says, if there is one; False for the last of all."""
        message = self._place.take()
        match message:
            case None:
                threading.Event().wait(_PAUSE_S)
            case Dispatch():
                self._active = frozenset({message.attempt_id})
                self._run(message)
                self._active = frozenset()
            case _HandOver(key, position, offset):
                self._try(lambda: self._engine.conductor.go_on(key, position, offset))
            case Wish():
                self._try(lambda: self._fulfil(message))
            case _:
                return False
        return True

    def _try(self, act: Any) -> None:
        try:
            act()
        except JournalUnavailableError:
            return  # a hand-over is the sweep's then, and who wishes asks again

    def _fulfil(self, wish: Wish) -> None:
        if not wish.is_rerun:
            start(self._engine, story(), id=wish.workflow)
            return
        run = Run.from_id(wish.workflow, self._engine.conductor.journal, self._engine)
        if run.workflow_state is WorkflowState.FAILURE:
            with suppress(UsageError):  # another was faster
                run.rerun()

    def _run(self, item: Dispatch) -> None:
        attempt = item.attempt
        mark = Mark(MarkKind.STARTED, attempt, self._name, self._boot)
        with suppress(JournalUnavailableError):  # as in every adapter of ours: it is a hint
            self._engine.conductor.journal.mark(item.workflow, [mark])
        self._place.say("start", *_words(item))
        if item.call.target == "silent" and attempt.number == 1:
            return  # as if its engine had dropped it without a word
        try:
            value = _FUNCTIONS[item.call.target](*item.call.inputs.value["args"], attempt.number)
        except ArithmeticError as problem:
            report, data = (raised(attempt, problem), {}), None
        else:
            report = returned(attempt, value, JSON_VALUES, is_kept=item.is_kept, measure=item.measure)
            data = JSON_VALUES.encode(value)
        self._place.keep(item.attempt_id, Finding(report[0], data))
        self._place.say("ended", *_words(item))
        self._outbox.report(item.workflow, [report[0]], report[1])


def _fragile(value: int, number: int) -> int:
    """Succeed in the second round."""
    if number == 1:
        raise ArithmeticError
    return value


_FUNCTIONS: Final[Mapping[str, Any]] = {
    "list": lambda _: [1, 2, 3],
    "double": lambda value, _: 2 * value,
    "sum": lambda values, _: sum(values),
    "silent": lambda value, _: value,
    "fragile": _fragile,
    "state": lambda summary, _: summary["state"],
}


def _words(item: Dispatch) -> tuple[object, ...]:
    return item.workflow.id, item.attempt.node, item.attempt.index, item.attempt.number


def serve(url: str, namespace: str, folder: str, point: str | None, *, is_stopped: bool = False) -> None:
    """Work until the last message, or until this process is killed at a point, or stopped; None for one that lives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reach = _stopped(point) if is_stopped else _fated(Place(Path(folder)), point)
    engine = FolderEngine(Place(Path(folder)), _Unheard(open_journal(url, namespace)), reach)  # type: ignore[arg-type]
    worker = _Worker(engine)
    sweeper = Sweeper(engine.conductor, lease=worker.lease)
    sweeper.start()
    while worker.go_on():
        pass
    sweeper.stop()
    engine.conductor.journal.dispose()


def _fated(place: Place, point: str | None) -> Reach:
    if point is not None:
        os.environ["DYRYGENT_FAULT"] = point
    kill = kill_from_environment()

    def reach(here: FaultPoint) -> None:
        if here.value == point:
            place.say("dies", point)
        kill(here)

    return reach


def _stopped(point: str | None) -> Reach:
    """Stand still at a point, once, until another process lets this one go on."""
    hits = count()

    def reach(here: FaultPoint) -> None:
        if here.value == point and next(hits) == 0:
            os.kill(os.getpid(), signal.SIGSTOP)

    return reach
