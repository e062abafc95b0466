"""What users ask of a workflow on its way: pause, resume, skip, cancel; and what its graph allows: limit, deadline."""

from __future__ import annotations

import pytest

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Edge,
    Failed,
    Graph,
    Lost,
    Node,
    Observation,
    Outcome,
    PauseRequested,
    ResumeRequested,
    RetryDue,
    RetryPolicy,
    Role,
    Skipped,
    SkipRequested,
    State,
    Status,
    Succeeded,
    TimedOut,
    WorkflowState,
)
from tests.dyrygent_core.folding import after, check_ignored, emitted_by, statuses, step

A, B, C, D = map(Attempt, "abcd")
A2, A3 = Attempt("a", 0, 2), Attempt("a", 0, 3)
CHAIN = Graph([Node("a"), Node("b", ["a"]), Node("c", ["b"])])
DELAYING = Graph([Node("a", max_attempts=3, retry=RetryPolicy(1_000)), Node("b", ["a"])])
PARALLEL = Graph([Node("a"), Node("b"), Node("c", ["a"]), Node("d", ["b"])])


# Begin


def test_only_five_observations_count_before_the_beginning() -> None:
    """Outcomes, retries, resumes without a pause, reruns and deadlines are ignored; nothing is in flight."""
    check_ignored(
        State.initial(CHAIN),
        Succeeded(A),
        Failed(A),
        TimedOut(A),
        Lost(A),
        Skipped(A),
        RetryDue(A2),
        DeadlinePassed(),
        ResumeRequested(),
    )


def test_a_workflow_begins_once() -> None:
    """The first `Begin` gives the time; a second one is ignored."""
    state = after(CHAIN, Begin(at_ms=7))

    assert state.begun_ms == 7
    check_ignored(state, Begin(at_ms=8))


def test_what_was_cancelled_before_it_began_never_begins() -> None:
    """It is finished, and every node is CANCELLED, those of the whole workflow too."""
    graph = Graph([Node("a"), Node("b", ["a"]), Node("f", role=Role.FINALLY)])
    state = after(graph, CancelRequested("no more"))

    assert set(state.statuses.values()) == {Status.CANCELLED}
    assert (state.is_finished, state.workflow_state) == (True, WorkflowState.CANCELLED)
    check_ignored(state, Begin(), CancelRequested(), PauseRequested(), ResumeRequested(), SkipRequested("a"))


# Pause and resume


def test_a_pause_holds_back_what_may_run() -> None:
    """What is in flight goes on; what it lets run is READY, until the pause is over."""
    state, emitted = step(after(CHAIN, Begin(), PauseRequested("lunch")), Succeeded(A))

    assert emitted == ()
    assert (state.status("b"), state.held, state.is_paused) == (Status.READY, (B,), True)
    assert (state.workflow_state, state.is_finished) == (WorkflowState.RUNNING, False)

    state, emitted = step(state, ResumeRequested())

    assert emitted == (B,)
    assert (state.status("b"), state.held, state.is_paused) == (Status.SCHEDULED, (), False)


def test_a_pause_before_the_beginning_holds_the_roots() -> None:
    """It has begun, and nothing is in flight."""
    state, emitted = step(State.initial(PARALLEL), PauseRequested(), Begin())

    assert (emitted, state.held, state.in_flight) == ((), (A, B), 0)
    assert step(state, ResumeRequested())[1] == (A, B)


def test_a_resume_before_the_beginning_starts_nothing() -> None:
    """The workflow is as it was before the pause."""
    assert after(PARALLEL, PauseRequested(), ResumeRequested()) == State.initial(PARALLEL)


def test_a_pause_holds_retries_back_too() -> None:
    """One at once is held, a delayed one when it is due, a lost attempt's follower as well."""
    at_once = Graph([Node("a", max_attempts=2)])

    assert after(at_once, Begin(), PauseRequested(), Failed(A)).held == (A2,)
    assert after(at_once, Begin(), PauseRequested(), Lost(A)).held == (A2,)
    state = after(DELAYING, Begin(), Failed(A), PauseRequested())
    assert (state.held, state.delayed) == ((), ((A2, 1_000),))
    state, emitted = step(state, RetryDue(A2))
    assert (state.held, state.delayed, emitted) == ((A2,), (), ())
    assert step(state, ResumeRequested())[1] == (A2,)


def test_what_is_paused_cannot_be_paused_again() -> None:
    """Nor resumed, unless it is paused."""
    check_ignored(after(CHAIN, Begin(), PauseRequested()), PauseRequested("again"))
    check_ignored(after(CHAIN, Begin()), ResumeRequested())


@pytest.mark.parametrize("request_", [CancelRequested(), DeadlinePassed()], ids=["cancel", "deadline"])
def test_an_end_lifts_a_pause(request_: Observation) -> None:
    """And allows no other."""
    state = after(CHAIN, Begin(), PauseRequested(), request_)

    assert not state.is_paused
    check_ignored(state, PauseRequested(), ResumeRequested())


def test_a_finished_workflow_is_not_paused() -> None:
    """The pause is dropped with the last outcome, and there is nothing more to pause."""
    state = after(Graph([Node("a")]), Begin(), PauseRequested(), Succeeded(A))

    assert (state.is_paused, state.is_finished, state.workflow_state) == (False, True, WorkflowState.SUCCESS)
    check_ignored(state, PauseRequested(), ResumeRequested())


def test_a_workflow_of_nothing_is_not_paused_when_it_begins() -> None:
    """It is finished in the same observation."""
    state = after(Graph([]), PauseRequested(), Begin())

    assert (state.is_paused, state.workflow_state) == (False, WorkflowState.SUCCESS)


def test_a_failure_under_fail_fast_leaves_a_pause_as_it_is() -> None:
    """What runs at the end is held back until the resume."""
    graph = Graph([Node("a"), Node("f", role=Role.FINALLY)], mode="fail_fast")
    state = after(graph, Begin(), PauseRequested(), Failed(A))

    assert (state.is_paused, state.held) == (True, (Attempt("f"),))
    assert step(state, ResumeRequested())[1] == (Attempt("f"),)


# Limits and priorities


def test_no_more_attempts_than_the_limit_are_in_flight() -> None:
    """Each outcome lets as many start as it makes room for, in topological order."""
    graph = Graph([*map(Node, "abcd")], max_in_flight=2)
    state, emitted = step(State.initial(graph), Begin())

    assert (emitted, state.held, state.in_flight) == ((A, B), (C, D), 2)
    assert statuses(state) == "SC SC RE RE"
    state, emitted = step(state, Succeeded(B))
    assert (emitted, state.held) == ((C,), (D,))
    state, emitted = step(state, Failed(A))
    assert (emitted, state.held, state.in_flight) == ((D,), (), 2)


def test_the_highest_priority_goes_first() -> None:
    """Among equals the lower number; without a limit too."""
    nodes = [Node("a", priority=-1), Node("b"), Node("c", priority=5), Node("d")]

    assert emitted_by(Graph(nodes), Begin()) == (C, B, D, A)
    state = after(Graph(nodes, max_in_flight=1), Begin())
    assert (state.attempts_in_flight, state.held) == ((C,), (B, D, A))


def test_what_becomes_runnable_later_may_go_first() -> None:
    """Priority is among all that are held at that time."""
    graph = Graph([Node("a"), Node("b"), Node("c", ["a"], priority=1)], max_in_flight=1)

    assert emitted_by(graph, Begin(), Succeeded(A), Succeeded(C)) == (A, C, B)


def test_a_retry_waits_in_line() -> None:
    """Its node goes by priority and number like any other; while it is delayed it takes no place."""
    graph = Graph([Node("a", max_attempts=2, retry=RetryPolicy(5)), Node("b"), Node("c")], max_in_flight=1)
    state, emitted = step(State.initial(graph), Begin(), Failed(A))
    assert (emitted, state.held) == ((A, B), (C,))

    state, emitted = step(state, RetryDue(A2), Succeeded(B))

    assert (emitted, state.held) == ((A2,), (C,))


def test_without_a_delay_a_retry_may_take_its_own_place() -> None:
    """It is the first in line again, if its number is the lowest."""
    graph = Graph([Node("a", max_attempts=2), Node("b")], max_in_flight=1)

    assert emitted_by(graph, Begin(), Failed(A), Succeeded(A2)) == (A, A2, B)


def test_what_was_skipped_in_the_queue_is_passed_over() -> None:
    """The next one starts in its place."""
    graph = Graph([*map(Node, "abc")], max_in_flight=1)
    state = after(graph, Begin(), SkipRequested("b"))

    assert state.held == (C,)
    assert step(state, Succeeded(A))[1] == (C,)
    state, emitted = step(after(graph, Begin(), SkipRequested("b"), SkipRequested("c")), Succeeded(A))
    assert (emitted, state.workflow_state) == ((), WorkflowState.SUCCESS)


# Skip


def test_a_node_that_waits_is_skipped_at_once() -> None:
    """Its edges are decided: what needs its success is skipped, what needs no failure runs."""
    graph = Graph([Node("a"), Node("b", ["a"]), Node("c", ["b"]), Node("d", [Edge("b", "skipped")])])

    state, emitted = step(after(graph, Begin()), SkipRequested("b", "not today"))

    assert (statuses(state), emitted) == ("SC SK SK SC", (D,))


def test_a_node_that_is_held_is_skipped_at_once() -> None:
    """It never runs."""
    state, emitted = step(after(CHAIN, Begin(), PauseRequested(), Succeeded(A)), SkipRequested("b"))

    assert (statuses(state), emitted, state.held) == ("SU SK SK", (), ())
    assert state.workflow_state is WorkflowState.SUCCESS


def test_a_node_that_is_delayed_is_skipped_at_once() -> None:
    """Its retry is never due."""
    state = after(DELAYING, Begin(), Failed(A), SkipRequested("a"))

    assert (statuses(state), state.delayed) == ("SK SK", ())
    check_ignored(state, RetryDue(A2))


def test_a_skip_in_flight_is_remembered() -> None:
    """The attempt is to be revoked, and still in flight."""
    state, emitted = step(after(CHAIN, Begin()), SkipRequested("a"))

    assert (statuses(state), emitted, state.to_revoke) == ("SC WA WA", (), (A,))
    assert not state.is_ending
    check_ignored(state, SkipRequested("a", "again"))


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Succeeded(A), Status.SUCCEEDED),
        (Failed(A), Status.SKIPPED),
        (Failed(A, is_final=True), Status.SKIPPED),
        (Failed(A, is_revoked=True), Status.SKIPPED),
        (TimedOut(A), Status.SKIPPED),
        (Lost(A), Status.SKIPPED),
        (Skipped(A), Status.SKIPPED),
    ],
)
@pytest.mark.parametrize("end", [[], [CancelRequested()], [DeadlinePassed()]], ids=["", "cancel", "deadline"])
def test_a_skip_in_flight_leaves_success_alone(outcome: Outcome, status: Status, end: list[Observation]) -> None:
    """Everything else ends the node SKIPPED, without another try; the skip wins over the end of the whole."""
    graph = Graph([Node("a", max_attempts=3, retry=RetryPolicy(1_000))])

    state, emitted = step(after(graph, Begin(), SkipRequested("a"), *end), outcome)

    assert (state.status("a"), emitted) == (status, ())
    assert (state.to_revoke, state.is_finished) == ((), True)


def test_a_skip_before_the_beginning_decides_and_waits() -> None:
    """What may run thereby is READY until `Begin`, which leaves the skipped root alone."""
    graph = Graph([Node("a"), Node("b", [Edge("a", "skipped")]), Node("c", ["a"]), Node("d")])

    state, emitted = step(State.initial(graph), SkipRequested("a"))
    assert (statuses(state), state.held, emitted) == ("SK WA RE SK", (B,), ())
    assert (state.workflow_state, state.is_finished) == (WorkflowState.INITIAL, False)

    state, emitted = step(state, Begin())
    assert (statuses(state), emitted) == ("SK SC SC SK", (D, B))


def test_what_is_skipped_as_a_whole_before_the_beginning_ends_when_it_begins() -> None:
    """Until then it is INITIAL."""
    graph = Graph([Node("a"), Node("f", role=Role.FINALLY)])
    state = after(graph, SkipRequested("a"), SkipRequested("f"))
    assert (state.workflow_state, state.is_finished) == (WorkflowState.INITIAL, False)

    state, emitted = step(state, Begin())

    assert (state.workflow_state, emitted) == (WorkflowState.SUCCESS, ())


def test_a_cancel_before_the_beginning_ends_what_a_skip_made_ready() -> None:
    """It is CANCELLED like the rest, and what was skipped stays so."""
    graph = Graph([Node("a"), Node("b", [Edge("a", "skipped")])])

    state = after(graph, SkipRequested("a"), CancelRequested())

    assert (statuses(state), state.held, state.workflow_state) == ("SK CA", (), WorkflowState.CANCELLED)


def test_what_cannot_be_skipped_is_ignored() -> None:
    """An unknown node, one that is final, an ordinary one while the work is ending, and all that is finished."""
    check_ignored(State.initial(CHAIN), SkipRequested("nobody"), SkipRequested(""))
    check_ignored(after(CHAIN, Begin(), Succeeded(A)), SkipRequested("a"))
    check_ignored(after(CHAIN, Begin(), CancelRequested()), SkipRequested("a"), SkipRequested("b"))
    check_ignored(after(CHAIN, Begin(), DeadlinePassed()), SkipRequested("a"))
    fast = Graph([Node("a"), Node("b")], mode="fail_fast")
    check_ignored(after(fast, Begin(), Failed(A)), SkipRequested("b"))
    check_ignored(after(CHAIN, Begin(), Failed(A)), *map(SkipRequested, "abc"))


def test_a_skip_does_not_fail_fast() -> None:
    """A skipped node is no failure, in whatever mode."""
    state = after(Graph([Node("a"), Node("b")], mode="fail_fast"), Begin(), SkipRequested("a"), Failed(A))

    assert statuses(state) == "SK SC"
    assert not state.is_ending
