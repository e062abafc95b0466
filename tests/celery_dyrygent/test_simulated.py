"""A Celery canvas, simulated with what its tasks run: no broker, no worker, no eager mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import Celery, chain, chord, group

from celery_dyrygent.workflows import Workflow
from dyrygent_core import Status
from dyrygent_testing import check_invariants, check_workflow, simulate

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


# Error callbacks


@APP.task
def refuse(number: int) -> None:
    """Fail."""
    raise ValueError(number)


@APP.task
def cry(task_id: str) -> list[str]:
    """Mourn in the old style."""
    return ["cry", task_id]


@APP.task
def sob(request: Any, exc: Exception, traceback: str | None, *, why: str) -> list[Any]:
    """Mourn in the new style."""
    return ["sob", request.id, request.task, list(request.args), repr(exc), traceback, why]


@APP.task
def sigh(number: int) -> list[Any]:
    """Mourn whatever it is."""
    return ["sigh", number]


def mourned(canvas: Any) -> list[Any]:
    """Simulate a canvas, and give what its error callbacks returned."""
    built = Workflow()
    built.add_celery_canvas(canvas)
    called = {task.name: task.run for task in (refuse, cry, sob, sigh, report) if task.name in shown(built)}
    trace = simulate(built, functions=called)
    check_invariants(trace)
    values = [trace.result(node) for node, status in trace.statuses.items() if status is Status.SUCCEEDED]
    return sorted(value for value in values if value[0] in ("cry", "sob", "sigh"))


def shown(built: Workflow) -> str:
    return repr(built.build()[1])


def test_error_callbacks_get_what_celery_gives_them() -> None:
    """In the old style the id of the failed task, in the new one its request and the exception, else nothing."""
    failing = refuse.s(3).set(task_id="refused")
    failing.on_error(cry.s()).on_error(sob.s(why="so")).on_error(sigh.si(7))

    assert mourned(failing) == [
        ["cry", "refused"],
        ["sigh", 7],
        ["sob", "refused", refuse.name, [3], "ValueError(3)", None, "so"],
    ]


def test_the_error_callback_of_a_chord_is_told_of_the_body() -> None:
    """As on Celery: the body's id, and a `ChordError` that names what failed in the header."""
    body = report.s().set(task_id="body")
    body.on_error(sob.s(why="so"))

    (told,) = mourned(chord([refuse.s(3).set(task_id="refused")], body))

    assert told[1:3] == ["body", report.name]
    assert told[4].startswith("ChordError('Dependency refused raised ValueError(3)")


def test_a_name_that_is_not_registered_is_called_in_its_style() -> None:
    """Which one that is, its function says, as it does in a worker."""
    built = Workflow()
    built.add_celery_canvas(refuse.s(3).set(task_id="refused").on_error(APP.signature("elsewhere", args=("own",))))
    got: list[Any] = []

    def old(task_id: str, own: str) -> None:
        got.append((task_id, own))

    def new(request: Any, exc: Exception, _: object, own: str) -> None:
        got.append((request.id, repr(exc), own))

    for function in (old, new):
        simulate(built, functions={refuse.name: refuse.run, "elsewhere": function})

    assert got == [("refused", "own"), ("refused", "ValueError(3)", "own")]
