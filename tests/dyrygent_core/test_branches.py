"""Branches: a task chooses who goes on, and to all others its node counts as skipped."""

from __future__ import annotations

import pytest

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    Edge,
    Failed,
    Graph,
    Lost,
    Node,
    RerunRequested,
    Role,
    SkipRequested,
    State,
    Status,
    Succeeded,
    WorkflowState,
)
from dyrygent_core.rules import Condition, Trigger
from tests.dyrygent_core.folding import after, check_ignored, emitted_by, step

A, B, C = Attempt("a"), Attempt("b"), Attempt("c")
FORK = Graph(
    [
        Node("a"),
        Node("b", ["a"]),
        Node("c", ["a"]),
        Node("join", ["b", "c"], trigger="none_failed_min_one_success"),
        Node("strict", ["b", "c"]),
    ]
)


def taken(graph: Graph, *branches: str) -> State:
    """Give the state after a took these branches."""
    return after(graph, Begin(), Succeeded(A, branches=branches))


def test_only_the_branches_taken_go_on() -> None:
    """What is not taken is skipped; a join that wants one success runs, one that wants all is skipped."""
    state = taken(FORK, "c")
    assert (state.status("b"), state.status("c"), state.branches("a")) == (Status.SKIPPED, Status.SCHEDULED, ("c",))

    state, emitted = step(state, Succeeded(C))

    assert emitted == (Attempt("join"),)
    assert state.status("strict") is Status.SKIPPED
    assert state.status("a") is Status.SUCCEEDED


def test_without_a_choice_all_go_on() -> None:
    """None stands for all; nothing is noted."""
    state = after(FORK, Begin(), Succeeded(A))

    assert (state.attempts_in_flight, state.branches("a")) == ((B, C), None)
    assert taken(FORK, "b", "c").attempts_in_flight == (B, C)


def test_no_branch_may_be_taken_at_all() -> None:
    """Everything below is skipped, and the workflow succeeds."""
    state = taken(FORK)

    assert (state.branches("a"), state.workflow_state) == ((), WorkflowState.SUCCESS)
    assert {state.status(node) for node in ("b", "c", "join", "strict")} == {Status.SKIPPED}


def test_the_order_of_branches_is_not_that_of_emission() -> None:
    """Emission is by number, and naming one twice changes nothing."""
    assert emitted_by(FORK, Begin(), Succeeded(A, branches=("c", "b", "c"))) == (A, B, C)


@pytest.mark.parametrize("branches", [("nobody",), ("b", "nobody"), ("a",), ("join",), ("",), ("b", "strict")])
def test_naming_what_is_no_direct_dependent_fails_the_attempt(branches: tuple[str, ...]) -> None:
    """Finally, whatever tries are left; nothing is taken."""
    graph = Graph([Node("a", max_attempts=5), *FORK.nodes[1:]])

    state, emitted = step(after(graph, Begin()), Succeeded(A, branches=branches))

    assert (state.status("a"), state.branches("a"), emitted) == (Status.FAILED, None, ())
    assert state.first_failed_attempt == A
    assert state.status("join") is Status.UPSTREAM_FAILED


def test_a_choice_that_cannot_be_is_a_failure_like_others() -> None:
    """It fails fast, may be allowed, and is forgotten where the node is to be skipped."""
    fast = Graph([*FORK.nodes, Node("z")], mode="fail_fast")
    assert taken(fast, "nobody").status("z") is Status.SCHEDULED
    assert taken(fast, "nobody").is_ending
    allowed = Graph([Node("a", allow_failure=True), Node("b", ["a"])])
    assert taken(allowed, "nobody").attempts_in_flight == (B,)
    assert after(FORK, Begin(), SkipRequested("a"), Succeeded(A, branches=("a",))).status("a") is Status.SKIPPED
    ending = after(FORK, Begin(), CancelRequested(), Succeeded(A, branches=("a",)))
    assert ending.status("a") is Status.FAILED


def test_a_choice_counts_once_only() -> None:
    """What comes later of the same attempt is ignored."""
    check_ignored(taken(FORK, "b"), Succeeded(A, branches=("c",)), Succeeded(A))


def test_a_node_of_the_whole_workflow_has_no_branches() -> None:
    """Naming any fails it; naming none is true, and succeeds."""
    graph = Graph([Node("a"), Node("f", role=Role.FINALLY)])
    state = after(graph, Begin(), Succeeded(A))

    assert step(state, Succeeded(Attempt("f"), branches=("a",)))[0].status("f") is Status.FAILED
    assert step(state, Succeeded(Attempt("f"), branches=()))[0].status("f") is Status.SUCCEEDED


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        (Condition.SUCCEEDED, Status.SKIPPED),
        (Condition.NOT_FAILED, Status.SCHEDULED),
        (Condition.FAILED, Status.SKIPPED),
        (Condition.SKIPPED, Status.SCHEDULED),
        (Condition.DONE, Status.SCHEDULED),
    ],
)
def test_an_edge_that_is_not_taken_reads_as_skipped(condition: Condition, status: Status) -> None:
    """Whatever its condition, as the tables say of a skipped dependency."""
    graph = Graph([Node("a"), Node("b", ["a"]), Node("c", [Edge("a", condition)])])

    assert taken(graph, "b").status("c") is status


@pytest.mark.parametrize(
    ("trigger", "status"),
    [
        (Trigger.ALL_DONE, Status.SCHEDULED),
        (Trigger.NONE_FAILED, Status.SCHEDULED),
        (Trigger.ALL_FAILED, Status.SKIPPED),
        (Trigger.ONE_SUCCESS, Status.SKIPPED),
        (Trigger.ONE_FAILED, Status.SKIPPED),
        (Trigger.NONE_FAILED_MIN_ONE_SUCCESS, Status.SKIPPED),
    ],
)
def test_a_rule_that_is_not_taken_sees_a_skipped_dependency(trigger: Trigger, status: Status) -> None:
    """A join reads its edge from the node as SKIPPED too."""
    graph = Graph([Node("a"), Node("b", ["a"]), Node("c", ["a"], trigger=trigger)])

    assert taken(graph, "b").status("c") is status


def test_an_edge_that_is_taken_reads_as_succeeded() -> None:
    """Its condition counts as always: one for failures only does not run by being taken."""
    graph = Graph([Node("a"), Node("b", ["a"]), Node("c", [Edge("a", "failed")])])

    assert taken(graph, "b", "c").status("c") is Status.SKIPPED


def test_a_choice_is_kept_by_a_rerun_of_others() -> None:
    """The edges that were not taken still read as SKIPPED."""
    graph = Graph([Node("a"), Node("b", ["a"]), Node("c", ["a"]), Node("x"), Node("z", ["c", "x"], trigger="all_done")])
    state = taken(graph, "b")
    state = step(state, Succeeded(B), Failed(Attempt("x")), Succeeded(Attempt("z")), RerunRequested(("c", "x")))[0]

    assert (state.status("c"), state.branches("a")) == (Status.SKIPPED, ("b",))
    assert state.attempts_in_flight == (Attempt("x", 0, 2),)


def test_a_choice_is_forgotten_when_its_node_is_repeated() -> None:
    """It may choose anew."""
    state = step(taken(FORK, "b"), Failed(B), RerunRequested(("a",)))[0]
    assert (state.branches("a"), state.attempts_in_flight) == (None, (Attempt("a", 0, 2),))

    state = step(state, Succeeded(Attempt("a", 0, 2), branches=("c",)))[0]
    assert (state.status("b"), state.attempts_in_flight) == (Status.SKIPPED, (Attempt("c", 0, 2),))


def test_a_lost_attempt_has_chosen_nothing() -> None:
    """The next one chooses."""
    state = after(FORK, Begin(), Lost(A), Succeeded(A, branches=("b",)))

    assert (state.branches("a"), state.attempts_in_flight) == (None, (Attempt("a", 0, 2),))


def test_branches_into_a_mapped_node_start_it() -> None:
    """Or skip it, where it is not taken."""
    graph = Graph([Node("a"), Node("b", ["a"]), Node("m", ["a"], each="a")])

    both = after(graph, Begin(), Succeeded(A, branches=("m",), sizes=(2,)))
    assert (both.width("m"), both.status("b")) == (2, Status.SKIPPED)
    assert after(graph, Begin(), Succeeded(A, branches=("b",), sizes=(2,))).status("m") is Status.SKIPPED


def test_another_round_may_choose_otherwise_in_one_call() -> None:
    """What was chosen before is forgotten, also within one call of `advance`."""
    graph = Graph([Node("a"), Node("b", ["a"]), Node("c", ["a"]), Node("bad")])
    first = [Begin(), Succeeded(A, branches=("b",)), Succeeded(B), Failed(Attempt("bad"))]

    state, emitted = step(
        State.initial(graph), *first, RerunRequested(("a",)), Succeeded(Attempt("a", 0, 2), branches=("c",))
    )

    assert emitted[-1] == Attempt("c", 0, 2)
    assert (state.status("b"), state.status("c")) == (Status.SUCCEEDED, Status.SCHEDULED)


def test_a_node_of_the_whole_workflow_chooses_anew_too() -> None:
    """What it chose in an earlier round, which can only be nothing, is forgotten with that round."""
    graph = Graph([Node("a"), Node("end", role=Role.FINALLY)])
    first = after(graph, Begin(), Failed(A), Succeeded(Attempt("end"), branches=()))
    assert first.branches("end") == ()

    again = step(first, RerunRequested(), Succeeded(Attempt("a", 0, 2)), Succeeded(Attempt("end", 0, 2)))[0]
    assert again.branches("end") is None
