"""What users ask of a running or finished workflow, and time-outs, run for real."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from dyrygent_core import Status, UnknownNodeError, UsageError, Workflow, WorkflowState, call
from tests.local_dyrygent.conftest import Locals, ended


def const(value: object = None) -> object:
    return value


class Gate:
    """A function that waits until it may end."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.open = threading.Event()

    def __call__(self, value: object = None) -> object:
        self.begun.set()
        self.open.wait(20)
        return value


# Pause and resume


def test_a_pause_lets_nothing_start_until_it_is_over(local: Locals) -> None:
    """While a workflow is paused what runs may end, and what follows waits for `resume`."""
    gate = Gate()
    workflow = Workflow()
    first = workflow.add(call("gate", 1), id="first")
    workflow.add(call("const", first.result), id="second")
    run = local(gate=gate, const=const).start(workflow)
    assert gate.begun.wait(10)

    run.pause("lunch")
    gate.open.set()
    until(lambda: run.status("first") is Status.SUCCEEDED)
    assert run.status("second") is Status.READY
    assert run.state.is_paused
    run.resume()

    assert ended(run) is WorkflowState.SUCCESS
    assert run.result() == 1


def until(condition: object) -> None:
    """Wait for a condition, with a limit."""
    pause = threading.Event()
    for _ in range(1_000):
        if condition():  # type: ignore[operator]
            return
        pause.wait(0.01)
    pytest.fail("it did not come about")


def test_a_worker_dies_while_its_workflow_is_paused(local: Locals) -> None:
    """What a dead worker had is lost during a pause too, and tried again when the pause is over."""
    gate = Gate()
    first = local(gate=gate)
    workflow = Workflow()
    workflow.add(call("gate", 1), id="node")
    run = first.start(workflow)
    assert gate.begun.wait(10)
    run.pause()
    first._sweeper.stop()  # as if it had died: no lease is renewed, and what it says later comes too late

    second = local(gate=const)
    run = type(run).from_id(run.id, second.journal, second)
    until(lambda: run.status("node") is Status.READY)
    run.resume()

    assert ended(run) is WorkflowState.SUCCESS
    assert run.state.attempt("node").number == 2
    gate.open.set()


# Skip


def test_a_node_is_skipped_by_hand(local: Locals) -> None:
    """A node that waits is skipped at once; what needs its success is skipped too."""
    gate = Gate()
    workflow = Workflow()
    first = workflow.add(call("gate"), id="first")
    second = workflow.add(call("const"), after=first, id="second")
    workflow.add(call("const"), after=second, id="third")
    run = local(gate=gate, const=const).start(workflow)
    assert gate.begun.wait(10)

    run.skip("second", "not today")
    assert run.status("second") is Status.SKIPPED
    gate.open.set()

    assert ended(run) is WorkflowState.SUCCESS
    assert run.status("third") is Status.SKIPPED


def test_a_node_in_flight_is_skipped_unless_it_succeeds(local: Locals) -> None:
    """A node that fails after somebody asked to skip it is skipped."""
    gate = Gate()

    def fail() -> None:
        gate()
        raise ValueError

    workflow = Workflow()
    workflow.add(call("fail"), id="node")
    run = local(fail=fail).start(workflow)
    assert gate.begun.wait(10)
    run.skip("node")
    gate.open.set()

    assert ended(run) is WorkflowState.SUCCESS
    assert run.status("node") is Status.SKIPPED


# Rerun


def test_a_rerun_repeats_what_failed_and_what_is_below(local: Locals) -> None:
    """A rerun runs again what failed and what needs it, and nothing that succeeded; wait and result follow it."""
    runs: Counter[str] = Counter()

    def flaky(name: str, times: int = 0) -> str:
        runs[name] += 1
        if runs[name] <= times:
            raise ValueError(name)
        return name

    workflow = Workflow()
    good = workflow.add(call("flaky", "good"), id="good")
    bad = workflow.add(call("flaky", "bad", 1), after=good, id="bad")
    workflow.add(call("flaky", bad.result), id="below")
    workflow.finally_(call("flaky", "last"), id="last")
    run = local(flaky=flaky).start(workflow)
    assert ended(run) is WorkflowState.FAILURE

    run.rerun()

    assert ended(run) is WorkflowState.SUCCESS
    assert run.result() == "bad"
    assert runs == {"good": 1, "bad": 3, "last": 2}
    assert (run.state.round, run.state.attempt("bad").number) == (2, 2)


def test_a_rerun_repeats_failed_instances_only(local: Locals) -> None:
    """Of a mapped node a rerun runs the failed instances; the others keep their results."""
    runs: Counter[int] = Counter()

    def flaky(x: int) -> int:
        runs[x] += 1
        if x == 1 and runs[x] == 1:
            raise ValueError(x)
        return 10 * x + runs[x]

    workflow = Workflow()
    workflow.add(call("flaky"), each=workflow.add(call("const", [0, 1, 2]), id="source"), id="mapped")
    run = local(const=const, flaky=flaky).start(workflow)
    assert ended(run) is WorkflowState.FAILURE

    run.rerun("mapped")

    assert ended(run) is WorkflowState.SUCCESS
    assert run.result() == [1, 12, 21]


def test_a_rerun_of_the_list_maps_over_the_new_one(local: Locals) -> None:
    """When the node that returned the list is repeated, the map begins afresh over what it returns then."""
    lists = iter([[1, 0], [5, 6, 7]])

    def inverse(x: int) -> int:
        return 210 // x

    workflow = Workflow()
    workflow.add(call("inverse"), each=workflow.add(call("next"), id="source"), id="mapped")
    run = local(next=lambda: next(lists), inverse=inverse).start(workflow)
    assert ended(run) is WorkflowState.FAILURE

    run.rerun(["source"])

    assert ended(run) is WorkflowState.SUCCESS
    assert run.result() == [42, 35, 30]


def test_the_deadline_is_that_of_the_round(local: Locals) -> None:
    """A rerun of a workflow that has missed its deadline has the whole time again."""
    gate = Gate()
    workflow = Workflow(deadline=400)
    workflow.add(call("gate", 1), id="node")
    run = local(gate=gate).start(workflow)
    assert gate.begun.wait(10)
    until(lambda: run.state.is_ending)
    assert run.workflow_state is WorkflowState.RUNNING
    gate.open.set()
    assert ended(run) is WorkflowState.ERROR

    run.rerun(["node"])

    assert ended(run) is WorkflowState.SUCCESS
    assert run.result() == 1


def test_refused_requests_change_nothing(local: Locals) -> None:
    """Names that are not there, and a rerun of what runs or has succeeded, are refused, and nothing is recorded."""
    gate = Gate()
    workflow = Workflow()
    workflow.add(call("gate"), id="node")
    run = local(gate=gate).start(workflow)
    assert gate.begun.wait(10)
    before = run.history()

    with pytest.raises(UnknownNodeError, match="did you mean 'node'"):
        run.skip("nod")
    with pytest.raises(UnknownNodeError):
        run.rerun(["nod"])
    with pytest.raises(UsageError, match="is in RUNNING; only one that has ended"):
        run.rerun()
    run.resume()
    assert run.history() == before
    gate.open.set()
    assert ended(run) is WorkflowState.SUCCESS
    before = run.history()

    with pytest.raises(UsageError, match="is in SUCCESS"):
        run.rerun()
    for ask in (run.cancel, run.pause, run.resume, lambda: run.skip("node")):
        ask()
    assert run.history() == before


# Time-outs


def test_an_attempt_that_takes_too_long_is_given_up(local: Locals) -> None:
    """A node's attempt that runs for longer than its time-out fails, and the next one may succeed."""
    gate, tries = Gate(), Counter[str]()

    def slow_once() -> str:
        tries["slow"] += 1
        if tries["slow"] == 1:
            gate()
        return "done"

    workflow = Workflow()
    workflow.add(call("slow_once"), timeout=150, max_attempts=2, id="node")
    run = local(slow_once=slow_once).start(workflow)

    assert ended(run) is WorkflowState.SUCCESS
    assert run.result() == "done"
    assert [type(it.observation).__name__ for it in run.history()] == ["Begin", "TimedOut", "Succeeded"]
    gate.open.set()


def test_a_time_out_is_told_as_the_reason(local: Locals) -> None:
    """A node whose last attempt timed out has failed, and the workflow says after how long."""
    gate = Gate()
    workflow = Workflow()
    workflow.add(call("gate"), timeout=50, id="node")
    run = local(gate=gate).start(workflow)

    assert ended(run) is WorkflowState.FAILURE
    with pytest.raises(Exception, match="TimeoutError: it ran for longer than its time-out of 50 ms"):
        run.result()
    gate.open.set()


def test_an_instance_has_a_time_out_of_its_own(local: Locals) -> None:
    """Of a mapped node only the instance that takes too long fails."""
    gate = Gate()
    workflow = Workflow()
    source = workflow.add(call("const", [0, 1, 2]))
    workflow.add(call("slow"), each=source, timeout=150, id="mapped")
    run = local(const=const, slow=lambda x: gate(x) if x == 1 else x).start(workflow)

    assert ended(run) is WorkflowState.FAILURE
    assert run.state.instance_statuses("mapped") == (Status.SUCCEEDED, Status.FAILED, Status.SUCCEEDED)
    gate.open.set()
