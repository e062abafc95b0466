"""What ends a workflow before its nodes are all tried: a cancel, its deadline, a failure under `fail_fast`."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Failed,
    Graph,
    Lost,
    Node,
    Observation,
    Outcome,
    RetryDue,
    RetryPolicy,
    Skipped,
    State,
    Status,
    Succeeded,
    TimedOut,
    WorkflowState,
)
from tests.dyrygent_core.folding import after, check_ignored, statuses, step

A, B, C, D = map(Attempt, "abcd")
A2, A3 = Attempt("a", 0, 2), Attempt("a", 0, 3)
CHAIN = Graph([Node("a"), Node("b", ["a"]), Node("c", ["b"])])
DELAYING = Graph([Node("a", max_attempts=3, retry=RetryPolicy(1_000)), Node("b", ["a"])])
PARALLEL = Graph([Node("a"), Node("b"), Node("c", ["a"]), Node("d", ["b"])])


@pytest.mark.parametrize(
    ("request_", "end"),
    [(CancelRequested(), WorkflowState.CANCELLED), (DeadlinePassed(), WorkflowState.ERROR)],
    ids=["cancel", "deadline"],
)
@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Succeeded(B), Status.SUCCEEDED),
        (Failed(B), Status.FAILED),
        (Failed(B, is_revoked=True), Status.CANCELLED),
        (TimedOut(B), Status.FAILED),
        (Lost(B), Status.CANCELLED),
        (Skipped(B), Status.SKIPPED),
    ],
)
def test_when_it_ends_only_what_is_in_flight_is_left(
    request_: Observation, end: WorkflowState, outcome: Outcome, status: Status
) -> None:
    """What waits is CANCELLED; what runs is to be revoked, ends as it ends, and is not tried again."""
    graph = Graph([Node("a"), Node("b", max_attempts=3, retry=RetryPolicy(9)), Node("c", ["b"])])
    state, emitted = step(after(graph, Begin(), Succeeded(A)), request_)
    assert (statuses(state), state.to_revoke, emitted) == ("SU SC CA", (B,), ())
    assert (state.is_ending, state.is_finished, state.workflow_state) == (True, False, WorkflowState.RUNNING)

    state, emitted = step(state, outcome)

    assert (state.status("b"), emitted, state.to_revoke) == (status, (), ())
    assert (state.is_finished, state.workflow_state) == (True, end)


@pytest.mark.parametrize("request_", [CancelRequested(), DeadlinePassed()], ids=["cancel", "deadline"])
def test_an_end_takes_what_is_held_and_delayed(request_: Observation) -> None:
    """Neither is ever released."""
    graph = Graph([Node("a", max_attempts=2, retry=RetryPolicy(9)), Node("b"), Node("c")], max_in_flight=1)
    state = after(graph, Begin(), Failed(A), request_)

    assert (statuses(state), state.held, state.delayed) == ("CA SC CA", (), ())
    check_ignored(state, RetryDue(A2))


def test_a_deadline_passes_once_and_in_time() -> None:
    """Before the beginning, a second time, and after the end it is ignored."""
    check_ignored(State.initial(CHAIN), DeadlinePassed())
    check_ignored(after(CHAIN, Begin(), DeadlinePassed()), DeadlinePassed())
    check_ignored(after(Graph([Node("a")]), Begin(), Succeeded(A)), DeadlinePassed())


def test_a_deadline_after_a_cancel_is_noted() -> None:
    """It changes nothing but that: the cancel wins, in either order."""
    cancelled_first = after(CHAIN, Begin(), CancelRequested(), DeadlinePassed())

    assert cancelled_first == after(CHAIN, Begin(), DeadlinePassed(), CancelRequested())
    assert step(cancelled_first, Lost(A))[0].workflow_state is WorkflowState.CANCELLED


def test_a_cancel_counts_once() -> None:
    """Again, or after the end, it is ignored."""
    check_ignored(after(CHAIN, Begin(), CancelRequested()), CancelRequested("again"))
    check_ignored(after(Graph([Node("a")]), Begin(), Failed(A)), CancelRequested())


def test_an_allowed_failure_is_kept_apart_when_it_ends() -> None:
    """A cancel does not make it count."""
    graph = Graph([Node("a", allow_failure=True), Node("b")])

    state = after(graph, Begin(), CancelRequested(), Failed(A), Lost(B))

    assert (statuses(state), state.first_failed) == ("FA CA", None)


# Fail fast


def test_the_first_failure_ends_a_workflow_that_fails_fast() -> None:
    """The node FAILED, nothing else starts, its dependents are CANCELLED, and what is in flight is to be revoked."""
    graph = Graph(PARALLEL.nodes, mode="fail_fast")
    state, emitted = step(after(graph, Begin()), Failed(A))

    assert (statuses(state), emitted, state.to_revoke) == ("FA SC CA CA", (), (B,))
    assert (state.is_ending, state.is_cancelled) == (True, False)

    state, emitted = step(state, Succeeded(B))
    assert (emitted, state.workflow_state, state.first_failed) == ((), WorkflowState.FAILURE, "a")


def test_under_fail_fast_what_is_revoked_is_cancelled() -> None:
    """A later failure is one, but ends nothing more; the deadline may pass meanwhile, and makes an error of it."""
    graph = Graph([*map(Node, "abc")], mode="fail_fast")
    state = after(graph, Begin(), Failed(A), Failed(B, is_revoked=True), Failed(C))

    assert (statuses(state), state.workflow_state) == ("FA CA FA", WorkflowState.FAILURE)
    late = after(graph, Begin(), Failed(A), DeadlinePassed(), Lost(B), Lost(C))
    assert late.workflow_state is WorkflowState.ERROR


@pytest.mark.parametrize(
    ("node", "outcomes"),
    [
        (Node("a", allow_failure=True), [Failed(A)]),
        (Node("a", max_attempts=2), [Failed(A)]),
        (Node("a"), [Lost(A)]),
        (Node("a"), [Skipped(A)]),
    ],
    ids=["allowed", "tried again", "lost", "skipped"],
)
def test_what_is_no_failure_does_not_end_it(node: Node, outcomes: Sequence[Outcome]) -> None:
    """Only a FAILED that is not allowed fails fast."""
    state = after(Graph([node, Node("b")], mode="fail_fast"), Begin(), *outcomes)

    assert not state.is_ending
    assert state.status("b") is Status.SCHEDULED


def test_a_time_out_and_the_last_loss_fail_fast() -> None:
    """They make a node FAILED, as a failure does."""
    graph = Graph([Node("a", on_loss="fail"), Node("b"), Node("c", ["b"])], mode="fail_fast")

    assert statuses(after(graph, Begin(), TimedOut(A))) == "FA SC CA"
    assert statuses(after(graph, Begin(), Lost(A))) == "FA SC CA"


def test_a_node_of_the_whole_workflow_does_not_fail_fast() -> None:
    """Others of its kind go on."""
    graph = Graph([Node("f", role="finally"), Node("g", role="finally", max_attempts=2)], mode="fail_fast")
    state = after(graph, Begin(), Failed(Attempt("f")), Failed(Attempt("g")))

    assert (statuses(state), state.is_ending) == ("FA SC", False)
    assert step(state, Succeeded(Attempt("g", 0, 2)))[0].workflow_state is WorkflowState.FAILURE


def test_failing_fast_takes_what_is_held_and_delayed() -> None:
    """As a cancel does."""
    nodes = [Node("a", max_attempts=2, retry=RetryPolicy(9)), Node("b"), Node("c"), Node("d")]

    state = after(Graph(nodes, max_in_flight=2, mode="fail_fast"), Begin(), Failed(A), Failed(B))

    assert (statuses(state), state.held, state.delayed) == ("CA FA SC CA", (), ())
