"""Leaving out nodes that are taken for done before the workflow begins, as `skip_tasks` asks for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from attrs import evolve

from dyrygent_core import Call, Edge, Node, UsageError
from dyrygent_core.calls import Template
from dyrygent_core.errors import quoted
from dyrygent_core.rules import EDGE_EFFECTS, OUTCOME_COLUMNS, Condition, Effect

__all__ = ["calls_without", "check_skipped", "without_nodes", "without_results"]


def check_skipped(nodes: Mapping[str, Node], skipped: Collection[str]) -> None:
    """Raise `UsageError` if a node that is to be skipped waits for one that is not, or another for its failure."""
    for node in nodes.values():
        for edge in node.depends_on:
            if node.id in skipped and edge.node not in skipped:
                message = (
                    f"node {quoted(node.id)} cannot be taken for done, since it waits for {quoted(edge.node)}, which "
                    f"is not; skip that too"
                )
                raise UsageError(message)
            if node.id not in skipped and edge.node in skipped and not _goes_on(node, edge):
                message = (
                    f"node {quoted(edge.node)} cannot be taken for done, since {quoted(node.id)} asks for "
                    f"{node.row(edge).value!r} of it; skip that node too, or leave it out of the workflow"
                )
                raise UsageError(message)


def _goes_on(node: Node, edge: Edge) -> bool:
    """Tell whether a success of the dependency leaves the node to the others, as no dependency would."""
    row = node.row(edge)
    is_source = node.each is not None and node.each.node == edge.node
    return isinstance(row, Condition) and not is_source and EDGE_EFFECTS[row][_SUCCEEDED] is Effect.HOLD


_SUCCEEDED: Final = OUTCOME_COLUMNS.index("SUCCEEDED")


def without_nodes(nodes: Mapping[str, Node], skipped: Collection[str]) -> dict[str, Node]:
    """Return the nodes that are left, with the edges between them."""
    return {
        node.id: evolve(node, depends_on=[edge for edge in node.depends_on if edge.node not in skipped])
        for node in nodes.values()
        if node.id not in skipped
    }


def without_results(template: Template, skipped: Collection[str]) -> Template:
    """Return a template in which None stands for the results of nodes that are left out."""
    left = tuple(it for it in template.references if it.node not in skipped)
    return template if left == template.references else Template(template.value, left)


def calls_without(calls: Mapping[str, Call], skipped: Collection[str]) -> dict[str, Call]:
    """Return the calls of the nodes that are left."""
    return {
        node: evolve(call, inputs=without_results(call.inputs, skipped))
        for node, call in calls.items()
        if node not in skipped
    }
