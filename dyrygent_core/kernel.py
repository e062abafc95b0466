"""The hot loops of `advance`, on numbers: what a node that is decided does along its edges.

They are the tables that the graph follows (`versions`), and nothing else, written for speed: local names, bytes looked
up by number, no calls.
`spread` knows all rules. The others are the same for the most frequent observation there is, a success, and leave
to `spread` whatever is more than counting down or letting a node run: `succeed` takes one, and is most of what a step
costs; `succeed_all` takes many. That they agree with `spread` is a property test.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from attrs import evolve

from dyrygent_core.cells import BLOCK, FIRST_CODE, Cells
from dyrygent_core.graph import Graph
from dyrygent_core.rules import ROWS
from dyrygent_core.sparse import SparseMap
from dyrygent_core.state import State, is_quiet, make_state
from dyrygent_core.statuses import Status

__all__ = ["spread", "succeed", "succeed_all", "succeed_each"]

_TAINT: Final = 1
_SCHEDULED: Final = int(Status.SCHEDULED)
_SUCCEEDED: Final = int(Status.SUCCEEDED)
_CLEAN_LAST: Final = 1
_TAINTED_LAST: Final = BLOCK + 1
_ANY_ROW: Final = 0
_HOLDS: Final = bytes(len(ROWS))
"""What a success does along the edges out of a plain node, whatever their rows: it counts down."""

Edges = Iterable[tuple[int, int]]
"""Waiting nodes, each with the row of the edge to it."""


def spread(  # noqa: C901, PLR0917  # a hot loop: one call for each decided node, none for each edge
    graph: Graph, cells: Cells, blocks: SparseMap[int], edges: Edges, effects: bytes, runnable: list[int]
) -> SparseMap[int]:
    """Decide these edges, and those out of every node that becomes final by it; each edge is seen once.

    Nodes that may run get the code of SCHEDULED and are added to `runnable`. Gives the blocks that are left.
    """
    triggers, all_effects, last_codes = graph.triggers, graph.rules.effects, graph.rules.last_codes
    pages, bits, mask = cells.pages, cells.bits, cells.mask
    todo: list[tuple[Edges, bytes]] = []
    while True:
        for below, row in edges:
            page = pages[below >> bits]
            cell = page[below & mask]
            if cell >= FIRST_CODE:  # decided before
                continue
            code = effects[row]
            if code <= _TAINT:
                if code and cell <= BLOCK:
                    cell += BLOCK
                if cell != _CLEAN_LAST and cell != _TAINTED_LAST:  # noqa: PLR1714  # a tuple takes twice as long
                    code = cell - 1
                elif blocks and (left := blocks.get(below)):
                    blocks = blocks.put(below, left - 1)
                    code = cell + BLOCK - 1
                else:
                    code = last_codes[cell > BLOCK][triggers[below]]
            if page.__class__ is bytes:
                page = cells.page(below >> bits)
            page[below & mask] = code  # type: ignore[index]  # it is thawed
            if code == _SCHEDULED:
                runnable.append(below)
            elif code >= FIRST_CODE:
                todo.append((zip(graph.successors[below], graph.rows[below], strict=True), all_effects[code]))
        if not todo:
            return blocks
        edges, effects = todo.pop()


def succeed(state: State, node: int) -> tuple[State, list[int]] | None:  # noqa: C901, PLR0911  # a hot loop
    """Let the attempt of a plain node in flight succeed; give the state after it and the nodes that may run, ascending.

    None, and nothing is done, where more than counting down has to be done, or the node is not in flight.
    """
    graph = state.graph
    side = state.side
    if not graph.is_plain[node] or not graph.is_free or side.held is not None or side.flags.is_paused:
        return None
    if len(state.pages) == 1:
        return _succeed_in_one_page(state, node)
    bits = graph.page_bits
    mask = graph.page_mask
    wide = graph.wide
    pages: list[Any] = list(state.pages)  # bytes, and bytearrays where it is written to
    at = node >> bits
    page = pages[at] = bytearray(pages[at])
    if page[node & mask] != _SCHEDULED:
        return None
    page[node & mask] = _SUCCEEDED
    thawed = [at]
    runnable: list[int] = []
    for below in graph.successors[node]:
        if below >> bits != at:
            at = below >> bits
            if pages[at].__class__ is bytes:
                pages[at] = bytearray(pages[at])
                thawed.append(at)
            page = pages[at]
        cell = page[below & mask]
        if cell == _CLEAN_LAST:
            if below in wide and side.blocks.get(below):
                return None
            page[below & mask] = _SCHEDULED
            runnable.append(below)
        elif cell <= BLOCK:
            page[below & mask] = cell - 1
        elif cell < FIRST_CODE:
            return None
    in_flight = state.in_flight - 1 + len(runnable)
    if not in_flight:  # the end of it, or of all ordinary nodes
        return None
    for at in thawed:
        pages[at] = bytes(pages[at])
    return make_state(graph, tuple(pages), in_flight, side), runnable


def _succeed_in_one_page(state: State, node: int) -> tuple[State, list[int]] | None:
    """Do the same without the arithmetic of pages, which is a third of it."""
    graph = state.graph
    page = bytearray(state.pages[0])
    if page[node] != _SCHEDULED:
        return None
    page[node] = _SUCCEEDED
    wide = graph.wide
    runnable: list[int] = []
    for below in graph.successors[node]:
        cell = page[below]
        if cell == _CLEAN_LAST:
            if below in wide and state.side.blocks.get(below):
                return None
            page[below] = _SCHEDULED
            runnable.append(below)
        elif cell <= BLOCK:
            page[below] = cell - 1
        elif cell < FIRST_CODE:
            return None
    in_flight = state.in_flight - 1 + len(runnable)
    if not in_flight:
        return None
    return make_state(graph, (bytes(page),), in_flight, state.side), runnable


def succeed_each(  # noqa: C901, PLR0917  # a hot loop
    graph: Graph, cells: Cells, blocks: SparseMap[int], in_flight: int, nodes: Iterable[int], emitted: list[int]
) -> tuple[SparseMap[int], int, list[int]]:
    """Let the attempts of these nodes succeed, one after the other, all cells being in one page.

    Nodes that may run are in flight from then on, and added to `emitted`: in the order of what caused them, and then
    ascending. Nodes not in flight are passed over. Stops after a success that ends all that is in flight, or that may
    have let mapped nodes run. Gives the blocks that are left, how many attempts are in flight, and the nodes that the
    last success let run, if it is for others to put them in flight.
    """
    page = cells.page(0)
    is_plain, successors, rows, wide = graph.is_plain, graph.successors, graph.rows, graph.wide
    on_success = graph.rules.effects[_SUCCEEDED]
    emit = emitted.append
    start = len(emitted)
    for node in nodes:
        if page[node] != _SCHEDULED:
            continue
        page[node] = _SUCCEEDED
        is_odd = not is_plain[node]
        if is_odd:
            blocks = spread(graph, cells, blocks, zip(successors[node], rows[node], strict=True), on_success, emitted)
        else:
            for below in successors[node]:
                cell = page[below]
                if cell == _CLEAN_LAST and below not in wide:
                    page[below] = _SCHEDULED
                    emit(below)
                elif _CLEAN_LAST < cell <= BLOCK:
                    page[below] = cell - 1
                elif cell < FIRST_CODE:
                    blocks = spread(graph, cells, blocks, ((below, _ANY_ROW),), _HOLDS, emitted)
                    is_odd = True
        end = len(emitted)
        if is_odd and graph.mapped:
            late = emitted[start:]
            del emitted[start:]
            return blocks, in_flight - 1, late
        if is_odd and end > start + 1:
            emitted[start:] = sorted(emitted[start:])
        in_flight += end - start - 1
        start = end
        if not in_flight:
            break
    return blocks, in_flight, []


def succeed_all(state: State, nodes: Sequence[int]) -> tuple[State, list[int]] | None:
    """Let the attempts of these nodes succeed, one after the other; nodes not in flight are passed over.

    Gives the state after them and the nodes that may run, in the order of what caused them and then ascending.
    None, and nothing is done, where something else than edges may hold a node back, where a node may be mapped, and
    where these are too few for all cells to be copied.
    """
    graph, side = state.graph, state.side
    if not graph.is_free or graph.mapped or graph.finalizers or side.held is not None or side.flags.is_paused:
        return None
    cells = Cells(state.pages, graph.page_bits, writes=len(nodes))
    if len(cells.pages) > 1:
        return None
    emitted: list[int] = []
    blocks, in_flight, _ = succeed_each(graph, cells, side.blocks, state.in_flight, nodes, emitted)
    if not emitted and in_flight == state.in_flight:
        return state, emitted
    if blocks is not side.blocks:
        side = evolve(side, blocks=blocks)
    if is_quiet(in_flight, side):
        side = evolve(side, flags=evolve(side.flags, is_work_over=True))
    return make_state(graph, cells.freeze(), in_flight, side), emitted
