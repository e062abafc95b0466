"""Definitions: the graph, and the shape of the workflow's own result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import attrs

from dyrygent_core.calls import Template
from dyrygent_core.codec.json_text import FORMAT, MALFORMED, dumps, loads, malformed
from dyrygent_core.codec.references import read_references, renamed_key, write_references
from dyrygent_core.errors import UnsupportedVersionError
from dyrygent_core.graph import Graph, Mode
from dyrygent_core.nodes import Each, Edge, Node, RetryPolicy
from dyrygent_core.rules import RULES_VERSION
from dyrygent_core.workflow import Definition

__all__ = ["decode_definition", "definition_fields", "encode_definition"]


def encode_definition(definition: Definition) -> bytes:
    """Write a definition down. Edges are node numbers; policies are written only where they are not the default."""
    return dumps(definition_fields(definition, {})).encode()


def definition_fields(definition: Definition, renamed: Mapping[str, str]) -> dict[str, Any]:
    """Give what is written of a definition, with other names for the ids in `renamed`."""
    graph = definition.graph
    return {
        "v": FORMAT,
        "rules": definition.rules_version,
        "name": definition.name,
        **_settings(graph),
        "ids": [renamed.get(node.id, node.id) for node in graph.nodes],
        "edges": [[_edge(edge, graph) for edge in node.depends_on] for node in graph.nodes],
        "policies": {
            str(number): policy for number, node in enumerate(graph.nodes) if (policy := _policy(node, graph))
        },
        "kept": sorted(map(graph.number, definition.kept)),
        "engine_named": sorted(map(graph.number, definition.engine_named)),
        "output": _output_fields(definition.output, renamed),
    }


def _settings(graph: Graph) -> dict[str, Any]:
    """Give what holds for the whole graph; limit and mode only where they are not the default."""
    limit = {} if graph.max_in_flight is None else {"max_in_flight": graph.max_in_flight}
    mode = {} if graph.mode is Mode.RUN_INDEPENDENT else {"mode": graph.mode.value}
    return {"deadline_ms": graph.deadline_ms, **limit, **mode}


def _output_fields(output: Template, renamed: Mapping[str, str]) -> list[Any]:
    """Write the workflow's own result down; where it is that of several sinks, their ids are its keys."""
    value, references = output.value, output.references
    if renamed and isinstance(value, dict):
        fields = cast("Mapping[Any, Any]", value)
        value = {renamed.get(name, name): item for name, item in fields.items()}
        references = tuple(attrs.evolve(it, at=(renamed_key(it.at[0], renamed), *it.at[1:])) for it in references)
    return [value, write_references(references, renamed)]


def decode_definition(data: bytes) -> Definition:
    """Read a definition.

    Raises `UnsupportedVersionError` for another format, for newer rules, and for what no release wrote.
    """
    fields = loads(data, "this workflow's definition")
    try:
        if fields["rules"] > RULES_VERSION:
            message = f"this workflow follows rules {fields['rules']}; this release knows rules 1 to {RULES_VERSION}"
            raise UnsupportedVersionError(message)
        return _read_definition(fields)
    except MALFORMED as problem:
        raise malformed("this workflow's definition", problem) from problem


def _read_definition(fields: Mapping[str, Any]) -> Definition:
    ids = fields["ids"]
    policies = fields["policies"]
    nodes = (
        _read_node(node_id, [_read_edge(edge, ids) for edge in edges], policies.get(str(number), {}), ids)
        for number, (node_id, edges) in enumerate(zip(ids, fields["edges"], strict=True))
    )
    value, references = fields["output"]
    return Definition(
        graph=Graph(
            nodes,
            max_in_flight=fields.get("max_in_flight"),
            mode=fields.get("mode", Mode.RUN_INDEPENDENT),
            deadline_ms=fields["deadline_ms"],
        ),
        output=Template(value, read_references(references)),
        kept=frozenset(ids[number] for number in fields["kept"]),
        engine_named=frozenset(ids[number] for number in fields["engine_named"]),
        name=fields["name"],
        rules_version=fields["rules"],
    )


def _edge(edge: Edge, graph: Graph) -> int | list[Any]:
    number = graph.number(edge.node)
    return number if edge.condition is None else [number, edge.condition.value]


def _read_edge(edge: int | list[Any], ids: Sequence[str]) -> Edge:
    if isinstance(edge, int):
        return Edge(ids[edge])
    number: int = edge[0]
    return Edge(ids[number], edge[1])


_PLAIN_NODE: Final = Node("plain")
_POLICIES: Final = (
    "trigger",
    "allow_failure",
    "max_attempts",
    "on_loss",
    "max_losses",
    "timeout_ms",
    "priority",
    "role",
)


def _policy(node: Node, graph: Graph) -> dict[str, Any]:
    policy: dict[str, Any] = {}
    for name in _POLICIES:
        value = getattr(node, name)
        if value != getattr(_PLAIN_NODE, name):
            policy[name] = getattr(value, "value", value)
    if node.retry != _PLAIN_NODE.retry:
        policy["retry"] = attrs.asdict(node.retry)
    if node.each is not None:
        policy["each"] = [graph.number(node.each.node), list(node.each.path)]
    return policy


def _read_node(node_id: str, edges: list[Edge], policy: Mapping[str, Any], ids: Sequence[str]) -> Node:
    rest = dict(policy)
    retry = RetryPolicy(**rest.pop("retry", {}))
    each = rest.pop("each", None)
    return Node(node_id, edges, retry=retry, each=None if each is None else _read_each(each, ids), **rest)


def _read_each(each: list[Any], ids: Sequence[str]) -> Each:
    number: int = each[0]
    return Each(ids[number], each[1])
