"""How what a user writes down becomes edges: handles, `after=`, `each=`, and references to results.

A reference that might find no result when its node runs is refused here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias, cast

from attrs import evolve, frozen

from dyrygent_core.calls import Call, Template
from dyrygent_core.checks import shown
from dyrygent_core.errors import UnknownNodeError, UsageError, quoted
from dyrygent_core.nodes import Each, Edge, Node, Role
from dyrygent_core.refs import ITEM, SUMMARY, HasResult, Reference, ResultRef
from dyrygent_core.rules import AND_RULES, Condition, Trigger

__all__ = [
    "PLACES",
    "After",
    "NodeHandle",
    "check_call",
    "check_references",
    "each_of",
    "edges_of",
    "with_item",
    "with_referred",
]


@frozen
class NodeHandle(HasResult):
    """A node just added: its id, references to its result, and edges to it under each condition."""

    id: str

    @property
    def result(self) -> ResultRef:
        """Stands for the node's result inside a later call's arguments."""
        return ResultRef(self.id)

    @property
    def done(self) -> Edge:
        """For `after=`: whatever became of the node."""
        return Edge(self.id, Condition.DONE)

    @property
    def failed(self) -> Edge:
        """For `after=`: only if the node failed."""
        return Edge(self.id, Condition.FAILED)

    @property
    def skipped(self) -> Edge:
        """For `after=`: only if the node was skipped."""
        return Edge(self.id, Condition.SKIPPED)

    @property
    def if_succeeded(self) -> Edge:
        """For `after=`: only if the node succeeded; else this one is skipped, and nothing has failed because of it."""
        return Edge(self.id, Condition.IF_SUCCEEDED)

    @property
    def not_failed(self) -> Edge:
        """For `after=`: unless the node failed."""
        return Edge(self.id, Condition.NOT_FAILED)


After: TypeAlias = NodeHandle | Edge | str


def check_call(what: object) -> None:
    """Raise `UsageError` unless this is a call."""
    if not isinstance(what, Call):
        message = f"add takes what a node runs as call(name, …), not a value of type {type(what).__name__}"
        raise UsageError(message)


def each_of(each: object) -> Each:
    """Read what `each=` was given; raises `UsageError`."""
    match each:
        case NodeHandle(id=node):
            return Each(node)
        case ResultRef(node=node) if node in PLACES:
            message = f"each= maps over a result of a node; {PLACES[node]}"
            raise UsageError(message)
        case ResultRef(node=node, path=path, fallback=None):
            return Each(node, path)
        case str():
            return Each(each)
        case ResultRef(node=node):
            message = (
                f"each= maps over a result of {quoted(node)} that has a default, but a node that it maps over always "
                f"has succeeded; drop the default"
            )
            raise UsageError(message)
        case _:
            message = (
                f"each= takes a node or a part of its result, not {type(each).__name__}: {shown(each)}; "
                f"to map over what is known already, let a node return it"
            )
            raise UsageError(message)


def with_item(what: Call, each: Each | None) -> Call:
    """Make the element the first argument of a mapped node's call, unless the call places it."""
    check_call(what)
    is_placed = any(reference.node == ITEM for reference in what.inputs.references)
    if each is None or is_placed:
        return what
    value, references = what.inputs.value, what.inputs.references
    moved = (evolve(it, at=("args", int(it.at[1]) + 1, *it.at[2:])) if it.at[0] == "args" else it for it in references)
    inputs = Template({**value, "args": [None, *value["args"]]}, (Reference(("args", 0), ITEM), *moved))
    return evolve(what, inputs=inputs)


def edges_of(after: object) -> tuple[Edge, ...]:
    """Read what `after=` was given; raises `UsageError`."""
    items: Iterable[object] = (after,)
    if isinstance(after, Iterable) and not isinstance(after, str | ResultRef):
        items = cast("Iterable[object]", after)
    edges: dict[str, Edge] = {}
    for item in items:
        edge = _edge(item)
        if edges.setdefault(edge.node, edge) != edge:
            message = f"after= names {quoted(edge.node)} under two conditions; name it once"
            raise UsageError(message)
    return tuple(edges.values())


def _edge(item: object) -> Edge:
    match item:
        case Edge():
            return item
        case NodeHandle(id=node_id):
            return Edge(node_id)
        case str():
            return Edge(item)
        case ResultRef(node=node_id) if node_id in PLACES:
            message = f"after= takes nodes; {PLACES[node_id]}"
            raise UsageError(message)
        case ResultRef(node=node_id):
            message = f"after= takes nodes, not results; write the node {quoted(node_id)} itself"
            raise UsageError(message)
        case _:
            message = f"after= takes node handles, ids and edges such as node.done, not {type(item).__name__}"
            raise UsageError(message)


def with_referred(edges: tuple[Edge, ...], references: Iterable[Reference], trigger: Trigger | str) -> tuple[Edge, ...]:
    """Add an edge to each node that is referred to and not named.

    It needs success, unless all references to that node have a default: then they are for a node that may run
    without the value, and when it runs is left to its rule. OR-rules leave no choice.
    """
    named = {edge.node: edge for edge in edges}
    references = [reference for reference in references if reference.node not in (ITEM, SUMMARY)]
    strict = {reference.node for reference in references if reference.fallback is None}
    condition = Condition.SUCCEEDED if trigger in OTHER_AND_RULES else None
    for reference in references:
        named.setdefault(reference.node, Edge(reference.node, condition if reference.node in strict else None))
    return tuple(named.values())


OTHER_AND_RULES: Final = frozenset(
    name for rule in AND_RULES if AND_RULES[rule] is not Condition.SUCCEEDED for name in (rule, rule.value)
)


def check_references(node: Node, references: Iterable[Reference], nodes: Mapping[str, Node]) -> None:
    """Refuse a reference that may find no result when the node runs."""
    edges = {edge.node: edge for edge in node.depends_on}
    for reference in references:
        if reference.node in (ITEM, SUMMARY):
            _check_place(node, reference.node)
            continue
        if node.role is not Role.NODE:
            _check_late_reference(node, reference, nodes)
            continue
        why = _why_perhaps_missing(node, edges[reference.node], nodes.get(reference.node))
        if why is None:
            continue
        if node.trigger in (Trigger.ONE_SUCCESS, Trigger.ONE_FAILED):
            message = (
                f"node {quoted(node.id)} refers to the result of {quoted(reference.node)}, but {node.trigger.value!r} "
                f"runs before its other dependencies are decided; read results in a node after it"
            )
            raise UsageError(message)
        if reference.fallback is None:
            message = (
                f"node {quoted(node.id)} refers to the result of {quoted(reference.node)}, which may have none: {why}; "
                f"write .result.default(value) to say what to use then"
            )
            raise UsageError(message)


PLACES: Final = {
    ITEM: "workflow.item is for the call of a mapped node: add it with each=",
    SUMMARY: "workflow.summary is for the call of finally_, on_error or on_success",
}


def _check_place(node: Node, place: str) -> None:
    if (node.each is None) if place == ITEM else (node.role is Role.NODE):
        message = f"node {quoted(node.id)}: {PLACES[place]}"
        raise UsageError(message)


def _check_late_reference(node: Node, reference: Reference, nodes: Mapping[str, Node]) -> None:
    """Refuse a reference of a node of the whole workflow to what may not be there."""
    referred = nodes.get(reference.node)
    if referred is None:
        raise UnknownNodeError(reference.node, known=nodes)
    if referred.role is not Role.NODE:
        message = (
            f"node {quoted(node.id)} refers to the result of {quoted(referred.id)}, which is for the whole workflow "
            f"too and starts at the same time; do both in one task"
        )
        raise UsageError(message)
    if reference.fallback is None:
        message = (
            f"node {quoted(node.id)} runs whatever became of {quoted(referred.id)}, so its result may be missing; "
            f"write .result.default(value) to say what to use then"
        )
        raise UsageError(message)


def _why_perhaps_missing(node: Node, edge: Edge, dependency: Node | None) -> str | None:
    if node.trigger not in AND_RULES:
        return f"the rule {node.trigger.value!r} runs without some dependencies"
    condition = node.row(edge)
    if condition is Condition.IF_SUCCEEDED:
        return None
    if condition is not Condition.SUCCEEDED:
        return f"the edge asks for {condition.value!r} only"
    if dependency is not None and dependency.allow_failure:
        return "its failure is allowed"
    return None
