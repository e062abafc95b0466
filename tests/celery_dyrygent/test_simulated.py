"""A Celery canvas, simulated with what its tasks run: no broker, no worker, no eager mode."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import pytest
from celery import Celery, chain, chord, group

from celery_dyrygent.workflows import Workflow
from dyrygent_core import Attempt, Failed, SkipRequested, Status, UnknownNodeError, UsageError
from dyrygent_testing import Trace, check_invariants, check_workflow, simulate

NAMES: Final = {"simulate": simulate, "Attempt": Attempt, "Failed": Failed}
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


# Nodes by name


def twice() -> Workflow:
    """Build one in which a task is called twice; its ids are made up."""
    built = Workflow(name="twice")
    built.add_celery_canvas(chain(extract.s("abc"), clean.s(), clean.s(), stats.s()))
    return built


def test_nodes_of_a_canvas_are_told_by_what_they_call() -> None:
    """Their ids are others at each import, so two traces read the same, and can be asked by name."""
    functions = {task.name: task.run for task in (extract, clean, stats)}
    traces = [simulate(twice(), functions=functions) for _ in range(2)]
    trace = traces[0]

    assert str(traces[0]) == str(traces[1])
    assert traces[0].timeline() == traces[1].timeline()
    assert trace.order == (extract.name, clean.name, f"{clean.name}#2", stats.name)
    assert trace.result(stats.name) == 3
    assert trace.status(f"{clean.name}#2") is Status.SUCCEEDED
    assert trace.ended_before(clean.name, f"{clean.name}#2")
    assert trace.story(clean.name) == traces[1].story(clean.name)
    assert f"{clean.name}#2" in str(trace)
    assert not any(node in str(trace) for node in trace.statuses)


def test_nodes_of_a_canvas_are_named_by_what_they_call() -> None:
    """In durations, orders, outcomes and requests; a name that nothing calls is refused."""
    again, canvas = f"{clean.name}#2", group(extract.s("a"), clean.s([1]), clean.s([2]))
    built = Workflow()
    built.add_celery_canvas(canvas)

    trace = simulate(
        built,
        order=[again, clean.name],
        durations={again: timedelta(seconds=7)},
        outcomes={again: [Failed(Attempt(again))]},
        requests=[(1_000, SkipRequested(extract.name))],
        workers=1,
    )

    assert trace.order == (again, clean.name)
    assert trace.status(extract.name) is Status.SKIPPED
    assert trace.executed[0].ended_ms == trace.executed[0].started_ms + 7_000
    assert trace.status(again) is Status.FAILED
    with pytest.raises(UnknownNodeError, match="clean#3"):
        simulate(built, durations={f"{clean.name}#3": 1})


def test_what_is_told_of_a_canvas_can_be_repeated() -> None:
    """The line that `check_workflow` prints names no id that was made up."""

    def counted(trace: Trace) -> None:
        assert trace.count(stats.name) == 1

    with pytest.raises(AssertionError) as raised:
        check_workflow(twice(), invariants=[counted], faults=(), examples=20)

    told = str(raised.value).splitlines()[-1]
    assert re.search(r"outcomes=\{'(.*)': \[Failed\(Attempt\('\1'\)\)\]\}", told)
    assert eval(told, {"workflow": twice(), **NAMES}).count(stats.name) == 0  # noqa: S307


def test_a_canvas_itself_is_no_workflow() -> None:
    """What to do with it is said."""
    canvas: Any = chain(extract.s("abc"), clean.s())

    with pytest.raises(UsageError, match="must be a Workflow whose add_celery_canvas has taken it, not _chain"):
        check_workflow(canvas)


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
