"""A simulated process: the real conductor, outbox and sweeper over the real journal, from one start to one death."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from attrs import field, frozen

from dyrygent_core import Attempt, Definition, Observation
from dyrygent_core.errors import JournalUnavailableError
from dyrygent_core.ports import Journal, WorkflowKey
from dyrygent_runtime import Conductor, Settings, Sweeper
from dyrygent_runtime.faults import FaultPoint
from dyrygent_runtime.fold import Folded
from dyrygent_runtime.holdings import Boot
from dyrygent_runtime.late_marks import LateMarks
from dyrygent_runtime.lease import LeaseKeeper
from dyrygent_testing.simulation.agenda import Agenda
from dyrygent_testing.simulation.engine import Engine, HandOver, Message
from dyrygent_testing.simulation.faults import FaultKind, point
from dyrygent_testing.simulation.gate import DiedError, Gate
from dyrygent_testing.simulation.loop import Loop, Poll
from dyrygent_testing.simulation.outbox import VirtualOutbox
from dyrygent_testing.simulation.ports import FaultyJournal, SimulatedAdapter
from dyrygent_testing.simulation.record import Recorder
from dyrygent_testing.simulation.tasks import Tasks
from dyrygent_testing.simulation.trace import ActKind, Life, Named
from dyrygent_testing.simulation.worker import Worker

__all__ = ["Process", "Room", "World"]


@frozen
class Room:
    """How much a process runs at a time, how much it holds beside, and how much of a turn it sends itself."""

    slots: int
    prefetch: int
    send_limit: int | None


@frozen
class World:
    """What all processes share."""

    loop: Loop
    gate: Gate
    recorder: Recorder
    engine: Engine
    store: Journal
    agenda: Agenda
    settings: Settings
    tasks: Tasks
    duration_ms: Callable[[Attempt], int]
    definitions: dict[bytes, Definition] = field(factory=dict[bytes, Definition])
    """What was decoded, by digest: each process would make the same of it."""


class _Clock:
    """A process's own clock, which began to count when nobody else's did."""

    def __init__(self, loop: Loop, ahead_ms: int) -> None:
        self._loop = loop
        self._ahead_ms = ahead_ms

    def monotonic_ms(self) -> int:
        return self._loop.now_ms + self._ahead_ms


class _Watched(Conductor):
    """The real conductor, whose turns are noted."""

    def __init__(self, process: Process, journal: Journal, **options: Any) -> None:
        super().__init__(journal, process.adapter, **options)
        self._process = process

    def turn(self, key: WorkflowKey, observations: Sequence[Observation], **options: Any) -> Folded:
        recorder = self._process.world.recorder
        if options.get("nonce"):  # that of an earlier try may be found in the journal, and is not appended again
            recorder.doing.nonces.append(options["nonce"])
        folded = super().turn(key, observations, **options)
        recorder.view(self._process.life, folded)
        return folded


class Process:
    """One life of a process. It works if it has room, and sweeps then; else it only starts and steers workflows."""

    def __init__(self, world: World, life: Life, room: Room | None, on_death: Callable[[Process], None]) -> None:
        self.world = world
        self.life = life
        self.is_alive = True
        self.stopped_until_ms = 0
        self._on_death = on_death
        journal = FaultyJournal(world.store, self, world.gate, world.recorder, world.agenda)
        self.journal = cast("Journal", journal)  # it passes on whatever it is asked
        self.adapter = SimulatedAdapter(world.engine, self, world.gate, world.recorder)
        self.marks = LateMarks(self.journal, world.settings, later=self._mark_later)
        self.conductor = _Watched(
            self,
            self.journal,
            settings=world.settings,
            clock=_Clock(world.loop, 86_400_000 * len(life.process) + 1_000 * life.boot),
            reach=self._reach,
            mark=self.marks.add,
            definitions=world.definitions,
        )
        self.adapter.conductor = self.conductor
        self.outbox = VirtualOutbox(
            self.conductor,
            send_limit=None if room is None else room.send_limit,
            boot=Boot(life.process, str(life.boot)),
            again=self._report_again,
        )
        self.worker = None if room is None else Worker(self, room.slots, room.prefetch)
        if self.worker is not None:
            clock = self.conductor.clock
            self._keeper = LeaseKeeper(self.journal, world.settings, clock, self.worker.lease)
            self._sweeper = Sweeper(self.conductor)
            self._renewal_ms = min(world.settings.poll_ms, world.settings.renewal_ms)
            self._renewing, self._sweeping = Poll(self._renew), Poll(self._sweep)
            self.later(0, self._renewing)
            self.later(0, self._sweeping)

    def __repr__(self) -> str:
        return f"<Process {self.life}>"

    @property
    def has_room(self) -> bool:
        """Whether it takes one more message."""
        return (
            self.worker is not None
            and self.is_alive
            and self.stopped_until_ms <= self.world.loop.now_ms
            and self.worker.has_room
        )

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be lost if it died."""
        return self.has_told and (self.worker is None or self.worker.is_idle)

    @property
    def has_told(self) -> bool:
        """Whether all that it knows is in the journal."""
        return not len(self.outbox) and not len(self.marks)

    def take(self, message: Message) -> None:
        """Take a message from the queue."""
        content = message.content
        if isinstance(content, HandOver):
            key, position, offset = content.key, content.position, content.offset
            self.later(0, lambda: self.act(ActKind.HAND_OVER, lambda: self.conductor.go_on(key, position, offset)))
        elif self.worker is not None:
            self.worker.take(message)

    def later(self, in_ms: int, action: Callable[[], object]) -> None:
        """Do something in a while, if this life lasts so long."""
        self.world.loop.later(in_ms, action, self)

    def act(self, kind: ActKind, action: Callable[[], object]) -> bool:
        """Do something, and tell whether it was done to its end."""
        recorder = self.world.recorder
        recorder.begin(kind, self.life)
        try:
            action()
        except DiedError:
            assert not self.is_alive, "another's death has come here"
            return False
        except JournalUnavailableError:
            return False
        except Exception as problem:  # noqa: BLE001  # what nobody foresaw is what a simulation is for
            recorder.problems.append(f"{self.life} {kind.value}: {type(problem).__name__}: {problem}")
            return False
        finally:
            recorder.end()
        return True

    def die(self, *, at: int) -> None:
        """Be gone, with all that is held here."""
        if not self.is_alive:
            return
        self.is_alive = False
        held: list[Named] = [*self.outbox.waiting, *((key.id, mark.attempt) for key, mark in self.marks.waiting)]
        self.marks.forget()
        forgotten: list[Named] = []
        if self.worker is not None:
            held += self.worker.names
            forgotten += self.worker.unnamed
            self._drop(self.worker.die())
        self.world.recorder.found(at, held, forgotten)
        self._on_death(self)

    def _drop(self, messages: Sequence[Message]) -> None:
        """Let the broker deliver again what this process held, if it knows of that."""
        for message in messages:
            blow = self.world.gate.meet(self, "message.held", message.name)
            if blow is not None and blow.fault.kind is FaultKind.REDELIVER:
                self.world.engine.send(message.content)

    def _reach(self, at: FaultPoint) -> None:
        self.world.gate.meet(self, point(at))
        if at is FaultPoint.BEFORE_SEND:
            self.world.recorder.doing.chunk_ms = self.world.loop.now_ms

    def _mark_later(self, in_ms: int, action: Callable[[], None]) -> None:
        self.later(in_ms, lambda: self.act(ActKind.MARK, action))

    def _report_again(self, in_ms: int, action: Callable[[], Any]) -> None:
        self.later(in_ms, lambda: self.act(ActKind.REPORT, action))

    def renew(self) -> None:
        """Renew the lease, if it is time."""
        if self.worker is not None:
            self.act(ActKind.LEASE, self._keeper.renew)

    def _renew(self) -> None:
        """Do what a round of the lease's own thread does."""
        if self._keeper.is_due:
            self.act(ActKind.LEASE, self._keeper.renew)
        self.later(self._renewal_ms, self._renewing)

    def sweep(self) -> None:
        """Look after all workflows that are due, as it does by itself now and then."""
        self._sweeper.round()

    def _sweep(self) -> None:
        """Do what a round of the sweeper's thread does; one that would find nothing only passes the call it makes."""
        is_idle = self.world.agenda.is_free and not self._sweeper.is_purge_due
        if is_idle and self.world.gate.is_passed("journal.due"):
            self._sweeper.skip_round()
        else:
            self.act(ActKind.SWEEP, self.sweep)
        self.world.engine.deliver()  # there may have been nobody to take what came before
        self.later(self.world.settings.poll_ms, self._sweeping)
