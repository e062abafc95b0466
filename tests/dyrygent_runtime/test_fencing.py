"""Owners that stop in time: what they have not sent by then is the sweep's, so that the two do not race."""

from __future__ import annotations

from collections.abc import Sequence

from dyrygent_core import Attempt, Failed, RerunRequested, Succeeded, WorkflowState
from dyrygent_core.ports import Dispatch, Refusal, Seen
from dyrygent_runtime import Conductor
from dyrygent_runtime.faults import FaultPoint
from tests.dyrygent_runtime.conftest import Clock, World
from tests.dyrygent_runtime.engine import ManualEngine
from tests.dyrygent_runtime.shapes import chain, fan


class SlowEngine(ManualEngine):
    """An engine that takes its time to send; it is the test's clock that it takes."""

    def __init__(self, clock: Clock, takes_ms: int) -> None:
        super().__init__()
        self.clock = clock
        self.takes_ms = takes_ms

    def dispatch(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        self.clock.advance(self.takes_ms)
        return super().dispatch(batch)


def test_an_owner_stops_after_half_the_grace(world: World) -> None:
    """What an owner has not sent when half the grace has passed is the sweep's: it is sent once, and not by both."""
    world.engine = SlowEngine(world.clock, world.settings.grace_ms // 4 + 1)
    world.keep_in(world.journal)
    run = world.start(fan(350))
    world.engine.take()

    world.conductor.turn(run.key, [Succeeded(Attempt("root"))])
    assert world.engine.take() == [f"leaf-{n}" for n in range(200)]
    world.engine.takes_ms = 0
    world.clock.advance(world.settings.grace_ms)
    world.sweep()

    assert world.engine.take() == [f"leaf-{n}" for n in range(200, 350)]


def test_an_owner_that_is_stopped_before_it_sends_sends_nothing(world: World) -> None:
    """A process that stands still between its append and its sending leaves all of it to the sweep."""
    run = world.start(chain("a", "b"))
    world.engine.take()

    def stand_still(point: FaultPoint) -> None:
        if point is FaultPoint.BEFORE_SEND:
            world.clock.advance(world.settings.grace_ms)

    stopped = Conductor(world.journal, world.engine, settings=world.settings, clock=world.clock, reach=stand_still)
    stopped.turn(run.key, [Succeeded(Attempt("a"))], results={Attempt("a"): b"1"})
    assert world.engine.take() == []
    world.clock.advance(1)
    world.sweep()

    assert world.engine.take() == ["b"]


def test_the_time_of_an_owner_counts_from_its_first_try(world: World) -> None:
    """A turn that is tried again has no more time than the first try had: its entry may have been there since then."""
    run = world.start(chain("a", "b"))
    world.engine.take()
    began_ms = world.clock.monotonic_ms()
    world.journal.append(run.key, [Succeeded(Attempt("a"))], seen=Seen(), nonce="mine", results={Attempt("a"): b"1"})

    world.clock.advance(world.settings.grace_ms // 2 + 1)
    world.conductor.turn(run.key, [Succeeded(Attempt("a"))], nonce="mine", tried_ms=began_ms)

    assert world.engine.take() == []
    assert len(run.history()) == 2
    world.clock.advance(world.settings.grace_ms)
    world.sweep()
    assert world.engine.take() == ["b"]


def test_what_was_handed_over_too_late_is_left_to_the_sweep(world: World) -> None:
    """A processor turn that begins after half the grace time sends nothing, and the sweep sends it all, once."""
    run = world.start(fan(120))
    world.engine.take()
    world.engine.takes_over = True
    world.conductor.turn(run.key, [Succeeded(Attempt("root"))], send_limit=100)
    world.engine.take()

    world.clock.advance(world.settings.grace_ms // 2 + 1)
    world.process().go_on(run.key, 2, 100)
    assert world.engine.take() == []

    world.clock.advance(world.settings.grace_ms)
    world.sweep()
    assert world.engine.take() == [f"leaf-{n}" for n in range(100, 120)]


def test_an_end_that_a_rerun_has_overtaken_is_not_told(world: World) -> None:
    """However quick the rerun is, and its own end: what is published last is what the journal says."""
    run = world.start(chain("a"))

    def stand_still(point: FaultPoint) -> None:
        if point is FaultPoint.BEFORE_PUBLISH:
            other = world.process()
            other.turn(run.key, [RerunRequested()])
            other.turn(run.key, [Succeeded(Attempt("a", 0, 2))])

    stopped = Conductor(world.journal, world.engine, settings=world.settings, clock=world.clock, reach=stand_still)
    stopped.turn(run.key, [Failed(Attempt("a"))])

    assert [it.state for it in world.engine.published] == [WorkflowState.RUNNING, WorkflowState.SUCCESS]
    assert not world.journal.definition(run.id).is_open
