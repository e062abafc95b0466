"""What is written otherwise in a workflow of today than in the one that a history is of.

Nodes are the same if they have the same id. Ids that Celery made up are others each time a canvas is imported; they are
taken for the old ones in the same places, in the order of what the nodes call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from enum import Enum
from typing import Final, cast

import attrs
from attrs import evolve, field, frozen

from dyrygent_core import Edge, Graph, History, Node, Workflow
from dyrygent_core.errors import quoted
from dyrygent_core.versions import Rules
from dyrygent_testing.node_names import free_name

__all__ = ["Today", "changes", "made_up_ids", "targets_of", "today"]


@frozen
class Today:
    """A workflow as it is written today, under the ids of the old one."""

    graph: Graph
    targets: Mapping[str, str] = field(repr=False)
    """What each node calls."""


def targets_of(history: History) -> dict[str, str]:
    """Give what each node called, as far as that is known."""
    return {history.definition.graph.nodes[at].id: call.target for at, call in history.calls.items()}


def today(workflow: Workflow, history: History, rules: Rules) -> Today:
    """Build a workflow, and give its nodes the ids that they had. Raises as `Workflow.build` does."""
    definition, calls = workflow.build()
    graph, old = definition.graph, history.definition
    targets = {node.id: call.target for node, call in zip(graph.nodes, calls, strict=True)}
    others = [node for node in graph.numbers if node in workflow.generated and node in definition.engine_named]
    ours = [node for node in old.graph.numbers if node in old.engine_named and node not in graph.numbers]
    theirs = [node for node in others if node not in old.graph.numbers]
    names = _paired(theirs, ours, targets, targets_of(history))
    nodes = (_named(node, names) for node in graph.nodes)
    same = Graph(nodes, max_in_flight=graph.max_in_flight, mode=graph.mode, deadline_ms=graph.deadline_ms, rules=rules)
    return Today(same, {names.get(node, node): target for node, target in targets.items()})


def _paired(theirs: list[str], ours: list[str], now: Mapping[str, str], was: Mapping[str, str]) -> dict[str, str]:
    """Lay the two lists of nodes beside each other, by what they call."""
    calls, called = [now[node] for node in theirs], [was.get(node, "") for node in ours]
    if calls == called:
        return dict(zip(theirs, ours, strict=True))
    blocks = SequenceMatcher(None, calls, called, autojunk=False).get_matching_blocks()
    return {theirs[at + step]: ours[old + step] for at, old, size in blocks for step in range(size)}


def _named(node: Node, names: Mapping[str, str]) -> Node:
    if not names:
        return node
    return evolve(
        node,
        id=names.get(node.id, node.id),
        depends_on=[evolve(edge, node=names.get(edge.node, edge.node)) for edge in node.depends_on],
        each=node.each and evolve(node.each, node=names.get(node.each.node, node.each.node)),
    )


def made_up_ids(history: History, now: Today) -> Mapping[str, str]:
    """Name the nodes whose ids Celery has made up by what they call, those that are new last."""
    old, called, ids = history.definition, targets_of(history), dict[str, str]()
    both = {**now.targets, **called}
    for node in [*old.graph.numbers, *(it for it in now.graph.numbers if it not in old.graph.numbers)]:
        if _MADE_UP.fullmatch(node) and node in both:
            ids[free_name(both[node], ids, old.graph.numbers, now.graph.numbers)] = node
    return ids


_MADE_UP: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# What differs


def changes(history: History, now: Today) -> tuple[str, ...]:
    """Tell what differs, a line for each thing."""
    return (*_of_the_whole(history.definition.graph, now.graph), *_of_nodes(history, now))


def _of_the_whole(old: Graph, new: Graph) -> Iterator[str]:
    for name in ("max_in_flight", "mode", "deadline_ms"):
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            yield f"{name} was {_shown(was)}, and is {_shown(now)}"


def _of_nodes(history: History, now: Today) -> Iterator[str]:
    old, new = history.definition.graph, now.graph
    called = targets_of(history)
    gone = [node for node in old.numbers if node not in new.numbers]
    added = [node for node in new.numbers if node not in old.numbers]
    for node in gone:
        heir = next((it for it in added if _is_like(old.node(node), new.node(it), called.get(node), now)), None)
        if heir is None:
            yield f"node {quoted(node)} is gone"
        else:
            added.remove(heir)
            yield f"node {quoted(node)} is gone; {quoted(heir)}, which calls the same, may be its new name"
    for node in added:
        yield f"node {quoted(node)}, which calls {quoted(now.targets[node])}, is new"
    for both in new.numbers:
        if both in old.numbers:
            yield from _of_node(old.node(both), new.node(both), called.get(both), now.targets[both])


def _is_like(old: Node, new: Node, called: str | None, now: Today) -> bool:
    return called == now.targets[new.id] and len(old.depends_on) == len(new.depends_on) and old.role is new.role


def _of_node(old: Node, new: Node, called: str | None, calls: str) -> Iterator[str]:
    if called not in (None, calls):
        yield f"{quoted(new.id)} called {quoted(str(called))}, and calls {quoted(calls)}"
    for attribute in attrs.fields(Node):
        was, now = getattr(old, attribute.name), getattr(new, attribute.name)
        if was != now and not (attribute.name == "depends_on" and set(was) == set(now)):
            name = _WORDS.get(attribute.name, f"{attribute.name} was")
            yield f"{quoted(new.id)}: {name} {_shown(was)}, and {_VERBS.get(attribute.name, 'is')} {_shown(now)}"


_WORDS: Final = {"depends_on": "it waited for"}
_VERBS: Final = {"depends_on": "waits for"}


def _shown(value: object) -> str:
    match value:
        case tuple():
            return ", ".join(map(_edge, cast("tuple[Edge, ...]", value))) or "nothing"
        case Enum():
            return str(value.value)
        case _:
            return repr(value)


def _edge(edge: Edge) -> str:
    return quoted(edge.node) if edge.condition is None else f"{quoted(edge.node)} ({edge.condition.value})"
