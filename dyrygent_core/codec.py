"""How observations, definitions and calls are written down: versioned JSON, strict, with an exact round trip.

A reader refuses a version that it does not know (`UnsupportedVersionError`) instead of guessing.
Payloads (arguments, results) are not decided here: they go through the engine's own `ValueCodec`, of which
`JSON_VALUES` is the plain one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, assert_never, cast

import attrs

from dyrygent_core.calls import Call, Template
from dyrygent_core.errors import EncodingError, LimitError, UnsupportedVersionError, quoted
from dyrygent_core.graph import Graph
from dyrygent_core.nodes import Edge, Node, RetryPolicy
from dyrygent_core.observations import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Failed,
    Failure,
    Lost,
    Observation,
    Ran,
    RetryDue,
    Skipped,
    Succeeded,
)
from dyrygent_core.ports import ValueCodec
from dyrygent_core.refs import MAX_ITEMS, Default, Key, Reference
from dyrygent_core.rules import RULES_VERSION
from dyrygent_core.workflow import Definition

__all__ = [
    "FORMAT",
    "JSON_VALUES",
    "MAX_ARGUMENT_BYTES",
    "MAX_RESULT_BYTES",
    "JsonValues",
    "decode_call",
    "decode_definition",
    "decode_observation",
    "digest",
    "encode_call",
    "encode_definition",
    "encode_observation",
]

FORMAT: Final = 1
MAX_ARGUMENT_BYTES: Final = 1 << 20
"""Most bytes of one call's arguments as written, references not resolved."""
MAX_RESULT_BYTES: Final = 64 << 20
"""Most bytes of one result, and of one call's arguments with references resolved."""


class JsonValues:
    """The plain `ValueCodec`: strict JSON in UTF-8. Tuples come back as lists, keys as str, NaN is refused."""

    def encode(self, value: Any) -> bytes:  # a payload
        """Write a value down; raises `EncodingError` naming the type that JSON does not know."""
        try:
            return json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode()
        except (TypeError, ValueError, RecursionError) as problem:
            message = f"this cannot be written as JSON: {problem}; pass str, int, float, bool, None, lists and dicts"
            raise EncodingError(message) from problem

    def decode(self, data: bytes) -> Any:  # a payload
        """Read a value back."""
        return json.loads(data)


JSON_VALUES: Final = JsonValues()


# Observations


def encode_observation(observation: Observation) -> str:
    """Write one observation as one line of JSON, without its time: that is the journal's to keep."""
    return _dumps({"v": FORMAT, **_observation_fields(observation)})


def _observation_fields(observation: Observation) -> dict[str, Any]:  # noqa: PLR0911  # one line for each kind
    match observation:
        case Begin():
            return {"t": "begin"}
        case Succeeded(attempt=attempt, ran=ran):
            return {"t": "succeeded", "a": _attempt(attempt), **_ran(ran)}
        case Failed(attempt=attempt, failure=failure, ran=ran):
            flags = {"final": True} if observation.is_final else {}
            flags |= {"revoked": True} if observation.is_revoked else {}
            return {"t": "failed", "a": _attempt(attempt), "failure": _failure(failure), **flags, **_ran(ran)}
        case Lost(attempt=attempt, reason=reason):
            return {"t": "lost", "a": _attempt(attempt), "reason": reason}
        case Skipped(attempt=attempt, reason=reason, ran=ran):
            return {"t": "skipped", "a": _attempt(attempt), "reason": reason, **_ran(ran)}
        case RetryDue(attempt=attempt):
            return {"t": "retry_due", "a": _attempt(attempt)}
        case CancelRequested(reason=reason):
            return {"t": "cancel_requested", "reason": reason}
        case DeadlinePassed():
            return {"t": "deadline_passed"}
        case _:
            assert_never(observation)


def decode_observation(text: str | bytes, at_ms: int = 0) -> Observation:
    """Read one observation, stamped with the journal's time.

    Raises `UnsupportedVersionError` for another version, for a kind that this version does not have, and for what
    no release wrote.
    """
    fields = _loads(text, "this journal entry")
    kind = fields.get("t")
    decoder = _DECODERS.get(kind) if isinstance(kind, str) else None
    if decoder is None:
        message = f"this journal entry is of the kind {quoted(str(kind))}, which this release does not know"
        raise UnsupportedVersionError(message)
    try:
        return decoder(fields, at_ms)
    except _MALFORMED as problem:
        raise _malformed("this journal entry", problem) from problem


_DECODERS: Final[Mapping[str, Callable[[Mapping[str, Any], int], Observation]]] = {
    "begin": lambda _, at_ms: Begin(at_ms=at_ms),
    "succeeded": lambda it, at_ms: Succeeded(Attempt(*it["a"]), _read_ran(it), at_ms=at_ms),
    "failed": lambda it, at_ms: Failed(
        Attempt(*it["a"]),
        _read_failure(it["failure"]),
        _read_ran(it),
        is_final=it.get("final", False),
        is_revoked=it.get("revoked", False),
        at_ms=at_ms,
    ),
    "lost": lambda it, at_ms: Lost(Attempt(*it["a"]), it["reason"], at_ms=at_ms),
    "skipped": lambda it, at_ms: Skipped(Attempt(*it["a"]), it["reason"], _read_ran(it), at_ms=at_ms),
    "retry_due": lambda it, at_ms: RetryDue(Attempt(*it["a"]), at_ms=at_ms),
    "cancel_requested": lambda it, at_ms: CancelRequested(it["reason"], at_ms=at_ms),
    "deadline_passed": lambda _, at_ms: DeadlinePassed(at_ms=at_ms),
}


def _attempt(attempt: Attempt) -> list[Any]:
    return [attempt.node, attempt.index, attempt.number]


def _ran(ran: Ran | None) -> dict[str, Any]:
    return {} if ran is None else {"ran": [ran.started_ms, ran.duration_ms, ran.worker]}


def _read_ran(fields: Mapping[str, Any]) -> Ran | None:
    return Ran(*fields["ran"]) if "ran" in fields else None


def _failure(failure: Failure) -> dict[str, Any]:
    written = {"type": failure.type, "message": failure.message, "module": failure.module}
    return written if failure.args is None else {**written, "args": list(failure.args)}


def _read_failure(fields: Mapping[str, Any]) -> Failure:
    args = fields.get("args")
    return Failure(fields["type"], fields["message"], fields["module"], None if args is None else tuple(args))


# Definitions


def encode_definition(definition: Definition) -> bytes:
    """Write a definition down. Edges are node numbers; policies are written only where they are not the default."""
    return _dumps(_definition_fields(definition, {})).encode()


def _definition_fields(definition: Definition, renamed: Mapping[str, str]) -> dict[str, Any]:
    graph = definition.graph
    return {
        "v": FORMAT,
        "rules": definition.rules_version,
        "name": definition.name,
        "deadline_ms": graph.deadline_ms,
        "ids": [renamed.get(node.id, node.id) for node in graph.nodes],
        "edges": [[_edge(edge, graph) for edge in node.depends_on] for node in graph.nodes],
        "policies": {str(number): policy for number, node in enumerate(graph.nodes) if (policy := _policy(node))},
        "kept": sorted(map(graph.number, definition.kept)),
        "engine_named": sorted(map(graph.number, definition.engine_named)),
        "output": _output_fields(definition.output, renamed),
    }


def _output_fields(output: Template, renamed: Mapping[str, str]) -> list[Any]:
    """Write the workflow's own result down; where it is that of several sinks, their ids are its keys."""
    value, references = output.value, output.references
    if renamed and isinstance(value, dict):
        fields = cast("Mapping[Any, Any]", value)
        value = {renamed.get(name, name): item for name, item in fields.items()}
        references = tuple(attrs.evolve(it, at=(_renamed(it.at[0], renamed), *it.at[1:])) for it in references)
    return [value, _references(references, renamed)]


def _renamed(key: Key, renamed: Mapping[str, str]) -> Key:
    return renamed.get(key, key) if isinstance(key, str) else key


def decode_definition(data: bytes) -> Definition:
    """Read a definition.

    Raises `UnsupportedVersionError` for another format, for newer rules, and for what no release wrote.
    """
    fields = _loads(data, "this workflow's definition")
    try:
        if fields["rules"] > RULES_VERSION:
            message = f"this workflow follows rules {fields['rules']}; this release knows rules 1 to {RULES_VERSION}"
            raise UnsupportedVersionError(message)
        return _read_definition(fields)
    except _MALFORMED as problem:
        raise _malformed("this workflow's definition", problem) from problem


def _read_definition(fields: Mapping[str, Any]) -> Definition:
    ids = fields["ids"]
    policies = fields["policies"]
    nodes = (
        _read_node(node_id, [_read_edge(edge, ids) for edge in edges], policies.get(str(number), {}))
        for number, (node_id, edges) in enumerate(zip(ids, fields["edges"], strict=True))
    )
    value, references = fields["output"]
    return Definition(
        graph=Graph(nodes, deadline_ms=fields["deadline_ms"]),
        output=Template(value, _read_references(references)),
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
_POLICIES: Final = ("trigger", "allow_failure", "max_attempts", "on_loss", "max_losses")


def _policy(node: Node) -> dict[str, Any]:
    policy: dict[str, Any] = {}
    for name in _POLICIES:
        value = getattr(node, name)
        if value != getattr(_PLAIN_NODE, name):
            policy[name] = getattr(value, "value", value)
    if node.retry != _PLAIN_NODE.retry:
        policy["retry"] = attrs.asdict(node.retry)
    return policy


def _read_node(node_id: str, edges: list[Edge], policy: Mapping[str, Any]) -> Node:
    rest = dict(policy)
    retry = RetryPolicy(**rest.pop("retry", {}))
    return Node(node_id, edges, retry=retry, **rest)


def _references(references: Sequence[Reference], renamed: Mapping[str, str]) -> list[Any]:
    return [
        [list(it.at), renamed.get(it.node, it.node), list(it.path)]
        + ([] if it.fallback is None else [it.fallback.value])
        for it in references
    ]


def _read_references(written: Sequence[Any]) -> tuple[Reference, ...]:
    return tuple(
        Reference(tuple(at), node, tuple(path), Default(rest[0]) if rest else None) for at, node, path, *rest in written
    )


# Calls


def encode_call(node_id: str, call: Call, values: ValueCodec) -> bytes:
    """Write a call with the engine's codec.

    Raises `EncodingError` naming the node, and `LimitError` beyond `MAX_ARGUMENT_BYTES`.
    """
    try:
        data = values.encode(_call_fields(call, {}))
    except EncodingError as problem:
        message = f"the arguments of node {quoted(node_id)} ({quoted(call.target)}): {problem}"
        raise EncodingError(message) from problem
    size = len(data)
    if size > MAX_ARGUMENT_BYTES:  # then look closer: references are not the caller's data, and a join has thousands
        defaults = [it.fallback.value for it in call.inputs.references if it.fallback is not None]
        size = len(values.encode([call.inputs.value, defaults, dict(call.options)]))
    if size > MAX_ARGUMENT_BYTES:
        message = (
            f"the arguments of node {quoted(node_id)} take {size:,} bytes, more than {MAX_ARGUMENT_BYTES:,}; "
            f"store the data elsewhere and pass where it is"
        )
        raise LimitError(message)
    return data


def _call_fields(call: Call, renamed: Mapping[str, str]) -> dict[str, Any]:
    return {
        "v": FORMAT,
        "target": call.target,
        "inputs": call.inputs.value,
        "refs": _references(call.inputs.references, renamed),
        "options": {name: _renamed(value, renamed) for name, value in call.options.items()},
    }


def decode_call(data: bytes, values: ValueCodec) -> Call:
    """Read a call; raises `UnsupportedVersionError` for another format, and for what no release wrote."""
    fields = values.decode(data)
    try:
        _check_version(fields.get("v"), "this call")
        return Call(fields["target"], Template(fields["inputs"], _read_references(fields["refs"])), fields["options"])
    except (AttributeError, *_MALFORMED) as problem:
        raise _malformed("this call", problem) from problem


def digest(
    definition: Definition, calls: Sequence[Call], values: ValueCodec, generated: frozenset[str] = frozenset()
) -> str:
    """Return a digest of all that was written in a workflow, as 64 hexadecimal digits.

    Equal workflows have equal digests: `generated` ids are replaced by their positions, and the order of the keys
    in arguments and options does not matter.
    """
    renamed = {node.id: f"\0{number}" for number, node in enumerate(definition.graph.nodes) if node.id in generated}
    content = hashlib.sha256(_dumps(_in_order(_definition_fields(definition, renamed))).encode())
    for item in calls:
        written = values.encode(_in_order(_call_fields(item, renamed)))
        content.update(b"%d:" % len(written))  # where one call ends must not be open to doubt
        content.update(written)
    return content.hexdigest()


def _in_order(value: dict[str, Any]) -> dict[str, Any]:
    """Copy nested lists and dicts, the keys of each dict in the order of their texts.

    Raises `LimitError` for a value that has too many items, or contains itself.
    """
    items = 0
    top: list[Any] = [value]
    todo: list[tuple[Any, Any]] = [(top, 0)]
    while todo:
        holder, key = todo.pop()
        item = holder[key]
        if isinstance(item, dict):
            written = cast("Mapping[Any, Any]", item)
            copy: Any = {name: written[name] for name in sorted(written, key=str)}
            todo += [(copy, name) for name in copy]
        elif isinstance(item, list):
            copy = list(cast("Sequence[Any]", item))
            todo += [(copy, place) for place in range(len(copy))]
        else:
            continue
        holder[key] = copy
        items += len(copy)
        if items > MAX_ITEMS:
            message = f"a call and its options have more than {MAX_ITEMS:,} items; store the data elsewhere"
            raise LimitError(message)
    ordered: dict[str, Any] = top[0]
    return ordered


# JSON


def _dumps(fields: Mapping[str, Any]) -> str:
    try:
        return json.dumps(fields, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as problem:
        message = f"this cannot be written as JSON: {problem}"
        raise EncodingError(message) from problem


def _loads(data: str | bytes, what: str) -> dict[str, Any]:
    try:
        written: Any = json.loads(data)
    except (ValueError, RecursionError):
        message = f"{what} is not JSON"
        raise UnsupportedVersionError(message) from None
    fields = cast("dict[str, Any]", written) if isinstance(written, dict) else {}
    _check_version(fields.get("v"), what)
    return fields


_MALFORMED: Final = (LookupError, TypeError, ValueError, OverflowError)
"""What reading raises where something else stands than this release would write."""


def _malformed(what: str, problem: Exception) -> UnsupportedVersionError:
    return UnsupportedVersionError(
        f"{what} is of format {FORMAT} but not as this release writes it ({type(problem).__name__}: {problem}); "
        f"another program or a newer release wrote it"
    )


def _check_version(version: object, what: str) -> None:
    if version != FORMAT:
        message = f"{what} is written in format {quoted(repr(version))}; this release reads format {FORMAT}"
        raise UnsupportedVersionError(message)
