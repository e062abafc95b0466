"""Simulations as a user writes them: what is told to happen happens, in virtual time, and the trace tells of it."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from dyrygent_core import (
    Attempt,
    CancelRequested,
    DeadlinePassed,
    DyrygentError,
    Failed,
    Lost,
    PauseRequested,
    RerunRequested,
    RetryPolicy,
    SkipNode,
    SkipRequested,
    Status,
    TimedOut,
    UsageError,
    Workflow,
    WorkflowState,
    call,
)
from dyrygent_core.ports import Dispatch
from dyrygent_runtime import Settings
from dyrygent_testing import Fault, FaultKind, Faults, Trace, Workers, check_invariants, simulate


def order() -> Workflow:
    """Build a shop's order: a charge that may be tried twice, two nodes side by side, and one behind both."""
    workflow = Workflow("order")
    charge = workflow.add(call("charge", 25), id="charge", max_attempts=2, retry=RetryPolicy(delay_ms=1_000))
    pack = workflow.add(call("pack", charge.result), id="pack")
    mail = workflow.add(call("mail", charge.result), id="mail")
    workflow.add(call("ship", [pack.result, mail.result]), id="ship")
    return workflow


def begun(trace: Trace) -> list[str]:
    return [it.attempt.node for it in trace.executed]


def checked(trace: Trace) -> Trace:
    check_invariants(trace)
    return trace


def test_without_faults_every_node_runs_once() -> None:
    """By default every attempt succeeds after a second, on two workers."""
    trace = checked(simulate(order()))

    assert trace.state.workflow_state is WorkflowState.SUCCESS
    assert Counter(begun(trace)) == Counter(["charge", "pack", "mail", "ship"])
    assert begun(trace)[0] == "charge"
    assert begun(trace)[-1] == "ship"
    assert 3_000 <= trace.ended_ms < 3_100
    assert trace.struck == ()


def test_durations_are_those_that_were_given() -> None:
    """A number for all, one for each node, or a function of the attempt."""
    assert 1_500 <= simulate(order(), durations=500).ended_ms < 1_600
    assert 7_000 <= simulate(order(), durations={"pack": 5_000}).ended_ms < 7_100
    assert simulate(order(), durations=lambda attempt: len(attempt.node) * 100).ended_ms < 1_500
    assert 7_000 <= simulate(order(), durations={"pack": timedelta(seconds=5)}).ended_ms < 7_100


@pytest.mark.parametrize("nodes", [["mail", "pack"], ["pack", "mail"]])
def test_an_order_may_name_nodes(nodes: list[str]) -> None:
    """With one worker they run in that order, as far as their edges allow it."""
    trace = checked(simulate(order(), order=["ship", *nodes], workers=1))

    assert begun(trace) == ["charge", *nodes, "ship"]


def test_what_an_order_does_not_name_comes_last() -> None:
    """It may be two chains, of which one waits until the other has ended."""
    chains = Workflow()
    for name in "ab":
        first = chains.add(call("run"), id=f"{name}1")
        chains.add(call("run"), id=f"{name}2", after=chains.add(call("run"), id=f"{name}3", after=first))

    assert begun(simulate(chains, order=["b1", "b3", "b2"], workers=1)) == ["b1", "b3", "b2", "a1", "a3", "a2"]


def test_workers_bound_what_runs_at_a_time() -> None:
    """One worker with one slot takes one attempt after the other."""
    assert 4_000 <= checked(simulate(order(), workers=1)).ended_ms < 4_100
    assert 3_000 <= checked(simulate(order(), workers=Workers(1, slots=2))).ended_ms < 3_100


def test_outcomes_may_be_named_by_attempt() -> None:
    """What is said of an attempt happens to it; others succeed."""
    failing = {"charge": [Failed(Attempt("charge"))], "mail": [TimedOut(Attempt("mail"))]}

    trace = checked(simulate(order(), outcomes=failing))

    assert begun(trace).count("charge") == 2
    assert dict(trace.statuses) == {
        "charge": Status.SUCCEEDED,
        "pack": Status.SUCCEEDED,
        "mail": Status.FAILED,
        "ship": Status.UPSTREAM_FAILED,
    }


def test_outcomes_may_be_a_function() -> None:
    """It is the task: it gets the dispatch, and what it returns is passed on."""
    got: dict[str, object] = {}

    def run(item: Dispatch) -> object:
        got[item.call.target] = item.call.inputs.value["args"]
        if item.call.target == "mail":
            message = "no address"
            raise SkipNode(message)
        return f"{item.call.target} done"

    trace = checked(simulate(order(), outcomes=run))

    assert got == {"charge": [25], "pack": ["charge done"], "mail": ["charge done"]}
    assert trace.statuses["mail"] is Status.SKIPPED
    assert trace.statuses["ship"] is Status.SKIPPED


def test_a_lost_attempt_takes_its_worker_with_it() -> None:
    """A task that kills its worker is given up when the lease runs out, and tried again."""
    trace = checked(simulate(order(), outcomes={"pack": [Lost(Attempt("pack"))]}))

    assert begun(trace).count("pack") == 2
    assert trace.state.workflow_state is WorkflowState.SUCCESS
    (death,) = trace.crashed
    assert death.is_of_task
    assert trace.plan == ()


def test_whoever_dies_is_replaced() -> None:
    """A process that dies before it has sent what it owns leaves that to the sweep."""
    trace = checked(simulate(order(), faults=[Fault("point.after_append", 1, FaultKind.CRASH)]))

    assert trace.state.workflow_state is WorkflowState.SUCCESS
    assert Settings().grace_ms < trace.ended_ms < 60_000
    assert [str(it.life) for it in trace.crashed] == ["w1#1"]


@pytest.mark.parametrize(
    ("fault", "longest_ms"),
    [
        (Fault("journal.append", 1, FaultKind.LOST_REPLY), 3_100),
        (Fault("journal.append", 1, FaultKind.UNAVAILABLE), 3_100),
        (Fault("journal.append", 1, FaultKind.UNAVAILABLE, 8_000), 14_000),
        (Fault("engine.dispatch", 2, FaultKind.UNAVAILABLE), 60_000),
        (Fault("message.sent", 1, FaultKind.DUPLICATE), 3_100),
        (Fault("message.sent", 1, FaultKind.DELAY, 8_000), 11_100),
        (Fault("message.sent", 1, FaultKind.LOSE), 2 * 3_600_000 + 20_000),
        (Fault("worker.picked", 1, FaultKind.CRASH), 2 * 3_600_000 + 20_000),
        (Fault("worker.running", 1, FaultKind.CRASH), 80_000),
        (Fault("worker.recorded", 1, FaultKind.CRASH), 20_000),
        (Fault("point.after_send", 2, FaultKind.PAUSE, 10_000), 20_000),
        (Fault("worker.ran", 1, FaultKind.STOP, 100_000), 120_000),
        (Fault("point.before_append", 1, FaultKind.STEP, 3_600_000), 20_000),
    ],
    ids=str,
)
def test_a_fault_costs_no_more_than_its_wait(fault: Fault, longest_ms: int) -> None:
    """It costs nothing, the grace, a lease, or twice `resend_after`, for its queue might just be long."""
    trace = checked(simulate(order(), faults=[fault]))

    assert trace.plan == (fault,)
    assert trace.state.workflow_state is WorkflowState.SUCCESS
    assert trace.ended_ms <= longest_ms


def test_functions_may_be_coroutines_and_may_exit() -> None:
    """One is run to its end, as on the engines that take them; `sys.exit` is a failure, and ends no simulation."""

    async def pack(paid: object) -> list[object]:
        await asyncio.sleep(0)
        return ["packed", paid]

    trace = checked(simulate(order(), functions={"charge": 25, "pack": pack, "mail": lambda _: sys.exit("no mail")}))

    assert trace.result("pack") == ["packed", 25]
    assert str(trace.failure("mail")) == "SystemExit: no mail"


def test_coroutines_are_run_in_async_tests_too() -> None:
    """Where the test runs an event loop itself, theirs is another."""

    async def pack(paid: object) -> list[object]:
        await asyncio.sleep(0)
        return ["packed", paid]

    async def simulated() -> object:
        return checked(simulate(order(), functions={"charge": 25, "pack": pack})).result("pack")

    assert asyncio.run(simulated()) == ["packed", 25]


def test_requests_are_made_when_they_were_to_be() -> None:
    """A cancel at half past the first second stops what follows."""
    trace = checked(simulate(order(), requests=[(timedelta(seconds=1.5), CancelRequested("enough"))]))

    assert trace.state.workflow_state is WorkflowState.CANCELLED
    assert "ship" not in begun(trace)


def test_a_pause_ends_with_the_faults() -> None:
    """What is paused for good would never end, so it is resumed when the faults are over."""
    trace = checked(simulate(order(), requests=[(500, PauseRequested())], faults=Faults(heal_ms=20_000)))

    assert 20_000 < trace.ended_ms < 30_000
    assert trace.state.workflow_state is WorkflowState.SUCCESS


def test_a_rerun_waits_for_the_end() -> None:
    """Another round is asked for when there is one that has failed."""
    failing = {"ship": [Failed(Attempt("ship"))]}

    trace = checked(simulate(order(), outcomes=failing, requests=[(0, RerunRequested())]))

    assert trace.state.round == 2
    assert trace.state.workflow_state is WorkflowState.SUCCESS
    assert begun(trace).count("ship") == 2
    assert begun(trace).count("charge") == 1


def test_a_skip_is_a_request_too() -> None:
    """Somebody may go on without a node."""
    trace = checked(simulate(order(), requests=[(100, SkipRequested("mail"))]))

    assert trace.statuses["mail"] is Status.SKIPPED


def test_several_workflows_share_the_workers() -> None:
    """Each has its own journal, and all come to the same."""
    trace = checked(simulate(order(), copies=3))

    assert [history.id for history in trace.histories] == ["simulated-1", "simulated-2", "simulated-3"]
    assert {state.workflow_state for state in trace.states} == {WorkflowState.SUCCESS}
    assert len(trace.executed) == 12


def test_chance_comes_from_the_seed() -> None:
    """The same seed is the same story, another seed another."""
    rates = Faults(crash=0.02, lose=0.1, duplicate=0.1, pause=0.1)

    first, again, other = (checked(simulate(order(), faults=rates, order="random", seed=seed)) for seed in (1, 1, 2))

    assert first.lines() == again.lines()
    assert first.digest == again.digest != other.digest


def test_a_trace_has_the_whole_log() -> None:
    """It is a line for each thing, with the virtual time, who it was, and what struck."""
    trace = simulate(order(), faults=[Fault("point.after_append", 1, FaultKind.CRASH)], seed=7)

    told = trace.lines()
    assert any("w1#1 report STRUCK crash at point.after_append:1" in line for line in told)
    assert any("published simulated-1: SUCCESS" in line for line in told)
    assert told[-1].endswith("settled")


def test_the_product_s_log_is_left_as_it_was() -> None:
    """Simulated faults are not logged anywhere, and the log works as before when the simulation is over."""
    log = logging.getLogger("dyrygent")
    before = (log.level, log.propagate, tuple(log.handlers))

    simulate(order(), faults=[Fault("journal.append", 1, FaultKind.UNAVAILABLE)])

    assert (log.level, log.propagate, tuple(log.handlers)) == before


def test_an_empty_workflow_ends_at_once() -> None:
    """There is nothing to wait for."""
    assert checked(simulate(Workflow())).ended_ms < 10


# Refusals


@pytest.mark.parametrize(
    ("place", "kind", "hint"),
    [
        ("point.after_apend", FaultKind.CRASH, "there is no place .* did you mean .point.after_append."),
        ("message.sent", FaultKind.STOP, "what can is lose, duplicate, delay"),
        ("point.after_append", FaultKind.LOST_REPLY, "what can is crash, pause"),
    ],
)
def test_a_fault_that_cannot_happen_is_refused(place: str, kind: FaultKind, hint: str) -> None:
    """It would never strike, and a test that relies on it would show nothing."""
    with pytest.raises(UsageError, match=hint):
        Fault(place, 1, kind)


@pytest.mark.parametrize("wrong", [{"crash": -0.1}, {"heal_ms": -1}, {"crash": "often"}])
def test_rates_are_checked(wrong: dict[str, object]) -> None:
    """A rate is a chance, and a time is not negative."""
    with pytest.raises((TypeError, ValueError)):
        Faults(**wrong)  # type: ignore[arg-type]


def test_other_faults_are_refused() -> None:
    """Faults are values of their own, so that a name that is written wrong is noticed."""
    with pytest.raises(UsageError, match="not of str"):
        simulate(order(), faults=["point.after_append"])  # type: ignore[list-item]
    with pytest.raises(UsageError, match=r"a kind that strikes by chance is Faults\(crash=0.01\)"):
        simulate(order(), faults=["crash"])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("nodes", "hint"),
    [
        (["pakc"], "'pakc' is not in the graph; did you mean 'pack'"),
        (["pack", "pack"], "'pack' twice"),
        ("fi", "lifo"),
        ("pack", r"order=\['pack'\]"),
    ],
)
def test_an_order_of_other_nodes_is_refused(nodes: list[str] | str, hint: str) -> None:
    """It would change nothing, and a test that relies on it would show nothing."""
    with pytest.raises(UsageError, match=hint):
        simulate(order(), order=nodes)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"order": 3}, "order must be a sequence of node ids, not int"),
        ({"durations": 0.5}, "durations in milliseconds must be a whole number, not float"),
        ({"durations": {"a": -1}}, r"durations\['a'\] in milliseconds must be at least 0"),
        ({"workers": "x"}, "workers must be a whole number, not str"),
        ({"workers": True}, "workers must be a whole number, not bool"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"copies": 0}, "copies must be at least 1"),
        ({"seed": None}, "seed must be a whole number"),
        ({"settings": 5}, "settings must be Settings"),
        ({"requests": [CancelRequested()]}, r"a request is a pair such as \(1_000, CancelRequested"),
        ({"requests": [("now", CancelRequested())]}, "the time of a request"),
        ({"requests": [(1_000, SkipRequested("nobody"))]}, "nobody"),
        ({"requests": [(1_000, RerunRequested(["nobody"]))]}, "nobody"),
        ({"faults": Fault("journal.append", 1, FaultKind.CRASH)}, "write faults="),
    ],
)
def test_arguments_of_another_kind_are_refused(arguments: dict[str, Any], hint: str) -> None:
    """What is no time, number or request is refused with what was written and what to write, before anything runs."""
    workflow = Workflow()
    workflow.add(call("t"), id="a")
    with pytest.raises(DyrygentError, match=hint):
        simulate(workflow, **arguments)


@pytest.mark.parametrize("workflow", [None, Workflow, Workflow().build()[0].graph])
def test_what_is_no_workflow_is_refused(workflow: Any) -> None:
    """It says what it was given."""
    with pytest.raises(UsageError, match="must be a Workflow, not"):
        simulate(workflow)


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda: Fault("journal.append", 0, FaultKind.CRASH), "hit must be at least 1"),
        (lambda: Fault("journal.append", 1, "crush"), "'crush' is none of 'crash'"),
        (lambda: Fault("journal.append", 1, FaultKind.PAUSE, -1), "only the clock goes back"),
        (lambda: Faults(crash=2.0), "crash must be a number from 0 to 1"),
        (lambda: Workers(send_limit=0), "send_limit must be at least 1"),
    ],
)
def test_impossible_faults_and_workers_are_refused(make: Callable[[], object], hint: str) -> None:
    """Rates are chances, and what is counted begins at one."""
    with pytest.raises(UsageError, match=hint):
        make()


def test_a_request_that_nobody_makes_is_refused() -> None:
    """What the runtime observes by itself cannot be asked for."""
    with pytest.raises(UsageError, match="nothing that a user asks for"):
        simulate(order(), requests=[(0, DeadlinePassed())])


def test_what_start_refuses_is_refused_here() -> None:
    """A workflow that cannot be built, or started, is the caller's mistake."""
    broken = Workflow()
    broken.add(call("run"), id="a", after="nowhere")
    with pytest.raises(UsageError, match="nowhere"):
        simulate(broken)
    with pytest.raises(UsageError, match="NUL"):
        simulate(Workflow("\0"))


def test_an_unknown_order_is_refused() -> None:
    """The message names those that there are."""
    with pytest.raises(UsageError, match="lifo"):
        simulate(order(), order="sorted")


def test_what_is_made_up_has_what_others_read() -> None:
    """Parts of results, of elements and of instances; of two that cannot both be, one is there."""
    workflow = Workflow()
    user = workflow.add(call("user"), id="user")
    pages = workflow.add(call("pages", user.result["id"], user.result["tags"][-2]["name"]), id="pages")
    page = workflow.add(call("page", workflow.item["url"]), id="page", each=pages.result["found"])
    line = workflow.add(call("line", workflow.item["text"]), id="line", each=page)
    workflow.add(call("first", pages.result["found"][1]["size"], line.result[0]["width"], user.result), id="first")
    workflow.returns(line.result[1]["height"])

    trace = simulate(workflow)

    assert set(trace.statuses.values()) == {Status.SUCCEEDED}
    assert trace.result("pages")["found"][0].keys() == {"by", "url", "size"}
    assert trace.result("line")[0].keys() == {"by", "width", "height"}


@pytest.mark.parametrize("first", ["id", 0])
def test_what_contradicts_itself_is_not_made_up(first: str | int) -> None:
    """No result is a list and a dict; the reader that goes without says why."""
    workflow = Workflow()
    user = workflow.add(call("user"), id="user")
    for key in (first, "id" if first == 0 else 0):
        workflow.add(call("read", user.result[key]), id=f"read {key}")

    statuses = simulate(workflow).statuses

    assert statuses["read id"] is Status.SUCCEEDED
    assert statuses["read 0"] is Status.FAILED


@pytest.mark.parametrize(
    ("outcomes", "hint"),
    [
        ({"ship": [Failed(Attempt("pack"))]}, "has one of 'pack'; write it under that node's id"),
        ({"ship": Failed(Attempt("ship"))}, "must be a sequence of outcomes"),
        ({"ship": ["failed"]}, r"such as Failed\(Attempt\('ship'\)\), not 'failed'"),
        ({"ship": [Failed("ship")]}, r"such as Failed\(Attempt\('ship'\)\), not of 'ship'"),  # type: ignore[arg-type]
    ],
)
def test_outcomes_that_would_be_passed_over_are_refused(outcomes: Any, hint: str) -> None:
    """A test of what is never tried would pass."""
    with pytest.raises(UsageError, match=hint):
        simulate(order(), outcomes=outcomes)
