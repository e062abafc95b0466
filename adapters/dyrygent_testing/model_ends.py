"""What nodes and workflows come to, without any order of events: a fixpoint over the graph.

It holds where nobody interferes: no request, no deadline, and no failing fast, where the order is the meaning.
`model` uses the same judgements, step by step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, assert_never

from dyrygent_core import (
    Failed,
    Graph,
    Lost,
    Node,
    OnLoss,
    Outcome,
    Skipped,
    Status,
    Succeeded,
    UsageError,
    Workflow,
    WorkflowState,
)
from dyrygent_core.errors import quoted
from dyrygent_core.graph import Mode
from dyrygent_core.nodes import MAX_WIDTH, Role
from dyrygent_core.observations import TimedOut
from dyrygent_testing.model_rules import fate
from dyrygent_testing.subjects import check_outcomes, graph_of

__all__ = ["Outcomes", "final_statuses", "is_well", "result_of", "roles_for", "verdict", "whole_of", "width_of"]

Outcomes = Mapping[str, tuple[Outcome, ...]]
"""For each node, what its attempts 1, 2, 3, … come to if they are run: the last of them ends the node.

Of a mapped node it is the same for each of its instances, one after another.
"""


def final_statuses(workflow: Workflow | Graph, outcomes: Outcomes) -> dict[str, Status]:
    """Return the status that every node ends with, if nobody interferes; by id, in topological order.

    `outcomes`: of every node, as `outcomes_for` draws them.

    Raises `UsageError` for a workflow that fails fast, where it depends on which attempt ends first; for a node that
    runs, and whose outcomes do not end it; and as `Workflow.build` does.
    """
    graph = graph_of(workflow, "final_statuses")
    if graph.mode is Mode.FAIL_FAST:
        message = (
            "under 'fail_fast' the final statuses depend on the order of the outcomes; give them to a Model one by one"
        )
        raise UsageError(message)
    check_outcomes(outcomes, graph)
    outcomes = {node.id: outcomes.get(node.id, ()) for node in graph.nodes}
    known: dict[str, Status] = {}
    widths: dict[str, int] = {}
    ordinary = [node for node in graph.nodes if node.role is Role.NODE]
    while len(known) < len(ordinary):
        for node in ordinary:
            if node.id not in known and all(edge.node in known for edge in node.depends_on):
                known[node.id] = _ends(graph, node, outcomes, known, widths)
    roles = roles_for(verdict(ordinary, known))
    for node in graph.nodes:
        if node.role is not Role.NODE:
            known[node.id] = _ran(graph, node, outcomes[node.id]) if node.role in roles else Status.SKIPPED
    return {node.id: known[node.id] for node in graph.nodes}


def _ends(graph: Graph, node: Node, outcomes: Outcomes, known: Mapping[str, Status], widths: dict[str, int]) -> Status:
    """Say what an ordinary node ends with; note the width of a mapped one."""
    last = {edge.node: outcomes[edge.node][-1] for edge in node.depends_on if outcomes[edge.node]}
    branches = {name: its.branches for name, its in last.items() if isinstance(its, Succeeded)}
    became = fate(graph, node, known, {name: its for name, its in branches.items() if known[name] is Status.SUCCEEDED})
    assert became is not None, f"all that {node!r} waits for is final"
    if became is not Status.SCHEDULED:
        return became
    if node.each is None:
        return _ran(graph, node, outcomes[node.id])
    source = last.get(node.each.node)
    width = width_of(graph, node, source.sizes if isinstance(source, Succeeded) else (), widths.get(node.each.node))
    if width is None:
        return Status.FAILED
    widths[node.id] = width
    its = [[outcome for outcome in outcomes[node.id] if outcome.attempt.index == at] for at in range(width)]
    return whole_of([_ran(graph, node, instance) for instance in its])


def _ran(graph: Graph, node: Node, outcomes: Sequence[Outcome]) -> Status:
    result = result_of(graph, node, outcomes) if outcomes else None
    if result is None:
        number = len(outcomes) + 1
        message = f"node {quoted(node.id)} runs, and its outcomes do not end it; add what its attempt {number} comes to"
        raise UsageError(message)
    return result


# Judgements


def result_of(graph: Graph, node: Node, outcomes: Sequence[Outcome]) -> Status | None:
    """Return what a node, or an instance, becomes after these outcomes of its attempts; None if it is tried again."""
    last = outcomes[-1]
    match last:
        case Succeeded():
            return Status.SUCCEEDED if _may_take(graph, node, last.branches) else Status.FAILED
        case Skipped():
            return Status.SKIPPED
        case Failed() | TimedOut():
            failures = sum(isinstance(outcome, Failed | TimedOut) for outcome in outcomes)
            is_last = isinstance(last, Failed) and last.is_final
            return Status.FAILED if is_last or failures >= node.max_attempts else None
        case Lost():
            losses = sum(isinstance(outcome, Lost) for outcome in outcomes)
            return Status.FAILED if node.on_loss is OnLoss.FAIL or losses >= node.max_losses else None
        case _:
            assert_never(last)


def _may_take(graph: Graph, node: Node, branches: tuple[str, ...] | None) -> bool:
    """Say whether a node may choose so: nothing, or some of its direct dependents, and no instance may."""
    if branches is None:
        return True
    return node.each is None and all(name in graph.dependents(node.id) for name in branches)


def width_of(graph: Graph, node: Node, sizes: Sequence[int], width_above: int | None) -> int | None:
    """Return how many instances a mapped node has; None where there is nothing that it could map over.

    `sizes` are those of the node that it maps over; `width_above` is that node's width, if it is mapped itself.
    """
    assert node.each is not None
    above = graph.node(node.each.node)
    if above.each is not None:
        return width_above
    place = graph.measured_paths(above.id).index(node.each.path)
    size = sizes[place] if place < len(sizes) else None
    return size if size is not None and 0 <= size <= MAX_WIDTH else None


def whole_of(instances: Iterable[Status]) -> Status:
    """Return what a mapped node becomes whose instances are final."""
    became = set(instances)
    if Status.FAILED in became:
        return Status.FAILED
    return Status.CANCELLED if Status.CANCELLED in became else Status.SUCCEEDED


def verdict(nodes: Iterable[Node], statuses: Mapping[str, Status]) -> WorkflowState:
    """Return what some nodes, all of them final, come to together, where nothing ended them before their time."""
    return WorkflowState.SUCCESS if all(is_well(node, statuses[node.id]) for node in nodes) else WorkflowState.FAILURE


def is_well(node: Node, status: Status) -> bool:
    """Say whether a final status is none that fails the workflow."""
    return status in (Status.SUCCEEDED, Status.SKIPPED) or (status is Status.FAILED and node.allow_failure)


def roles_for(state: WorkflowState) -> frozenset[Role]:
    """Return which nodes of the whole workflow run when the ordinary ones have come to this."""
    match state:
        case WorkflowState.SUCCESS:
            return _AFTER_SUCCESS
        case WorkflowState.FAILURE | WorkflowState.ERROR:
            return _AFTER_FAILURE
        case _:
            return _ALWAYS


_ALWAYS: Final = frozenset({Role.FINALLY})
_AFTER_SUCCESS: Final = _ALWAYS | {Role.ON_SUCCESS}
_AFTER_FAILURE: Final = _ALWAYS | {Role.ON_ERROR}
