"""The part of a simulated process that runs attempts: it holds them, marks them as started, runs and reports them."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from attrs import define

from dyrygent_core import Failure, Ran
from dyrygent_core.errors import JournalUnavailableError
from dyrygent_core.ports import Dispatch, Lease, Mark, MarkKind
from dyrygent_runtime import Conductor
from dyrygent_testing.simulation.engine import Message
from dyrygent_testing.simulation.errbacks import failed_of, failure_in
from dyrygent_testing.simulation.tasks import Ending, revoked
from dyrygent_testing.simulation.trace import ActKind, Held, Named

if TYPE_CHECKING:
    from dyrygent_testing.simulation.process import Process

__all__ = ["Worker"]


@define(eq=False)
class _Holding:
    """A message in this process."""

    message: Message
    item: Dispatch
    since_ms: int
    is_active: bool = False
    started_ms: int | None = None
    """When it was marked as started; the store's time."""
    execution: int | None = None
    begun_ms: int = 0
    ends_ms: int = 0


class Worker:
    """Runs `slots` attempts at a time, and holds `prefetch` more."""

    def __init__(self, process: Process, slots: int, prefetch: int) -> None:
        self._process = process
        self._world = process.world
        self._slots = slots
        self._most = slots + prefetch
        self._holdings: list[_Holding] = []
        self._lease: Lease | None = None
        """What it tells until it holds, or runs, something else."""

    @property
    def has_room(self) -> bool:
        """Whether it holds one more."""
        return len(self._holdings) < self._most

    @property
    def is_idle(self) -> bool:
        """Whether it holds none."""
        return not self._holdings

    @property
    def names(self) -> list[Named]:
        """What it holds."""
        return [name for holding in self._holdings for name in holding.message.name]

    @property
    def unnamed(self) -> list[Named]:
        """What it holds that neither a mark nor a lease of its own tells of, so that nobody can know."""
        here = self._process.life
        views, _ = self._world.store.leases()
        its = [it for it in views if (it.lease.worker, it.lease.boot) == (here.process, str(here.boot))]
        named = {name for view in its for lease in (view.lease, view.previous) if lease for name in _all(lease)}
        return [
            name
            for it in self._holdings
            if it.started_ms is None and it.item.attempt_id not in named
            for name in it.message.name
        ]

    def lease(self) -> Lease:
        """Tell which attempts are here."""
        if self._lease is None:
            life = self._process.life
            active = frozenset(it.item.attempt_id for it in self._holdings if it.is_active)
            reserved = frozenset(it.item.attempt_id for it in self._holdings if not it.is_active)
            self._lease = Lease(life.process, str(life.boot), active, reserved)
        return self._lease

    @property
    def running(self) -> list[Named]:
        """What it runs now, an execution each."""
        return [name for it in self._holdings if it.execution is not None for name in it.message.name]

    @property
    def ends_ms(self) -> dict[Named, int]:
        """When each of what it runs now is to end."""
        its = (it for it in self._holdings if it.execution is not None)
        return {name: it.ends_ms for it in its for name in it.message.name}

    def end(self, name: Named) -> None:
        """End an execution now, before its time is over; a deadly one takes the process with it."""
        its = (it for it in self._holdings if it.execution is not None and it.message.name == (name,))
        holding = next(its)
        if self._world.tasks.is_deadly(holding.item.attempt):
            self._process.act(ActKind.RUN, lambda: self._go_on(holding))
        else:
            length_ms = self._world.loop.now_ms - holding.begun_ms
            self._process.act(ActKind.REPORT, lambda: self._end(holding, length_ms))

    def take(self, message: Message) -> None:
        """Hold one more, and run it as soon as there is a slot."""
        content = message.content
        assert isinstance(content, Dispatch)
        self._holdings.append(_Holding(message, content, self._world.loop.now_ms))
        self._lease = None
        self._start()

    def die(self) -> list[Message]:
        """Be gone; return what was held."""
        gone = [it.message for it in self._holdings]
        for holding in list(self._holdings):
            self._let_go(holding)
        return gone

    def _start(self) -> None:
        for holding in self._holdings:
            if sum(it.is_active for it in self._holdings) >= self._slots:
                return
            if not holding.is_active:
                holding.is_active = True
                self._lease = None
                self._process.later(0, partial(self._process.act, ActKind.RUN, partial(self._begin, holding)))

    def _begin(self, holding: _Holding) -> None:
        item, process, world = holding.item, self._process, self._world
        world.recorder.doing.deals_with(item.workflow.id, [item.attempt])
        world.gate.meet(process, "worker.picked", holding.message.name)
        if item.attempt_id in world.engine.revoked:
            self._report(holding, revoked(item.attempt))
            return
        mark = Mark(MarkKind.STARTED, item.attempt, process.life.process, str(process.life.boot))
        with suppress(JournalUnavailableError):  # as in every adapter of ours: it is a hint
            holding.started_ms = process.marks.write_with(item.workflow, [mark])
        world.gate.meet(process, "worker.started", holding.message.name)
        seen = world.recorder.position(item.workflow.id)
        holding.execution = world.recorder.execute(item, process.life, seen)
        holding.begun_ms = world.loop.now_ms
        length_ms = world.duration_ms(item.attempt)
        holding.ends_ms = holding.begun_ms + length_ms
        process.later(length_ms // 2, lambda: process.act(ActKind.RUN, lambda: self._go_on(holding)))
        process.later(length_ms, lambda: process.act(ActKind.REPORT, lambda: self._end(holding, length_ms)))

    def _go_on(self, holding: _Holding) -> None:
        """Pass the middle of an execution, beyond which no deadly one comes."""
        item = holding.item
        self._world.recorder.doing.deals_with(item.workflow.id, [item.attempt])
        self._world.gate.meet(self._process, "worker.running", holding.message.name)
        if self._world.tasks.is_deadly(item.attempt):
            struck = self._world.recorder.strike_task(self._process.life, "worker.running", 1, holding.message.name)
            self._process.die(at=struck)

    def _end(self, holding: _Holding, length_ms: int) -> None:
        item, world = holding.item, self._world
        assert holding.execution is not None
        ran = None if holding.started_ms is None else Ran(holding.started_ms, length_ms, self._process.life.process)
        ending = world.tasks.run(item, holding.execution, ran, self._told_failure(item))
        world.recorder.executed_to(holding.execution, ending.report[0], ending.finding.value)
        self._report(holding, ending)

    def _told_failure(self, item: Dispatch) -> Failure | None:
        """Give what an error callback is told of, as the journal has it: no fault strikes whoever looks that up."""
        node = failed_of(item.call)
        if node is None:
            return None
        return failure_in(Conductor(self._world.store, self._process.adapter).refresh(item.workflow), node)

    def _report(self, holding: _Holding, ending: Ending) -> None:
        """Report an end; until that is done, or kept for later, the attempt is still active here."""
        item, process, world = holding.item, self._process, self._world
        world.recorder.doing.deals_with(item.workflow.id, [item.attempt])
        world.gate.meet(process, "worker.ran", holding.message.name)
        world.engine.keep(item.attempt_id, ending.finding)
        world.gate.meet(process, "worker.recorded", holding.message.name)
        outcome, results = ending.report
        process.outbox.report(item.workflow, [outcome], results)
        self._let_go(holding)
        self._start()
        world.engine.deliver()

    def _let_go(self, holding: _Holding) -> None:
        self._holdings.remove(holding)
        self._lease = None
        item, now_ms = holding.item, self._world.loop.now_ms
        self._world.recorder.held.append(
            Held(self._process.life, item.workflow.id, item.attempt, holding.since_ms, now_ms)
        )


def _all(lease: Lease) -> frozenset[str]:
    return lease.active | lease.reserved
