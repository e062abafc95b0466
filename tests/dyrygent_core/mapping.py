"""Two graphs with one mapped node each, as examples; how they start; and what one instance is called."""

from __future__ import annotations

from dyrygent_core import Attempt, Begin, Graph, Node, Observation, RetryPolicy, State, Succeeded
from tests.dyrygent_core.folding import after

__all__ = ["RETRYING", "SIMPLE", "m", "started"]

SIMPLE = Graph([Node("a"), Node("m", ["a"], each="a"), Node("z", ["m"])])
RETRYING = Graph([Node("a"), Node("m", ["a"], each="a", max_attempts=2, retry=RetryPolicy(1_000), max_losses=2)])


def m(index: int, number: int = 1) -> Attempt:
    """Give an attempt of an instance of the mapped node."""
    return Attempt("m", index, number)


def started(graph: Graph, width: int, *more: Observation) -> State:
    """Give the state after a has returned a list of this length."""
    return after(graph, Begin(), Succeeded(Attempt("a"), sizes=(width,)), *more)
