"""Random canvases: what they give once imported is what a small, slow reading of Celery's rules says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

from celery import chain, chord, group
from celery.canvas import _chain
from hypothesis import given
from hypothesis import strategies as st

from celery_dyrygent.workflows import Workflow
from tests.celery_dyrygent.evaluation import evaluate, s, si

Plan: TypeAlias = tuple[Any, ...]
"""("task", number, is_immutable), ("chain", steps), ("group", members) or ("chord", header, body)."""

tasks = st.tuples(st.just("task"), st.integers(0, 99), st.booleans())


def _containers(parts: st.SearchStrategy[Plan]) -> st.SearchStrategy[Plan]:
    # Groups of one and empty parts have rules of their own, which examples show.
    several = st.lists(parts, min_size=2, max_size=4).map(tuple)
    return st.one_of(
        st.tuples(st.just("chain"), several),
        st.tuples(st.just("group"), several),
        st.tuples(st.just("chord"), st.lists(parts, min_size=1, max_size=4).map(tuple), parts),
    )


plans: st.SearchStrategy[Plan] = st.recursive(tasks, _containers, max_leaves=24)


def canvas_of(plan: Plan, make_chain: Callable[..., Any]) -> Any:
    """Write a plan as a canvas."""
    match plan:
        case "task", number, is_immutable:
            return (si if is_immutable else s)("pack", number)
        case "chain", steps:
            return make_chain(*(canvas_of(step, make_chain) for step in steps))
        case "group", members:
            return group([canvas_of(member, make_chain) for member in members])
        case "chord", header, body:
            return chord([canvas_of(member, make_chain) for member in header], canvas_of(body, make_chain))
        case _:
            raise AssertionError(plan)


def value_of(plan: Plan, given_args: list[Any]) -> Any:
    """Say what a plan gives: a task gives its arguments, the given ones first unless it is immutable."""
    match plan:
        case "task", number, is_immutable:
            return [number] if is_immutable else [*given_args, number]
        case "chain", steps:
            for step in steps:
                given_args = [value_of(step, given_args)]
            return given_args[0]
        case "group", members:
            return [value_of(member, given_args) for member in _spread(members)]
        case "chord", header, body:
            return value_of(body, [[value_of(member, given_args) for member in _spread(header)]])
        case _:
            raise AssertionError(plan)


def _spread(members: tuple[Plan, ...]) -> list[Plan]:
    """Put the members of groups among the members in their place."""
    return [inner for it in members for inner in (_spread(it[1]) if it[0] == "group" else [it])]


def count_of(plan: Plan) -> int:
    return 1 if plan[0] == "task" else sum(count_of(it) for part in plan[1:] for it in _as_plans(part))


def _as_plans(part: Any) -> tuple[Plan, ...]:
    return (part,) if part[0] in ("task", "chain", "group", "chord") else part


def _given_args() -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(100, 199), max_size=2)


@given(plans, _given_args())
def test_a_canvas_gives_what_the_rules_say(plan: Plan, args: list[int]) -> None:
    """Whether Celery has folded the chains when they were made, or they stand as they were written."""
    for make_chain in (chain, _chain):
        workflow = Workflow()
        workflow.add_celery_canvas(canvas_of(plan, make_chain), args=args)

        evaluated = evaluate(workflow)

        assert evaluated.result == value_of(plan, args)
        assert len(evaluated.order) == count_of(plan)


@given(plans)
def test_json_changes_nothing(plan: Plan) -> None:
    """A canvas that was sent somewhere as JSON is imported like the one that was made here."""
    here, there = Workflow(), Workflow()
    canvas = canvas_of(plan, _chain)
    there.add_celery_canvas(json.loads(json.dumps(canvas)))
    here.add_celery_canvas(canvas)

    assert evaluate(there).result == evaluate(here).result
    assert _shape(there) == _shape(here)


@given(plans)
def test_without_results_only_arguments_change(plan: Plan) -> None:
    """The graph is the same; no argument refers to a result."""
    passing, plain = Workflow(), Workflow(pass_results=False)
    for workflow in (passing, plain):
        workflow.add_celery_canvas(canvas_of(plan, _chain))

    assert _shape(plain) == _shape(passing)
    assert all(not call.inputs.references for call in plain.build()[1])


def _shape(workflow: Workflow) -> list[list[int]]:
    graph = workflow.build()[0].graph
    return [[graph.number(edge.node) for edge in node.depends_on] for node in graph.nodes]
