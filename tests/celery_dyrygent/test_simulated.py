"""A Celery canvas, simulated with what its tasks run: no broker, no worker, no eager mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import Celery, chain, group

from celery_dyrygent.workflows import Workflow
from dyrygent_testing import check_workflow, simulate

APP = Celery("simulated", set_as_current=False)


@APP.task
def extract(url: str) -> list[int]:
    """Give rows."""
    return [3, 1, len(url)]


@APP.task(bind=True)
def clean(self: Any, rows: Sequence[int]) -> list[int]:
    """Sort them; the task itself is at hand."""
    assert self.name.endswith("clean")
    return sorted(rows)


@APP.task
def stats(rows: Sequence[int]) -> int:
    """Count them."""
    return len(rows)


@APP.task
def report(parts: Sequence[Any]) -> str:
    """Tell both."""
    return f"{parts[1]} rows: {parts[0]}"


TASKS = (extract, clean, stats, report)


def workflow() -> Workflow:
    built = Workflow()
    built.add_celery_canvas(chain(extract.s("abc"), group(clean.s(), stats.s()), report.s()))
    return built


def test_a_canvas_is_simulated_with_its_tasks() -> None:
    """Results go where Celery's canvas would pass them."""
    trace = simulate(workflow(), functions={task.name: task.run for task in TASKS})

    assert trace.result(trace.order[-1]) == "3 rows: [1, 3, 3]"


def test_a_canvas_is_checked_like_any_workflow() -> None:
    """All promises hold, whatever fails and in every order."""
    check_workflow(workflow(), functions={task.name: task.run for task in TASKS}, examples=30)
