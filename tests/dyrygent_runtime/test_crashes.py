"""A process may die at every boundary of a turn: nothing is lost, and the workflow ends by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import pytest
from attrs import define, field, frozen

from dyrygent_core import (
    Attempt,
    CancelRequested,
    Failed,
    Failure,
    RerunRequested,
    Status,
    Succeeded,
    Workflow,
    WorkflowState,
    call,
)
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.ports import Dispatch, Lease, Mark, MarkKind
from dyrygent_runtime import Conductor, Run, Settings, Sweeper, start, sweep_workflow
from dyrygent_runtime.faults import FaultPoint, kill_from_environment, nothing
from dyrygent_runtime.reports import Report, returned
from tests.dyrygent_runtime.conftest import World
from tests.dyrygent_runtime.losing import LosingJournal

ID: Final = "crash"
MOST_STEPS: Final = 300
SETTINGS: Final = Settings(snapshot_entries=2)


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


# The stories


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


def wide() -> Workflow:
    """Build a root with dependents of which one is sent at a time, and the others are handed over."""
    workflow = Workflow()
    root = workflow.add(call("one"), id="root")
    leaves = [workflow.add(call("sum", [root.result, n]), id=f"leaf-{n}") for n in range(3)]
    workflow.add(call("sum", [leaf.result for leaf in leaves]), id="join")
    return workflow


def flaky() -> Workflow:
    """Build a node that fails at its first attempt, with others around it."""
    workflow = Workflow()
    top = workflow.add(call("one"), id="top")
    middle = workflow.add(call("flaky", top.result), id="middle")
    workflow.add(call("sum", [middle.result, 1]), id="tail")
    return workflow


@frozen
class Story:
    """A workflow, what is asked of it and when, what its attempts come to, and its end."""

    build: Callable[[], Workflow]
    value: Any
    ask: Callable[[Run], CancelRequested | RerunRequested | None] = lambda _: None
    loses_replies: bool = False
    ends: WorkflowState = WorkflowState.SUCCESS

    def __repr__(self) -> str:
        return self.build.__name__ + ("-cancelled" if self.ends is WorkflowState.CANCELLED else "")


def cancel(run: Run) -> CancelRequested | None:
    """Ask to stop when the sides of the diamond are in flight, and let them never say a word."""
    state = run.state
    return CancelRequested() if state.status("left") is Status.SCHEDULED and not state.is_cancelled else None


def rerun(run: Run) -> RerunRequested | None:
    return RerunRequested() if run.workflow_state is WorkflowState.FAILURE else None


STORIES: Final = (
    Story(diamond, 22),
    Story(diamond, None, ask=cancel, ends=WorkflowState.CANCELLED),
    Story(fan, 36),
    Story(wide, 6, loses_replies=True),
    Story(flaky, 2, ask=rerun),
)
FUNCTIONS: Final[dict[str, Callable[..., object]]] = {
    "one": lambda: 1,
    "sum": sum,
    "three": lambda: [1, 2, 3],
    "flaky": lambda value: value,
    "state": lambda summary: summary["state"],
}


# How they are lived through


@define
class Life:
    """One story, in a world of its own, each step in a process of its own; one of these may be fated to die."""

    story: Story
    fate: Fate
    world: World = field(init=False)
    ran: Counter[Attempt] = field(factory=Counter)

    def __attrs_post_init__(self) -> None:
        self.world = World(settings=SETTINGS)
        if self.story.loses_replies:
            self.world.journal = LosingJournal(namespace="tests", clock=self.world.clock, loses_every=2)
        self.world.engine.takes_over = True

    def live(self) -> Run:
        """Go on until the workflow is finished and closed."""
        engine, journal = self.world.engine, self.world.journal
        engine.conductor = self.process()
        with suppress(Died):
            start(engine, self.story.build(), id=ID)
        engine.conductor = self.world.process()
        run = start(engine, self.story.build(), id=ID)  # whoever asked for it asks again
        for _ in range(MOST_STEPS):
            if (asked := self.story.ask(run)) is not None:
                self.step(lambda process, asked=asked: process.turn(run.key, [asked]))
            elif engine.handed_over:
                handed = engine.handed_over.pop(0)
                self.step(lambda process, handed=handed: process.go_on(*handed))
            elif engine.sent and not self.is_silent(engine.sent[0]):
                self.deliver(engine.sent.pop(0))
            elif run.state.is_finished and not journal.definition(ID).is_open:
                return run
            else:
                engine.sent.clear()
                self.world.clock.advance(SETTINGS.sweep_interval_ms)
                self.step(sweep)
        pytest.fail(f"not finished: {run.state!r}\n" + "\n".join(map(repr, run.history())))

    def process(self) -> Conductor:
        world = self.world
        return Conductor(world.journal, world.engine, settings=SETTINGS, clock=world.clock, reach=self.fate)

    def step(self, work: Callable[[Conductor], object]) -> None:
        with suppress(Died):
            work(self.process())

    def is_silent(self, message: Dispatch) -> bool:
        return self.story.ends is WorkflowState.CANCELLED and message.attempt.node != "top"

    def deliver(self, message: Dispatch) -> None:
        """Let a worker of its own run one message, and report; it renews its lease no more."""
        self.ran[Attempt(message.attempt.node, message.attempt.index)] += 1
        boot = f"boot-{self.ran.total()}"
        journal = self.world.journal
        journal.renew_lease(Lease("w", boot, frozenset({message.attempt_id})), ttl_ms=SETTINGS.lease_ms)
        journal.mark(message.workflow, [Mark(MarkKind.STARTED, message.attempt, "w", boot)])
        outcome, results = came_of(message)
        self.step(lambda process: process.turn(message.workflow, [outcome], results=results, send_limit=1))


def sweep(process: Conductor) -> None:
    """Sweep what is due, as a process that has watched the journal for long, and delete what is old."""
    for due in process.journal.due(limit=10, claim_ms=SETTINGS.claim_ms):
        sweep_workflow(process, due)
    Sweeper(process).purge()


def came_of(message: Dispatch) -> Report:
    if message.call.target == "flaky" and message.attempt.number == 1:
        return Failed(message.attempt, Failure("Boom")), {}
    value: Any = FUNCTIONS[message.call.target](*message.call.inputs.value["args"])
    return returned(message.attempt, value, JSON_VALUES, is_kept=message.is_kept, measure=message.measure)


def boundaries(story: Story) -> dict[tuple[FaultPoint, int], None]:
    """Find every boundary that a story passes, by running it without a death and with one."""
    counted: Counter[FaultPoint] = Counter()
    for fate in (Fate(), Fate(FaultPoint.BEFORE_SEND, 2)):
        Life(story, fate).live()
        counted |= fate.hits
    return {(point, hit): None for point, times in counted.items() for hit in range(1, times + 1)}


@pytest.mark.parametrize(
    ("story", "point", "hit"), [(story, *boundary) for story in STORIES for boundary in boundaries(story)]
)
def test_a_death_at_any_boundary_loses_and_doubles_nothing(story: Story, point: FaultPoint, hit: int) -> None:
    """Wherever one process dies, every node ends as it would have, and only what the death touched may run twice."""
    fate = Fate(point, hit)
    life = Life(story, fate)

    run = life.live()

    assert run.workflow_state is story.ends
    assert life.world.engine.published[-1].state is story.ends
    if story.ends is WorkflowState.SUCCESS:
        assert set(run.state.statuses.values()) == {Status.SUCCEEDED}
        assert run.result() == story.value
    touched = [attempt for attempt, times in life.ran.items() if times > 1 + (attempt.node == "middle")]
    assert len(touched) <= (2 if fate.has_struck else 0)
    succeeded = {entry.observation.attempt for entry in run.history() if isinstance(entry.observation, Succeeded)}
    assert len(succeeded) >= len(life.ran)
    ends = [outcome.value for outcome in life.world.engine.published if outcome.state is story.ends]
    assert set(ends) == {story.value}


def test_every_fault_point_is_passed() -> None:
    """Every named fault point is a boundary that some story passes."""
    assert {point for story in STORIES for point, _ in boundaries(story)} == set(FaultPoint)


def test_fault_points_are_free_when_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `DYRYGENT_FAULT` a fault point is a call of a function that does nothing."""
    monkeypatch.delenv("DYRYGENT_FAULT", raising=False)

    assert kill_from_environment() is nothing
    assert Conductor(World().journal, World().engine).reach is nothing
