"""Calls, and the digest of a workflow: of its definition and all its calls."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from dyrygent_core.calls import Call
from dyrygent_core.codec.definitions import definition_fields
from dyrygent_core.codec.fields import Fields, check_known, known, mapped, text
from dyrygent_core.codec.json_text import FORMAT, MALFORMED, check_version, dumps, malformed
from dyrygent_core.codec.references import read_template, renamed_key, write_references
from dyrygent_core.errors import EncodingError, LimitError, quoted
from dyrygent_core.ports import ValueCodec
from dyrygent_core.refs import MAX_ITEMS
from dyrygent_core.workflow import Definition

__all__ = ["MAX_ARGUMENT_BYTES", "MAX_RESULT_BYTES", "decode_call", "digest", "encode_call"]

_WHAT: Final = "this call"
_FIELDS: Final = known("v target inputs refs options")
_INPUTS: Final = {"args": list, "kwargs": dict}
_HOLDERS: Final = (dict, list)

MAX_ARGUMENT_BYTES: Final = 1 << 20
"""Most bytes of one call's arguments as written, references not resolved."""
MAX_RESULT_BYTES: Final = 64 << 20
"""Most bytes of one result, and of one call's arguments with references resolved."""


def encode_call(node_id: str, call: Call, values: ValueCodec) -> bytes:
    """Write a call with the engine's codec.

    Raises `EncodingError` naming the node, and `LimitError` beyond `MAX_ARGUMENT_BYTES`.
    """
    try:
        data = values.encode(call_fields(call, {}))
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


def call_fields(call: Call, renamed: Mapping[str, str]) -> dict[str, Any]:
    return {
        "v": FORMAT,
        "target": call.target,
        "inputs": call.inputs.value,
        "refs": write_references(call.inputs.references, renamed),
        "options": {name: renamed_key(value, renamed) for name, value in call.options.items()},
    }


def decode_call(data: bytes, values: ValueCodec) -> Call:
    """Read a call; raises `UnsupportedVersionError` for another format, and for what no release wrote."""
    try:
        fields = mapped(values.decode(data), "a call")
        check_version(fields.get("v"), _WHAT)
        return _read_call(fields)
    except (RecursionError, *MALFORMED) as problem:
        raise malformed(_WHAT, problem) from problem


def _read_call(fields: Fields) -> Call:
    check_known(fields, _FIELDS)
    inputs = mapped(fields["inputs"], "inputs")
    if {name: type(value) for name, value in inputs.items()} != _INPUTS:
        message = "its inputs are not a list of args and a mapping of kwargs"  # and not which: they are the user's
        raise ValueError(message)
    template = read_template(inputs, fields["refs"])
    return Call(text(fields, "target"), template, mapped(fields["options"], "options"))


def digest(
    definition: Definition, calls: Sequence[Call], values: ValueCodec, generated: frozenset[str] = frozenset()
) -> str:
    """Return a digest of all that was written in a workflow, as 64 hexadecimal digits.

    Equal workflows have equal digests: `generated` ids are replaced by their positions, and neither the order of the
    keys in arguments and options matters, nor the version of the rules, which the release chose and not the user.
    """
    renamed = {node.id: f"\0{number}" for number, node in enumerate(definition.graph.nodes) if node.id in generated}
    fields = {**definition_fields(definition, renamed), "rules": 1}
    content = hashlib.sha256(dumps(_in_order(fields, math.inf)).encode())
    for item in calls:
        written = values.encode(_in_order(call_fields(item, renamed), MAX_ITEMS))
        content.update(b"%d:" % len(written))  # where one call ends must not be open to doubt
        content.update(written)
    return content.hexdigest()


def _in_order(value: dict[str, Any], most_items: float) -> dict[str, Any]:
    """Copy nested lists and dicts, the keys of each dict in the order of their texts.

    Raises `LimitError` for a value that has more items, as one that contains itself has.
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
            todo += [(copy, name) for name, its in copy.items() if isinstance(its, _HOLDERS)]
        else:
            copy = list(cast("Sequence[Any]", item))
            todo += [(copy, place) for place, its in enumerate(copy) if isinstance(its, _HOLDERS)]
        holder[key] = copy
        items += len(copy)
        if items > most_items:
            message = f"a call and its options have more than {most_items:,} items; store the data elsewhere"
            raise LimitError(message)
    ordered: dict[str, Any] = top[0]
    return ordered
