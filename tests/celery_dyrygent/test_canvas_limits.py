"""`add_celery_canvas`: what is refused, and how large and deep a canvas may be."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from celery import group
from celery.canvas import Signature, _chain, chunks

from celery_dyrygent.workflows import Workflow
from dyrygent_core import DuplicateNodeError, LimitError, NodeHandle, UsageError
from tests.celery_dyrygent.evaluation import Evaluated, edges, evaluate, imported, named, s, si


def add(x: int) -> int:
    return x


def holding_itself() -> Any:
    canvas = group(s("const", 1), s("const", 2))
    canvas["kwargs"]["tasks"] = [s("const", 1), _chain(s("const", 2), canvas)]
    return canvas


def doubled(times: int) -> Any:
    canvas = group([])
    for _ in range(times):
        inner, canvas = canvas, group([])
        canvas["kwargs"]["tasks"] = [inner, inner]
    return canvas


def linked(**callbacks: Any) -> Any:
    return s("const", 1).set(**callbacks)


def linked_to_itself() -> Any:
    callback = s("pack")
    callback.options["link"] = [callback]
    return linked(link=callback)


def linked_in_a_ring() -> Any:
    callback = s("pack")
    callback.options["link_error"] = [{"task": "celery.group", "kwargs": {"tasks": [s("add"), callback]}}]
    return linked(link_error=[callback])


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a function": (lambda: group(add, s("const", 1)), "'function' is none of these; make it a task"),
    "a list": (lambda: [s("const", 1)], r"'list' is none of these; write group"),
    "a number": (lambda: 5, "'int' is none of these"),
    "nothing": (lambda: None, "'NoneType' is none of these"),
    "a dict that is no signature": (lambda: {"args": []}, "a dict without the name of a task"),
    "itself": (holding_itself, "contains itself"),
    "a callback that is no signature": (
        lambda: linked(link=[5]),
        r"task 'const' has a callback \(link\) that is no signature: .*'int' is none of these",
    ),
    "a callback linked to itself": (linked_to_itself, r"a callback \('pack'\) is linked to itself"),
    "a callback in its own callback": (linked_in_a_ring, r"a callback \('celery.group'\) is linked to itself"),
    "a result among the options": (lambda: linked(queue=NodeHandle("a").result), "may stand in arguments only"),
    "an id that is none": (lambda: linked(task_id="a\0b"), "NUL"),
    "arguments that are no list": (lambda: {"task": "a", "args": 5}, "has int as its 'args'"),
    "keyword arguments that are no dict": (lambda: {"task": "a", "kwargs": [5]}, "has list as its 'kwargs'"),
    "a chain of no list": (
        lambda: {"task": "celery.chain", "kwargs": {"tasks": 5}},
        "a chain written as a dict has int",
    ),
    "chunks of nothing": (lambda: chunks(s("add"), [(1, 1)], 0), "at least 1, not 0"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_canvas_is_refused(what: str) -> None:
    """The error names what stands there and what to write instead, and nothing is added."""
    make, message = REFUSED[what]
    workflow = imported(named("const", "before", 1))
    untouched = s("const", 1)

    with pytest.raises(UsageError, match=message):
        workflow.add_celery_canvas(group(untouched, make()) if what != "a list" else make())

    assert list(edges(workflow)) == ["before"]
    assert "task_id" not in untouched.options


def test_an_id_twice_is_refused() -> None:
    """Within a canvas, and in the workflow; nothing is added."""
    workflow = imported(named("const", "a", 1))
    free = s("const", 1)

    with pytest.raises(DuplicateNodeError, match="'b'"):
        workflow.add_celery_canvas(group(free, named("const", "b"), named("const", "b")))
    with pytest.raises(DuplicateNodeError, match="'a'"):
        workflow.add_celery_canvas(group(free, named("const", "a")))

    assert list(edges(workflow)) == ["a"]
    assert "task_id" not in free.options


def test_a_refusal_half_way_takes_back_what_was_added() -> None:
    """A result that may be missing is found when its node is added."""
    workflow = Workflow()
    perhaps = workflow.add(s("const", 1), id="perhaps", allow_failure=True)
    free = s("const", 1)

    with pytest.raises(UsageError, match="may have none"):
        workflow.add_celery_canvas(group(free, s("pack", perhaps.result)))

    assert list(edges(workflow)) == ["perhaps"]
    assert "task_id" not in free.options


def test_a_result_too_deep_to_be_written_is_refused() -> None:
    """A chain that ends in a group that ends in a chain, and so on, gives lists in lists."""
    canvas = s("const", 1)
    for _ in range(600):
        canvas = _plain("chain", [s("const", 1), _plain("group", [canvas, s("const", 2)])])

    with pytest.raises(UsageError, match="lists nested more than 500 levels"):
        imported(canvas)


def _plain(kind: str, tasks: list[Any]) -> dict[str, Any]:
    return {"task": f"celery.{kind}", "kwargs": {"tasks": tasks}, "subtask_type": kind}


DEEP = 5_000
NESTS: dict[str, Callable[[Any], Any]] = {
    "chain in chain": lambda canvas: _plain("chain", [si("const", 1), canvas]),
    "chain before task": lambda canvas: _plain("chain", [canvas, si("const", 1)]),
    "group in group": lambda canvas: _plain("group", [si("const", 1), canvas]),
    "groups of one": lambda canvas: _plain("group", [canvas]),
    "groups of one in a chain": lambda canvas: _plain("chain", [_plain("group", [canvas]), si("const", 1)]),
    "group in chain": lambda canvas: _plain("chain", [_plain("group", [canvas, si("const", 1)]), s("const", 1)]),
    "header": lambda canvas: {"task": "celery.chord", "kwargs": {"header": [canvas], "body": si("const", 1)}},
    "body": lambda canvas: {"task": "celery.chord", "kwargs": {"header": [si("const", 1)], "body": canvas}},
}


@pytest.mark.parametrize("nest", NESTS)
def test_a_canvas_may_be_nested_as_deeply_as_one_likes(nest: str) -> None:
    """Nothing here calls itself, so Python's stack is no limit."""
    canvas: Any = si("const", 0)
    for _ in range(DEEP):
        canvas = NESTS[nest](canvas)

    workflow = imported(canvas)

    assert len(workflow.build()[0].graph) == len(workflow) >= 1


def test_a_long_chain_has_one_edge_for_each_step() -> None:
    """Ten thousand tasks are an ordinary canvas."""
    tasks = [s("add", 0), *(s("add", 1) for _ in range(9_999))]

    evaluated: Evaluated = evaluate(imported(_chain(*tasks)))

    assert evaluated.result == 9_999
    assert all(after == task.id for after, task in zip(evaluated.order, tasks, strict=True))
    assert all(evaluated.calls[b].options["parent_id"] == a for a, b in pairwise(evaluated.order))


def test_a_canvas_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that holds another twice, which holds another twice, and so on, is small and unrolls for ever."""
    monkeypatch.setattr("celery_dyrygent.canvas._MOST_PARTS", 10_000)

    with pytest.raises(LimitError, match="split it"):
        imported(doubled(60))


def test_a_signature_of_an_unknown_name_is_imported() -> None:
    """The workers know what it is; here it need not be registered."""
    assert list(evaluate(imported(Signature("const", (1,), {}))).results.values()) == [1]
