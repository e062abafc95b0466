"""What is true of every state that can be reached. Tests and the simulator ask; the product does not.

What a node was decided to be, its counter and its taint are functions of the statuses around it, so they are
recomputed here, edge by edge, and compared. The tables themselves are taken as they are: whether they mean what
they should is for the model in `dyrygent_testing` to tell.
"""

from __future__ import annotations

from typing import Final, NoReturn

from attrs import frozen

from dyrygent_core import cells
from dyrygent_core.errors import InvariantError, quoted
from dyrygent_core.graph import OnLoss
from dyrygent_core.rules import AT_ZERO, EDGE_EFFECTS, OUTCOME_COLUMNS, Effect
from dyrygent_core.state import FIRST_TRY, State
from dyrygent_core.statuses import Status

__all__ = ["check_state"]

_BLOCK: Final = 100
_NEVER_RAN: Final = frozenset({Status.WAITING, Status.UPSTREAM_FAILED})


def check_state(state: State) -> None:
    """Raise `InvariantError`, naming node and values, if this state cannot have come from `advance`.

    Cost: O(nodes + edges).
    """
    statuses = tuple(cells.iter_cells(state.pages))
    if len(statuses) != len(state.graph):
        _fail(f"{len(statuses)} cells for {len(state.graph)} nodes")
    _check_whole(state, statuses)
    if not state.sparse.has_begun:
        _check_before_begin(state)
        return
    for node, status in enumerate(statuses):
        _check_node(state, statuses, node)
        _check_tries(state, node, status)


def _check_whole(state: State, statuses: tuple[Status, ...]) -> None:
    in_flight = statuses.count(Status.SCHEDULED)
    if in_flight != state.in_flight:
        _fail(f"{in_flight} nodes are SCHEDULED, but {state.in_flight} are counted")
    ready = {node for node, status in enumerate(statuses) if status is Status.READY}
    if ready != set(state.sparse.due_ms):
        _fail(f"{len(ready)} nodes are READY, but {len(state.sparse.due_ms)} have a due time")
    if state.is_finished and not all(status.is_final for status in statuses):
        _fail("it is finished, but not every node is final")
    if state.sparse.is_ending and not all(status.is_final or status is Status.SCHEDULED for status in statuses):
        _fail("it is ending, but a node still waits, or waits for its retry")
    if Status.CANCELLED in statuses and not state.sparse.is_ending:
        _fail("a node is CANCELLED, but neither was a cancel asked for nor has the deadline passed")


def _check_before_begin(state: State) -> None:
    if state.sparse.is_past_deadline:
        _fail("its deadline passed before it began")
    if state.sparse.is_cancelled:
        if state.counts[Status.CANCELLED] != len(state.graph):
            _fail("it was cancelled before it began, but some node is not CANCELLED")
    elif state.pages != state.graph.initial_pages or state.sparse.blocks != state.graph.initial_blocks:
        _fail("it has not begun, but some node's edges are decided")
    if state.sparse.tries:
        _fail("it has not begun, but something was tried")


@frozen
class _Edges:
    """What the edges of one node come to: how many are undecided, the taint, and what the node is decided to be."""

    left: int
    is_tainted: bool
    verdict: Status | None


def _read_edges(state: State, statuses: tuple[Status, ...], node: int) -> _Edges:
    graph = state.graph
    effects: list[Effect] = []
    for edge in graph.nodes[node].depends_on:
        above = graph.number(edge.node)
        if statuses[above].is_final:
            effects.append(EDGE_EFFECTS[graph.nodes[node].row(edge)][_column(state, above, statuses[above])])
    left = len(graph.nodes[node].depends_on) - len(effects)
    is_tainted = Effect.TAINT in effects
    if Effect.UPSTREAM_FAILED in effects:
        return _Edges(left, is_tainted, Status.UPSTREAM_FAILED)
    if Effect.RUN in effects:
        return _Edges(left, is_tainted, Status.SCHEDULED)
    return _Edges(left, is_tainted, None if left else AT_ZERO[graph.nodes[node].trigger][is_tainted])


def _check_node(state: State, statuses: tuple[Status, ...], node: int) -> None:
    edges = _read_edges(state, statuses, node)
    match statuses[node]:
        case Status.WAITING:
            if edges.verdict is not None:
                _fail(f"{_named(state, node)} waits, though its edges make it {edges.verdict.name}")
            _check_counter(state, node, edges)
        case Status.UPSTREAM_FAILED as status:
            if edges.verdict is not status:
                _fail(f"{_named(state, node)} is UPSTREAM_FAILED, though no edge says so")
        case Status.SKIPPED:
            if edges.verdict not in (Status.SKIPPED, Status.SCHEDULED):
                _fail(f"{_named(state, node)} is SKIPPED, though its edges neither skip it nor let it run")
        case Status.CANCELLED:
            pass
        case status:
            if edges.verdict is not Status.SCHEDULED:
                _fail(f"{_named(state, node)} is {status.name}, though its edges do not let it run")


def _check_counter(state: State, node: int, edges: _Edges) -> None:
    bits = state.graph.page_bits
    cell = state.pages[node >> bits][node & ((1 << bits) - 1)]
    counted = (cell - 1) % _BLOCK + 1 + _BLOCK * state.sparse.blocks.get(node, 0)
    if (counted, cell > _BLOCK) != (edges.left, edges.is_tainted):
        _fail(
            f"{_named(state, node)} has {edges.left} undecided edges and taint {edges.is_tainted}, "
            f"but {counted} and {cell > _BLOCK} are kept"
        )


def _check_tries(state: State, node: int, status: Status) -> None:
    tries = state.sparse.tries.get(node, FIRST_TRY)
    policy = state.graph.nodes[node]
    if tries != FIRST_TRY and status in _NEVER_RAN:
        _fail(f"{_named(state, node)} is {status.name}, but has been tried {tries.number - 1} times")
    most_losses = 0 if policy.on_loss is OnLoss.FAIL else policy.max_losses - 1
    if not 0 <= tries.losses <= most_losses or not 0 <= tries.failures < policy.max_attempts:
        _fail(f"{_named(state, node)} goes on after {tries.failures} failures and {tries.losses} losses")


def _column(state: State, node: int, status: Status) -> int:
    if status is Status.FAILED and state.graph.nodes[node].allow_failure:
        return OUTCOME_COLUMNS.index("allowed FAILED")
    return OUTCOME_COLUMNS.index(status.name)


def _named(state: State, node: int) -> str:
    return f"node {quoted(state.graph.nodes[node].id)}"


def _fail(what: str) -> NoReturn:
    message = f"this state cannot be: {what}"
    raise InvariantError(message)
