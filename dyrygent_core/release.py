"""What may run is put in flight, as far as limits, pauses and the order of priorities let it.

`release` comes after every single observation. It starts mapped nodes, whose width is known by now; it lets the nodes
of the whole workflow begin once every ordinary one is final; and it emits attempts.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final

from attrs import evolve

from dyrygent_core import heap
from dyrygent_core.bands import Band, OpenBand
from dyrygent_core.nodes import MAX_WIDTH, Role
from dyrygent_core.state import verdict
from dyrygent_core.statuses import Status, WorkflowState
from dyrygent_core.step import Step
from dyrygent_core.tries import FIRST_TRY

__all__ = ["release"]

_READY: Final = int(Status.READY)
_SCHEDULED: Final = int(Status.SCHEDULED)

_ROLES: Final = {
    WorkflowState.SUCCESS: {Role.FINALLY, Role.ON_SUCCESS},
    WorkflowState.FAILURE: {Role.FINALLY, Role.ON_ERROR},
    WorkflowState.ERROR: {Role.FINALLY, Role.ON_ERROR},
    WorkflowState.CANCELLED: {Role.FINALLY},
}
"""Which nodes of the whole workflow run, by what has become of the ordinary ones."""


def release(step: Step) -> None:
    """Start what may start after one observation."""
    if step.graph.mapped:
        _start_bands(step)
    if step.held is not None:
        _next_held(step)
    if not step.in_flight and step.is_quiet and step.flags.has_begun and not step.flags.is_work_over:
        _begin_finalizers(step)
    if step.runnable or step.bands_to_go:
        if step.held is None and step.graph.max_in_flight is None and _may_start(step):
            _emit_all(step)
        else:
            _hold_all(step)
    if step.held is not None:
        _emit_held(step)
    if step.flags.is_paused and step.is_finished:
        step.flags = evolve(step.flags, is_paused=False)


def _may_start(step: Step) -> bool:
    return step.flags.has_begun and not step.flags.is_paused


# Mapped nodes


def _start_bands(step: Step) -> None:
    """Give mapped nodes that may run their instances, in topological order: some are final at once."""
    mapped = step.graph.mapped
    todo = [node for node in step.runnable if node in mapped]
    if not todo:
        return
    step.runnable[:] = [node for node in step.runnable if node not in mapped]
    heapify(todo)
    while todo:
        _start_band(step, heappop(todo), todo)


def _start_band(step: Step, node: int, waiting: list[int]) -> None:
    step.cells.write(node, _READY)
    old = step.bands.get(node)
    width = _width(step, node) if old is None else old.width
    if width is None or width > MAX_WIDTH:
        code = Status.FAILED
    else:
        band = Band.of(width) if old is None else old.again(step.tries.get(node, FIRST_TRY).number)
        step.open_bands[node] = OpenBand(band, writes=step.writes)
        if band.left:
            step.bands_to_go.add(node)
            return
        code = step.open_bands[node].verdict
    at = len(step.runnable)
    is_ending = step.flags.is_ending
    step.settle(node, code)
    if step.flags.is_ending is not is_ending:  # it failed, and fast: nothing else starts
        for other in waiting:
            step.cells.write(other, Status.CANCELLED)
        waiting.clear()
        return
    fresh = step.runnable[at:]
    step.runnable[at:] = [other for other in fresh if other not in step.graph.mapped]
    for other in fresh:
        if other in step.graph.mapped:
            heappush(waiting, other)


def _width(step: Step, node: int) -> int | None:
    """Give how many elements there are to map over; None if there is no list."""
    source = step.graph.mapped[node]
    if source.size is None:
        band = step.open_bands.get(source.node) or step.bands.get(source.node)
        return None if band is None else band.width
    sizes = step.sizes.get(source.node, ())
    return sizes[source.size] if source.size < len(sizes) and sizes[source.size] >= 0 else None


# Nodes of the whole workflow


def _begin_finalizers(step: Step) -> None:
    """Let those begin that go with what has become of the ordinary nodes; skip the others."""
    step.flags = evolve(step.flags, is_work_over=True)
    roles = _ROLES[verdict(step.flags, step.cells.pages)]
    for node in step.graph.finalizers:
        if step.cells.code(node):  # it was skipped by hand
            continue
        if step.graph.nodes[node].role in roles:
            step.run(node)
        else:
            step.cells.write(node, Status.SKIPPED)


# Emission


def _emit_all(step: Step) -> None:
    """Put everything in flight that may run."""
    ranks = step.graph.ranks
    nodes = [*step.runnable, *step.bands_to_go] if step.bands_to_go else step.runnable
    if len(nodes) > 1:
        nodes.sort(key=None if ranks is None else ranks.__getitem__)
    for node in nodes:
        if node in step.bands_to_go:
            band = step.open_bands[node]
            while (index := band.next_held()) is not None:
                _emit_instance(step, node, band, index)
        else:
            step.emitted.append(step.attempt(node))
            step.in_flight += 1
    step.runnable.clear()
    step.bands_to_go.clear()


def _hold_all(step: Step) -> None:
    """Put everything that may run into the queue."""
    ranks = step.graph.ranks
    for node in step.runnable:
        step.cells.write(node, _READY)
    keys = sorted(node if ranks is None else ranks[node] for node in (*step.runnable, *step.bands_to_go))
    step.held = heap.of_sorted(keys, step.held)
    step.runnable.clear()
    step.bands_to_go.clear()


def _emit_held(step: Step) -> None:
    """Put in flight what the limit lets through, in the order of the queue."""
    limit = step.graph.max_in_flight
    while _may_start(step) and (limit is None or step.in_flight < limit):
        node = _next_held(step)
        if node is None:
            break
        band = step.band(node)
        if band is not None:
            _emit_instance(step, node, band, band.held_from)
            continue
        step.held = heap.pop(step.held)
        step.cells.write(node, _SCHEDULED)
        step.emitted.append(step.attempt(node))
        step.in_flight += 1
    _next_held(step)


def _next_held(step: Step) -> int | None:
    """Give the node to release next; take from the queue's head what was skipped or released meanwhile."""
    while step.held is not None:
        rank = step.held[1]
        node = rank if step.graph.ranked is None else step.graph.ranked[rank]
        band = step.band(node) if node in step.graph.mapped else None
        if step.cells.code(node) == _READY if band is None else band.next_held() is not None:
            return node
        step.held = heap.pop(step.held)
    return None


def _emit_instance(step: Step, node: int, band: OpenBand, index: int) -> None:
    band.cells.write(index, _SCHEDULED)
    band.in_flight += 1
    step.emitted.append(step.attempt(node, index))
    step.in_flight += 1
