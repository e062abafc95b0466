"""Folding in examples: every state on the way is checked, and one call must tell what many tell."""

from __future__ import annotations

from dyrygent_core import Attempt, Graph, Observation, State, advance
from dyrygent_core.invariants import check_state

__all__ = ["after", "again", "check_ignored", "emitted_by", "instances", "statuses", "step"]


def step(state: State, *observations: Observation) -> tuple[State, tuple[Attempt, ...]]:
    """Fold one by one, and in one call; give what both come to."""
    graph = state.graph
    now, emitted = state, tuple[Attempt, ...]()
    for observation in observations:
        now, more = advance(graph, now, [observation])
        check_state(now)
        emitted += more
    at_once, all_emitted = advance(graph, state, observations)
    assert (at_once, all_emitted) == (now, emitted)
    assert at_once.in_flight == now.in_flight
    assert at_once.held == now.held
    return now, emitted


def after(graph: Graph, *observations: Observation) -> State:
    """Give the state after these observations."""
    return step(State.initial(graph), *observations)[0]


def emitted_by(graph: Graph, *observations: Observation) -> tuple[Attempt, ...]:
    """Give all attempts that these observations emit."""
    return step(State.initial(graph), *observations)[1]


def check_ignored(state: State, *observations: Observation) -> None:
    """Raise `AssertionError` unless each of these changes nothing: the state is the same object, nothing is emitted."""
    for observation in observations:
        now, emitted = advance(state.graph, state, [observation])
        assert now is state, f"{observation!r} made {now!r} of {state!r}"
        assert emitted == ()


def again(node: str, number: int = 2) -> Attempt:
    """Give a later attempt of a plain node."""
    return Attempt(node, 0, number)


def statuses(state: State) -> str:
    """Give the first two letters of every node's status."""
    return " ".join(status.name[:2] for status in state.statuses.values())


def instances(state: State, node: str = "m") -> str:
    """Give the first two letters of every instance's status."""
    return " ".join(status.name[:2] for status in state.instance_statuses(node))
