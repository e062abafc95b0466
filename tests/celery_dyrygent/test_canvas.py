"""`add_celery_canvas`: what each shape of canvas gives, and which nodes and references it becomes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import chain, chord, group
from celery.canvas import _chain, chunks, xmap, xstarmap

from dyrygent_core.refs import Reference
from tests.celery_dyrygent.evaluation import edges, evaluate, imported, named, result_of, s, si


def test_a_task_becomes_one_node_under_its_task_id() -> None:
    """The node's id is the signature's, its call is the signature's name and arguments."""
    workflow = imported(s("add", 1, y=2).set(task_id="one"))

    definition, (call,) = workflow.build()

    assert edges(workflow) == {"one": ()}
    assert (call.target, call.inputs.value) == ("add", {"args": [1], "kwargs": {"y": 2}})
    assert definition.output.references == (Reference((), "one", fallback=definition.output.references[0].fallback),)
    assert definition.engine_named == {"one"}


def test_a_chain_puts_each_result_before_the_next_arguments() -> None:
    """The previous result is the first argument, in a place of its own."""
    workflow = imported(chain(named("const", "a", 1), named("pack", "b", "x")))

    _, (_, second) = workflow.build()

    assert edges(workflow) == {"a": (), "b": ("a",)}
    assert second.inputs.value == {"args": [None, "x"], "kwargs": {}}
    assert second.inputs.references == (Reference(("args", 0), "a"),)
    assert evaluate(workflow).result == [1, "x"]


def test_a_chord_body_gets_the_list_of_its_header_in_order() -> None:
    """One argument, whose items stand in the order in which the header is written."""
    workflow = imported(chord([named("const", "a", 1), named("const", "b", 2)], named("pack", "z", "own")))

    last = workflow.build()[1][-1]

    assert edges(workflow) == {"a": (), "b": (), "z": ("a", "b")}
    assert last.inputs.references == (Reference(("args", 0, 0), "a"), Reference(("args", 0, 1), "b"))
    assert evaluate(workflow).result == [[1, 2], "own"]


def test_a_group_followed_by_a_group_gives_each_member_the_whole_list() -> None:
    """The second group waits for all of the first."""
    workflow = imported(
        chain(group(named("const", "a", 1), named("const", "b", 2)), group(named("pack", "c"), named("pack", "d")))
    )

    assert edges(workflow) == {"a": (), "b": (), "c": ("a", "b"), "d": ("a", "b")}
    assert evaluate(workflow).result == [[[1, 2]], [[1, 2]]]


SHAPES: dict[str, tuple[Callable[[], Any], Any]] = {
    "task": (lambda: s("const", 7), 7),
    "chain of one": (lambda: chain(s("const", 7)), 7),
    "chain of a chain of one": (lambda: chain([chain(s("const", 7))]), 7),
    "pipe": (lambda: s("add", 4, 4) | s("add", 8) | s("add", 10), 26),
    "none, zero and an empty list are passed on": (
        lambda: group(*(chain(s("const", value), s("pack", "x")) for value in (None, 0, []))),
        [[None, "x"], [0, "x"], [[], "x"]],
    ),
    "an immutable step gets nothing": (lambda: chain(s("const", 1), si("pack", "m"), s("pack", 2)), [["m"], 2]),
    "only mutable members get the result": (
        lambda: chain(s("const", 1), group(s("pack", "m"), si("pack", "i"))),
        [[1, "m"], ["i"]],
    ),
    "group": (lambda: group(s("const", value) for value in range(4)), [0, 1, 2, 3]),
    "group in group unrolls": (
        lambda: group(s("const", 1), group(s("const", 2), group(s("const", 3))), s("const", 4)),
        [1, 2, 3, 4],
    ),
    "group in header unrolls in order": (
        lambda: chord([group(s("const", 42), s("const", 43)), s("const", 44)], s("const")),
        [42, 43, 44],
    ),
    "a member that ends in a group is one list": (
        lambda: group(s("const", 1), chain(s("const", 0), group(si("const", 2), si("const", 3)))),
        [1, [2, 3]],
    ),
    "a header member that ends in a group is one list": (
        lambda: chord([chain(s("const", 0), group(si("const", 2), si("const", 3)))], s("const")),
        [[2, 3]],
    ),
    "a group of a lone chain that ends in a group is that group": (
        lambda: group(s("add", 1, 2) | group(s("add", 1), s("add", 2))),
        [4, 5],
    ),
    "a group of one by | is a header of one": (lambda: group([s("const", 7)]) | s("pack", "z"), [[7], "z"]),
    "a group of one in a chain unrolls": (lambda: chain(group(s("const", 7)), s("pack", "z")), [7, "z"]),
    "a group of one in a chain from a dict unrolls": (
        lambda: _chain(group(s("const", 7)), group(group(s("pack", "z")))),
        [7, "z"],
    ),
    "a last group of one is its value": (lambda: s("add", 2, 2) | group([s("add", 1)]), 5),
    "a chord's header of one is a list": (lambda: chord([s("const", 7)], s("pack", "b")), [[7], "b"]),
    "a chord's header is one signature": (lambda: chord(s("const", 7), s("pack", "b")), [[7], "b"]),
    "a chord's header is a chain: its tasks are parallel": (
        lambda: chord(_chain(s("const", 1), s("const", 2)), s("pack", "b")),
        [[1, 2], "b"],
    ),
    "a chord's header is a chain in a dict": (
        lambda: {"task": "celery.chord", "kwargs": {"header": _chain(s("const", 1), s("const", 2)), "body": s("pack")}},
        [[1, 2]],
    ),
    "a chord's header is one signature in a dict": (
        lambda: {"task": "celery.chord", "kwargs": {"header": dict(s("const", 1)), "body": dict(s("pack"))}},
        [[1]],
    ),
    "a header from a generator": (lambda: chord((s("const", value) for value in range(3)), s("pack")), [[0, 1, 2]]),
    "a chord without a body is its header's list": (lambda: chord([s("const", 1), s("const", 2)]), [1, 2]),
    "a chord with an empty chain as its body": (lambda: chord([s("const", 1)], _chain()), [1]),
    "a chord's body is a chain": (
        lambda: chord([s("const", 1), s("const", 2)], s("pack", "a") | s("pack", "b")),
        [[[1, 2], "a"], "b"],
    ),
    "a chord's body is a group": (
        lambda: chord([s("const", 1)], group(s("pack", "a"), s("pack", "b"))),
        [[[1], "a"], [[1], "b"]],
    ),
    "a chord's body is a group of one": (lambda: chord([s("const", 1)], group(s("pack", "a"))), [[[1], "a"]]),
    "a chord's body is a chord": (
        lambda: chord([s("const", 1)], chord([s("pack", "a"), s("pack", "b")], s("pack", "c"))),
        [[[[1], "a"], [[1], "b"]], "c"],
    ),
    "a chord's header is chords": (
        lambda: chord([chord([s("const", 1)], s("pack", "a")), chord([s("const", 2)], s("pack", "b"))], s("pack")),
        [[[[1], "a"], [[2], "b"]]],
    ),
    "chord | chord": (
        lambda: chord([s("const", 1)], s("pack", "a")) | chord([s("pack", "b"), s("pack", "c")], s("pack", "d")),
        [[[[[1], "a"], "b"], [[[1], "a"], "c"]], "d"],
    ),
    "an empty chain": (_chain, None),
    "an empty group": (lambda: group([]), []),
    "a chain of empty groups": (lambda: _chain(group([]), group([])), []),
    "an empty header": (lambda: chord([], s("pack", "z")), [[], "z"]),
    "an empty generator as header": (lambda: chord(iter(()), s("pack", "z")), [[], "z"]),
    "an empty header in a chain": (
        lambda: chain(s("const", 1), chord([], s("pack", "b")), s("pack", "z")),
        [[[], "b"], "z"],
    ),
    "an empty header as a body": (lambda: chord([s("const", 1)], chord([], s("pack", "z"))), [[], "z"]),
    "empty groups are skipped": (
        lambda: _chain(group([]), group(s("const", 1), s("const", 2)), group([]), group([])),
        [1, 2],
    ),
    "an empty chain is skipped": (lambda: _chain(_chain(), s("const", 1), _chain(), s("pack", "z")), [1, "z"]),
    "an empty chain in a header is no item": (lambda: chord([_chain(), s("const", 3)], s("pack", "z")), [[3], "z"]),
    "map": (lambda: xmap(s("pack"), [1, [2, 3]]), [[1], [[2, 3]]]),
    "starmap": (lambda: xstarmap(s("add"), zip(range(3), range(3), strict=True)), [0, 2, 4]),
    "maps in a header": (
        lambda: chord([xstarmap(s("add"), [(1, 2)]), xmap(s("pack"), [3])], s("pack", "z")),
        [[[3], [[3]]], "z"],
    ),
    "chunks": (lambda: chunks(s("add"), zip(range(7), range(7), strict=True), 3), [[0, 2, 4], [6, 8, 10], [12]]),
    "chunks in a chain": (
        lambda: chain(si("const", 1), chunks(s("add"), [(1, 1), (2, 2)], 1), s("pack", "z")),
        [[[2], [4]], "z"],
    ),
    "chunks of one stay a list": (
        lambda: chain(si("const", 1), chunks(s("add"), [(1, 1)], 5), s("pack", "z")),
        [[[2]], "z"],
    ),
    "no chunks": (lambda: chord(chunks(s("add"), [], 5), s("pack", "z")), [[], "z"]),
    "a value that looks like a signature stays a value": (
        lambda: chain(s("const", dict(s("add", 1))), s("pack")),
        [{"task": "add", "args": [1], "kwargs": {}, "options": {}, "subtask_type": None, "immutable": False}],
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_canvas_gives_what_celery_documents(shape: str) -> None:
    """The workflow's own result is the canvas's."""
    make, expected = SHAPES[shape]

    assert result_of(make()) == expected


@pytest.mark.parametrize("shape", SHAPES)
def test_a_canvas_that_went_through_json_is_the_same(shape: str) -> None:
    """Plain dicts are read as signatures are."""
    make, expected = SHAPES[shape]

    assert result_of(json.loads(json.dumps(make()))) == expected


def test_an_immutable_chain_ignores_what_comes_in() -> None:
    """The flag of a chain, where Celery has not dropped it, is for its first task."""
    inner = _chain(s("pack", "x"), s("pack", "y"))
    inner.set_immutable(True)

    assert result_of(_chain(s("const", 1), inner)) == [["x"], "y"]


def test_a_generator_is_read_once() -> None:
    """Tasks that are made while they are read are made once each, in order."""
    made = []

    def tasks() -> Iterator[Any]:
        for number in range(3):
            made.append(number)
            yield si("const", number)

    lazy = s("celery.group")
    lazy["kwargs"]["tasks"] = tasks()

    assert result_of(_chain(si("const", 0), lazy, s("pack"))) == [[0, 1, 2]]
    assert made == [0, 1, 2]
