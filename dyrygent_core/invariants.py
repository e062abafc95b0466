"""What is true of every state that can be reached. Tests and the simulator ask; the product does not.

Counters and taint are functions of the statuses around a node, so they are recomputed here from the meaning of
the tables, and compared. Cost: O(nodes + edges).
"""

from __future__ import annotations

from dyrygent_core import cells
from dyrygent_core.errors import InvariantError, quoted
from dyrygent_core.rules import EDGE_EFFECTS, OUTCOME_COLUMNS, Effect
from dyrygent_core.state import State
from dyrygent_core.statuses import Status

__all__ = ["check_state"]

_BLOCK = 100


def check_state(state: State) -> None:
    """Raise `InvariantError`, naming node and values, if this state cannot have come from `advance`."""
    statuses = tuple(cells.iter_cells(state.pages))
    if len(statuses) != len(state.graph):
        _fail(f"{len(statuses)} cells for {len(state.graph)} nodes")
    _check_whole(state, statuses)
    for node, status in enumerate(statuses):
        if status is Status.WAITING and state.sparse.has_begun:
            _check_waiting(state, statuses, node)


def _check_whole(state: State, statuses: tuple[Status, ...]) -> None:
    in_flight = statuses.count(Status.SCHEDULED)
    if in_flight != state.in_flight:
        _fail(f"{in_flight} nodes are SCHEDULED, but {state.in_flight} are counted")
    ready = {node for node, status in enumerate(statuses) if status is Status.READY}
    if ready != set(state.sparse.due_ms):
        _fail(f"{len(ready)} nodes are READY, but {len(state.sparse.due_ms)} have a due time")
    if state.is_finished and not all(status.is_final for status in statuses):
        _fail("it is finished, but not every node is final")
    if not state.is_finished and state.sparse.has_begun and not in_flight and not ready:
        _fail("it is not finished, but nothing is on its way")
    if state.sparse.is_ending and Status.WAITING in statuses:
        _fail("it is ending, but a node still waits")


def _check_waiting(state: State, statuses: tuple[Status, ...], node: int) -> None:
    """Compare a waiting node's counter and taint with what the statuses above it say."""
    graph = state.graph
    left, is_tainted = 0, False
    for edge in graph.nodes[node].depends_on:
        above = graph.number(edge.node)
        status = statuses[above]
        if not status.is_final:
            left += 1
            continue
        effect = EDGE_EFFECTS[graph.nodes[node].row(edge)][_column(state, above, status)]
        if effect in (Effect.RUN, Effect.UPSTREAM_FAILED):
            _fail(f"node {quoted(graph.nodes[node].id)} waits, though {quoted(edge.node)} has decided it")
        is_tainted = is_tainted or effect is Effect.TAINT
    cell = state.pages[node >> graph.page_bits][node & ((1 << graph.page_bits) - 1)]
    counted = (cell - 1) % _BLOCK + 1 + _BLOCK * state.sparse.blocks.get(node, 0)
    if (counted, cell > _BLOCK) != (left, is_tainted):
        _fail(
            f"node {quoted(graph.nodes[node].id)} has {left} undecided edges and taint {is_tainted}, "
            f"but {counted} and {cell > _BLOCK} are kept"
        )


def _column(state: State, node: int, status: Status) -> int:
    if status is Status.FAILED and state.graph.nodes[node].allow_failure:
        return OUTCOME_COLUMNS.index("allowed FAILED")
    return OUTCOME_COLUMNS.index(status.name)


def _fail(what: str) -> None:
    message = f"this state cannot be: {what}"
    raise InvariantError(message)
