"""`WorkflowMachine` as a user subclasses it: it passes over what is right, and shrinks what is wrong to a few steps."""

from __future__ import annotations

from itertools import count
from typing import Any, Final

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, run_state_machine_as_test

from dyrygent_core import Attempt, RetryPolicy, Status, Succeeded, UsageError, Workflow, WorkflowState, call
from dyrygent_testing import WorkflowMachine

FEW: Final = settings(
    WorkflowMachine.TestCase.settings,
    max_examples=25,
    stateful_step_count=25,
    derandomize=True,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    report_multiple_bugs=False,
)


def order() -> Workflow:
    """Build a workflow with all that makes a difference: retries, a map, conditions, finalizers."""
    workflow = Workflow("order", max_in_flight=3)
    charge = workflow.add(call("charge"), id="charge", max_attempts=2, retry=RetryPolicy(delay_ms=2_000))
    packed = workflow.add(call("pack"), each=charge, id="packed")
    workflow.add(call("ship", packed.result), id="ship")
    workflow.add(call("excuse"), id="excuse", after=[packed.failed])
    workflow.on_error(call("tell"), id="tell")
    workflow.finally_(call("unlock"), id="unlock")
    return workflow


class OrderMachine(WorkflowMachine):
    """What holds of the order, whatever happens."""

    workflow = order()

    @invariant()
    def nothing_is_shipped_unpaid(self) -> None:
        """An edge says so."""
        assert not self.ran("ship") or self.statuses["charge"] is Status.SUCCEEDED

    @invariant()
    def what_runs_is_in_flight_or_over(self) -> None:
        """The journal knows of all that runs."""
        assert all(self.count(attempt.node) for attempt in self.running)


class FastMachine(WorkflowMachine):
    """The other mode, and a deadline."""

    def make_workflow(self) -> Workflow:
        """Build another one for every run."""
        workflow = Workflow(mode="fail_fast", deadline=100_000)
        first = workflow.add(call("a"), id="a", timeout=50_000, on_loss="fail")
        workflow.add(call("b"), id="b")
        workflow.add(call("c"), id="c", after=[first.done])
        workflow.on_success(call("d"), id="d")
        return workflow


@pytest.mark.parametrize("machine", [OrderMachine, FastMachine])
def test_what_is_right_passes(machine: type[WorkflowMachine]) -> None:
    """Every run ends when it is left alone, with every promise kept."""
    run_state_machine_as_test(machine, settings=FEW)


def test_what_is_wrong_is_shrunk_to_its_steps() -> None:
    """One failure, or one death and a wait, is enough for a second charge, and the story of it is told."""

    class Once(WorkflowMachine):
        def make_workflow(self) -> Workflow:
            workflow = Workflow()
            charge = workflow.add(call("charge"), id="charge", max_attempts=2)
            workflow.add(call("ship"), id="ship", after=[charge])
            return workflow

        @invariant()
        def is_charged_once(self) -> None:
            assert self.count("charge") < 2

    with pytest.raises(AssertionError) as caught:
        run_state_machine_as_test(Once, settings=FEW)

    told = "\n".join(caught.value.__notes__)
    steps = [line for line in told.splitlines() if line.startswith("state.") and "is_" not in line]
    assert 2 <= len(steps) <= 3
    assert "'charge', attempt 2," in told


def test_functions_are_called_when_an_attempt_finishes() -> None:
    """They are made anew for each run."""

    class Counting(WorkflowMachine):
        def make_workflow(self) -> Workflow:
            workflow = Workflow()
            workflow.add(call("count"), id="count")
            return workflow

        def make_functions(self) -> dict[str, Any]:
            self.numbers = count(1)
            return {"count": lambda: next(self.numbers)}

    machine = Counting()
    machine.finish(*machine.running)

    assert machine.state.workflow_state is WorkflowState.SUCCESS
    assert machine.trace.result("count") == 1
    assert next(machine.numbers) == 2
    machine.teardown()


def test_it_steps_the_real_conductor() -> None:
    """A worker that dies is found out by the lease, a pause holds what is ready, and time passes only when told."""
    machine = OrderMachine()
    machine.pause()
    machine.lose(*machine.running)
    assert machine.running == ()

    machine.advance_time(120_000)
    assert machine.statuses["charge"] is Status.READY

    machine.resume()
    assert [attempt.number for attempt in machine.running] == [2]
    machine.teardown()
    assert machine.state.workflow_state is WorkflowState.SUCCESS


def test_a_machine_without_a_workflow_is_refused() -> None:
    """The message says what to write."""

    class Empty(WorkflowMachine):
        pass

    with pytest.raises(UsageError, match=r"Empty has no workflow; write `workflow = …`"):
        Empty()


class Chain(WorkflowMachine):
    """Two nodes."""

    def make_workflow(self) -> Workflow:
        """Build one behind the other."""
        workflow = Workflow()
        first = workflow.add(call("a"), id="a")
        workflow.add(call("b"), id="b", after=[first])
        return workflow


@settings(max_examples=1, database=None, deadline=None)
@given(name=st.just("a"))  # who notes something has to be in a test of Hypothesis
def test_a_run_that_was_left_is_over(name: str) -> None:
    """What it has not said yet is given up: else it would go on, and fail, when the interpreter ends."""
    machine = Chain()
    machine.end(Succeeded(Attempt(name)))
    processes = [*machine._stage.working.values()]
    assert any(process.marks.waiting for process in processes)

    try:
        pytest.fail("an invariant did not hold")
    except pytest.fail.Exception:
        machine.teardown()

    assert not any(process.marks.waiting for process in processes)


def test_a_rule_that_ends_or_asks_for_nothing_real_is_refused() -> None:
    """At once, and nothing has changed."""
    machine = Chain()
    before = machine.trace.digest

    with pytest.raises(UsageError, match=r"the outcome must be an outcome, such as Succeeded.*not Attempt"):
        machine.end(Attempt("a"))  # type: ignore[arg-type]  # as a user may
    with pytest.raises(UsageError, match=r"node='b'.* does not run, so it cannot end; self.running has those that do"):
        machine.end(Succeeded(Attempt("b")))
    with pytest.raises(UsageError, match=r"the request must be an observation, such as CancelRequested.*'cancel'"):
        machine.ask("cancel")  # type: ignore[arg-type]  # as a user may

    assert machine.trace.digest == before
    assert machine.running == (Attempt("a"),)
    machine.teardown()
