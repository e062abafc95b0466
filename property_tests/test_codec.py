"""What is written down comes back as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from dyrygent_core import Call, Definition, Graph, Observation, ResultRef, Workflow
from dyrygent_core.codec import (
    JSON_VALUES,
    decode_call,
    decode_definition,
    decode_observation,
    digest,
    encode_call,
    encode_definition,
    encode_observation,
)
from dyrygent_core.refs import NO_VALUE, detach, resolve
from dyrygent_testing import graphs, node_ids, observations, payloads, workflows
from property_tests.running import FEWER


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
