"""What is written down: its form, what cannot be, and the digest. What cannot be read is in `test_codec_refusals`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, cast

import pytest

from dyrygent_core import (
    Attempt,
    Begin,
    Call,
    Definition,
    EncodingError,
    Failed,
    Failure,
    Graph,
    LimitError,
    Node,
    Observation,
    Ran,
    ResultRef,
    Succeeded,
    Workflow,
    call,
)
from dyrygent_core.codec import (
    JSON_VALUES,
    MAX_ARGUMENT_BYTES,
    digest,
    encode_call,
    encode_definition,
    encode_observation,
)


def test_an_observation_is_one_line_of_json() -> None:
    """Flags and places are written only where they say something; the time is the journal's."""
    assert encode_observation(Begin(at_ms=7)) == '{"v":1,"t":"begin"}'
    assert encode_observation(Succeeded(Attempt("a", 0, 2), Ran(1, 2, "w"))) == (
        '{"v":1,"t":"succeeded","a":["a",0,2],"ran":[1,2,"w"]}'
    )
    assert encode_observation(Failed(Attempt("ż"), Failure("E", "m", "x"), is_final=True)) == (
        '{"v":1,"t":"failed","a":["\\u017c",0,1],"failure":{"type":"E","message":"m","module":"x"},"final":true}'
    )


DEFINITION = Definition(Graph([Node("a"), Node("b", ["a"], trigger="all_done")]), name="two")


def test_a_definition_names_edges_by_number() -> None:
    """Policies are written where they are not the default."""
    assert json.loads(encode_definition(DEFINITION)) == {
        "v": 1,
        "rules": 1,
        "name": "two",
        "deadline_ms": None,
        "ids": ["a", "b"],
        "edges": [[], [0]],
        "policies": {"1": {"trigger": "all_done"}},
        "kept": [],
        "engine_named": [],
        "output": [None, []],
    }


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", float("nan"), float("inf"), object, "\ud800"])
def test_what_json_does_not_know_is_refused(value: Any) -> None:
    """The node and its call are named; nothing is guessed."""
    with pytest.raises(EncodingError) as caught:
        encode_call("load", call("db.load", value), JSON_VALUES)

    assert str(caught.value).startswith("the arguments of node 'load' ('db.load'): this cannot be written as JSON: ")
    assert str(caught.value).endswith("; pass str, int, float, bool, None, lists and dicts")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({1: 2, "1": 3}, "1"),
        ([{"deep": {None: 1, "null": 2}}], "null"),
        ({True: 1, "true": 2}, "true"),
        ({-1.5: 1, "-1.5": 2}, "-1.5"),
    ],
)
def test_keys_that_become_one_are_refused(value: Any, name: str) -> None:
    """JSON has keys of text only, and one of the two values would be lost without a word."""
    message = f"a mapping has two keys that are both '{name}' in JSON, and one value would be lost"

    with pytest.raises(EncodingError, match=message):
        JSON_VALUES.encode(value)
    with pytest.raises(EncodingError, match=message):
        encode_observation(Failed(Attempt("a"), Failure("E", args=(value,))))


def test_other_keys_come_back_as_texts() -> None:
    """A number among them is no reason to refuse them."""
    value = {1: {2: "a", "3": None}, "true": 0, False: '"1":'}

    assert JSON_VALUES.decode(JSON_VALUES.encode(value)) == {"1": {"2": "a", "3": None}, "true": 0, "false": '"1":'}


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (Succeeded(Attempt(cast("str", 7))), "a must be [str, int, int], not list: [7, 0, 1]"),
        (Succeeded(Attempt("a"), sizes=cast("Any", (0.5,))), "sizes must be a list of int, not list: [0.5]"),
        (Succeeded(Attempt("a"), sizes=cast("Any", 3)), "'int' object is not iterable"),
        (Succeeded(Attempt("a"), branches=(cast("str", None),)), "branches must be a list of str, not list: [None]"),
    ],
)
def test_what_could_not_be_read_again_is_not_written(odd: Observation, message: str) -> None:
    """A journal with one such entry could never be folded again."""
    with pytest.raises(EncodingError) as caught:
        encode_observation(odd)

    assert str(caught.value) == f"this {type(odd).__name__} cannot be written down: {message}"


@pytest.mark.parametrize(
    "large",
    [
        call("db.load", "x" * MAX_ARGUMENT_BYTES),
        call("db.load", ResultRef("a").default("x" * MAX_ARGUMENT_BYTES)),
        call("db.load").with_options(headers="x" * MAX_ARGUMENT_BYTES),
    ],
    ids=["argument", "default", "option"],
)
def test_large_arguments_are_refused(large: Call) -> None:
    """With their size, and what to do instead."""
    with pytest.raises(LimitError) as caught:
        encode_call("load", large, JSON_VALUES)

    assert str(caught.value).startswith("the arguments of node 'load' take 1,048,")
    assert str(caught.value).endswith("more than 1,048,576; store the data elsewhere and pass where it is")


def test_references_do_not_count_as_arguments() -> None:
    """A join may refer to thousands of nodes of long ids."""
    many = [ResultRef(f"{number:04} {'x' * 250}") for number in range(5_000)]

    assert len(encode_call("join", call("join", many), JSON_VALUES)) > MAX_ARGUMENT_BYTES


def test_an_output_that_json_does_not_know_is_refused() -> None:
    """The definition is strict JSON too."""
    workflow = Workflow()
    workflow.returns(float("nan"))

    with pytest.raises(EncodingError, match="this cannot be written as JSON"):
        encode_definition(workflow.build()[0])


# The digest


def digest_of(*ids: str | None, change: Callable[[Workflow], object] = bool) -> str:
    """Give the digest of two nodes of these ids, the second with the first's result."""
    workflow = Workflow("digested")
    first = workflow.add(call("first", {"x": 1, "y": 2}), id=ids[0])
    workflow.add(call("second", first.result).with_options(queue="q", task_id=first.id), id=ids[1])
    workflow.add(call("third"), id=ids[1] and f"{ids[1]} too")
    change(workflow)
    generated = frozenset(workflow.build()[0].graph.numbers)
    return digest(*workflow.build(), JSON_VALUES, generated)


def test_generated_ids_do_not_count() -> None:
    """In nodes, edges, references, options, and as keys of the result."""
    assert digest_of(None, None) == digest_of("6e5ccb1b", "b3e3a0b5")


def test_what_is_written_counts() -> None:
    """Another argument, another node, another result: another workflow."""
    digests = [
        digest_of("a", "b"),
        digest_of("a", "b", change=lambda workflow: workflow.add(call("fourth"))),
        digest_of("a", "b", change=lambda workflow: workflow.returns(1)),
        digest_of("a", "b", change=lambda workflow: workflow.returns(["a"])),
    ]

    assert len(set(digests)) == len(digests)


def test_the_digest_is_the_same_in_every_process() -> None:
    """Whatever the seed of its hashes; and whatever the order of keys."""
    script = (
        "import sys; from dyrygent_core import *; from dyrygent_core.codec import *; w = Workflow('w', deadline=5);"
        "ids = [w.add(call('t', **{key: 1 for key in {'x', 'y', 'abc', 'q'}}), allow_failure=True) for _ in 'abc'];"
        "w.add(call('join'), after=ids); print(digest(*w.build(), JSON_VALUES, w.generated))"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }

    assert len(digests) == 1
    assert len(digests.pop().strip()) == 64


def test_a_value_that_contains_itself_has_no_digest() -> None:
    """Options are the engine's, and not looked into before; they may not lead in circles."""
    circle: dict[str, Any] = {}
    circle["again"] = circle
    workflow = Workflow()
    workflow.add(Call("a", options=circle))

    with pytest.raises(LimitError, match="a call and its options have more than 1,048,576 items"):
        digest(*workflow.build(), JSON_VALUES)
