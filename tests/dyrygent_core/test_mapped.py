"""Mapped nodes: one instance for each element, outcomes and tries of their own, and one status for all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    Each,
    Edge,
    Failed,
    Graph,
    Lost,
    Node,
    Observation,
    RetryDue,
    Skipped,
    Status,
    Succeeded,
    TimedOut,
    WorkflowState,
)
from dyrygent_core.nodes import MAX_WIDTH
from dyrygent_core.observations import NOT_A_LIST
from tests.dyrygent_core.folding import after, check_ignored, emitted_by, instances, step
from tests.dyrygent_core.mapping import RETRYING, SIMPLE, m, started

A, B, Z = Attempt("a"), Attempt("b"), Attempt("z")


# Width


def test_there_is_an_instance_for_each_element() -> None:
    """They start together, in the order of the list; until then there are none."""
    waiting = after(SIMPLE, Begin())
    assert (waiting.width("m"), waiting.instance_statuses("m")) == (None, ())

    state, emitted = step(waiting, Succeeded(A, sizes=(3,)))

    assert emitted == (m(0), m(1), m(2))
    assert (state.status("m"), state.width("m"), instances(state)) == (Status.SCHEDULED, 3, "SC SC SC")
    assert (state.sizes("a"), state.in_flight, state.attempts_in_flight) == ((3,), 3, emitted)


def test_nothing_to_map_over_succeeds_at_once() -> None:
    """Without an attempt, and what waits for it goes on."""
    state, emitted = step(after(SIMPLE, Begin()), Succeeded(A, sizes=(0,)))

    assert (state.status("m"), state.width("m"), state.instance_statuses("m")) == (Status.SUCCEEDED, 0, ())
    assert emitted == (Z,)


@pytest.mark.parametrize("sizes", [(), (NOT_A_LIST,), (-7,), (MAX_WIDTH + 1,), (10**30,)])
def test_what_is_no_list_or_too_long_fails_the_node(sizes: tuple[int, ...]) -> None:
    """At once and without an attempt, whatever tries it has left; there is no attempt to blame."""
    graph = Graph([Node("a"), Node("m", ["a"], each="a", max_attempts=5), Node("z", ["m"])])

    state, emitted = step(after(graph, Begin()), Succeeded(A, sizes=sizes))

    assert emitted == ()
    assert (state.status("m"), state.status("z")) == (Status.FAILED, Status.UPSTREAM_FAILED)
    assert (state.width("m"), state.instance_statuses("m")) == (None, ())
    assert (state.first_failed, state.first_failed_attempt) == ("m", None)
    assert state.workflow_state is WorkflowState.FAILURE


def test_the_longest_list_is_as_long_as_the_limit() -> None:
    """A hundred thousand instances, not one more."""
    state = after(Graph(SIMPLE.nodes, max_in_flight=1), Begin(), Succeeded(A, sizes=(MAX_WIDTH,)))

    assert state.width("m") == MAX_WIDTH


def test_a_failed_map_may_be_allowed() -> None:
    """Then what waits for it goes on."""
    graph = Graph([Node("a"), Node("m", ["a"], each="a", allow_failure=True), Node("z", ["m"])])

    assert emitted_by(graph, Begin(), Succeeded(A, sizes=(NOT_A_LIST,))) == (A, Z)
    assert emitted_by(graph, Begin(), Succeeded(A, sizes=(1,)), Failed(m(0))) == (A, m(0), Z)


def test_sizes_are_told_path_by_path() -> None:
    """In the order in which those that map appear; a path that two map over is told once."""
    graph = Graph(
        [
            Node("a"),
            Node("m", ["a"], each=Each("a", ("users", 0))),
            Node("n", ["a"], each="a"),
            Node("o", ["a"], each=Each("a", ("users", 0))),
        ]
    )
    assert graph.measured_paths("a") == (("users", 0), ())
    assert graph.measured_paths("m") == ()

    state = after(graph, Begin(), Succeeded(A, sizes=(2, 1)))

    assert [state.width(node) for node in "mno"] == [2, 1, 2]
    assert state.status("n") is Status.SCHEDULED
    told_less = after(graph, Begin(), Succeeded(A, sizes=(2,)))
    assert [told_less.status(node) for node in "mno"] == [Status.SCHEDULED, Status.FAILED, Status.SCHEDULED]
    told_more = after(graph, Begin(), Succeeded(A, sizes=(2, 1, 9)))
    assert [told_more.width(node) for node in "mno"] == [2, 1, 2]


def test_a_mapped_node_waits_for_its_other_dependencies() -> None:
    """What it maps over may have come long before."""
    graph = Graph([Node("a"), Node("b"), Node("m", ["a", "b"], each="a")])

    _, emitted = step(started(graph, 2), Succeeded(B))

    assert emitted == (m(0), m(1))
    assert after(graph, Begin(), Succeeded(A, sizes=(2,)), Failed(B)).status("m") is Status.UPSTREAM_FAILED
    assert after(graph, Begin(), Skipped(A), Succeeded(B)).status("m") is Status.SKIPPED


def test_an_edge_that_needs_success_may_be_one_of_others() -> None:
    """The rule may be another, if that one edge asks for success."""
    graph = Graph([Node("a"), Node("b"), Node("m", [Edge("a", "succeeded"), "b"], each="a", trigger="all_done")])

    assert emitted_by(graph, Begin(), Failed(B), Succeeded(A, sizes=(1,))) == (A, B, m(0))


# What becomes of it


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([Succeeded(m(0)), Succeeded(m(1)), Succeeded(m(2))], Status.SUCCEEDED),
        ([Succeeded(m(0)), Skipped(m(1)), Succeeded(m(2))], Status.SUCCEEDED),
        ([Skipped(m(0)), Skipped(m(1)), Skipped(m(2))], Status.SUCCEEDED),
        ([Succeeded(m(0)), Failed(m(1)), Skipped(m(2))], Status.FAILED),
        ([TimedOut(m(2)), Succeeded(m(0)), Succeeded(m(1))], Status.FAILED),
        ([CancelRequested(), Lost(m(0)), Succeeded(m(1)), Succeeded(m(2))], Status.CANCELLED),
        ([CancelRequested(), Lost(m(0)), Failed(m(1)), Succeeded(m(2))], Status.FAILED),
        ([CancelRequested(), Succeeded(m(0)), Skipped(m(1)), Succeeded(m(2))], Status.SUCCEEDED),
    ],
)
def test_it_is_final_when_every_instance_is(outcomes: Sequence[Observation], status: Status) -> None:
    """FAILED if one of them is, else CANCELLED if one is, else SUCCEEDED; a failed one stops no other."""
    state = started(SIMPLE, 3, *outcomes[:-1])
    assert state.status("m") is Status.SCHEDULED

    state = started(SIMPLE, 3, *outcomes)

    assert state.status("m") is status


def test_the_first_failed_instance_is_named() -> None:
    """The lowest, whichever failed first in time, with its newest number."""
    state = started(RETRYING, 3, *(Failed(m(at), is_final=True) for at in (2, 1)), Lost(m(0)), Succeeded(m(0, 2)))

    assert state.first_failed_attempt == m(1)
    assert instances(state) == "SU FA FA"


def test_a_map_over_a_mapped_node_pairs_elements() -> None:
    """It starts when all instances have succeeded, as wide as they are, skipped ones included."""
    graph = Graph([Node("a"), Node("m", ["a"], each="a"), Node("n", ["m"], each="m"), Node("z", ["n"])])
    state = started(graph, 2, Succeeded(m(1)))
    assert state.status("n") is Status.WAITING

    state, emitted = step(state, Skipped(m(0)))
    assert emitted == (Attempt("n", 0), Attempt("n", 1))

    assert step(state, *map(Succeeded, emitted))[1] == (Z,)
    assert started(graph, 2, Failed(m(0)), Succeeded(m(1))).status("n") is Status.UPSTREAM_FAILED


def test_maps_of_nothing_follow_each_other_at_once() -> None:
    """However many there are in a row, in one observation."""
    graph = Graph(
        [
            Node("a"),
            Node("m", ["a"], each="a"),
            Node("n", ["m"], each="m"),
            Node("o", ["n", "a"], each=Each("a", ("k",))),
            Node("z", ["o"]),
        ]
    )

    state, emitted = step(after(graph, Begin()), Succeeded(A, sizes=(0, 2)))

    assert [state.status(node).name for node in "mno"] == ["SUCCEEDED", "SUCCEEDED", "SCHEDULED"]
    assert emitted == (Attempt("o", 0), Attempt("o", 1))


# Instances


@pytest.mark.parametrize(
    "outcome",
    [
        Succeeded(m(3)),
        Succeeded(m(10**30)),
        Succeeded(m(1, 2)),
        Succeeded(m(1, 10**30)),
        Failed(m(0)),
        RetryDue(m(0)),
        RetryDue(m(1)),
        RetryDue(m(9)),
        Lost(Attempt("a")),
    ],
)
def test_what_no_instance_has_in_flight_is_ignored(outcome: Observation) -> None:
    """Beyond the width, another number, ended already, or not delayed."""
    check_ignored(started(RETRYING, 3, Succeeded(m(0))), outcome)


def test_before_it_has_started_nothing_of_it_counts() -> None:
    """There are no instances yet."""
    check_ignored(after(SIMPLE, Begin()), Succeeded(m(0)), Failed(m(0)), RetryDue(m(0, 2)), RetryDue(m(0)))


def test_a_plain_node_has_one_instance() -> None:
    """An outcome of any other is ignored."""
    check_ignored(after(SIMPLE, Begin()), Succeeded(Attempt("a", 1), sizes=(1,)), Failed(Attempt("a", 1)))


def test_instances_are_tried_again_by_themselves() -> None:
    """Each has its own number and delay; the others go on."""
    state, emitted = step(started(RETRYING, 3), Failed(m(1), at_ms=10), Lost(m(2)))

    assert emitted == (m(2, 2),)
    assert (instances(state), state.delayed) == ("SC RE SC", ((m(1, 2), 1_010),))
    assert state.attempts_in_flight == (m(0), m(2, 2))
    assert [state.attempt("m", at) for at in range(3)] == [m(0), m(1, 2), m(2, 2)]

    state, emitted = step(state, Succeeded(m(0)), Failed(m(2, 2), at_ms=20))
    assert (state.status("m"), state.in_flight, state.is_finished) == (Status.READY, 0, False)
    assert state.delayed == ((m(1, 2), 1_010), (m(2, 3), 1_020))

    state, emitted = step(state, RetryDue(m(2, 3)), RetryDue(m(1, 2)))
    assert (emitted, state.delayed, state.status("m")) == ((m(2, 3), m(1, 2)), (), Status.SCHEDULED)
    check_ignored(state, RetryDue(m(1, 2)))

    state, emitted = step(state, Failed(m(1, 2)), Succeeded(m(2, 3)))
    assert (emitted, state.status("m"), instances(state)) == ((), Status.FAILED, "SU FA SU")


def test_without_a_delay_an_instance_is_tried_again_at_once() -> None:
    """Until there are no more tries."""
    graph = Graph([Node("a"), Node("m", ["a"], each="a", max_attempts=2)])

    state, emitted = step(started(graph, 2), Failed(m(0)), Failed(m(0, 2)))

    assert (emitted, instances(state)) == ((m(0, 2),), "FA SC")


def test_an_instance_that_is_lost_too_often_fails() -> None:
    """Losses are counted for each."""
    state = started(RETRYING, 2, Lost(m(0)), Lost(m(1)), Lost(m(0, 2)))

    assert (instances(state), state.attempt("m", 1)) == ("FA SC", m(1, 2))


def test_branches_are_not_for_instances() -> None:
    """Naming any, or none at all, fails the instance finally."""
    graph = Graph([Node("a"), Node("m", ["a"], each="a", max_attempts=3), Node("z", ["m"])])

    assert instances(started(graph, 1, Succeeded(m(0), branches=("z",)))) == "FA"
    assert instances(started(graph, 1, Succeeded(m(0), branches=()))) == "FA"


def test_what_an_instance_returns_is_not_measured() -> None:
    """Sizes told of it are nobody's."""
    assert started(SIMPLE, 1, Succeeded(m(0), sizes=(5,))).sizes("m") == ()
