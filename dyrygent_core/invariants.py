"""What is true of every state that can be reached. Tests and the simulator ask; the product does not.

What a node was decided to be, its counter and its taint are functions of the statuses around it, so they are
recomputed here, edge by edge, and compared. The tables themselves are taken as they are: whether they mean what
they should is for the model in `dyrygent_testing` to tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NoReturn

from attrs import frozen

from dyrygent_core import cells, heap
from dyrygent_core.bands import Band
from dyrygent_core.errors import InvariantError, quoted
from dyrygent_core.graph import Graph
from dyrygent_core.nodes import OnLoss, Role
from dyrygent_core.rules import OUTCOME_COLUMNS, Effect
from dyrygent_core.state import State
from dyrygent_core.statuses import Status
from dyrygent_core.tries import FIRST_TRY, Tries

__all__ = ["check_state"]

_ON_ITS_WAY: Final = (Status.READY, Status.SCHEDULED)
_FINAL: Final = bytes(code for code in range(256) if cells.is_final(code))
_SCHEDULED: Final = bytes([Status.SCHEDULED])


def check_state(state: State, *, since: State | None = None) -> None:
    """Raise `InvariantError`, naming node and values, if this state cannot have come from `advance`.

    `since`: an earlier state of the same workflow that was found well. Then edges are read only of the nodes that have
    changed, and of those below them, unless the whole has.

    Cost: O(nodes + edges + instances); with `since` it is O(nodes) and the edges of what has changed.
    """
    codes = b"".join(state.pages)
    if len(codes) != len(state.graph):
        _fail(f"{len(codes)} cells for {len(state.graph)} nodes")
    _check_counts(state, codes)
    _check_held(state, codes)
    _check_whole(state, codes)
    for node in range(len(codes)) if since is None else _changed(since, state, codes):
        _check_node(state, codes, node)
    for node in {*state.side.tries, *state.side.bands}:
        _check_tries(state, codes, node)
    for node, band in state.side.bands.items():
        _check_band(state, codes, node, band)


def _changed(since: State, state: State, codes: bytes) -> Iterable[int]:
    """Give the nodes that are not as they were, and those below them; all if that is not all there is to it."""
    if since.side.flags != state.side.flags:
        return range(len(codes))
    before = b"".join(since.pages)
    changed = [node for node, code in enumerate(codes) if code != before[node]]
    return dict.fromkeys([*changed, *(below for node in changed for below in state.graph.successors[node])])


# The whole


def _check_counts(state: State, codes: bytes) -> None:
    bands, mapped = _started(state, codes), state.graph.mapped
    in_flight = codes.count(Status.SCHEDULED) - sum(codes[node] == Status.SCHEDULED for node in mapped)
    in_flight += sum(band.count(Status.SCHEDULED) for _, band in bands)
    if in_flight != state.in_flight:
        _fail(f"{in_flight} attempts are SCHEDULED, but {state.in_flight} are counted")
    delayed = [node for node in _find(state, cells.DELAYED) if node not in mapped]
    if delayed != list(state.side.due_ms):
        _fail(f"{len(delayed)} nodes are delayed, but {len(state.side.due_ms)} have a due time")
    together = len(delayed) + sum(len(band.due_ms) for _, band in bands)
    if together != state.side.delayed:
        _fail(f"{together} nodes and instances are delayed, but {state.side.delayed} are counted")


def _check_held(state: State, codes: bytes) -> None:
    graph = state.graph
    held = {node for node in _find(state, Status.READY) if node not in graph.mapped}
    held |= {node for node, band in _started(state, codes) if _has(band, Status.READY)}
    ranks = set(heap.iter_keys(state.side.held))
    queued = ranks if graph.ranked is None else {graph.ranked[rank] for rank in ranks}
    if not held <= queued or (state.side.held is not None and not held):
        _fail(f"{len(held)} nodes are held, but {len(queued)} are in the queue")
    limit, flags = graph.max_in_flight, state.side.flags
    if held and flags.has_begun and not flags.is_paused and (limit is None or state.in_flight < limit):
        _fail(f"node {quoted(graph.nodes[min(held)].id)} is held, but nothing holds it")


def _check_whole(state: State, codes: bytes) -> None:
    flags, graph = state.side.flags, state.graph
    ordinary = codes[: graph.finalizers.start]
    are_all_final, is_work_over = _are_final(codes), _are_final(ordinary)
    if state.is_finished and not are_all_final:
        _fail("it is finished, but not every node is final")
    if flags.is_work_over and not is_work_over:
        _fail("its ordinary nodes are said to be final, but are not")
    if flags.has_begun and not flags.is_work_over and is_work_over:
        _fail("every ordinary node is final, but that is not noted")
    if flags.is_ending and not _are_final(ordinary, besides=_SCHEDULED):
        _fail("it is ending, but a node still waits, or waits for its retry")
    if Status.CANCELLED in codes and not flags.is_ending and flags.round == 1:
        _fail("a node is CANCELLED, but nothing has ended the workflow")
    if flags.is_past_deadline and not flags.has_begun:
        _fail("its deadline passed before it began")
    if flags.is_paused and state.is_finished:
        _fail("it is finished, but paused")
    _check_finalizers(state, codes)


def _check_finalizers(state: State, codes: bytes) -> None:
    flags = state.side.flags
    for node in state.graph.finalizers:
        if not codes[node] and flags.is_work_over:
            _fail(f"{_named(state, node)} waits, though every ordinary node is final")
        if codes[node] not in (0, Status.SKIPPED) and not flags.is_work_over:
            _fail(f"{_named(state, node)} is {cells.status_of(codes[node]).name} before every ordinary node is final")


# One node


@frozen
class _Edges:
    """What the edges of one node come to: how many are undecided, the taint, and what the node is decided to be."""

    left: int
    is_tainted: bool
    verdict: Status | None


def _read_edges(state: State, codes: bytes, node: int) -> _Edges:
    graph = state.graph
    effects: list[Effect] = []
    for edge in graph.nodes[node].depends_on:
        above = graph.number(edge.node)
        if cells.is_final(codes[above]):
            column = _column(state, codes, above, node)
            effects.append(graph.rules.edge_effects[graph.nodes[node].row(edge)][OUTCOME_COLUMNS.index(column)])
    left = len(graph.nodes[node].depends_on) - len(effects)
    is_tainted = Effect.TAINT in effects
    if Effect.UPSTREAM_FAILED in effects:
        return _Edges(left, is_tainted, Status.UPSTREAM_FAILED)
    if Effect.RUN in effects:
        return _Edges(left, is_tainted, Status.SCHEDULED)
    return _Edges(left, is_tainted, None if left else graph.rules.at_zero[graph.nodes[node].trigger][is_tainted])


def _column(state: State, codes: bytes, above: int, below: int) -> str:
    branches = state.side.branches.get(above)
    if branches is not None and state.graph.nodes[below].id not in branches:
        return Status.SKIPPED.name
    return "allowed FAILED" if codes[above] == cells.ALLOWED else Status(codes[above]).name


def _check_node(state: State, codes: bytes, node: int) -> None:
    if state.graph.nodes[node].role is not Role.NODE:
        return
    edges = _read_edges(state, codes, node)
    status = cells.status_of(codes[node])
    if status is Status.WAITING:
        is_root_before_begin = not state.graph.nodes[node].depends_on and not state.side.flags.has_begun
        if edges.verdict is not None and not is_root_before_begin:
            _fail(f"{_named(state, node)} waits, though its edges make it {edges.verdict.name}")
        _check_counter(state, codes, node, edges)
    elif state.side.flags.round > 1 or status in (Status.CANCELLED, Status.SKIPPED):
        return  # it may have been decided when its dependencies were something else, or by hand
    elif status is Status.UPSTREAM_FAILED:
        if edges.verdict is not status:
            _fail(f"{_named(state, node)} is UPSTREAM_FAILED, though no edge says so")
    elif edges.verdict is not Status.SCHEDULED:
        _fail(f"{_named(state, node)} is {status.name}, though its edges do not let it run")
    if (codes[node] == cells.ALLOWED) is not (status is Status.FAILED and state.graph.nodes[node].allow_failure):
        _fail(f"{_named(state, node)} is FAILED, but whether that is allowed is kept wrong")


def _check_counter(state: State, codes: bytes, node: int, edges: _Edges) -> None:
    cell = codes[node]
    counted = (cell - 1) % cells.BLOCK + 1 + cells.BLOCK * state.side.blocks.get(node, 0)
    if (counted, cell > cells.BLOCK) != (max(1, edges.left), edges.is_tainted):
        _fail(
            f"{_named(state, node)} has {edges.left} undecided edges and taint {edges.is_tainted}, "
            f"but {counted} and {cell > cells.BLOCK} are kept"
        )


def _check_tries(state: State, codes: bytes, node: int) -> None:
    tries = state.side.tries.get(node, FIRST_TRY)
    never_ran = codes[node] < cells.FIRST_CODE or codes[node] == Status.UPSTREAM_FAILED
    if never_ran and (tries.failures or tries.losses or (tries.number > 1 and state.round == 1)):
        _fail(f"{_named(state, node)} is {cells.status_of(codes[node]).name}, but has been tried {tries.number} times")
    _check_policy(state.graph, node, tries)
    for _, each in band.tries.items() if (band := state.side.bands.get(node)) is not None else ():
        _check_policy(state.graph, node, each)


def _check_policy(graph: Graph, node: int, tries: Tries) -> None:
    policy = graph.nodes[node]
    most_losses = 0 if policy.on_loss is OnLoss.FAIL else policy.max_losses - 1
    if not 0 <= tries.losses <= most_losses or not 0 <= tries.failures < policy.max_attempts:
        _fail(f"node {quoted(policy.id)} goes on after {tries.failures} failures and {tries.losses} losses")


# The instances of one node


def _check_band(state: State, codes: bytes, node: int, band: Band) -> None:
    status = cells.status_of(codes[node])
    instances = b"".join(band.pages)
    if len(instances) != band.width:
        _fail(f"{_named(state, node)} has {len(instances)} instances instead of {band.width}")
    left = sum(not cells.is_final(code) for code in instances)
    if (left, instances.count(Status.SCHEDULED)) != (band.left, band.in_flight):
        _fail(f"{_named(state, node)} has {left} instances left, but {band.left} are counted")
    if [at for at, code in enumerate(instances) if code == cells.DELAYED] != list(band.due_ms):
        _fail(f"{_named(state, node)} has delayed instances without a due time")
    if status in _ON_ITS_WAY:
        if not left:
            _fail(f"{_named(state, node)} is {status.name}, but every instance is final")
        if (status is Status.SCHEDULED) is not bool(band.in_flight):
            _fail(f"{_named(state, node)} is {status.name} with {band.in_flight} instances in flight")
    elif left:
        _fail(f"{_named(state, node)} is {status.name}, but {left} instances are not final")


def _started(state: State, codes: Sequence[int]) -> list[tuple[int, Band]]:
    return [(node, band) for node, band in state.side.bands.items() if cells.status_of(codes[node]) in _ON_ITS_WAY]


def _are_final(codes: bytes, besides: bytes = b"") -> bool:
    return not codes.translate(None, _FINAL + besides)


def _find(state: State, code: int) -> Iterator[int]:
    return cells.find_code(state.pages, state.graph.page_bits, code)


def _has(band: Band, code: int) -> bool:
    return any(code in page for page in band.pages)


def _named(state: State, node: int) -> str:
    return f"node {quoted(state.graph.nodes[node].id)}"


def _fail(what: str) -> NoReturn:
    message = f"this state cannot be: {what}"
    raise InvariantError(message)
