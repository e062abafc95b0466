"""A process may die at every boundary of a turn: nothing is lost, and the workflow ends by itself."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import pytest
from attrs import define, field

from dyrygent_core import Status, Succeeded, Workflow, call
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.ports import Due, Lease, Mark, MarkKind
from dyrygent_runtime import Conductor, Run, start, sweep_workflow
from dyrygent_runtime.faults import FaultPoint
from tests.dyrygent_runtime.conftest import World

ID = "crash"
MOST_STEPS = 200


class Died(BaseException):
    """The process is gone; nothing catches this but the test."""


@define
class Fate:
    """Lets the process that reaches a point for the n-th time die there, once."""

    point: FaultPoint | None = None
    hit: int = 0
    hits: Counter[FaultPoint] = field(factory=Counter)
    has_struck: bool = False

    def __call__(self, point: FaultPoint) -> None:
        self.hits[point] += 1
        if not self.has_struck and point is self.point and self.hits[point] == self.hit:
            self.has_struck = True
            raise Died


def diamond() -> Workflow:
    """Build a diamond with a tail, all results used."""
    workflow = Workflow()
    top = workflow.add(call("one"), id="top")
    sides = [workflow.add(call("sum", [top.result, 10]), id=side) for side in ("left", "right")]
    join = workflow.add(call("sum", [side.result for side in sides]), id="join")
    workflow.add(call("sum", [join.result]), id="tail")
    return workflow


def live_through(world: World, fate: Fate) -> tuple[Run, Counter[str]]:
    """Run the diamond to its end, each step in a process of its own; give the run, and how often each node ran."""
    ran: Counter[str] = Counter()
    world.engine.conductor = process(world, fate)
    with suppress(Died):
        start(world.engine, diamond(), id=ID)
    world.engine.conductor = world.process()
    run = start(world.engine, diamond(), id=ID)  # whoever asked for it asks again
    for _ in range(MOST_STEPS):
        if world.engine.sent:
            deliver(world, process(world, fate), ran)
        elif run.state.is_finished and not world.journal.definition(ID).is_open:
            return run, ran
        else:
            world.clock.advance(world.settings.sweep_interval_ms)
            sweep(world, fate)
    pytest.fail(f"not finished: {run.state!r}\n" + "\n".join(map(repr, run.entries())))


def process(world: World, fate: Fate) -> Conductor:
    return Conductor(world.journal, world.engine, settings=world.settings, clock=world.clock, reach=fate)


def deliver(world: World, conductor: Conductor, ran: Counter[str]) -> None:
    """Let a worker of its own run one message, and report; it renews its lease no more."""
    message = world.engine.sent.pop(0)
    ran[message.attempt.node] += 1
    boot = f"boot-{ran.total()}"
    world.journal.renew_lease(Lease("w", boot, frozenset({message.attempt_id})), ttl_ms=world.settings.lease_ms)
    world.journal.mark(message.workflow, [Mark(MarkKind.STARTED, message.attempt, "w", boot)])
    inputs = message.call.inputs.value["args"]
    value = JSON_VALUES.encode(sum(inputs[0]) if inputs else 1)
    with suppress(Died):
        conductor.turn(message.workflow, [Succeeded(message.attempt)], results={message.attempt: value})


def sweep(world: World, fate: Fate) -> None:
    for due in world.journal.due(limit=10, claim_ms=world.settings.claim_ms):
        with suppress(Died):
            sweep_workflow(process(world, fate), Due(due.key, due.at_ms))


def boundaries() -> list[tuple[FaultPoint, int]]:
    """Find every boundary that runs of the diamond pass, by running it without a death and with one."""
    fate = Fate()
    live_through(World(), fate)
    counted = dict(fate.hits)
    sweeping = Fate(FaultPoint.BEFORE_SEND, 2)
    live_through(World(), sweeping)
    for point, times in sweeping.hits.items():
        counted[point] = max(counted.get(point, 0), times)
    return [(point, hit) for point, times in counted.items() for hit in range(1, times + 1)]


@pytest.mark.parametrize(("point", "hit"), boundaries())
def test_a_death_at_any_boundary_loses_and_doubles_nothing(world: World, point: FaultPoint, hit: int) -> None:
    """Wherever one process dies, every node succeeds, and only one that the death touched may run twice."""
    fate = Fate(point, hit)

    run, ran = live_through(world, fate)

    assert set(run.state.statuses.values()) == {Status.SUCCEEDED}
    assert run.result() == 22
    assert set(ran) == {"top", "left", "right", "join", "tail"}
    touched = [node for node, times in ran.items() if times > 1]
    assert len(touched) <= (2 if fate.has_struck else 0)
    assert len({entry.observation for entry in run.entries() if isinstance(entry.observation, Succeeded)}) >= 5
    assert world.engine.published
    assert {outcome.value for outcome in world.engine.published} == {22}


def test_every_fault_point_is_passed() -> None:
    """Every named fault point is a boundary that some test passes."""
    passed = {point for point, _ in boundaries()}

    assert passed | {FaultPoint.BEFORE_HAND_OVER} == set(FaultPoint)
