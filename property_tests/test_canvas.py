"""Random canvases: run by the real adapter, they come to what a small, slow reading of Celery's documentation says.

They run eagerly: the importer, the journal and the conductor are those of production, and so are Celery's own tracer
and result backend; only broker and workers are left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import pytest
from attrs import field, frozen
from celery import Celery, chain
from celery.canvas import _chain
from hypothesis import given
from hypothesis import strategies as st

from celery_dyrygent import register_workflow_processor, registered
from celery_dyrygent.workflows import Workflow
from dyrygent_testing import Canvas, CanvasPart, canvas_app, canvases
from property_tests.running import FEWER

FOLLOWED_ALIKE: Final = (
    CanvasPart.CHAIN,
    CanvasPart.GROUP,
    CanvasPart.CHORD,
    CanvasPart.IMMUTABLE,
    CanvasPart.KEYWORDS,
    CanvasPart.ARGS,
    CanvasPart.MAP,
    CanvasPart.STARMAP,
)
"""What Celery's own eager mode runs as documented; of canvases as callbacks it loses what follows."""
WHOLE: Final = canvases(parts=[*FOLLOWED_ALIKE, CanvasPart.CHUNKS])
"""Canvases that succeed, without callbacks."""
CHAINS: Final = st.sampled_from([chain, _chain])
"""Celery's way to make a chain, which folds some of them, and a chain as it is written."""


@frozen
class Stage:
    """An app, and what ran on it."""

    app: Celery
    ran: list[Any] = field(factory=list[Any])


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Give an app with the tasks of canvases, known to the adapter for as long as this module runs."""
    ran: list[Any] = []
    app = canvas_app(ran.append)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registered, "_REGISTERED", [])
        register_workflow_processor(app)
        yield Stage(app, ran)


def imported(canvas: Any, args: Sequence[Any] = (), *, pass_results: bool = True) -> Workflow:
    workflow = Workflow(pass_results=pass_results)
    workflow.add_celery_canvas(canvas, args=args)
    return workflow


def sorted_runs(runs: Sequence[Any]) -> list[Any]:
    """Put runs into an order: side by side, any is as good as another."""
    return sorted(runs, key=repr)


@given(canvases(), CHAINS)
def test_a_canvas_comes_to_what_the_documentation_says(
    stage: Stage, canvas: Canvas, make_chain: Callable[..., Any]
) -> None:
    """Its value, or that it fails, and every task and callback that runs, with the arguments that it gets."""
    stage.ran.clear()
    result = imported(canvas.build(stage.app, make_chain), canvas.args).apply_async()

    expected = canvas.expected
    assert result.state == ("FAILURE" if expected.has_failed else "SUCCESS")
    assert expected.has_failed or result.get() == expected.result
    assert sorted_runs(stage.ran) == sorted_runs(expected.runs)


@FEWER
@given(canvases(parts=FOLLOWED_ALIKE))
def test_celery_itself_comes_to_the_same(stage: Stage, canvas: Canvas) -> None:
    """Where its eager mode does as documented: the reading is no invention of ours."""
    stage.ran.clear()
    value = canvas.build(stage.app).apply_async(canvas.args).get()

    assert value == canvas.expected.result
    assert sorted_runs(stage.ran) == sorted_runs(canvas.expected.runs)


@FEWER
@given(canvases())
def test_json_changes_nothing(stage: Stage, canvas: Canvas) -> None:
    """A canvas that was sent somewhere as JSON is imported like the one that was made here."""
    here = imported(canvas.build(stage.app, _chain))
    there = imported(json.loads(json.dumps(canvas.build(stage.app, _chain))))

    assert shape(there) == shape(here)
    assert [call.target for call in there.build()[1]] == [call.target for call in here.build()[1]]
    stage.ran.clear()
    there.apply_async()
    assert sorted_runs(stage.ran) == sorted_runs(Canvas(canvas.plan).expected.runs)


@given(WHOLE)
def test_without_results_only_arguments_change(stage: Stage, canvas: Canvas) -> None:
    """The graph is the same; no argument refers to a result."""
    passing, plain = (
        imported(canvas.build(stage.app, _chain), pass_results=pass_results) for pass_results in (True, False)
    )

    assert shape(plain) == shape(passing)
    assert all(not call.inputs.references for call in plain.build()[1])


def shape(workflow: Workflow) -> list[list[int]]:
    graph = workflow.build()[0].graph
    return [[graph.number(edge.node) for edge in node.depends_on] for node in graph.nodes]
