"""Mapped nodes under limits and requests: instances are held, paused, skipped and cancelled as nodes are."""

from __future__ import annotations

import pytest

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Each,
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
    Skipped,
    SkipRequested,
    Status,
    Succeeded,
    TimedOut,
    WorkflowState,
)
from dyrygent_core.observations import NOT_A_LIST
from tests.dyrygent_core.folding import after, check_ignored, emitted_by, instances, step
from tests.dyrygent_core.mapping import RETRYING, SIMPLE, m, started

A, B, Z = Attempt("a"), Attempt("b"), Attempt("z")


def test_instances_go_one_by_one_through_the_limit() -> None:
    """In their order; the node is SCHEDULED as long as one is in flight."""
    graph = Graph([Node("a"), Node("m", ["a"], each="a")], max_in_flight=2)
    state, emitted = step(after(graph, Begin()), Succeeded(A, sizes=(4,)))
    assert (emitted, state.held, instances(state)) == ((m(0), m(1)), (m(2), m(3)), "SC SC RE RE")

    state, emitted = step(state, Succeeded(m(1)), Succeeded(m(0)))
    assert (emitted, state.held, instances(state)) == ((m(2), m(3)), (), "SU SU SC SC")


def test_an_instance_tried_again_goes_before_later_ones() -> None:
    """The lowest index first, in whatever try."""
    graph = Graph([Node("a"), Node("m", ["a"], each="a", max_attempts=2)], max_in_flight=1)

    emitted = emitted_by(graph, Begin(), Succeeded(A, sizes=(3,)), Succeeded(m(0)), Failed(m(1)), Succeeded(m(1, 2)))

    assert emitted == (A, m(0), m(1), m(1, 2), m(2))


def test_instances_and_nodes_share_limit_and_priority() -> None:
    """All instances of a node of higher priority go first, then those of the lower number."""
    graph = Graph(
        [Node("a"), Node("b", ["a"]), Node("m", ["a"], each="a", priority=1), Node("n", ["a"], each="a")],
        max_in_flight=1,
    )
    state = started(graph, 2)

    assert state.attempts_in_flight == (m(0),)
    assert state.held == (m(1), B, Attempt("n", 0), Attempt("n", 1))
    free = Graph(graph.nodes)
    assert emitted_by(free, Begin(), Succeeded(A, sizes=(2,)))[1:] == (m(0), m(1), B, Attempt("n", 0), Attempt("n", 1))


def test_a_mapped_node_all_of_whose_instances_are_held_is_ready() -> None:
    """A pause holds all of them; the resume lets them go in order."""
    state, emitted = step(after(SIMPLE, Begin(), PauseRequested()), Succeeded(A, sizes=(2,)))
    assert (emitted, state.status("m"), instances(state), state.in_flight) == ((), Status.READY, "RE RE", 0)
    assert not state.is_finished

    state, emitted = step(state, ResumeRequested())
    assert (emitted, state.status("m")) == ((m(0), m(1)), Status.SCHEDULED)


def test_a_pause_holds_instances_that_are_tried_again() -> None:
    """At once or when they are due."""
    state = started(RETRYING, 2, Lost(m(0)), Failed(m(1)), PauseRequested(), RetryDue(m(1, 2)), Lost(m(0, 2)))

    assert (instances(state), state.held, state.status("m")) == ("FA RE", (m(1, 2),), Status.READY)
    assert step(state, ResumeRequested())[1] == (m(1, 2),)


# Cancel, deadline, fail_fast, skip


@pytest.mark.parametrize("request_", [CancelRequested(), DeadlinePassed()], ids=["cancel", "deadline"])
def test_an_end_cancels_what_is_not_in_flight(request_: Observation) -> None:
    """Held and delayed instances are CANCELLED; the node stays SCHEDULED until the others end."""
    graph = Graph(RETRYING.nodes, max_in_flight=2)
    state = started(graph, 4, Failed(m(0)), request_)

    assert (instances(state), state.status("m")) == ("CA SC SC CA", Status.SCHEDULED)
    assert (state.held, state.delayed, state.to_revoke) == ((), (), (m(1), m(2)))
    check_ignored(state, RetryDue(m(0, 2)))

    state, emitted = step(state, Lost(m(1)), Failed(m(2), is_revoked=True))
    assert (emitted, instances(state), state.status("m")) == ((), "CA CA CA CA", Status.CANCELLED)
    assert state.is_finished


def test_an_end_decides_a_node_none_of_whose_instances_is_in_flight() -> None:
    """CANCELLED, or FAILED where an instance is; an allowed failure stays allowed."""
    graph = Graph([Node("a"), Node("b"), Node("m", ["a"], each="a", allow_failure=True)])
    paused = after(graph, Begin(), PauseRequested(), Succeeded(A, sizes=(2,)))

    state = step(paused, CancelRequested())[0]
    assert (instances(state), state.status("m"), state.is_finished) == ("CA CA", Status.CANCELLED, False)

    nodes = [Node("a"), Node("m", ["a"], each="a", max_attempts=2, retry=RetryPolicy(9), allow_failure=True)]
    state = started(Graph(nodes), 2, Failed(m(0), is_final=True), Failed(m(1)), CancelRequested())
    assert (instances(state), state.status("m")) == ("FA CA", Status.FAILED)
    assert (state.first_failed, state.workflow_state) == (None, WorkflowState.CANCELLED)


def test_a_failed_map_fails_fast_when_it_is_final() -> None:
    """One instance's failure stops no other; the node's ends the workflow."""
    graph = Graph([Node("a"), Node("b"), Node("m", ["a"], each="a"), Node("z", ["b"])], mode="fail_fast")
    state = started(graph, 2, Failed(m(0)))
    assert not state.is_ending

    state = step(state, Succeeded(m(1)))[0]
    assert (state.is_ending, state.status("m"), state.status("z")) == (True, Status.FAILED, Status.CANCELLED)
    assert state.to_revoke == (B,)


def test_a_failure_elsewhere_stops_what_is_held_of_a_map() -> None:
    """Under fail_fast the node stays SCHEDULED while instances are in flight, and ends CANCELLED."""
    graph = Graph([Node("a"), Node("b"), Node("m", ["a"], each="a")], mode="fail_fast", max_in_flight=2)
    state = started(graph, 3, Failed(B))

    assert (instances(state), state.status("m"), state.to_revoke) == ("SC CA CA", Status.SCHEDULED, (m(0),))
    assert step(state, Succeeded(m(0)))[0].status("m") is Status.CANCELLED


def test_a_map_that_fails_at_once_stops_those_after_it() -> None:
    """Under fail_fast, of the maps that start together those of lower number have started, the others are CANCELLED.

    So is what became runnable in the same observation and was not released yet.
    """
    each = {name: Each("a", (name,)) for name in "klmn"}
    graph = Graph(
        [Node("a"), Node("p", ["a"]), *(Node(name, ["a"], each=it) for name, it in each.items())], mode="fail_fast"
    )

    state, emitted = step(after(graph, Begin()), Succeeded(A, sizes=(0, 2, NOT_A_LIST, 0)))

    assert emitted == ()
    assert {name: state.status(name).name for name in "pklmn"} == {
        "p": "CANCELLED",
        "k": "SUCCEEDED",
        "l": "CANCELLED",
        "m": "FAILED",
        "n": "CANCELLED",
    }
    assert (instances(state, "l"), state.workflow_state) == ("CA CA", WorkflowState.FAILURE)


def test_a_map_that_is_skipped_waits_for_what_is_in_flight() -> None:
    """Its held and delayed instances are CANCELLED now, those in flight are to be revoked; then it is SKIPPED."""
    graph = Graph([*RETRYING.nodes, Node("z", [Edge("m", "skipped")])], max_in_flight=2)
    state = started(graph, 4, Failed(m(0)), SkipRequested("m"))

    assert (instances(state), state.status("m")) == ("CA SC SC CA", Status.SCHEDULED)
    assert (state.to_revoke, state.held, state.delayed) == ((m(1), m(2)), (), ())
    check_ignored(state, SkipRequested("m"), RetryDue(m(0, 2)))

    state, emitted = step(state, Succeeded(m(1)), Lost(m(2)))
    assert (instances(state), state.status("m"), emitted) == ("CA SU CA CA", Status.SKIPPED, (Z,))


@pytest.mark.parametrize(
    ("last", "status"),
    [
        (Succeeded(m(0)), Status.SUCCEEDED),
        (Skipped(m(0)), Status.SUCCEEDED),
        (Failed(m(0)), Status.SKIPPED),
        (TimedOut(m(0)), Status.SKIPPED),
        (Lost(m(0)), Status.SKIPPED),
    ],
)
def test_a_map_that_was_to_be_skipped_is_skipped_unless_it_succeeds(last: Outcome, status: Status) -> None:
    """If every instance ends well all the same, that counts, as it does for a plain node; it never fails."""
    assert started(SIMPLE, 2, Failed(m(1)), SkipRequested("m"), last).status("m") is Status.SKIPPED
    assert started(SIMPLE, 1, SkipRequested("m"), last).status("m") is status
    assert started(SIMPLE, 1, SkipRequested("m"), CancelRequested(), last).status("m") is status


def test_a_map_that_is_held_or_waits_is_skipped_at_once() -> None:
    """Its instances too, where there are any."""
    waiting = after(SIMPLE, Begin(), SkipRequested("m"))
    assert (waiting.status("m"), waiting.instance_statuses("m")) == (Status.SKIPPED, ())
    check_ignored(waiting, Succeeded(m(0)))

    paused = after(SIMPLE, Begin(), PauseRequested(), Succeeded(A, sizes=(2,)), SkipRequested("m"))
    assert (paused.status("m"), instances(paused), paused.held) == (Status.SKIPPED, "CA CA", ())

    delayed = started(RETRYING, 1, Failed(m(0)), SkipRequested("m"))
    assert (delayed.status("m"), delayed.delayed, delayed.is_finished) == (Status.SKIPPED, (), True)


def test_a_cancel_of_a_map_that_is_being_skipped_leaves_it_skipped() -> None:
    """Also where nothing of it is in flight any more."""
    graph = Graph([Node("a"), Node("b"), *RETRYING.nodes[1:]])
    state = started(graph, 2, SkipRequested("m"), CancelRequested(), Lost(m(0)), Succeeded(m(1)))

    assert (instances(state), state.status("m")) == ("CA SU", Status.SKIPPED)


def test_several_pages_of_instances() -> None:
    """A wide map keeps its order and counts across pages, in one call and step by step."""
    graph = Graph([Node("a"), Node("m", ["a"], each="a", max_attempts=2), Node("z", ["m"])])
    width = 20_000
    state, emitted = step(after(graph, Begin()), Succeeded(A, sizes=(width,)))
    assert emitted == tuple(m(at) for at in range(width))

    state, emitted = step(state, Failed(m(19_999)), Failed(m(0)), Succeeded(m(5_000)))
    assert emitted == (m(19_999, 2), m(0, 2))
    assert (state.in_flight, state.instance_statuses("m").count(Status.SUCCEEDED)) == (width - 1, 1)
