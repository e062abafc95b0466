"""What users ask of a workflow, and rounds: what the conductor and the sweep make of it."""

from __future__ import annotations

from typing import Any

import pytest

from dyrygent_core import (
    Attempt,
    CancelRequested,
    DeadlinePassed,
    Failed,
    Failure,
    Status,
    Succeeded,
    Take,
    UnknownNodeError,
    UsageError,
    Workflow,
    WorkflowState,
    call,
)
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.errors import JournalUnavailableError
from dyrygent_core.ports import Appended, Entry, Finding, WorkflowKey
from dyrygent_runtime.fold import attempt_id, first_id
from dyrygent_runtime.journals import MemoryJournal
from dyrygent_runtime.reports import returned
from tests.dyrygent_runtime.conftest import World
from tests.dyrygent_runtime.stores import Store


def side_by_side(*nodes: str, **settings: int | str) -> Workflow:
    workflow = Workflow(**settings)  # type: ignore[arg-type]
    for node in nodes:
        workflow.add(call(node), id=node)
    return workflow


def wait_and_sweep(world: World, milliseconds: int) -> int:
    world.clock.advance(milliseconds)
    return world.sweep()


# Stopping some, and going on with others


def test_a_sweep_revokes_some_and_sends_others(world: World) -> None:
    """What is to be skipped is revoked, and in the same turn what was never sent is sent."""
    workflow = side_by_side("a", "top")
    workflow.add(call("b"), after="top", id="b")
    run = world.start(workflow)
    world.engine.take()
    world.engine.is_down = True
    world.succeed(run, "top")
    world.engine.is_down = False
    run.skip("a")

    wait_and_sweep(world, world.settings.grace_ms + 1)

    assert world.engine.revoked == ["a"]
    assert world.engine.take() == ["b"]
    assert run.status("a") is Status.SCHEDULED


def test_what_is_skipped_before_it_was_sent_is_skipped_at_once(world: World) -> None:
    """For an attempt that was never sent nothing is waited for."""
    world.engine.is_down = True
    run = world.start(side_by_side("a", "b"))
    world.engine.is_down = False
    run.skip("a")

    wait_and_sweep(world, world.settings.grace_ms + 1)

    assert run.status("a") is Status.SKIPPED
    assert world.engine.take() == ["b"]


def test_what_is_skipped_and_sent_ends_when_its_grace_is_over(world: World) -> None:
    """A skipped node whose attempt says nothing is skipped when the grace is over; the others are left alone."""
    run = world.start(side_by_side("a", "b"))
    world.clock.advance(10 * world.settings.cancel_grace_ms)
    run.skip("a")

    wait_and_sweep(world, world.settings.cancel_grace_ms)
    assert run.status("a") is Status.SCHEDULED
    wait_and_sweep(world, world.settings.sweep_interval_ms)

    assert (run.status("a"), run.status("b")) == (Status.SKIPPED, Status.SCHEDULED)


def test_revocations_are_counted_anew_for_what_follows(world: World) -> None:
    """However often a skipped node was revoked, a cancel afterwards revokes again."""
    run = world.start(side_by_side("a", "b"))
    world.journal.annotate(run.key, {"revocations": [1, 0, 1, 3]})
    run.skip("a")
    wait_and_sweep(world, 0)
    assert world.engine.revoked == []

    run.cancel()
    wait_and_sweep(world, 0)

    assert sorted(world.engine.revoked) == ["a", "b"]


def test_a_failure_that_ends_all_revokes_what_runs(world: World) -> None:
    """Under `fail_fast` what is in flight is revoked, and lost when the grace is over."""
    run = world.start(side_by_side("a", "b", mode="fail_fast"))
    world.fail(run, "a")

    wait_and_sweep(world, world.settings.sweep_interval_ms)
    assert world.engine.revoked == ["b"]
    wait_and_sweep(world, world.settings.cancel_grace_ms + 1)

    assert run.status("b") is Status.CANCELLED
    assert run.workflow_state is WorkflowState.FAILURE


def test_the_deadline_is_recorded_once(world: World) -> None:
    """While attempts end after the deadline, the sweep does not record it again and again."""
    run = world.start(side_by_side("a", deadline=1_000))
    for _ in range(5):
        wait_and_sweep(world, world.settings.sweep_interval_ms)

    assert [type(it.observation) for it in run.history()].count(DeadlinePassed) == 1


def test_a_pause_holds_back_what_becomes_runnable(world: World) -> None:
    """During a pause nothing is sent, by no turn and no sweep; `resume` sends it in one."""
    workflow = side_by_side("a")
    workflow.add(call("b"), after="a", id="b")
    run = world.start(workflow)
    world.engine.take()
    run.pause()

    world.succeed(run, "a")
    wait_and_sweep(world, 2 * world.settings.grace_ms)
    assert world.engine.take() == []
    run.resume()

    assert world.engine.take() == ["b"]


# Rounds


def failed_once(world: World) -> tuple[str, ...]:
    """Run a workflow of two to its end in FAILURE; give the names."""
    run = world.start(side_by_side("a", "b"), id="w")
    world.succeed(run, "a", value=1)
    world.fail(run, "b")
    world.engine.take()
    return ("a", "b")


def test_a_rerun_opens_a_closed_workflow_again(world: World) -> None:
    """A rerun makes a closed workflow due, takes its published end back first, and publishes the new one."""
    failed_once(world)
    run = world.start(side_by_side("a", "b"), id="w")
    assert not world.journal.definition("w").is_open

    run.rerun()

    assert [(it.attempt, it.attempt_id[-4:]) for it in world.engine.sent] == [(Attempt("b", 0, 2), ".0.2")]
    assert world.journal.definition("w").is_open
    assert run.workflow_state is WorkflowState.RUNNING
    world.succeed(run, "b", value=2)
    told = [it.state for it in world.engine.published]
    assert told == [WorkflowState.FAILURE, WorkflowState.RUNNING, WorkflowState.SUCCESS]
    assert not world.journal.definition("w").is_open
    assert run.result() == {"a": 1, "b": 2}


def test_a_rerun_whose_owner_died_is_gone_on_with_by_the_sweep(world: World) -> None:
    """A rerun that was recorded and not acted on is sent by the sweep after the grace, and published at its end."""
    failed_once(world)
    run = world.start(side_by_side("a", "b"), id="w")
    world.engine.is_down = True
    run.rerun(["b"])
    world.engine.is_down = False

    wait_and_sweep(world, 0)  # an append to a closed workflow makes it due at once
    assert world.engine.take() == []
    wait_and_sweep(world, world.settings.grace_ms + 1)

    assert world.engine.take() == ["b"]
    world.succeed(run, "b")
    assert world.engine.published[-1].state is WorkflowState.SUCCESS


@pytest.mark.parametrize("names", [["c"], ["b", "c"]])
def test_a_rerun_of_what_is_not_there_changes_nothing(world: World, names: list[str]) -> None:
    """An unknown name among those to be repeated is refused, and the workflow stays closed."""
    failed_once(world)
    run = world.start(side_by_side("a", "b"), id="w")
    before = run.history()

    with pytest.raises(UnknownNodeError):
        run.rerun(names)

    assert run.history() == before
    assert not world.journal.definition("w").is_open


def test_a_cancel_and_a_grace_are_those_of_the_round(world: World) -> None:
    """In the round after a cancel attempts that say nothing are not given up on the old cancel's account."""
    run = world.start(side_by_side("a"))
    run.cancel()
    wait_and_sweep(world, world.settings.cancel_grace_ms + world.settings.sweep_interval_ms)
    assert run.workflow_state is WorkflowState.CANCELLED
    run.rerun()
    world.clock.advance(10 * world.settings.cancel_grace_ms)
    run.cancel()

    wait_and_sweep(world, world.settings.sweep_interval_ms)

    assert run.status("a") is Status.SCHEDULED
    assert world.engine.revoked == ["a"]


# Ends


def test_a_mapped_node_without_a_list_is_told(world: World) -> None:
    """A workflow whose first failure has no attempt tells it all the same."""
    workflow = Workflow()
    workflow.add(call("b"), each=workflow.add(call("a"), id="a"), id="b")
    run = world.start(workflow)

    outcome, results = returned(Attempt("a"), 7, JSON_VALUES, is_kept=True, measure=((),))
    world.conductor.turn(run.key, [outcome], results=results)

    (end,) = world.engine.published
    assert (end.state, end.failed) == (WorkflowState.FAILURE, None)
    assert end.failure is not None
    assert "maps over the result of 'a', which is no list" in end.failure.message


def test_a_success_that_left_nothing_fails_if_its_value_is_wanted(world: World) -> None:
    """When the engine knows of a success but has lost the value that another node needs, the node has failed."""
    workflow = side_by_side("a")
    workflow.add(call("b", {"x": 1}), after="a", id="b")
    workflow.returns(workflow_result())
    run = world.start(workflow)
    world.engine.known[Attempt("a")] = Finding(Succeeded(Attempt("a")))

    wait_and_sweep(world, world.settings.sweep_interval_ms)

    assert run.status("a") is Status.FAILED
    assert "ResultMissingError" in str(run.history()[-1].observation)


def workflow_result() -> object:
    """Refer to the result of `a`."""
    handle = Workflow().add(call("a"), id="a")
    return [handle.result]


def test_a_list_that_the_sweep_finds_is_measured(world: World) -> None:
    """A success that only the engine's record tells of is mapped over as any other."""
    workflow = Workflow()
    workflow.add(call("b"), each=workflow.add(call("a"), id="a"), id="b")
    run = world.start(workflow)
    world.engine.take()
    world.engine.known[Attempt("a")] = Finding(Succeeded(Attempt("a")), JSON_VALUES.encode([3, 4]))

    wait_and_sweep(world, world.settings.sweep_interval_ms)

    assert [it.call.inputs.value["args"] for it in world.engine.sent] == [[3], [4]]
    assert run.state.width("b") == 2


def test_the_summary_says_what_failed(world: World) -> None:
    """The summary names what failed and may not, at most a hundred, and counts all of them."""
    workflow = side_by_side(*(f"n{number:03}" for number in range(150)))
    workflow.add(call("allowed"), allow_failure=True, id="allowed")
    workflow.finally_(call("tell", workflow.summary))
    run = world.start(workflow)
    world.engine.take()
    nodes = [*run.state.statuses][:151]
    world.observe(run, *(Failed(Attempt(node), Failure("Boom", node * 1_000)) for node in nodes))

    (sent,) = world.engine.sent
    (summary,) = sent.call.inputs.value["args"]
    assert (summary["workflow_id"], summary["state"], summary["failed_count"]) == (run.id, "FAILURE", 150)
    assert [it["node"] for it in summary["failed"]] == nodes[:100]
    assert summary["failed"][7]["error"].startswith("Boom: n007n007")
    assert len(JSON_VALUES.encode(summary)) < 200_000


def test_what_was_taken_is_recorded(world: World) -> None:
    """A `Take` is recorded with the branches that it names, and its value as any other's."""
    workflow = side_by_side("a")
    workflow.add(call("b"), after="a", id="b")
    workflow.add(call("c"), after="a", id="c")
    run = world.start(workflow)
    world.engine.take()

    outcome, results = returned(Attempt("a"), Take({"x": 1}, ["c"]), JSON_VALUES, is_kept=True)
    world.conductor.turn(run.key, [outcome], results=results)

    assert isinstance(outcome, Succeeded)
    assert outcome.branches == ("c",)
    assert results == {Attempt("a"): b'{"x":1}'}
    assert world.engine.take() == ["c"]


def test_instances_never_share_an_id_of_the_engines(world: World) -> None:
    """The instances of a mapped node run under ids of their own, even if the node has one of the engine's."""
    workflow = Workflow()
    source = workflow.add(call("a"), id="a")
    workflow.add(call("b"), each=source, id="b")
    workflow._engine_named |= {"a", "b"}
    run = world.start(workflow)
    folded = world.conductor.refresh(run.key)

    assert attempt_id(folded, Attempt("a")) == "a"
    assert first_id(folded, Attempt("a", 0, 2)) == "a"
    assert attempt_id(folded, Attempt("b", 5)) == f"{run.key.incarnation}.1.5.1"
    assert first_id(folded, Attempt("b", 5, 2)) is None


def test_a_workflow_that_runs_is_not_rerun(world: World) -> None:
    """Only a workflow that has ended, and not in SUCCESS, is run again; the others stay as they are."""
    run = world.start(side_by_side("a"))
    before = run.history()
    with pytest.raises(UsageError, match="is in RUNNING"):
        run.rerun()
    assert run.history() == before


# A store that is away


class ForgetfulJournal(MemoryJournal):
    """A journal whose answers get lost for a while, though it writes."""

    is_away = False
    has_lost = False

    def append(self, *args: Any, **options: Any) -> Appended:
        appended = super().append(*args, **options)
        self.has_lost = self.is_away
        self._maybe_away()
        return appended

    def read(self, key: WorkflowKey, *, after: int = 0) -> tuple[Entry, ...]:
        if self.has_lost:  # what was written is not found again either
            self._maybe_away()
        return super().read(key, after=after)

    def _maybe_away(self) -> None:
        if self.is_away:
            message = "the connection is gone"
            raise JournalUnavailableError(message)


def test_a_request_that_may_have_been_recorded_is_asked_again() -> None:
    """When the store's answers are lost the caller is told; to ask again does no harm, whatever was written."""
    journal = ForgetfulJournal("tests")
    store = Store(lambda: journal)
    run = store.start(side_by_side("a", "b"))
    asking = store.elsewhere(run)
    journal.is_away = True
    with pytest.raises(JournalUnavailableError, match="the connection is gone"):
        asking.cancel("once")
    journal.is_away = False

    asking.cancel("twice")

    facts = [it.observation for it in run.history()]
    assert [it.reason for it in facts if isinstance(it, CancelRequested)] == ["once"]


def test_a_rerun_that_may_have_been_recorded_is_told_when_asked_again() -> None:
    """Whoever asks again for a rerun that was recorded learns that it runs."""
    journal = ForgetfulJournal("tests")
    store = Store(lambda: journal)
    run = store.start(side_by_side("a"))
    store.fail(run, "a")
    asking = store.elsewhere(run)
    journal.is_away = True
    with pytest.raises(JournalUnavailableError):
        asking.rerun()
    journal.is_away = False

    with pytest.raises(UsageError, match="is in RUNNING"):
        asking.rerun()
    assert run.state.round == 2
