"""What happened in a graph, and what is said of one of its nodes then: the rows of the tests of `explain`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from dyrygent_core import (
    Attempt,
    Begin,
    Each,
    Failure,
    Graph,
    Mode,
    Node,
    Observation,
    RetryPolicy,
    Role,
    State,
    Succeeded,
    advance,
)
from dyrygent_core.explain import explain
from dyrygent_core.ports import Entry

BEGIN: Final = Begin(at_ms=1_000)
BOOM: Final = Failure("ValueError", "boom")
PAIR: Final = Graph([Node("a"), Node("b", ["a"])])
CHAIN: Final = Graph([Node("a"), Node("b", ["a"]), Node("c", ["b"])])
JOIN: Final = Graph([*(Node(f"n{at}") for at in range(100)), Node("join", [f"n{at}" for at in range(100)])])
LIMITED: Final = Graph([Node("a"), Node("b"), Node("c")], max_in_flight=2)
RETRIED: Final = Graph([Node("a", max_attempts=3, retry=RetryPolicy(1_500), timeout_ms=5_000), Node("b", ["a"])])
FAST: Final = Graph([Node("a"), Node("b"), Node("c", ["a"])], mode=Mode.FAIL_FAST)
ROLES: Final = Graph(
    [Node("a"), Node("b", ["a"]), *(Node(role.value, role=role) for role in Role if role is not Role.NODE)],
    deadline_ms=90_000,
)
MAPPED: Final = Graph(
    [Node("a"), Node("m", ["a"], each="a", max_attempts=2, retry=RetryPolicy(1_000)), Node("z", ["m"])], max_in_flight=3
)
PART: Final = Graph([Node("a"), Node("m", ["a"], each=Each("a", ("pages", 0, "rows")))])


@frozen
class Row:
    """What happened in a graph, and what is said of one of its nodes then."""

    graph: Graph
    node: str
    facts: tuple[Observation, ...]
    said: str
    known: str | None
    """What is said with the history, if that is something else."""


def row(graph: Graph, node: str, facts: Sequence[Observation], said: str, known: str | None = None) -> Row:
    return Row(graph, node, tuple(facts), said, known)


def succeeded(*nodes: str) -> list[Observation]:
    return [BEGIN, *(Succeeded(Attempt(node)) for node in nodes)]


def sized(*sizes: int) -> list[Observation]:
    """Give the history in which `a` returns lists of these lengths."""
    return [BEGIN, Succeeded(Attempt("a"), sizes=sizes)]


def of(node: str, number: int = 1, index: int = 0) -> Attempt:
    return Attempt(node, index, number)


def check(case: Row) -> None:
    """Compare what is said with the row."""
    state, _ = advance(case.graph, State.initial(case.graph), case.facts)
    entries = [Entry(at, "", fact) for at, fact in enumerate(case.facts, 1)]
    said = explain(case.graph, state, case.node)
    known = explain(case.graph, state, case.node, entries=entries)
    assert (said, known) == (case.said, case.known or case.said)
