"""`advance`: what it emits, told in examples. The laws are in the property tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Edge,
    Failed,
    Failure,
    Graph,
    Lost,
    Node,
    Observation,
    RetryDue,
    RetryPolicy,
    Skipped,
    State,
    Status,
    Succeeded,
    UsageError,
    WorkflowState,
    advance,
)

A, B, C = Attempt("a"), Attempt("b"), Attempt("c")
DIAMOND = Graph([Node("a"), Node("b", ["a"]), Node("c", ["a"]), Node("d", ["b", "c"])])


def after(graph: Graph, *observations: Observation) -> State:
    """Give the state after these observations."""
    return advance(graph, State.initial(graph), observations)[0]


@pytest.mark.parametrize("odd", [Begin(), None, 7])
def test_observations_come_in_a_sequence(odd: Any) -> None:
    """One by itself is refused, with what to write."""
    with pytest.raises(UsageError, match="advance takes a sequence of observations, not "):
        advance(DIAMOND, State.initial(DIAMOND), odd)


def test_begin_emits_the_roots() -> None:
    """What waits for nothing starts, in topological order."""
    graph = Graph([Node("b"), Node("a"), Node("c", ["a"])])

    state, emitted = advance(graph, State.initial(graph), [Begin()])

    assert emitted == (Attempt("b"), Attempt("a"))
    assert state.statuses == {"b": Status.SCHEDULED, "a": Status.SCHEDULED, "c": Status.WAITING}


def test_a_node_starts_when_all_it_waits_for_has_succeeded() -> None:
    """The join of a diamond starts with the later of its two branches."""
    state = after(DIAMOND, Begin(), Succeeded(A))

    state, emitted = advance(DIAMOND, state, [Succeeded(C)])
    assert emitted == ()
    state, emitted = advance(DIAMOND, state, [Succeeded(B)])
    assert emitted == (Attempt("d"),)


def test_a_batch_emits_observation_by_observation() -> None:
    """Emissions stand in the order of what caused them, within one in topological order."""
    _state, emitted = advance(DIAMOND, State.initial(DIAMOND), [Begin(), Succeeded(A), Succeeded(C), Succeeded(B)])

    assert emitted == (A, B, C, Attempt("d"))


def test_a_failure_reaches_everything_below_at_once() -> None:
    """Whatever needs success and cannot have it is decided, however far away."""
    state = after(DIAMOND, Begin(), Succeeded(A), Failed(B))

    assert state.status("d") is Status.UPSTREAM_FAILED
    assert state.workflow_state is WorkflowState.RUNNING
    state, _ = advance(DIAMOND, state, [Succeeded(C)])
    assert state.workflow_state is WorkflowState.FAILURE


def test_a_skip_is_no_failure() -> None:
    """What waits for a skipped node is skipped, and the workflow succeeds."""
    state = after(DIAMOND, Begin(), Skipped(A))

    assert set(state.statuses.values()) == {Status.SKIPPED}
    assert state.workflow_state is WorkflowState.SUCCESS


def test_a_failure_wins_over_a_skip() -> None:
    """A join of a skipped and a failed node is UPSTREAM_FAILED, whichever comes first."""
    skipped_first = after(DIAMOND, Begin(), Succeeded(A), Skipped(B), Failed(C))
    failed_first = after(DIAMOND, Begin(), Succeeded(A), Failed(C), Skipped(B))

    assert skipped_first.status("d") is failed_first.status("d") is Status.UPSTREAM_FAILED


@pytest.mark.parametrize("degree", [2, 100, 101, 102, 200, 201, 350])
@pytest.mark.parametrize("place", [0, -1])
def test_one_skip_among_hundreds_is_remembered(degree: int, place: int) -> None:
    """Counting beyond what one cell holds neither loses the taint nor an edge."""
    roots = [Attempt(f"n{number}") for number in range(degree)]
    graph = Graph([*(Node(root.node) for root in roots), Node("join", [root.node for root in roots])])
    outcomes: list[Observation] = [Succeeded(root) for root in roots]
    outcomes[place] = Skipped(roots[place])

    state = after(graph, Begin(), *outcomes[:-1])
    assert state.status("join") is Status.WAITING
    state, _ = advance(graph, state, outcomes[-1:])

    assert state.status("join") is Status.SKIPPED


def test_an_allowed_failure_satisfies_whoever_waits() -> None:
    """The dependent runs, and the workflow succeeds all the same."""
    graph = Graph([Node("a", allow_failure=True), Node("b", ["a"])])

    state = after(graph, Begin(), Failed(A), Succeeded(B))

    assert state.status("a") is Status.FAILED
    assert state.workflow_state is WorkflowState.SUCCESS
    assert state.first_failed is None


@pytest.mark.parametrize(
    ("condition", "outcome", "status"),
    [
        ("done", Failed(A), Status.SCHEDULED),
        ("failed", Failed(A), Status.SCHEDULED),
        ("failed", Succeeded(A), Status.SKIPPED),
        ("skipped", Skipped(A), Status.SCHEDULED),
        ("not_failed", Skipped(A), Status.SCHEDULED),
        ("not_failed", Failed(A), Status.UPSTREAM_FAILED),
        ("succeeded", Skipped(A), Status.SKIPPED),
    ],
)
def test_an_edge_has_a_condition(condition: str, outcome: Observation, status: Status) -> None:
    """What is asked of the dependency decides whether the node runs."""
    graph = Graph([Node("a"), Node("b", [Edge("a", condition)])])

    assert after(graph, Begin(), outcome).status("b") is status


def test_one_success_starts_at_the_first_success() -> None:
    """It does not wait for the others, and starts only once."""
    graph = Graph([Node("a"), Node("b"), Node("c", ["a", "b"], trigger="one_success")])
    state, emitted = advance(graph, State.initial(graph), [Begin(), Failed(A), Succeeded(B)])

    assert emitted == (A, B, C)
    assert advance(graph, after(graph, Begin(), Succeeded(B)), [Succeeded(A)])[1] == ()
    assert state.workflow_state is WorkflowState.RUNNING


def test_a_failed_attempt_is_followed_by_another() -> None:
    """Without a delay the next attempt is emitted at once, until there are no more."""
    graph = Graph([Node("a", max_attempts=2)])

    state, emitted = advance(graph, State.initial(graph), [Begin(), Failed(A), Failed(Attempt("a", 0, 2))])

    assert emitted == (A, Attempt("a", 0, 2))
    assert state.status("a") is Status.FAILED


def test_a_delayed_retry_waits_for_its_time() -> None:
    """The delay counts from the journal's time of the failure; `RetryDue` of that attempt ends it."""
    graph = Graph([Node("a", max_attempts=3, retry=RetryPolicy(1_000))])
    second = Attempt("a", 0, 2)

    state, emitted = advance(graph, State.initial(graph), [Begin(), Failed(A, at_ms=5_000)])
    assert emitted == (A,)
    assert state.status("a") is Status.READY
    assert state.delayed == ((second, 6_000),)
    assert not state.is_finished

    state, emitted = advance(graph, state, [RetryDue(second, at_ms=6_001)])
    assert emitted == (second,)
    assert state.delayed == ()


def test_a_final_failure_is_not_tried_again() -> None:
    """What cannot be helped by trying again fails at once."""
    graph = Graph([Node("a", max_attempts=3)])

    assert after(graph, Begin(), Failed(A, Failure("TypeError"), is_final=True)).status("a") is Status.FAILED


def test_losses_and_failures_are_counted_apart() -> None:
    """A lost attempt does not use up a failure, nor the other way round."""
    graph = Graph([Node("a", max_attempts=2, max_losses=2)])
    tries = [Attempt("a", 0, number) for number in (1, 2, 3, 4)]

    state, emitted = advance(
        graph, State.initial(graph), [Begin(), Lost(tries[0]), Failed(tries[1]), Succeeded(tries[2])]
    )
    assert emitted == tuple(tries[:3])
    assert state.workflow_state is WorkflowState.SUCCESS
    assert state.attempt("a") == tries[2]


@pytest.mark.parametrize(("node", "losses"), [(Node("a", on_loss="fail"), 1), (Node("a", max_losses=2), 2)])
def test_a_node_that_is_lost_too_often_fails(node: Node, losses: int) -> None:
    """The `max_losses`-th loss fails it, the first if it says so."""
    graph = Graph([node])

    state = after(graph, Begin(), *(Lost(Attempt("a", 0, number)) for number in range(1, losses + 1)))

    assert state.status("a") is Status.FAILED


@pytest.mark.parametrize(
    "late",
    [
        [Succeeded(Attempt("a", 0, 2))],
        [Succeeded(Attempt("a", 1))],
        [Succeeded(Attempt("nobody"))],
        [Succeeded(Attempt("d"))],
        [RetryDue(A)],
        [Begin(at_ms=9)],
        [],
    ],
)
def test_the_impossible_is_ignored(late: Sequence[Observation]) -> None:
    """Another attempt or instance, no such node, not started, not delayed, begun: the state is the same object."""
    state = after(DIAMOND, Begin())

    same, emitted = advance(DIAMOND, state, late)

    assert same is state
    assert emitted == ()


def test_a_deadline_cannot_pass_before_the_beginning() -> None:
    """It counts from `Begin`."""
    state = State.initial(DIAMOND)

    assert advance(DIAMOND, state, [DeadlinePassed()]) == (state, ())


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Succeeded(B), Status.SUCCEEDED),
        (Failed(B), Status.FAILED),
        (Failed(B, is_revoked=True), Status.CANCELLED),
        (Lost(B), Status.CANCELLED),
        (Skipped(B), Status.SKIPPED),
    ],
)
def test_after_a_cancel_only_what_is_in_flight_is_left(outcome: Observation, status: Status) -> None:
    """What waits is CANCELLED; what runs is to be revoked, and ends as it ends, but is not tried again."""
    graph = Graph([Node("b", max_attempts=3), Node("c", ["b"])])
    state = after(graph, Begin(), CancelRequested())
    assert state.to_revoke == (B,)
    assert state.status("c") is Status.CANCELLED

    state, emitted = advance(graph, state, [outcome])

    assert emitted == ()
    assert state.status("b") is status
    assert state.workflow_state is WorkflowState.CANCELLED


def test_a_cancel_ends_a_delay() -> None:
    """What waits for its retry is CANCELLED, and its retry never due."""
    graph = Graph([Node("a", max_attempts=2, retry=RetryPolicy(1_000))])

    state = after(graph, Begin(), Failed(A), CancelRequested())

    assert state.workflow_state is WorkflowState.CANCELLED
    assert advance(graph, state, [RetryDue(Attempt("a", 0, 2))])[0] is state


def test_a_deadline_makes_an_error() -> None:
    """The workflow broke, whatever its last attempts came to."""
    state = after(DIAMOND, Begin(), DeadlinePassed(), Succeeded(A))

    assert state.workflow_state is WorkflowState.ERROR


@pytest.mark.parametrize("requests", [[CancelRequested(), DeadlinePassed()], [DeadlinePassed(), CancelRequested()]])
def test_a_cancel_wins_over_a_deadline(requests: Sequence[Observation]) -> None:
    """From any unfinished state a cancel leads to CANCELLED."""
    assert after(DIAMOND, Begin(), *requests, Succeeded(A)).workflow_state is WorkflowState.CANCELLED


def test_a_cancel_of_what_is_finished_is_ignored() -> None:
    """What has ended stays as it ended."""
    graph = Graph([Node("a")])
    state = after(graph, Begin(), Succeeded(A))

    assert advance(graph, state, [CancelRequested(), DeadlinePassed()])[0] is state


def test_no_nodes_at_all_succeed_at_once() -> None:
    """An empty graph is finished when it begins."""
    state = after(Graph([]), Begin())

    assert state.workflow_state is WorkflowState.SUCCESS


def test_a_state_belongs_to_its_graph() -> None:
    """Another graph is refused, an equal one is not."""
    state = State.initial(Graph([Node("a")]))

    with pytest.raises(UsageError) as caught:
        advance(DIAMOND, state, [Begin()])

    assert str(caught.value) == (
        "this state belongs to <Graph of 1 nodes, 0 edges: 'a'>, not to <Graph of 4 nodes, 4 edges: 'a', 'b', 'c', …>"
    )
    assert state == State.initial(Graph([Node("a")]))
    assert advance(Graph([Node("a")]), state, [Begin()])[1] == (A,)
