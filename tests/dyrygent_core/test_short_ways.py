"""What is read a short way is what the long way would have made, and is refused where that would refuse it."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any, Final

import attrs
import pytest

from dyrygent_core import Definition, Edge, Graph, Node, RetryPolicy
from dyrygent_core.codec import decode_definition, decode_observation, encode_definition
from dyrygent_core.errors import UnsupportedVersionError
from dyrygent_core.nodes import node_like, plain_edge

POLICIES: Final[dict[str, dict[str, Any]]] = {
    "none": {},
    "an OR-rule": {"trigger": "one_success"},
    "all of them": {
        "trigger": "all_done",
        "allow_failure": True,
        "max_attempts": 3,
        "retry": RetryPolicy(1_000, 3.0),
        "on_loss": "fail",
        "max_losses": 5,
        "timeout_ms": 60_000,
        "priority": -2,
    },
}


@pytest.mark.parametrize("policies", POLICIES.values(), ids=POLICIES)
def test_a_node_like_another_is_what_its_constructor_makes(policies: dict[str, Any]) -> None:
    """In every respect: fields, text, hash, pickle; and nobody can write to it."""
    made = Node("b", ["a"], **policies)

    like = node_like(Node("x", ["y"], **policies), "b", (plain_edge("a"),))

    assert (like, repr(like), hash(like), type(like)) == (made, repr(made), hash(made), Node)
    assert pickle.loads(pickle.dumps(like)) == copy.deepcopy(like) == attrs.evolve(like) == made  # noqa: S301  # our own
    for name in (attribute.name for attribute in attrs.fields(Node)):
        assert getattr(like, name) == getattr(made, name)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(like, name, None)


def test_a_plain_edge_is_what_its_constructor_makes() -> None:
    """It has no condition of its own."""
    made, plain = Edge("a"), plain_edge("a")

    assert (plain, repr(plain), hash(plain), type(plain)) == (made, repr(made), hash(made), Edge)
    assert pickle.loads(pickle.dumps(plain)) == made  # noqa: S301  # our own
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        plain.node = "b"  # type: ignore[misc]


ALIKE: Final = Definition(
    Graph(
        [
            Node("a"),
            Node("b", ["a"], max_attempts=2),
            Node("c", ["a"], max_attempts=2),
            Node("d", ["a", "b"], trigger="one_success"),
            Node("e", ["c", Edge("b", "done")]),
            Node("f", ["c", "d"], trigger="one_success"),
        ]
    )
)
EDGES: Final = [[], [0], [0], [0, 1], [2, [1, "done"]], [2, 3]]


def changed(**change: Any) -> bytes:
    return json.dumps({**json.loads(encode_definition(ALIKE)), **change}).encode()


def test_nodes_that_are_alike_are_read_as_they_were_written() -> None:
    """Those with equal policies too, and with conditions between them."""
    assert json.loads(encode_definition(ALIKE))["edges"] == EDGES
    assert decode_definition(encode_definition(ALIKE)) == ALIKE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"edges": [*EDGES[:2], [0, 0], *EDGES[3:]]}, "node 'c' lists the dependency 'a' twice"),
        ({"edges": [*EDGES[:2], [2], *EDGES[3:]]}, "node 2 waits for node 2, which does not come before it"),
        ({"edges": [*EDGES[:2], [-1], *EDGES[3:]]}, "node 2 waits for node -1, which does not come before it"),
        ({"edges": [*EDGES[:2], [0.0], *EDGES[3:]]}, "an edge must be a list, not float: 0.0"),
        ({"edges": [*EDGES[:2], [True], *EDGES[3:]]}, "an edge must be a list, not bool: True"),
        ({"edges": [*EDGES[:2], {"0": 0}, *EDGES[3:]]}, "edges must be a list, not dict: {'0': 0}"),
        ({"edges": [*EDGES[:2], "0", *EDGES[3:]]}, "edges must be a list, not str: '0'"),
        ({"edges": [*EDGES[:5], []]}, "node 'f': 'one_success' needs at least one dependency"),
        ({"edges": [*EDGES[:5], [[2, "done"], 3]]}, "node 'f': 'one_success' looks at all dependencies together"),
        ({"policies": {"1": {"max_attempts": 1}, "2": {"max_attempts": True}}}, "whole number, not bool: True"),
        ({"policies": {"1": {"max_attempts": 2}, "2": {"max_attempts": 2.0}}}, "whole number, not float: 2.0"),
        ({"policies": {"1": {"timeout_ms": 5}, "2": {"timeout_ms": 0}}}, "timeout_ms must be at least 1, not 0"),
        ({"policies": {"1": {"role": "finally"}}}, "node 'b' is for the whole workflow ('finally')"),
        ({"policies": {"1": {"each": [0, []]}, "3": {"each": [2, []]}}}, "node 'd' maps over 'c'; name that among"),
        ({"policies": {"2": None}}, "a policy must be a mapping, not NoneType: None"),
        ({"ids": [*"abcde", ""]}, "an id must have 1 to 255 characters; '' has 0"),
        ({"ids": [*"abcde", "x" * 256]}, "an id must have 1 to 255 characters; "),
        ({"ids": [*"abcde", "\0"]}, "an id must not contain NUL or a lone surrogate: '\\x00'"),
        ({"ids": [*"abcd", "\ud83d", "\ude00"]}, "an id must not contain NUL or a lone surrogate: '\\ud83d'"),
        ({"ids": [*"abcde", "a"]}, "node 'a' is already in the workflow"),
        ({"edges": [[], [], [1], [0], [3], [4]], "policies": {}}, "its nodes do not stand in the order of their num"),
    ],
)
def test_what_is_nearly_alike_is_refused_in_the_same_words(change: dict[str, Any], message: str) -> None:
    """That the node before it was right is no reason to believe the next."""
    with pytest.raises(UnsupportedVersionError) as caught:
        decode_definition(changed(**change))

    assert message in str(caught.value)


def test_a_policy_that_is_too_deep_is_refused() -> None:
    """However near it comes to what a reader can hold."""
    for depth in range(100, 1_100, 50):
        written = encode_definition(ALIKE).decode().replace('{"max_attempts":2}', "[" * depth + "]" * depth, 1)
        with pytest.raises(UnsupportedVersionError):
            decode_definition(written.encode())


# Keys


@pytest.mark.parametrize(
    "line",
    [
        '{"v":1,"t":"lost","a":["x",0,1],"reason":"r","reason":"s"}',
        '{"v":1,"t":"lost","a":["x",0,1],"reason" : "r","reason" :"s"}',
        '{"v":1,"t":"lost","a":["x:y",0,1],"reason":"r","reason":"s"}',
    ],
)
def test_an_entry_with_a_key_twice_is_refused(line: str) -> None:
    """Which of the two was meant, nobody knows; so it is with definitions."""
    for data in (line, line.encode()):
        with pytest.raises(UnsupportedVersionError) as caught:
            decode_observation(data)
        assert str(caught.value) == (
            "this journal entry is not JSON: "
            "a mapping has two keys that are both 'reason' in JSON, and one value would be lost"
        )


def test_a_key_twice_within_a_field_is_refused() -> None:
    """In what an entry holds, in a definition's policies, in a snapshot."""
    failed = '{"v":1,"t":"failed","a":["x",0,1],"failure":{"type":"E","type":"F","message":"","module":""}}'
    policies = encode_definition(ALIKE).decode().replace('{"max_attempts":2}', '{"priority":1,"priority":2}', 1)

    for read in (
        lambda: decode_observation(failed),
        lambda: decode_definition(policies.encode()),
        lambda: decode_definition(encode_definition(ALIKE).replace(b'"v":1', b'"v":1,"v":1')),
    ):
        with pytest.raises(UnsupportedVersionError, match="a mapping has two keys that are both"):
            read()


def test_colons_within_texts_are_no_keys() -> None:
    """A line that has more of them than fields is read all the same."""
    line = '{"v":1,"t":"lost","a":["x:y",0,1],"reason":"worker: gone"}'

    assert decode_observation(line) == decode_observation(line.encode())
