"""What became of a workflow, in a few words: why a node failed, and the summary that its last nodes may ask for."""

from __future__ import annotations

from typing import Any, Final

from dyrygent_core import Failure, Status, WorkflowState
from dyrygent_core.errors import LimitError, UsageError, quoted
from dyrygent_core.nodes import MAX_WIDTH, Each
from dyrygent_runtime.fold import Folded, failure_in

__all__ = ["cause_of", "failed_before", "summary"]

_MOST_FAILED: Final = 100
"""Nodes named in a summary."""
_LONGEST_ERROR: Final = 1_000
"""Characters of each error there: it is an argument, and travels in a message."""


def cause_of(folded: Folded, node: str) -> Failure | None:
    """Return why a node failed: of a mapped one, why its first failed instance did. None if it did not."""
    state = folded.state
    if state.status(node) is not Status.FAILED:
        return None
    each = state.graph.node(node).each
    if each is None:
        return failure_in(folded, state.attempt(node))
    instances = state.instance_statuses(node)
    if Status.FAILED not in instances:
        return _no_list(folded, node, each)
    return failure_in(folded, state.attempt(node, instances.index(Status.FAILED)))


def failed_before(folded: Folded, node: str) -> str | None:
    """Return the first node, in the order of the graph, whose failure kept another from running."""
    graph, state = folded.definition.graph, folded.state
    seen = {node}
    todo = [node]
    failed: list[int] = []
    while todo:
        for edge in graph.node(todo.pop()).depends_on:
            status = state.status(edge.node)
            if edge.node in seen or status not in (Status.FAILED, Status.UPSTREAM_FAILED):
                continue
            seen.add(edge.node)
            if status is Status.FAILED:
                failed.append(graph.number(edge.node))
            else:
                todo.append(edge.node)
    return graph.nodes[min(failed)].id if failed else None


def _no_list(folded: Folded, node: str, each: Each) -> Failure:
    """Say why a mapped node failed before it had any instance."""
    paths = folded.definition.graph.measured_paths(each.node)
    sizes = folded.state.sizes(each.node)
    place = paths.index(each.path) if each.path in paths else len(sizes)
    path = "".join(f"[{key!r}]" for key in each.path)
    over = f"node {quoted(node)} maps over the result of {quoted(each.node)}{' at ' + path if path else ''}"
    if place >= len(sizes):
        text = f"{over}, but whoever ran that did not tell its length; run the same release everywhere"
        return Failure(UsageError.__name__, text, UsageError.__module__)
    if sizes[place] > MAX_WIDTH:
        text = f"{over}, which has {sizes[place]:,} elements, more than {MAX_WIDTH:,}; map over parts of it"
        return Failure(LimitError.__name__, text, LimitError.__module__)
    text = f"{over}, which is no list; return a list or a tuple there"
    return Failure(UsageError.__name__, text, UsageError.__module__)


def summary(folded: Folded) -> dict[str, Any]:
    """Return what `workflow.summary` stands for: what became of the ordinary nodes, as plain JSON."""
    failed = _failed(folded)
    return {
        "workflow_id": folded.key.id,
        "state": _provisional(folded, has_failed=bool(failed)).value,
        "failed": [
            {"node": node, "error": str(cause_of(folded, node) or "")[:_LONGEST_ERROR]}
            for node in failed[:_MOST_FAILED]
        ],
        "failed_count": len(failed),
    }


def _failed(folded: Folded) -> list[str]:
    """Give the ordinary nodes that failed and may not, in topological order."""
    graph = folded.definition.graph
    ordinary = graph.nodes[: graph.finalizers.start]
    numbers = (number for number in folded.state.find(Status.FAILED) if number < len(ordinary))
    return [ordinary[number].id for number in numbers if not ordinary[number].allow_failure]


def _provisional(folded: Folded, *, has_failed: bool) -> WorkflowState:
    """Say what the workflow comes to as far as its ordinary nodes go."""
    state = folded.state
    if state.is_cancelled:
        return WorkflowState.CANCELLED
    if state.side.flags.is_past_deadline:
        return WorkflowState.ERROR
    ordinary = folded.definition.graph.finalizers.start
    never_ran = (number for status in _NEVER_RAN for number in state.find(status))
    is_blocked = any(number < ordinary for number in never_ran)
    return WorkflowState.FAILURE if has_failed or is_blocked else WorkflowState.SUCCESS


_NEVER_RAN: Final = (Status.UPSTREAM_FAILED, Status.CANCELLED)
