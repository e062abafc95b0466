"""A process may die at every boundary of a turn: nothing is lost, and the workflow ends by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import pytest
from attrs import define, field

from dyrygent_core import Attempt, Status, Succeeded, Workflow, call
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.ports import Due, Lease, Mark, MarkKind
from dyrygent_runtime import Conductor, Run, start, sweep_workflow
from dyrygent_runtime.faults import FaultPoint
from dyrygent_runtime.reports import returned
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


def fan() -> Workflow:
    """Build a map over a list, what becomes of all its instances, and a node that follows all others."""
    workflow = Workflow(max_in_flight=2)
    source = workflow.add(call("three"), id="source")
    mapped = workflow.add(call("sum", [workflow.item, 10]), each=source, id="mapped")
    workflow.add(call("sum", mapped.result), id="total")
    workflow.finally_(call("state", workflow.summary), id="last")
    return workflow


FUNCTIONS: Final[dict[str, Callable[..., object]]] = {
    "one": lambda: 1,
    "sum": sum,
    "three": lambda: [1, 2, 3],
    "state": lambda summary: summary["state"],
}


def live_through(world: World, fate: Fate, build: Callable[[], Workflow]) -> tuple[Run, Counter[Attempt]]:
    """Run a workflow to its end, each step in a process of its own; give the run, and how often each attempt ran."""
    ran: Counter[Attempt] = Counter()
    world.engine.conductor = process(world, fate)
    with suppress(Died):
        start(world.engine, build(), id=ID)
    world.engine.conductor = world.process()
    run = start(world.engine, build(), id=ID)  # whoever asked for it asks again
    for _ in range(MOST_STEPS):
        if world.engine.sent:
            deliver(world, process(world, fate), ran)
        elif run.state.is_finished and not world.journal.definition(ID).is_open:
            return run, ran
        else:
            world.clock.advance(world.settings.sweep_interval_ms)
            sweep(world, fate)
    pytest.fail(f"not finished: {run.state!r}\n" + "\n".join(map(repr, run.history())))


def process(world: World, fate: Fate) -> Conductor:
    return Conductor(world.journal, world.engine, settings=world.settings, clock=world.clock, reach=fate)


def deliver(world: World, conductor: Conductor, ran: Counter[Attempt]) -> None:
    """Let a worker of its own run one message, and report; it renews its lease no more."""
    message = world.engine.sent.pop(0)
    ran[Attempt(message.attempt.node, message.attempt.index)] += 1
    boot = f"boot-{ran.total()}"
    world.journal.renew_lease(Lease("w", boot, frozenset({message.attempt_id})), ttl_ms=world.settings.lease_ms)
    world.journal.mark(message.workflow, [Mark(MarkKind.STARTED, message.attempt, "w", boot)])
    value: Any = FUNCTIONS[message.call.target](*message.call.inputs.value["args"])
    outcome, results = returned(message.attempt, value, JSON_VALUES, is_kept=message.is_kept, measure=message.measure)
    with suppress(Died):
        conductor.turn(message.workflow, [outcome], results=results)


def sweep(world: World, fate: Fate) -> None:
    for due in world.journal.due(limit=10, claim_ms=world.settings.claim_ms):
        with suppress(Died):
            sweep_workflow(process(world, fate), Due(due.key, due.at_ms))


def boundaries(build: Callable[[], Workflow]) -> list[tuple[FaultPoint, int]]:
    """Find every boundary that runs of a workflow pass, by running it without a death and with one."""
    fate = Fate()
    live_through(World(), fate, build)
    counted = dict(fate.hits)
    sweeping = Fate(FaultPoint.BEFORE_SEND, 2)
    live_through(World(), sweeping, build)
    for point, times in sweeping.hits.items():
        counted[point] = max(counted.get(point, 0), times)
    return [(point, hit) for point, times in counted.items() for hit in range(1, times + 1)]


@pytest.mark.parametrize(("point", "hit"), boundaries(diamond))
def test_a_death_at_any_boundary_loses_and_doubles_nothing(world: World, point: FaultPoint, hit: int) -> None:
    """Wherever one process dies, every node succeeds, and only one that the death touched may run twice."""
    fate = Fate(point, hit)

    run, ran = live_through(world, fate, diamond)

    assert {it.node for it in ran} == {"top", "left", "right", "join", "tail"}
    check(world, run, ran, fate, value=22)


@pytest.mark.parametrize(("point", "hit"), boundaries(fan))
def test_a_death_at_any_boundary_of_a_map_loses_and_doubles_nothing(world: World, point: FaultPoint, hit: int) -> None:
    """The same holds for instances, under a limit, and for the node that follows all others."""
    fate = Fate(point, hit)

    run, ran = live_through(world, fate, fan)

    assert set(ran) == {*(Attempt("mapped", index) for index in range(3)), *map(Attempt, ("source", "total", "last"))}
    check(world, run, ran, fate, value=36)


def check(world: World, run: Run, ran: Counter[Attempt], fate: Fate, value: object) -> None:
    """Check what holds after any death."""
    assert set(run.state.statuses.values()) == {Status.SUCCEEDED}
    assert run.result() == value
    touched = [attempt for attempt, times in ran.items() if times > 1]
    assert len(touched) <= (2 if fate.has_struck else 0)
    assert len({entry.observation for entry in run.history() if isinstance(entry.observation, Succeeded)}) >= len(ran)
    assert world.engine.published
    assert {outcome.value for outcome in world.engine.published} == {value}


def test_every_fault_point_is_passed() -> None:
    """Every named fault point is a boundary that some test passes."""
    passed = {point for point, _ in boundaries(diamond)}

    assert passed | {FaultPoint.BEFORE_HAND_OVER} == set(FaultPoint)
