"""`check_state`: a state that cannot be is told from one that can. Those that can are in the property tests."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    Failed,
    Graph,
    Node,
    RetryPolicy,
    Skipped,
    State,
    Status,
    Succeeded,
    advance,
)
from dyrygent_core.errors import InvariantError
from dyrygent_core.invariants import check_state
from dyrygent_core.state import Tries

GRAPH = Graph(
    [
        Node("a", max_attempts=2, retry=RetryPolicy(1_000)),
        Node("b"),
        Node("c", ["a", "b"]),
        Node("d", ["b", "a"], trigger="one_failed"),
    ]
)
INITIAL = State.initial(GRAPH)
BEGUN = advance(GRAPH, INITIAL, [Begin()])[0]
SKIPPED_B = advance(GRAPH, BEGUN, [Skipped(Attempt("b"))])[0]
DELAYED = advance(GRAPH, BEGUN, [Failed(Attempt("a"))])[0]
CANCELLED = advance(GRAPH, INITIAL, [CancelRequested()])[0]
ENDING = advance(GRAPH, BEGUN, [CancelRequested()])[0]
FINISHED = advance(
    GRAPH,
    BEGUN,
    [Succeeded(Attempt("a")), Succeeded(Attempt("b")), Succeeded(Attempt("c"))],
)[0]


def cells(*codes: int) -> dict[str, Any]:
    """Give the field of a state with these cells."""
    return {"pages": (bytes(codes),)}


def in_sparse(state: State, **fields: Any) -> dict[str, Any]:
    """Give the field of a state with something else beside its cells."""
    return {"sparse": evolve(state.sparse, **fields)}


@pytest.mark.parametrize("state", [INITIAL, BEGUN, SKIPPED_B, DELAYED, CANCELLED, ENDING, FINISHED], ids=repr)
def test_what_advance_makes_can_be(state: State) -> None:
    """Nothing is raised."""
    check_state(state)


S, OK, FAILED = Status.SCHEDULED, Status.SUCCEEDED, Status.FAILED


@pytest.mark.parametrize(
    ("state", "fields", "message"),
    [
        (BEGUN, cells(S, S, 2), "3 cells for 4 nodes"),
        (BEGUN, {"in_flight": 3}, "2 nodes are SCHEDULED, but 3 are counted"),
        (DELAYED, in_sparse(DELAYED, due_ms={}), "1 nodes are READY, but 0 have a due time"),
        (FINISHED, cells(OK, OK, OK, 1), "it is finished, but not every node is final"),
        (BEGUN, in_sparse(BEGUN, is_cancelled=True), "it is ending, but a node still waits, or waits for its retry"),
        (
            BEGUN,
            cells(S, S, Status.CANCELLED, 2),
            "a node is CANCELLED, but neither was a cancel asked for nor has the deadline passed",
        ),
        (CANCELLED, in_sparse(CANCELLED, is_past_deadline=True), "its deadline passed before it began"),
        (
            CANCELLED,
            cells(OK, 206, 206, 206),
            "it was cancelled before it began, but some node is not CANCELLED",
        ),
        (INITIAL, cells(1, 1, 1, 1), "it has not begun, but some node's edges are decided"),
        (INITIAL, in_sparse(INITIAL, tries={0: Tries(2)}), "it has not begun, but something was tried"),
        (BEGUN, cells(S, S, 1, 2), "node 'c' has 2 undecided edges and taint False, but 1 and False are kept"),
        (BEGUN, cells(S, S, 102, 2), "node 'c' has 2 undecided edges and taint False, but 2 and True are kept"),
        (SKIPPED_B, cells(S, 207, 1, 1), "node 'c' has 1 undecided edges and taint True, but 1 and False are kept"),
        (SKIPPED_B, cells(S, FAILED, 1, 1), "node 'c' waits, though its edges make it UPSTREAM_FAILED"),
        (BEGUN, cells(S, S, 205, 2), "node 'c' is UPSTREAM_FAILED, though no edge says so"),
        (BEGUN, cells(S, S, 207, 2), "node 'c' is SKIPPED, though its edges neither skip it nor let it run"),
        (BEGUN, cells(S, S, OK, 2), "node 'c' is SUCCEEDED, though its edges do not let it run"),
        (BEGUN, in_sparse(BEGUN, tries={2: Tries(2)}), "node 'c' is WAITING, but has been tried 1 times"),
        (BEGUN, in_sparse(BEGUN, tries={0: Tries(4)}), "node 'a' goes on after 3 failures and 0 losses"),
        (BEGUN, in_sparse(BEGUN, tries={0: Tries(4, 3)}), "node 'a' goes on after 0 failures and 3 losses"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(state: State, fields: dict[str, Any], message: str) -> None:
    """The message has the node and the values."""
    with pytest.raises(InvariantError) as caught:
        check_state(evolve(state, **fields))

    assert str(caught.value) == f"this state cannot be: {message}"


def test_nothing_stays_pending() -> None:
    """A workflow that waits for nothing and is not finished would wait for ever."""
    graph = Graph([Node("a")])
    state = advance(graph, State.initial(graph), [Begin(), Succeeded(Attempt("a"))])[0]

    with pytest.raises(InvariantError, match="it is finished, but not every node is final"):
        check_state(evolve(state, pages=(bytes([1]),)))
