"""A store or an engine that goes away in the middle of a turn: nothing is lost, and the sweep does the rest."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from dyrygent_core import Attempt, Failure, RerunRequested, Status, Succeeded, Workflow, WorkflowState, call
from dyrygent_core.errors import AdapterUnavailableError, JournalUnavailableError
from dyrygent_core.ports import Refusal, Submission, WorkflowKey, WorkflowOutcome
from dyrygent_runtime.journals import MemoryJournal
from tests.dyrygent_runtime.conftest import World
from tests.dyrygent_runtime.engine import ManualEngine
from tests.dyrygent_runtime.shapes import chain, fan
from tests.dyrygent_runtime.sweeping import watching


class PartialJournal(MemoryJournal):
    """A journal of which some operations fail."""

    def __init__(self, world: World) -> None:
        super().__init__("tests", clock=world.clock)
        self.failing: set[str] = set()

    def results(self, *args: Any) -> Mapping[Attempt, bytes]:
        self._maybe_away("results")
        return super().results(*args)

    def mark(self, *args: Any) -> int:
        self._maybe_away("mark")
        return super().mark(*args)

    def append(self, *args: Any, **options: Any) -> Any:
        self._maybe_away("append")
        return super().append(*args, **options)

    def annotate(self, *args: Any) -> None:
        self._maybe_away("annotate")
        super().annotate(*args)

    def _maybe_away(self, operation: str) -> None:
        if operation in self.failing:
            raise JournalUnavailableError(f"no {operation} now")


class PartialEngine(ManualEngine):
    """An engine of which some operations fail."""

    def __init__(self) -> None:
        super().__init__()
        self.failing: set[str] = set()

    def hand_over(self, key: WorkflowKey, position: int, offset: int) -> bool:
        self._maybe_away("hand_over")
        return super().hand_over(key, position, offset)

    def publish(self, outcome: WorkflowOutcome) -> None:
        self._maybe_away("publish")
        super().publish(outcome)

    def revoke(self, submissions: Sequence[Submission]) -> None:
        self._maybe_away("revoke")
        super().revoke(submissions)

    def _maybe_away(self, operation: str) -> None:
        if operation in self.failing:
            raise AdapterUnavailableError(f"no {operation} now")


@pytest.fixture
def engine() -> PartialEngine:
    return PartialEngine()


@pytest.fixture
def world(engine: PartialEngine) -> World:
    return World(engine=engine)


@pytest.fixture
def journal(world: World) -> PartialJournal:
    journal = PartialJournal(world)
    world.keep_in(journal)
    return journal


def heal_and_sweep(world: World) -> None:
    """Let all work again, and sweep when the grace is over."""
    for part in (world.journal, world.engine):
        getattr(part, "failing", set()).clear()
    world.clock.advance(world.settings.grace_ms + 1)
    world.sweep()


def test_results_that_cannot_be_read_are_read_by_the_sweep(world: World, journal: PartialJournal) -> None:
    """The outcome is recorded, so the turn has not failed; what follows is sent later, once."""
    workflow = Workflow()
    first = workflow.add(call("a"))
    second = workflow.add(call("b", first.result))
    workflow.add(call("c", first.result, second.result))
    run = world.start(workflow)
    world.succeed(run, "a", value=1)
    world.engine.take()
    journal.failing = {"results"}

    world.succeed(run, "b", value=2)
    assert world.engine.take() == []
    heal_and_sweep(world)

    assert world.engine.take() == ["c"]


def test_marks_that_cannot_be_set_are_lost_and_no_more(world: World, journal: PartialJournal) -> None:
    """What was sent without a mark is sent again only if the engine shows no sign of it."""
    run = world.start(chain("a", "b"))
    journal.failing = {"mark"}

    world.succeed(run, "a", value=1)

    assert world.engine.take() == ["a", "b"]
    assert run.status("b") is Status.SCHEDULED


def test_a_refusal_that_cannot_be_recorded_is_found_again(world: World, journal: PartialJournal) -> None:
    """The attempt stays in flight; the sweep sends it, and the engine refuses it once more."""
    run = world.start(chain("a", "b"))

    def refuse_and_go(_: object) -> tuple[Refusal, ...]:
        journal.failing = {"append"}
        return (Refusal(Attempt("b"), Failure("Refused")),)

    dispatch, world.engine.dispatch = world.engine.dispatch, refuse_and_go  # type: ignore[method-assign]
    world.succeed(run, "a", value=1)
    assert run.status("b") is Status.SCHEDULED
    world.engine.dispatch = dispatch  # type: ignore[method-assign]
    world.engine.refused["b"] = Refusal(Attempt("b"), Failure("Refused"))
    heal_and_sweep(world)

    assert run.status("b") is Status.FAILED


@pytest.mark.parametrize("is_away", [True, False])
def test_what_nobody_takes_over_its_owner_sends(world: World, engine: PartialEngine, *, is_away: bool) -> None:
    """If the hand-over fails or is declined, the owner goes on itself."""
    run = world.start(fan(150))
    world.engine.take()
    engine.failing = {"hand_over"} if is_away else set()

    world.conductor.turn(run.key, [Succeeded(Attempt("root"))], send_limit=100)

    assert world.engine.take() == [f"leaf-{number}" for number in range(150)]


def test_an_end_that_cannot_be_published_or_noted_is_published_later(world: World, journal: PartialJournal) -> None:
    """The workflow stays open until its end is told, which may be told twice."""
    run = world.start(chain("a"))
    journal.failing = {"annotate"}
    world.succeed(run, "a", value=1)
    assert world.journal.definition(run.id).is_open

    heal_and_sweep(world)

    assert {it.value for it in world.engine.published} == {1}
    assert not world.journal.definition(run.id).is_open


def test_a_rerun_whose_engine_is_away_goes_on(world: World, engine: PartialEngine) -> None:
    """The engine goes on telling the earlier end until the next one; the round is taken all the same."""
    run = world.start(chain("a"))
    world.fail(run, "a")
    engine.failing = {"publish"}
    world.observe(run, RerunRequested())
    world.succeed(run, "a", value=1)
    assert run.workflow_state is WorkflowState.SUCCESS

    heal_and_sweep(world)

    assert [it.state for it in world.engine.published] == [WorkflowState.FAILURE, WorkflowState.SUCCESS]


def test_a_revocation_that_cannot_be_sent_is_not_counted(world: World, engine: PartialEngine) -> None:
    """It is tried at the next sweep, as often as if it had not been tried."""
    run = world.start(chain("a", "b"))
    run.cancel()
    engine.failing = {"revoke"}
    world.clock.advance(world.settings.sweep_interval_ms)
    world.sweep()
    engine.failing.clear()
    for _ in range(5):
        world.clock.advance(world.settings.sweep_interval_ms)
        world.sweep()

    assert world.engine.revoked == ["a"] * 3


def test_a_workflow_whose_turn_fails_stops_no_other(
    world: World, journal: PartialJournal, caplog: pytest.LogCaptureFixture
) -> None:
    """A sweeper logs what it cannot sweep, with a traceback, and goes on to the next; one that is gone it lets go."""
    broken, gone, good = (world.start(chain("a", "b")) for _ in range(3))
    world.engine.take()
    journal._records[broken.id].lines[0].text = '{"v":2}'
    world.clock.advance(world.settings.grace_ms + 1)
    for attempts in journal._records.values():
        attempts.marks.clear()
    due = journal.due

    def due_and_deleted(**options: Any) -> Any:
        claimed = due(**options)
        journal.delete(gone.key)
        return claimed

    journal.due = due_and_deleted  # type: ignore[method-assign]
    assert watching(world).round() == 3

    assert [it.workflow for it in world.engine.sent] == [good.key]
    (record,) = [it for it in caplog.records if it.levelno == logging.ERROR]
    assert broken.id in record.getMessage()
