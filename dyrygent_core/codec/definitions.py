"""Definitions: the graph, and the shape of the workflow's own result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeGuard, cast

import attrs

from dyrygent_core.calls import Template
from dyrygent_core.checks import MAX_ID_CHARACTERS
from dyrygent_core.codec.fields import (
    LIST,
    Fields,
    check_known,
    known,
    listed,
    mapped,
    odd,
    row,
    text,
    texts,
    whole,
    wholes,
)
from dyrygent_core.codec.json_text import FORMAT, MALFORMED, dumps, loads, malformed
from dyrygent_core.codec.references import read_keys, read_template, renamed_key, write_references
from dyrygent_core.errors import UnsupportedVersionError
from dyrygent_core.graph import Graph, Mode
from dyrygent_core.nodes import Each, Edge, Node, RetryPolicy, Role, node_like, plain_edge
from dyrygent_core.rules import AND_RULES
from dyrygent_core.versions import KNOWN_RULES, Rules
from dyrygent_core.workflow import Definition

__all__ = ["decode_definition", "definition_fields", "encode_definition"]

_WHAT: Final = "this workflow's definition"
_FIELDS: Final = known("v rules name deadline_ms max_in_flight mode ids edges policies kept engine_named output")


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


def decode_definition(data: bytes, rules: Mapping[int, Rules] = KNOWN_RULES) -> Definition:
    """Read a definition, whose graph then follows the version of the rules that it was written under.

    `rules`: the versions that can be followed, by number: those of this release.
    Raises `UnsupportedVersionError` for another format, for newer rules, and for what no release wrote.
    """
    fields = loads(data, _WHAT)
    try:
        return _read_definition(fields, _read_rules(fields, rules))
    except (RecursionError, *MALFORMED) as problem:
        raise malformed(_WHAT, problem) from problem


def _read_rules(fields: Fields, known_rules: Mapping[int, Rules]) -> Rules:
    """Raise `UnsupportedVersionError` for newer rules, and `ValueError` for what is no version of them."""
    version = whole(fields, "rules", 1)
    rules = known_rules.get(version)
    if rules is None:
        message = f"this workflow follows rules {version}; this release knows rules 1 to {max(known_rules)}"
        raise UnsupportedVersionError(message)
    return rules


def _read_definition(fields: Fields, rules: Rules) -> Definition:
    check_known(fields, _FIELDS)
    ids = texts(fields, "ids")
    graph = Graph(
        _read_nodes(fields, ids),
        max_in_flight=whole(fields, "max_in_flight", 1) if "max_in_flight" in fields else None,
        mode=text(fields, "mode") if "mode" in fields else Mode.RUN_INDEPENDENT,
        deadline_ms=None if fields["deadline_ms"] is None else whole(fields, "deadline_ms", 1),
        rules=rules,
    )
    if tuple(graph.numbers) != ids:  # or calls, which are found by number, would go to other nodes
        message = "its nodes do not stand in the order of their numbers"
        raise ValueError(message)
    return Definition(
        graph=graph,
        output=_read_output(fields["output"], graph),
        kept=_read_ids(fields, "kept", ids),
        engine_named=_read_ids(fields, "engine_named", ids),
        name=text(fields, "name"),
    )


def _read_nodes(fields: Fields, ids: Sequence[str]) -> Iterator[Node]:
    """Read the nodes one by one, most of them a short way: equal policies are checked once, and edges as lists."""
    policies = mapped(fields["policies"], "policies")
    if policies:
        check_known(policies, set(map(str, range(len(ids)))), "the policies")
    edges = listed(fields["edges"], "edges")
    if len(edges) != len(ids):
        message = f"it has {len(ids):,} ids, and edges to {len(edges):,}"
        raise ValueError(message)
    plain_edges = _plain_edges(ids)
    alike: dict[str, Node] = {}
    for number, (node_id, to_it) in enumerate(zip(ids, edges, strict=True)):
        policy = policies.get(str(number), _NO_POLICY) if policies else _NO_POLICY
        written = "" if policy is _NO_POLICY else repr(policy)
        like = alike.get(written)
        if like is not None and plain_edges and _are_plain(to_it, number) and (to_it or like.trigger in AND_RULES):
            yield node_like(like, node_id, tuple(map(plain_edges.__getitem__, to_it)))
            continue
        above = [_read_edge(edge, ids, number) for edge in listed(to_it, "edges")]
        node = _read_node(node_id, above, policy, ids)
        if node.each is None and node.role is Role.NODE:  # whether those fit depends on the edges too
            alike[written] = node
        yield node


def _plain_edges(ids: Sequence[str]) -> list[Edge]:
    """Give an edge without a condition from each node, for all that wait for it; none if some text is no id."""
    together = "".join(ids)
    try:
        together.encode()
    except UnicodeEncodeError:
        return []
    sizes = set(map(len, ids))
    are_ids = 0 not in sizes and max(sizes, default=0) <= MAX_ID_CHARACTERS and "\0" not in together
    return list(map(plain_edge, ids)) if are_ids else []


def _are_plain(to_it: object, below: int) -> TypeGuard[list[int]]:
    """Tell whether these are edges, all without conditions, from distinct nodes that come before this one."""
    if type(to_it) is not list:
        return False
    numbers = cast("list[int]", to_it)
    if not numbers:
        return True
    if not _INTS.issuperset(map(type, numbers)):
        return False
    return min(numbers) >= 0 and max(numbers) < below and len(set(numbers)) == len(numbers)


_INTS: Final = frozenset({int})
_NO_POLICY: Final[Mapping[str, object]] = {}


def _read_output(written: object, graph: Graph) -> Template:
    value, references = listed(written, "output")
    output = read_template(value, references)
    for reference in output.references:
        graph.number(reference.node)
    return output


def _read_ids(fields: Fields, name: str, ids: Sequence[str]) -> frozenset[str]:
    numbers = wholes(fields, name)
    if list(numbers) != sorted(set(numbers)):
        raise odd(name, "a list of ascending numbers", list(numbers))
    return frozenset(_id_of(number, ids) for number in numbers)


def _id_of(number: int, ids: Sequence[str]) -> str:
    if not 0 <= number < len(ids):
        message = f"there is no node {number} there"
        raise ValueError(message)
    return ids[number]


def _edge(edge: Edge, graph: Graph) -> int | list[Any]:
    number = graph.number(edge.node)
    return number if edge.condition is None else [number, edge.condition.value]


def _read_edge(edge: object, ids: Sequence[str], below: int) -> Edge:
    """Read an edge; what a node waits for has a lower number than its own."""
    number, condition = (edge, None) if type(edge) is int else row(edge, "an edge", int, str)
    if not 0 <= number < below:
        message = f"node {below} waits for node {number}, which does not come before it"
        raise ValueError(message)
    return Edge(ids[number], condition)


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


def _read_node(node_id: str, edges: list[Edge], policy: object, ids: Sequence[str]) -> Node:
    rest: dict[str, Any] = dict(mapped(policy, "a policy"))  # which the node looks at itself
    if "retry" in rest:
        retry: dict[str, Any] = mapped(rest["retry"], "retry")
        rest["retry"] = RetryPolicy(**retry)
    if "each" in rest:
        rest["each"] = _read_each(rest["each"], ids)
    return Node(node_id, edges, **rest)


def _read_each(written: object, ids: Sequence[str]) -> Each:
    number, path = row(written, "each", int, LIST)
    return Each(_id_of(number, ids), read_keys(path))
