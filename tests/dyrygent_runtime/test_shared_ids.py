"""Two unfinished workflows with one task id, which nothing refuses: what each reports is never taken as the other's."""

from __future__ import annotations

import pytest

from dyrygent_core import Attempt, Failed, Failure, Status, Succeeded, Workflow, call
from dyrygent_core.ports import Finding, Mark, MarkKind
from dyrygent_runtime import Run
from tests.dyrygent_runtime.conftest import World

_A = Attempt("task-id")


def _named_by_the_engine() -> Workflow:
    workflow = Workflow()
    workflow._engine_named.add(workflow.add(call("a"), id=_A.node).id)  # what an import of signatures does
    return workflow


@pytest.fixture
def both(world: World) -> tuple[Run, Run]:
    """Start two workflows with the same task id."""
    runs = world.start(_named_by_the_engine(), id="one"), world.start(_named_by_the_engine(), id="other")
    assert [it.attempt_id for it in world.engine.sent] == [_A.node, _A.node]
    return runs


def test_outcomes_and_marks_go_to_the_workflow_that_the_message_names(world: World, both: tuple[Run, Run]) -> None:
    """Every message carries the key of its workflow, so each has an outcome of its own, and its own marks."""
    one, other = both
    sent = world.engine.sent
    assert [it.workflow for it in sent] == [one.key, other.key]
    world.journal.mark(sent[0].workflow, [Mark(MarkKind.STARTED, _A, "w", "boot")])
    world.conductor.turn(sent[0].workflow, [Failed(_A, Failure("Boom", "boom"))])

    assert (one.status(_A.node), other.status(_A.node)) == (Status.FAILED, Status.SCHEDULED)
    assert world.journal.marks(other.key, [_A])[_A].started_ms is None
    world.conductor.turn(sent[1].workflow, [Succeeded(_A)])
    assert (one.status(_A.node), other.status(_A.node)) == (Status.FAILED, Status.SUCCEEDED)


def test_the_engines_own_record_is_shared(world: World, both: tuple[Run, Run]) -> None:
    """An engine knows a task by its id alone: where a report was lost, the sweep takes the record of that id."""
    one, other = both
    world.conductor.turn(one.key, [Failed(_A, Failure("Boom", "boom"))])
    world.engine.known = {_A: Finding(Failed(_A, Failure("Boom", "boom")))}

    world.clock.advance(world.settings.sweep_interval_ms)
    world.sweep()

    assert other.status(_A.node) is Status.FAILED
