"""Every directed acyclic graph of so many nodes, once for each shape: 1 + 2 + 6 + 31 of up to four, and 302 of five."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations
from typing import Final, TypeAlias

from dyrygent_core import NodeHandle, Workflow, call

__all__ = ["DAGS", "Dag", "dags", "workflow_of"]

Dag: TypeAlias = tuple[tuple[int, ...], ...]
"""For each node, the earlier ones that it depends on."""


def dags(size: int) -> Iterator[Dag]:
    """Give one of each class of isomorphic graphs: whatever is acyclic can be numbered along its edges."""
    pairs = list(combinations(range(size), 2))
    known: set[frozenset[tuple[int, int]]] = set()
    for chosen in range(1 << len(pairs)):
        edges = [pair for at, pair in enumerate(pairs) if chosen >> at & 1]
        if frozenset(edges) in known:
            continue
        for order in permutations(range(size)):
            known.add(frozenset((order[above], order[below]) for above, below in edges))
        yield tuple(tuple(above for above, below in edges if below == node) for node in range(size))


DAGS: Final = tuple(dag for size in range(1, 5) for dag in dags(size))


def workflow_of(dag: Dag) -> Workflow:
    """Build a workflow of this shape, in which every node takes the results of all that it depends on."""
    workflow = Workflow()
    handles: list[NodeHandle] = []
    for number, above in enumerate(dag):
        inputs = [handles[it].result for it in above]
        handles.append(workflow.add(call("run", inputs), id=f"n{number}"))
    return workflow
