"""What is written down comes back as it was; what is nearly that is refused, or good to go on with."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from typing import Any, Final

from attrs import evolve
from hypothesis import event, given
from hypothesis import strategies as st

from dyrygent_core import Call, Definition, Graph, Observation, ResultRef, State, Workflow, advance
from dyrygent_core.codec import (
    JSON_VALUES,
    Snapshot,
    decode_call,
    decode_definition,
    decode_observation,
    decode_snapshot,
    digest,
    encode_call,
    encode_definition,
    encode_observation,
    encode_snapshot,
)
from dyrygent_core.codec.snapshots import Emission
from dyrygent_core.errors import EncodingError, ResultMissingError, ResultPathError, UnsupportedVersionError
from dyrygent_core.invariants import check_state
from dyrygent_core.refs import NO_VALUE, detach, resolve
from dyrygent_testing import graphs, node_ids, observations, payloads, workflows
from property_tests.running import FEWER, observed_graphs


@given(observations())
def test_observations_come_back(observation: Observation) -> None:
    """An observation is one line of ASCII, and comes back with the time that the journal adds."""
    written = encode_observation(observation)

    assert "\n" not in written
    assert written.isascii()
    assert decode_observation(written, observation.at_ms) == observation


@given(graphs(ids=node_ids(), max_nodes=6))
def test_definitions_come_back(graph: Graph) -> None:
    """A graph comes back with the same numbers, so that calls are found by them."""
    definition = Definition(graph, kept=frozenset(graph.sinks), engine_named=frozenset(graph.sinks[:1]))

    again = decode_definition(encode_definition(definition))

    assert again == definition
    assert again.graph.numbers == graph.numbers
    assert again.graph.successors == graph.successors


@FEWER
@given(workflows())
def test_workflows_come_back(workflow: Workflow) -> None:
    """What the builder made, definition and calls, comes back equal; building again gives the same digest."""
    definition, calls = workflow.build()

    assert decode_definition(encode_definition(definition)) == definition
    for node, call in zip(definition.graph.nodes, calls, strict=True):
        assert decode_call(encode_call(node.id, call, JSON_VALUES), JSON_VALUES) == call
    first, again = (digest(definition, tuple(map(written, calls)), JSON_VALUES) for written in (_as_is, _turned))
    assert first == again


def _as_is(call: Call) -> Call:
    return call


def _turned(call: Call) -> Call:
    """Give an equal call, the keys of its arguments in another order."""
    return evolve(call, inputs=evolve(call.inputs, value=dict(reversed(call.inputs.value.items()))))


@FEWER
@given(st.data())
def test_references_find_their_places_again(data: st.DataObject) -> None:
    """Taking references out and putting results in is the same as having written the results."""
    results: dict[str, Any] = {"a": 1, "b": [2, {"c": 3}]}
    refs = {"a": ResultRef("a"), "c": ResultRef("b")[1]["c"], "no": ResultRef("gone").default(None)}
    values = {"a": 1, "c": 3, "no": None}
    shape = data.draw(_with_names(st.sampled_from(sorted(refs)).map(_Name)))

    detached, references = detach(_filled(shape, refs))
    before = JSON_VALUES.encode(detached)

    assert ResultRef not in map(type, _leaves(detached))
    assert resolve(JSON_VALUES.decode(before), references, lambda node: results.get(node, NO_VALUE)) == _filled(
        shape, values
    )


class _Name(str):
    """Where a reference goes."""

    __slots__ = ()


def _with_names(names: st.SearchStrategy[_Name]) -> st.SearchStrategy[Any]:
    return st.recursive(
        names | payloads(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    )


def _filled(shape: Any, by_name: Mapping[str, Any]) -> Any:  # payloads
    match shape:
        case _Name():
            return by_name[shape]
        case list():
            return [_filled(item, by_name) for item in shape]
        case dict():
            return {key: _filled(item, by_name) for key, item in shape.items()}
        case _:
            return shape


def _leaves(value: Any) -> list[Any]:  # a payload
    match value:
        case list():
            return [leaf for item in value for leaf in _leaves(item)]
        case dict():
            return [leaf for item in value.values() for leaf in _leaves(item)]
        case _:
            return [value]


# What nobody wrote

Observed = tuple[Graph, tuple[Observation, ...]]


@given(observed_graphs(), st.data())
def test_an_altered_entry_is_refused_or_can_be_folded(observed: Observed, data: st.DataObject) -> None:
    """Whatever is read of a journal can be folded, and so can the rest; what is read is written the same again."""
    graph, history = observed
    if not history:
        return
    at = data.draw(st.integers(0, len(history) - 1))
    try:
        read = decode_observation(data.draw(altered(encode_observation(history[at]))), history[at].at_ms)
    except UnsupportedVersionError:
        event("refused")
        return

    assert decode_observation(encode_observation(read), read.at_ms) == read
    state = State.initial(graph)
    for observation in (*history[:at], read, *history[at:]):
        state, _ = advance(graph, state, [observation])
        check_state(state)


@FEWER
@given(workflows(), st.data())
def test_an_altered_definition_is_refused_or_comes_back(workflow: Workflow, data: st.DataObject) -> None:
    """Whatever is read is a definition, with its nodes in the order in which they were written."""
    written = data.draw(altered(encode_definition(workflow.build()[0])))
    try:
        read = decode_definition(written)
    except UnsupportedVersionError:
        event("refused")
        return

    assert decode_definition(encode_definition(read)) == read
    assert list(read.graph.numbers) == json.loads(written)["ids"]
    with suppress(ResultMissingError, ResultPathError):
        resolve(read.output.value, read.output.references, lambda _: NO_VALUE)


@FEWER
@given(workflows(), st.data())
def test_an_altered_call_is_refused_or_can_be_sent(workflow: Workflow, data: st.DataObject) -> None:
    """Whatever is read has places for the results that it refers to."""
    calls = workflow.build()[1]
    if not calls:
        return
    call = data.draw(st.sampled_from(calls))
    try:
        read = decode_call(data.draw(altered(encode_call("node", call, JSON_VALUES))), JSON_VALUES)
    except UnsupportedVersionError:
        event("refused")
        return

    assert decode_call(encode_call("node", read, JSON_VALUES), JSON_VALUES) == read
    with suppress(ResultMissingError, ResultPathError):
        resolve(read.inputs.value, read.inputs.references, lambda _: [{"id": 1}, 2])


@given(observed_graphs(), st.data())
def test_an_altered_snapshot_is_refused_or_is_of_a_state(observed: Observed, data: st.DataObject) -> None:
    """With a sum of its own, whatever is read is a state that holds every invariant, and can be gone on from."""
    graph, history = observed
    cut = data.draw(st.integers(0, len(history)))
    state, _ = advance(graph, State.initial(graph), history[:cut])
    emitted = {attempt: Emission(cut, 5) for attempt in state.attempts_in_flight}
    written = encode_snapshot(Snapshot(state, cut, "nonce", emitted)).rpartition(b"\n")[0]
    body = _packed(data.draw(altered(_unpacked(written))))
    try:
        read = decode_snapshot(body + b"\n" + hashlib.sha256(body).hexdigest().encode(), graph)
    except UnsupportedVersionError:
        event("refused")
        return

    assert decode_snapshot(encode_snapshot(read), graph) == read
    now = read.state
    check_state(now)
    for observation in history[cut:]:
        now, _ = advance(graph, now, [observation])
        check_state(now)


@given(st.binary(max_size=40) | st.deferred(lambda: altered(b'[1.5,{"a":-0.0},"\\u0000"]')))
def test_what_is_no_value_is_refused(data: bytes) -> None:
    """What is read as a payload is strict JSON, and is written and read the same again."""
    try:
        read = JSON_VALUES.decode(data)
        written = JSON_VALUES.encode(read)
    except (UnsupportedVersionError, EncodingError):  # a lone surrogate can be read and not written
        return

    assert JSON_VALUES.decode(written) == read


_PLAIN: Final = (None, True, False, "", "a", "0", "done", 0.5, 1.0, 1e300, float("nan"), float("inf"), 2**70)
_NUMBERS: Final = (*range(-2, 6), *range(201, 210), 255)
"""Numbers of nodes and of statuses, and those beside them."""
_JUNK: Final = st.sampled_from([*_PLAIN, *_NUMBERS, [], {}, [[]], [0], ["a"]]).map(deepcopy)


@st.composite
def altered(draw: st.DrawFn, written: str | bytes) -> bytes:
    """Draw what is nearly this text: a value in it replaced, moved or left out, or a byte of it changed."""
    text = written.encode() if isinstance(written, str) else written
    if draw(st.sampled_from([False] * 7 + [True])):
        at = draw(st.integers(0, len(text)))
        return text[:at] + draw(st.binary(max_size=1)) + text[at + draw(st.integers(0, 1)) :]
    top: list[Any] = [json.loads(text)]
    for _ in range(draw(st.sampled_from([1, 1, 2, 3]))):
        places = list(_places(top))
        holder, key = draw(st.sampled_from(places))
        other, its_key = draw(st.sampled_from(places))
        match draw(st.sampled_from(["junk", "junk", "another", "another", "out", "more"])):
            case "junk":
                holder[key] = draw(_JUNK)
            case "another":
                holder[key] = deepcopy(other[its_key])
            case "out" if holder is not top:
                del holder[key]
            case _ if isinstance(holder[key], list):
                holder[key].append(draw(_JUNK))
            case _ if isinstance(holder[key], dict):
                holder[key][draw(st.sampled_from(["a", "0", "1", "-1", "round"]))] = draw(_JUNK)
            case _:
                holder[key] = [holder[key]]
    return json.dumps(top[0]).encode()


def _places(top: list[Any]) -> Sequence[tuple[Any, Any]]:
    """Give every place in a value: its holder, and its key there."""
    places: list[tuple[Any, Any]] = []
    todo: list[Any] = [top]
    while todo:
        holder = todo.pop()
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        places += [(holder, key) for key in keys]
        todo += [holder[key] for key in keys if isinstance(holder[key], list | dict)]
    return places


def _unpacked(body: bytes) -> bytes:
    """Write a snapshot's statuses as lists of numbers, so that they can be altered."""
    fields = json.loads(body)
    fields["statuses"] = list(zlib.decompress(base64.b64decode(fields["statuses"])))
    for band in fields["bands"]:
        band[1] = list(zlib.decompress(base64.b64decode(band[1])))
    return json.dumps(fields).encode()


def _packed(body: bytes) -> bytes:
    """Pack them again, where they are lists of bytes still."""
    with suppress(TypeError, ValueError, LookupError):
        fields = json.loads(body)
        fields["statuses"] = _packed_statuses(fields["statuses"])
        for band in fields["bands"]:
            band[1] = _packed_statuses(band[1])
        return json.dumps(fields).encode()
    return body


def _packed_statuses(statuses: Any) -> Any:
    return base64.b64encode(zlib.compress(bytes(statuses))).decode() if isinstance(statuses, list) else statuses
