"""Another round: which nodes are repeated, and what they wait for then."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dyrygent_core.bands import Band
from dyrygent_core.cells import ALLOWED, blocks_of, cell_of
from dyrygent_core.observations import RerunRequested
from dyrygent_core.state import Flags, verdict
from dyrygent_core.statuses import Status, WorkflowState
from dyrygent_core.step import Step
from dyrygent_core.tries import FIRST_TRY, Tries

__all__ = ["rerun"]

_REPEATED: Final = frozenset({int(Status.FAILED), ALLOWED, int(Status.CANCELLED)})


def rerun(step: Step, request: RerunRequested) -> bool:
    """Open another round of a finished workflow that is not SUCCESS; tell whether it did.

    Repeats the named nodes, or all that are FAILED or CANCELLED, and every node below them that did not succeed.
    Cost: O(the repeated nodes, those below them, and their edges).
    """
    if not step.is_finished or verdict(step.flags, step.cells.pages) is WorkflowState.SUCCESS:
        return False
    named = [step.graph.numbers.get(name) for name in request.nodes]
    if None in named:
        return False
    step.close_bands()
    repeated = _repeated(step, [node for node in named if node is not None])
    step.flags = Flags(round=step.flags.round + 1, has_begun=True, begun_ms=request.at_ms)
    for node in repeated:  # all of them, before the first edge is decided
        _reset(step, node, repeated)
    for node in step.graph.finalizers:
        step.cells.write(node, 0)
        step.tries = step.tries.put(node, Tries(step.tries.get(node, FIRST_TRY).number + 1))
        step.sizes = step.sizes.drop(node)
        step.choose(node, None)
    for node in repeated:
        _decide_again(step, node, repeated)
    return True


def _repeated(step: Step, named: list[int]) -> dict[int, None]:
    """Give the nodes to repeat, ascending."""
    graph, ordinary = step.graph, range(step.graph.finalizers.start)
    first = [node for node in named if node in ordinary]
    if not named:
        first = [node for node in ordinary if step.cells.code(node) in _REPEATED]
    seen = set(first)
    todo = list(first)
    while todo:
        for below in graph.successors[todo.pop()]:
            if below not in seen:
                seen.add(below)
                todo.append(below)
    chosen = set(first)
    return dict.fromkeys(sorted(it for it in seen if it in chosen or step.cells.code(it) != Status.SUCCEEDED))


def _reset(step: Step, node: int, repeated: Iterable[int]) -> None:
    """Let a node wait for all its dependencies, as before anything was decided."""
    degree = len(step.graph.nodes[node].depends_on)
    band = step.bands.get(node)
    if node in step.graph.mapped:
        if band is None or step.graph.mapped[node].node in repeated or step.cells.code(node) == Status.SUCCEEDED:
            _begin_afresh(step, node, band)
    else:
        step.tries = step.tries.put(node, Tries(step.tries.get(node, FIRST_TRY).number + 1))
    step.cells.write(node, cell_of(degree, is_tainted=False))
    if blocks_of(degree):
        step.blocks = step.blocks.put(node, blocks_of(degree))
    step.sizes = step.sizes.drop(node)
    step.choose(node, None)


def _begin_afresh(step: Step, node: int, band: Band | None) -> None:
    """Forget the instances of a mapped node; the next ones are numbered on from all of them."""
    base = step.tries.get(node, FIRST_TRY).number
    newest = base if band is None else band.newest_number(base)
    step.tries = step.tries.put(node, Tries(newest + 1))
    step.bands = step.bands.drop(node)


def _decide_again(step: Step, node: int, repeated: Iterable[int]) -> None:
    """Count those dependencies of a node that stay as they are."""
    graph = step.graph
    edges = graph.nodes[node].depends_on
    if not edges:
        step.run(node)
        return
    for edge in edges:
        above = graph.numbers[edge.node]
        if above not in repeated:
            row = graph.row_code(node, edge)
            step.decide(((node, row),), step.code_toward(above, node))
