"""Hypothesis strategies: the orders in which the nodes of a workflow may run."""

from __future__ import annotations

from hypothesis import strategies as st

from dyrygent_core import Graph, Workflow
from dyrygent_testing.subjects import graph_of

__all__ = ["interleavings"]


def interleavings(workflow: Workflow | Graph) -> st.SearchStrategy[tuple[str, ...]]:
    """Draw orders in which all nodes may run, for `simulate(order=…)`: ids, each after those that it waits for.

    They shrink to the order of the graph's own numbers. Cost: O(nodes and edges) choices for each order.

    Raises `UsageError` for what is no workflow, and as `Workflow.build` does.
    """
    return _orders(graph_of(workflow, "interleavings"))


@st.composite
def _orders(draw: st.DrawFn, graph: Graph) -> tuple[str, ...]:
    waits_for = [len(node.depends_on) for node in graph.nodes]
    ready = [number for number, count in enumerate(waits_for) if not count]
    order: list[str] = []
    while ready:
        number = draw(st.sampled_from(ready)) if len(ready) > 1 else ready[0]
        ready.remove(number)
        order.append(graph.nodes[number].id)
        for below in graph.successors[number]:
            waits_for[below] -= 1
            if not waits_for[below]:
                ready.append(below)
        ready.sort()
    last = {graph.nodes[number].id for number in graph.finalizers}  # they wait for all, without edges
    return (*(it for it in order if it not in last), *(it for it in order if it in last))
