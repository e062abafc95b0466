"""What can be read from a state."""

from __future__ import annotations

import pickle
from copy import copy, deepcopy

import pytest

from dyrygent_core import (
    Attempt,
    Begin,
    Failed,
    Failure,
    Graph,
    Node,
    State,
    Status,
    Succeeded,
    UnknownNodeError,
    WorkflowState,
    advance,
)
from dyrygent_core.statuses import FINAL_STATUSES

GRAPH = Graph([Node("a", max_attempts=2), Node("b"), Node("c", ["a", "b"])])
INITIAL = State.initial(GRAPH)


def after(*numbers: int) -> State:
    """Give the state after the failures of these attempts of a."""
    return advance(GRAPH, State.initial(GRAPH), [Begin(), *(Failed(Attempt("a", 0, number)) for number in numbers)])[0]


def test_before_the_beginning_everything_waits() -> None:
    """Roots too: `Begin` is what they wait for."""
    state = State.initial(GRAPH)

    assert state.statuses == dict.fromkeys("abc", Status.WAITING)
    assert state.workflow_state is WorkflowState.INITIAL
    assert not state.is_finished
    assert state.attempts_in_flight == ()


def test_statuses_are_counted() -> None:
    """Every status has its number of nodes."""
    assert {status: count for status, count in after(1).counts.items() if count} == {
        Status.WAITING: 1,
        Status.SCHEDULED: 2,
    }


def test_a_nodes_newest_attempt_is_known() -> None:
    """The one in flight, the one that decided, or the one that would be the first."""
    state = after(1)

    assert state.attempt("a") == Attempt("a", 0, 2)
    assert state.attempt("c") == Attempt("c")
    assert state.attempts_in_flight == (Attempt("a", 0, 2), Attempt("b"))
    assert state.to_revoke == ()


def test_the_first_failed_is_the_first_in_topological_order() -> None:
    """Whichever failed first in time."""
    graph = Graph([Node("a"), Node("b")])
    state, _ = advance(graph, State.initial(graph), [Begin(), Failed(Attempt("b")), Failed(Attempt("a"))])

    assert state.first_failed == "a"


def test_an_unknown_node_is_refused() -> None:
    """With a suggestion, as everywhere."""
    with pytest.raises(UnknownNodeError, match=r"node 'bb' is not in the graph; did you mean 'b'\?"):
        State.initial(GRAPH).status("bb")


def test_states_are_compared_by_content() -> None:
    """Equal ways lead to equal states, of equal hash; nothing else is equal."""
    assert after(1) == after(1)
    assert hash(after(1)) == hash(after(1))
    assert after(1) != after(1, 2)
    assert after(1) != State.initial(Graph([Node("a"), Node("b"), Node("c", ["a", "b"])]))
    assert after() != "a state"
    assert INITIAL.__eq__(INITIAL)  # the way of `is`, which nothing here may bypass


def test_a_state_is_shown_shortly() -> None:
    """The workflow's state, and how many nodes have which status."""
    assert repr(after(1, 2)) == "<State RUNNING: 1 SCHEDULED, 1 FAILED, 1 UPSTREAM_FAILED>"
    assert repr(State.initial(Graph([]))) == "<State INITIAL: no nodes>"


def test_a_state_survives_a_pickle() -> None:
    """It comes back equal, and can be advanced."""
    again = pickle.loads(pickle.dumps(after(1)))  # noqa: S301  # our own

    assert again == after(1)
    assert advance(GRAPH, again, [Succeeded(Attempt("b"))]) == advance(GRAPH, after(1), [Succeeded(Attempt("b"))])


def test_five_statuses_are_final() -> None:
    """They last until the end of the round."""
    assert {Status.WAITING, Status.READY, Status.SCHEDULED} == set(Status) - FINAL_STATUSES


def test_a_failure_is_told_in_one_line() -> None:
    """Type and message, or the type alone."""
    assert str(Failure("ValueError", "no such user")) == "ValueError: no such user"
    assert str(Failure("TimeLimitExceeded")) == "TimeLimitExceeded"


def test_a_state_is_immutable() -> None:
    """It is made by `State.initial` and `advance` only, and nothing of it can be set or deleted."""
    state = State.initial(GRAPH)

    with pytest.raises(TypeError, match=r"a state is made by State.initial\(graph\) and advance"):
        State()
    with pytest.raises(AttributeError, match="cannot set 'in_flight'"):
        state.in_flight = 7
    with pytest.raises(AttributeError, match="cannot delete 'pages'"):
        del state.pages
    assert state == INITIAL
    assert copy(state) is deepcopy(state) is state


def test_statuses_are_a_mapping() -> None:
    """Looked up lazily, in topological order, equal to any mapping of the same items."""
    statuses = after().statuses
    items = {"a": Status.SCHEDULED, "b": Status.SCHEDULED, "c": Status.WAITING}

    assert (statuses, len(statuses), list(statuses)) == (items, 3, ["a", "b", "c"])
    assert ("a" in statuses, "x" in statuses) == (True, False)
    assert repr(statuses) == repr(items)
    assert list(statuses.values()) == list(items.values())
    assert statuses != INITIAL.statuses
    assert statuses != [*items]
