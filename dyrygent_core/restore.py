"""A state from what a snapshot holds: statuses and side maps. All else is recomputed, so nothing can contradict them.

Counters, taints, blocks, counts and the queue are functions of the statuses around them.
Cost: O(nodes + edges out of what is final).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from attrs import field, frozen

from dyrygent_core import cells, heap
from dyrygent_core.bands import Band
from dyrygent_core.errors import InvariantError, quoted
from dyrygent_core.graph import Graph
from dyrygent_core.kernel import EFFECTS
from dyrygent_core.sparse import SparseMap
from dyrygent_core.state import Flags, Side, State, make_state
from dyrygent_core.statuses import Status
from dyrygent_core.tries import Tries

__all__ = ["BandRecord", "StateRecord", "record_of", "restore"]

_TAINT: Final = 1
_WRITTEN: Final = bytes(cells.status_of(code) for code in range(256))
"""For every cell, the status that is written down."""


@frozen
class BandRecord:
    """What is kept of a mapped node's instances."""

    statuses: bytes = field(repr=False)
    tries: Mapping[int, Tries]
    due_ms: Mapping[int, int]


@frozen
class StateRecord:
    """What is kept of a state: all that cannot be recomputed."""

    statuses: bytes = field(repr=False)
    flags: Flags
    tries: Mapping[int, Tries]
    due_ms: Mapping[int, int]
    sizes: Mapping[int, tuple[int, ...]]
    branches: Mapping[int, tuple[str, ...]]
    bands: Mapping[int, BandRecord]


def record_of(state: State) -> StateRecord:
    """Give what is to be kept of a state."""
    side = state.side
    return StateRecord(
        b"".join(state.pages).translate(_WRITTEN),
        side.flags,
        dict(side.tries.items()),
        dict(side.due_ms.items()),
        dict(side.sizes.items()),
        dict(side.branches.items()),
        {
            node: BandRecord(
                b"".join(band.pages).translate(_WRITTEN), dict(band.tries.items()), dict(band.due_ms.items())
            )
            for node, band in side.bands.items()
        },
    )


def restore(graph: Graph, record: StateRecord) -> State:
    """Give the state that a record was made of.

    Raises `InvariantError` for a record of another graph, or one that no state gives.
    """
    if len(record.statuses) != len(graph):
        _fail(f"it has {len(record.statuses):,} statuses for {len(graph):,} nodes")
    codes, blocks = _recount(graph, record)
    bands = {node: _band(graph, node, band) for node, band in record.bands.items()}
    started = {node: band for node, band in bands.items() if codes[node] in (Status.READY, Status.SCHEDULED)}
    side = Side(
        flags=record.flags,
        blocks=SparseMap[int].of(blocks),
        tries=SparseMap[Tries].of(record.tries),
        due_ms=SparseMap[int].of(record.due_ms),
        delayed=len(record.due_ms) + sum(len(band.due_ms) for band in started.values()),
        held=_held(graph, codes, started),
        bands=SparseMap[Band].of(bands),
        sizes=SparseMap[tuple[int, ...]].of(record.sizes),
        branches=SparseMap[tuple[str, ...]].of(record.branches),
    )
    in_flight = codes.count(Status.SCHEDULED) - sum(codes[node] == Status.SCHEDULED for node in started)
    in_flight += sum(band.in_flight for band in started.values())
    return make_state(graph, cells.paged(bytes(codes)), in_flight, side)


def _recount(graph: Graph, record: StateRecord) -> tuple[bytearray, dict[int, int]]:
    """Give the cells: what is final or on its way as it is written, and the counters of the rest."""
    codes = bytearray(b"".join(graph.initial_pages))
    for node, status in enumerate(record.statuses):
        if status:
            codes[node] = status
    for node in cells.find_code((codes,), 40, Status.FAILED):
        if graph.nodes[node].allow_failure:
            codes[node] = cells.ALLOWED
    for node in record.due_ms:
        codes[node] = cells.DELAYED
    blocks = {node: left for node, left in graph.initial_blocks.items() if codes[node] < cells.FIRST_CODE}
    spare = {node: left for node, left in graph.initial_blocks.items() if codes[node] >= cells.FIRST_CODE}
    for node, code in enumerate(record.statuses):
        if code >= Status.SUCCEEDED:
            taken = record.branches.get(node)
            for below, row in zip(graph.successors[node], graph.rows[node], strict=True):
                if codes[below] < cells.FIRST_CODE:
                    is_taken = taken is None or graph.nodes[below].id in taken
                    _count_down(graph, codes, blocks, below, EFFECTS[codes[node] if is_taken else Status.SKIPPED][row])
    return codes, {**spare, **blocks}


def _count_down(graph: Graph, codes: bytearray, blocks: dict[int, int], node: int, effect: int) -> None:
    cell = codes[node]
    if effect == _TAINT and cell <= cells.BLOCK:
        cell += cells.BLOCK
    if effect <= _TAINT and cell not in (1, cells.BLOCK + 1):
        codes[node] = cell - 1
    elif effect <= _TAINT and blocks.get(node):
        blocks[node] -= 1
        codes[node] = cell + cells.BLOCK - 1
    else:
        _fail(f"node {quoted(graph.nodes[node].id)} waits, though its dependencies decide it")


def _band(graph: Graph, node: int, record: BandRecord) -> Band:
    if node not in graph.mapped:
        _fail(f"node {quoted(graph.nodes[node].id)} has instances, but is not mapped")
    codes = bytearray(record.statuses)
    for index in record.due_ms:
        codes[index] = cells.DELAYED
    return Band(
        len(codes),
        cells.paged(bytes(codes)),
        sum(not cells.is_final(code) for code in codes),
        codes.count(Status.SCHEDULED),
        SparseMap[Tries].of(record.tries),
        SparseMap[int].of(record.due_ms),
    )


def _held(graph: Graph, codes: bytearray, started: Mapping[int, Band]) -> heap.Heap:
    held: Iterable[int] = cells.find_code((codes,), 40, Status.READY)
    held = [node for node in held if node not in started]
    held += [node for node, band in started.items() if band.count(Status.READY) > len(band.due_ms)]
    return heap.of_sorted(sorted(held if graph.ranks is None else map(graph.ranks.__getitem__, held)))


def _fail(what: str) -> None:
    message = f"this record is of no state: {what}"
    raise InvariantError(message)
