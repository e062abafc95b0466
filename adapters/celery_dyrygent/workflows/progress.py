"""How far a workflow is, in the predecessor's terms; read off a state of the core, simulated or real."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from dyrygent_core import Attempt, Begin, Graph, Node, Observation, State, Status, Succeeded, advance

__all__ = ["dependencies_of", "finished_in", "runnable", "running_in", "simulated"]


def running_in(state: State) -> dict[str, int]:
    """Return the nodes in flight, each with the number of its newest attempt."""
    return {attempt.node: attempt.number for attempt in state.attempts_in_flight}


def finished_in(state: State) -> dict[str, bool]:
    """Return the nodes that have ended: True for those that succeeded or were skipped, False for those that failed.

    Nodes that will never run are not among them, as in the predecessor.
    """
    found = {status: map(state.graph.nodes.__getitem__, state.find(status)) for status in _ENDS}
    return {node.id: is_good for status, is_good in _ENDS.items() for node in found[status]}


_ENDS = {Status.SUCCEEDED: True, Status.SKIPPED: True, Status.FAILED: False}


def runnable(nodes: Mapping[str, Node], running: Collection[str], finished: Mapping[str, bool]) -> list[str]:
    """Return the nodes that have not begun, and whose dependencies have all succeeded. O(nodes + edges)."""
    return [
        node.id
        for node in nodes.values()
        if node.id not in running
        and node.id not in finished
        and all(finished.get(edge.node) for edge in node.depends_on)
    ]


def dependencies_of(nodes: Mapping[str, Node]) -> Iterator[tuple[str, str | None]]:
    """Give each edge as (node, dependency), in the order of ids; a node without any once, with None."""
    for node_id in sorted(nodes):
        edges = sorted(edge.node for edge in nodes[node_id].depends_on)
        yield from ((node_id, dependency) for dependency in edges)
        if not edges:
            yield node_id, None


def simulated(graph: Graph, state: State | None) -> State:
    """Return the state one tick later: what is in flight has succeeded, lists that are mapped over have one element."""
    if state is None:
        return advance(graph, State.initial(graph), [Begin()])[0]
    return advance(graph, state, [_success(graph, attempt) for attempt in state.attempts_in_flight])[0]


def _success(graph: Graph, attempt: Attempt) -> Observation:
    return Succeeded(attempt, sizes=(1,) * len(graph.measured_paths(attempt.node)))
