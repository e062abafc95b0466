"""The hot loops of `advance`, on numbers: what one decided node does along its edges.

They are the tables of `rules`, and nothing else, written for speed: local names, bytes looked up by number, no calls.
`spread` knows all rules. `succeed` is the same for the most frequent step there is, one success that can only count
down or let nodes run; where it could do more, it says None and leaves the step to `spread`. That the two agree is a
property test.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dyrygent_core.cells import ALLOWED, BLOCK, FIRST_CODE, Cells
from dyrygent_core.graph import Graph
from dyrygent_core.rules import AT_ZERO, EDGE_EFFECTS, OUTCOME_COLUMNS, ROWS, TRIGGERS, Effect
from dyrygent_core.sparse import SparseMap
from dyrygent_core.state import State, make_state
from dyrygent_core.statuses import Status

__all__ = ["EFFECTS", "spread", "succeed"]

_WAITS: Final = int(Status.WAITING)
_TAINT: Final = 1
_CODE_OF_EFFECT: Final = {
    Effect.HOLD: _WAITS,
    Effect.TAINT: _TAINT,
    Effect.UPSTREAM_FAILED: int(Status.UPSTREAM_FAILED),
    Effect.RUN: int(Status.SCHEDULED),
}
_COLUMN_NAMES: Final = {ALLOWED: "allowed FAILED", **{int(status): status.name for status in Status if status.is_final}}

EFFECTS: Final = {
    code: bytes(_CODE_OF_EFFECT[EDGE_EFFECTS[row][OUTCOME_COLUMNS.index(name)]] for row in ROWS)
    for code, name in _COLUMN_NAMES.items()
}
"""For each final code, by row: 0 holds, 1 taints, and any other is the code that the waiting node gets at once."""
_AT_ZERO: Final = tuple(bytes(AT_ZERO[trigger][taint] for trigger in TRIGGERS) for taint in (False, True))
"""Clean and tainted, by rule: the code that a node gets whose last edge was decided."""

_SCHEDULED: Final = int(Status.SCHEDULED)
_SUCCEEDED: Final = int(Status.SUCCEEDED)
_CLEAN_LAST: Final = 1
_TAINTED_LAST: Final = BLOCK + 1

Edges = Iterable[tuple[int, int]]
"""Waiting nodes, each with the row of the edge to it."""


def spread(
    graph: Graph, cells: Cells, blocks: SparseMap[int], edges: Edges, effects: bytes, runnable: list[int]
) -> SparseMap[int]:
    """Decide these edges, and those out of every node that becomes final by it; each edge is seen once.

    Nodes that may run get the code of SCHEDULED and are added to `runnable`. Gives the blocks that are left.
    """
    successors, rows, triggers = graph.successors, graph.rows, graph.triggers
    pages, bits, mask = cells.pages, cells.bits, cells.mask
    todo = [(edges, effects)]
    while todo:
        edges, effects = todo.pop()
        for below, row in edges:
            page = pages[below >> bits]
            at = below & mask
            cell = page[at]
            if cell >= FIRST_CODE:  # decided before
                continue
            code = effects[row]
            if code <= _TAINT:
                if code and cell <= BLOCK:
                    cell += BLOCK
                if cell == _CLEAN_LAST or cell == _TAINTED_LAST:  # noqa: PLR1714  # twice as fast as a tuple
                    left = blocks.get(below) if blocks else None
                    code = cell + BLOCK - 1 if left else _AT_ZERO[cell > BLOCK][triggers[below]]
                    if left:
                        blocks = blocks.put(below, left - 1)
                else:
                    code = cell - 1
            if type(page) is bytes:
                page = cells.page(below >> bits)
            page[at] = code  # type: ignore[index]  # thawed
            if code == _SCHEDULED:
                runnable.append(below)
            elif code >= FIRST_CODE:
                todo.append((zip(successors[below], rows[below], strict=True), EFFECTS[code]))
    return blocks


def succeed(state: State, node: int) -> tuple[State, list[int]] | None:
    """Let the attempt of a plain node in flight succeed; give the state after it and the nodes that may run, ascending.

    None, and nothing is done, where more than counting down has to be done, or the node is not in flight.
    """
    graph, side = state.graph, state.side
    if not graph.is_plain[node] or not graph.is_free or side.is_restrained:
        return None
    bits, mask = graph.page_bits, graph.page_mask
    pages: list[bytes | bytearray] = list(state.pages)
    number = node >> bits
    page = pages[number] = bytearray(pages[number])
    if page[node & mask] != _SCHEDULED:
        return None
    page[node & mask] = _SUCCEEDED
    thawed = [number]
    runnable: list[int] = []
    for below in graph.successors[node]:
        number = below >> bits
        page = pages[number]  # type: ignore[assignment]
        if type(page) is bytes:
            page = pages[number] = bytearray(page)
            thawed.append(number)
        at = below & mask
        cell = page[at]
        if cell == _CLEAN_LAST:
            if side.blocks and below in side.blocks:
                return None
            page[at] = _SCHEDULED
            runnable.append(below)
        elif cell == _TAINTED_LAST:
            return None
        elif cell < FIRST_CODE:
            page[at] = cell - 1
    in_flight = state.in_flight - 1 + len(runnable)
    if not in_flight:  # the end of it, or of all ordinary nodes
        return None
    for number in thawed:
        pages[number] = bytes(pages[number])
    return make_state(graph, tuple(pages), in_flight, side), runnable  # type: ignore[arg-type]
