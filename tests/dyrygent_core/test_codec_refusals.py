"""What cannot be read: another version, another shape, another type. It is refused in words, and never misread."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import pytest

from dyrygent_core import Definition, Graph, Node, ResultRef, call
from dyrygent_core.calls import Template
from dyrygent_core.codec import (
    JSON_VALUES,
    decode_call,
    decode_definition,
    decode_observation,
    encode_call,
    encode_definition,
)
from dyrygent_core.errors import UnsupportedVersionError


def not_as_written(what: str, why: str) -> str:
    return (
        f"{what} is of format 1 but not as this release writes it ({why}); another program or a newer release wrote it"
    )


# Anything


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("begin", "Expecting value: line 1 column 1 (char 0)"),
        ('{"v":1}{"v":1}', "something follows at character 7"),
        ("\ufeff{}", "Expecting value: line 1 column 1 (char 0)"),
        ("[NaN]", "there is no NaN"),
        ("[-Infinity]", "there is no -Infinity"),
        ("[1e999]", "a number is out of range"),
    ],
)
def test_what_is_not_json_is_refused(written: str, why: str) -> None:
    """With the place, as far as there is one; and NaN is no JSON."""
    data = written.encode()
    readers: list[tuple[str, Callable[[], object]]] = [
        ("this journal entry", lambda: decode_observation(written)),
        ("this workflow's definition", lambda: decode_definition(data)),
        ("this value", lambda: decode_call(data, JSON_VALUES)),
        ("this value", lambda: JSON_VALUES.decode(data)),
    ]

    for what, read in readers:
        with pytest.raises(UnsupportedVersionError) as caught:
            read()
        assert str(caught.value) == f"{what} is not JSON: {why}"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff", "'utf-8' codec can't decode byte 0xff in position 0"),
        (b'"\xed\xa0\x80"', "'utf-8' codec can't decode byte 0xed in position 1"),
        (b"[" * 200_000, "maximum recursion depth exceeded"),
        (b"9" * 5_000, "Exceeds the limit (4300 digits) for integer string conversion"),
    ],
)
def test_no_reader_gives_up_in_words_of_its_own(data: bytes, why: str) -> None:
    """Bad UTF-8, and what is too deep or too long to be read."""
    with pytest.raises(UnsupportedVersionError) as caught:
        JSON_VALUES.decode(data)
    assert str(caught.value).startswith(f"this value is not JSON: {why}")
    with pytest.raises(UnsupportedVersionError):
        decode_call(data, JSON_VALUES)
    with pytest.raises(UnsupportedVersionError):
        decode_observation(data)


def test_blanks_around_a_text_are_none_of_it() -> None:
    """Whoever writes a journal with a program of their own may have them."""
    assert JSON_VALUES.decode(b' \r\n\t[1.5, {"a": 1e3}] ') == [1.5, {"a": 1000.0}]


@pytest.mark.parametrize(
    ("version", "shown"),
    [("2", "'2'"), ("true", "'True'"), ("1.0", "'1.0'"), ("null", "'None'"), ('"1"', "\"'1'\""), ("[1]", "'[1]'")],
)
def test_another_format_is_refused(version: str, shown: str) -> None:
    """In Python, True and 1.0 are equal to 1; they are no format."""
    written = f'{{"v":{version},"t":"begin"}}'.encode()
    readers: dict[str, Callable[[], object]] = {
        "this journal entry": lambda: decode_observation(written),
        "this workflow's definition": lambda: decode_definition(written),
        "this call": lambda: decode_call(written, JSON_VALUES),
    }

    for what, read in readers.items():
        with pytest.raises(UnsupportedVersionError) as caught:
            read()
        assert str(caught.value) == f"{what} is written in format {shown}; this release reads format 1"


# Observations


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{}", "this journal entry is written in format 'None'; this release reads format 1"),
        ("[1]", "this journal entry is written in format 'None'; this release reads format 1"),
        ('{"v":1,"t":"paused"}', "this journal entry is of the kind 'paused', which this release does not know"),
        ('{"v":1,"t":["begin"]}', "this journal entry is of the kind \"['begin']\", which this release does not know"),
        ('{"v":1,"t":"lost"}', not_as_written("this journal entry", "KeyError: 'a'")),
        (
            '{"v":1,"t":"begin","at":5,"colour":1}',
            not_as_written("this journal entry", "ValueError: there is no field 'at' in it"),
        ),
    ],
)
def test_an_entry_that_cannot_be_read_is_refused(written: str, message: str) -> None:
    """Another version, another kind, another shape."""
    with pytest.raises(UnsupportedVersionError) as caught:
        decode_observation(written)

    assert str(caught.value) == message


FAILED: Final = '"t":"failed","a":["x",0,1],"failure":{"type":"E","message":"","module":""}'


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ('"t":"skip_requested","node":["a"],"reason":""', "node must be a str, not list: ['a']"),
        ('"t":"skip_requested","node":"a","reason":null', "reason must be a str, not NoneType: None"),
        ('"t":"cancel_requested","reason":5', "reason must be a str, not int: 5"),
        ('"t":"retry_due","a":[["x"],0,1]', "a must be [str, int, int], not list: [['x'], 0, 1]"),
        ('"t":"retry_due","a":["x",0.5,1]', "a must be [str, int, int], not list: ['x', 0.5, 1]"),
        ('"t":"retry_due","a":["x",0,1.0]', "a must be [str, int, int], not list: ['x', 0, 1.0]"),
        ('"t":"retry_due","a":["x",0,true]', "a must be [str, int, int], not list: ['x', 0, True]"),
        ('"t":"retry_due","a":["x",0]', "a must be [str, int, int], not list: ['x', 0]"),
        ('"t":"retry_due","a":"x01"', "a must be a list, not str: 'x01'"),
        ('"t":"succeeded","a":["x",0,1],"branches":[["x"]]', "branches must be a list of str, not list: [['x']]"),
        ('"t":"succeeded","a":["x",0,1],"branches":"m"', "branches must be a list, not str: 'm'"),
        ('"t":"succeeded","a":["x",0,1],"branches":null', "branches must be a list, not NoneType: None"),
        ('"t":"succeeded","a":["x",0,1],"sizes":["x"]', "sizes must be a list of int, not list: ['x']"),
        ('"t":"succeeded","a":["x",0,1],"sizes":[null]', "sizes must be a list of int, not list: [None]"),
        ('"t":"succeeded","a":["x",0,1],"sizes":[1.5]', "sizes must be a list of int, not list: [1.5]"),
        ('"t":"succeeded","a":["x",0,1],"sizes":[true]', "sizes must be a list of int, not list: [True]"),
        ('"t":"timed_out","a":["x",0,1],"ran":[null,null]', "ran must be [int, int, str], not list: [None, None]"),
        ('"t":"timed_out","a":["x",0,1],"ran":[1,2]', "ran must be [int, int, str], not list: [1, 2]"),
        ('"t":"rerun_requested","nodes":[["a"]]', "nodes must be a list of str, not list: [['a']]"),
        ('"t":"rerun_requested","nodes":"a"', "nodes must be a list, not str: 'a'"),
        ('"t":"deadline_passed","round":0', "round must be 1 or more, not int: 0"),
        ('"t":"deadline_passed","round":true', "round must be a whole number, not bool: True"),
        ('"t":"failed","a":["x",0,1],"failure":5', "failure must be a mapping, not int: 5"),
        ('"t":"failed","a":["x",0,1],"failure":{"type":5}', "type must be a str, not int: 5"),
        (FAILED.replace('""}', '"","args":5}'), "args must be a list, not int: 5"),
        (FAILED.replace('""}', '"","trace":[]}'), "there is no field 'trace' in failure"),
        (f'{FAILED},"final":"no"', "final must be true or false, not str: 'no'"),
        (f'{FAILED},"revoked":1', "revoked must be true or false, not int: 1"),
    ],
)
def test_a_field_of_another_type_is_refused(fields: str, why: str) -> None:
    """It would be read without a word, and make every later fold fail."""
    with pytest.raises(UnsupportedVersionError) as caught:
        decode_observation(f'{{"v":1,{fields}}}')

    assert str(caught.value) == not_as_written("this journal entry", f"ValueError: {why}")


def test_an_attempt_that_never_was_is_refused() -> None:
    """Its constructor says why."""
    with pytest.raises(UnsupportedVersionError, match="an attempt has an index of 0 or more"):
        decode_observation('{"v":1,"t":"retry_due","a":["x",-1,1]}')


# Definitions

DEFINITION: Final = Definition(
    Graph([Node("a"), Node("b", ["a"], trigger="all_done", max_attempts=2)]),
    Template.of({"a": ResultRef("a").default(None)}),
    kept=frozenset({"a"}),
    name="two",
)
HERE: Final = [["a"], "a", [], None]
"""The one reference of its output."""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rules": 2}, "this workflow follows rules 2; this release knows rules 1 to 1"),
        ({"rules": None}, "rules must be a whole number, not NoneType: None"),
        ({"rules": 0}, "rules must be 1 or more, not int: 0"),
        ({"rules": -3}, "rules must be 1 or more, not int: -3"),
        ({"rules": 0.5}, "rules must be a whole number, not float: 0.5"),
        ({"rules": True}, "rules must be a whole number, not bool: True"),
        ({"rules": float("nan")}, "is not JSON: there is no NaN"),
        ({"colour": 1}, "there is no field 'colour' in it"),
        ({"name": 5}, "name must be a str, not int: 5"),
        ({"deadline_ms": 0}, "deadline_ms must be 1 or more, not int: 0"),
        ({"max_in_flight": True}, "max_in_flight must be a whole number, not bool: True"),
        ({"mode": "fast"}, "mode 'fast' is none of 'run_independent', 'fail_fast'"),
        ({"ids": ["a"], "policies": {}}, "it has 1 ids, and edges to 2"),
        ({"ids": ["a", "b", "c"]}, "it has 3 ids, and edges to 2"),
        ({"ids": ["a", 5]}, "ids must be a list of str, not list: ['a', 5]"),
        ({"ids": ["a", "a"]}, "node 'a' is already in the workflow"),
        ({"edges": [[], [-2]]}, "node 1 waits for node -2, which does not come before it"),
        ({"edges": [[], [7]]}, "node 1 waits for node 7, which does not come before it"),
        ({"edges": [[1], [0]]}, "node 0 waits for node 1, which does not come before it"),
        ({"edges": [[], [1]]}, "node 1 waits for node 1, which does not come before it"),
        ({"edges": [[], [False]]}, "an edge must be a list, not bool: False"),
        ({"edges": [[], [[0, "done", "junk"]]]}, "an edge must be [int, str], not list: [0, 'done', 'junk']"),
        ({"edges": [[], [[0, None]]]}, "an edge must be [int, str], not list: [0, None]"),
        ({"edges": [[], [[0, "soon"]]]}, "condition 'soon' is none of"),
        ({"policies": []}, "policies must be a mapping, not list: []"),
        ({"policies": {"2": {"priority": 1}}}, "there is no field '2' in the policies"),
        ({"policies": {"01": {"priority": 1}}}, "there is no field '01' in the policies"),
        ({"policies": {"1": []}}, "a policy must be a mapping, not list: []"),
        ({"policies": {"0": {"colour": 1}}}, "got an unexpected keyword argument 'colour'"),
        ({"policies": {"0": {"trigger": "most"}}}, "trigger 'most' is none of"),
        ({"policies": {"0": {"retry": []}}}, "retry must be a mapping, not list: []"),
        ({"policies": {"0": {"retry": {"jitter": 2}}}}, "jitter must be a number from 0 to 1, not 2"),
        ({"policies": {"1": {"each": [0]}}}, "each must be [int, list], not list: [0]"),
        ({"policies": {"1": {"each": [-1, []]}}}, "there is no node -1 there"),
        ({"policies": {"1": {"each": [0, [[]]]}}}, "a path must be a list of keys, not list: [[]]"),
        ({"kept": [-1]}, "there is no node -1 there"),
        ({"kept": [1, 0]}, "kept must be a list of ascending numbers, not list: [1, 0]"),
        ({"engine_named": [2]}, "there is no node 2 there"),
        ({"output": None}, "output must be a list, not NoneType: None"),
        ({"output": [None]}, "not enough values to unpack"),
        ({"output": [{"a": None}, [[["a"], "gone", []]]]}, "node 'gone' is not in the graph"),
        ({"output": [{"a": None}, [[["a"], "\0item", []]]]}, "an id must not contain NUL"),
        ({"output": [{"a": 5}, [HERE]]}, "the place of a reference must be null in the value, not list: ['a']"),
        ({"output": [{}, [HERE]]}, "the place of a reference must be in the value, not list: ['a']"),
    ],
)
def test_a_definition_that_cannot_be_read_is_refused(change: dict[str, Any], message: str) -> None:
    """A newer release's, or nobody's."""
    written = {**json.loads(encode_definition(DEFINITION)), **change}

    with pytest.raises(UnsupportedVersionError) as caught:
        decode_definition(json.dumps(written).encode())

    assert message in str(caught.value)
    assert decode_definition(encode_definition(DEFINITION)) == DEFINITION


def test_nodes_in_another_order_are_refused() -> None:
    """Calls are found by the numbers of their nodes, so they would go to other ones."""
    written = json.loads(encode_definition(DEFINITION))
    written |= {"ids": ["a", "c", "b"], "edges": [[], [0], []], "policies": {}}

    with pytest.raises(UnsupportedVersionError, match="its nodes do not stand in the order of their numbers"):
        decode_definition(json.dumps(written).encode())


# Calls

CALL: Final = call("load", ResultRef("a")[0], [ResultRef("b").default(7)], key=ResultRef("c")).with_options(queue="q")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"target": ""}, "a call names its target by a non-empty str, not ''"),
        ({"target": 5}, "target must be a str, not int: 5"),
        ({"options": 5}, "options must be a mapping, not int: 5"),
        ({"colour": 5}, "there is no field 'colour' in it"),
        ({"inputs": 5}, "inputs must be a mapping, not int: 5"),
        ({"inputs": {"args": {}, "kwargs": {}}}, "its inputs are not a list of args and a mapping of kwargs"),
        ({"inputs": {"args": []}}, "its inputs are not a list of args and a mapping of kwargs"),
        ({"refs": 1}, "references must be a list, not int: 1"),
        ({"refs": ["abc"]}, "a reference must be a list, not str: 'abc'"),
        ({"refs": [[["args", 0], "a"]]}, "a reference must be [list, str, list], not list: [['args', 0], 'a']"),
        ({"refs": [[["args", 0], 5, []]]}, "a reference must be [list, str, list], not list: [['args', 0], 5, []]"),
        ({"refs": [[["args", 0], "", []]]}, "an id must have 1 to 255 characters; '' has 0"),
        ({"refs": [[["args", 0], "a", [], 7, 8]]}, "a reference has a place, a node, a path and perhaps a default, "),
        ({"refs": [[["args", 0], "a", [0.5]]]}, "a path must be a list of keys, not list: [0.5]"),
        ({"refs": [[["args", True], "a", []]]}, "a path must be a list of keys, not list: ['args', True]"),
        ({"refs": [[["args", 3], "a", []]]}, "the place of a reference must be in the value, not list: ['args', 3]"),
        ({"refs": [[["args", -1], "a", []]]}, "the place of a reference must be in the value, not list: ['args', -1]"),
        ({"refs": [[["args", "0"], "a", []]]}, "must be in the value, not list: ['args', '0']"),
        ({"refs": [[["kwargs", 0], "a", []]]}, "must be in the value, not list: ['kwargs', 0]"),
        ({"refs": [[["args", 0, 0], "a", []]]}, "must be in the value, not list: ['args', 0, 0]"),
        ({"refs": [[["args"], "a", []]]}, "the place of a reference must be null in the value, not list: ['args']"),
    ],
)
def test_a_call_that_cannot_be_read_is_refused(change: dict[str, Any], why: str) -> None:
    """What it refers to has a place, or the place would be missed when it is sent."""
    written = {**json.loads(encode_call("load", CALL, JSON_VALUES)), **change}

    with pytest.raises(UnsupportedVersionError) as caught:
        decode_call(json.dumps(written).encode(), JSON_VALUES)

    assert str(caught.value).startswith("this call is of format 1 but not as this release writes it (")
    assert why in str(caught.value)
    assert decode_call(encode_call("load", CALL, JSON_VALUES), JSON_VALUES) == CALL


@pytest.mark.parametrize("written", [b"[]", b"5", b'{"v":1}'])
def test_what_is_no_call_is_refused(written: bytes) -> None:
    """Like entries and definitions."""
    with pytest.raises(UnsupportedVersionError, match="this call is of format 1 but not as this release writes it"):
        decode_call(written, JSON_VALUES)
