"""Callbacks of canvases, and tasks that replace themselves, in a real worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from redis import Redis

from celery_dyrygent.adapter import adapter_of
from celery_dyrygent.results import WorkflowResult
from celery_dyrygent.workflows import Workflow
from dyrygent_core import Attempt, Failed, Lost, Succeeded
from tests.celery_dyrygent.conftest import Workers, wait_until

pytestmark = pytest.mark.filterwarnings(
    "ignore:task_allow_error_cb_on_chord_header:celery.exceptions.CPendingDeprecationWarning"
)


@pytest.fixture(autouse=True)
def _running(workers: Workers) -> None:
    """Let a worker run."""


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A key of this test's own."""
    return f"tests:{request.node.name}"


def sig(app: Celery, name: str, *args: object, **kwargs: object) -> Any:
    return app.signature(f"tests.celery_dyrygent.app.{name}", args=args, kwargs=kwargs)


def started(canvas: Any) -> WorkflowResult:
    workflow = Workflow()
    workflow.add_celery_canvas(canvas)
    return workflow.apply_async()


def failed(canvas: Any, kind: type[BaseException] = Exception) -> WorkflowResult:
    """Run a canvas that fails, to its end."""
    result = started(canvas)
    with pytest.raises(kind):
        result.get(timeout=30)
    return result


def left(redis: Redis, key: str) -> list[Any]:
    return [json.loads(item) for item in redis.lrange(key, 0, -1)]


def test_a_success_callback_runs_and_changes_nothing(app: Celery, redis: Redis, key: str) -> None:
    """It gets the result; the workflow ends after it, with the canvas's result, though another callback fails."""
    task = sig(app, "add", 1, 2)
    task.link(sig(app, "boom"))
    task.link(chain(sig(app, "add", 10), sig(app, "keep", key)))

    result = started(task)

    assert result.get(timeout=30) == 3
    assert result.state == "SUCCESS"
    assert left(redis, key) == [13]


def test_a_new_style_error_callback_gets_request_exception_and_traceback(app: Celery, redis: Redis, key: str) -> None:
    """As Celery gives them: who failed with which arguments, the exception itself, and where it was raised."""
    bad = sig(app, "boom", "own").set(task_id=f"id-{key}")
    failed(chain(sig(app, "add", 1, 2), bad.on_error(sig(app, "told_new", key=key))), ValueError)

    (told,) = left(redis, key)
    assert "in boom" in told.pop("traceback")
    expected = {"id": f"id-{key}", "task": "tests.celery_dyrygent.app.boom", "args": [3, "own"]}
    assert told == expected | {"type": "ValueError", "message": "boom"}


def test_an_old_style_error_callback_finds_the_failure(app: Celery, redis: Redis, key: str) -> None:
    """It gets the failed task's id, under which the result backend has the failure already."""
    bad = sig(app, "boom").set(task_id=f"id-{key}")
    failed(bad.on_error(sig(app, "told_old", key=key)))

    assert left(redis, key) == [{"id": f"id-{key}", "state": "FAILURE", "type": "ValueError"}]


def test_the_error_callback_of_a_chord_is_told_once_that_its_header_failed(app: Celery, redis: Redis, key: str) -> None:
    """Both styles get the body's id, and Celery's ChordError naming what failed, though the body never ran."""
    body = sig(app, "pack").set(task_id=f"id-{key}")
    canvas = chord([sig(app, "boom"), sig(app, "boom"), sig(app, "add", 1, 2)], body)
    canvas.link_error(sig(app, "told_old", key=key))
    canvas.link_error(sig(app, "told_new", key=f"{key}:new"))
    failed(canvas, ValueError)

    assert left(redis, key) == [{"id": f"id-{key}", "state": "FAILURE", "type": "ChordError"}]
    (new,) = left(redis, f"{key}:new")
    assert (new["id"], new["type"]) == (f"id-{key}", "ChordError")
    assert "raised ValueError('boom')" in new["message"]


@pytest.mark.parametrize("style", ["told_old", "told_new"])
def test_the_worker_decides_the_style_of_a_name_that_is_not_registered_here(
    app: Celery, redis: Redis, key: str, style: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that knows names only has its error callbacks called all the same."""
    monkeypatch.delitem(app.tasks, f"tests.celery_dyrygent.app.{style}")
    failed(sig(app, "boom").set(task_id=f"id-{key}").on_error(sig(app, style, key=key)))

    (told,) = left(redis, key)
    assert (told["id"], told["type"]) == (f"id-{key}", "ValueError")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("overruns", "TimeLimitExceeded"),
        ("rejected", "Reject"),
        ("no_such_task", "NotRegistered"),
        ("die", "AttemptLostError"),
        ("expired", "TaskRevokedError"),
    ],
)
def test_an_error_callback_is_called_however_a_task_fails(
    app: Celery, redis: Redis, key: str, name: str, kind: str
) -> None:
    """Also where no code of the task's own could tell: once, when the node has failed for good."""
    bad = sig(app, "add", 1, 2).set(expires=0.01, countdown=0.5) if name == "expired" else sig(app, name)
    failed(bad.on_error(sig(app, "told_new", key=key)))

    assert [told["type"] for told in left(redis, key)] == [kind]


def test_an_error_callback_that_fails_stops_no_other(app: Celery, redis: Redis, key: str) -> None:
    """The failure that the workflow tells is the task's."""
    bad = sig(app, "boom")
    bad.link_error(sig(app, "told_new"))  # it lacks its key
    bad.link_error(sig(app, "told_new", key=key))

    failed(bad, ValueError)
    assert len(left(redis, key)) == 1


# Task.replace


def replaced(app: Celery, by: Any, *args: object) -> Any:
    return sig(app, "become", by, *args)


def ends(result: WorkflowResult, kind: type) -> list[Any]:
    """Give the observations of one kind."""
    return [it.observation for it in result.run.history() if isinstance(it.observation, kind)]


def wait_until_told(result: WorkflowResult, kind: type, nodes: int) -> None:
    """Wait until executions, which say where they ran, have told so many nodes' ends; the sweep may be faster."""

    def told() -> set[str]:
        return {outcome.attempt.node for outcome in ends(result, kind) if outcome.ran is not None}

    wait_until(lambda: len(told()) == nodes, f"the report of {nodes} ends", lambda: str(result.run.history()))


def test_a_replacement_ends_its_task(app: Celery) -> None:
    """By a task, a chain, a chord, a group, or another replacement: its end is told as the task's, not searched for."""
    cases = [
        (replaced(app, sig(app, "add", 2), 1), 3),
        (replaced(app, chain(sig(app, "add", 1, 2), sig(app, "add", 4), sig(app, "add", 5))), 12),
        (replaced(app, chord([sig(app, "add", 1, 2), sig(app, "add", 3, 4)], sig(app, "pack"))), [[3, 7]]),
        (sig(app, "fan_out", [1, 2, 3], 10), [11, 12, 13]),
        (replaced(app, replaced(app, chain(sig(app, "add", 1, 1), sig(app, "add", 1)))), 3),
        (replaced(app, chain(replaced(app, chain(sig(app, "add", 1, 1), sig(app, "add", 1))), sig(app, "add", 1))), 4),
        (replaced(app, chain(sig(app, "add", 1, 1), group(sig(app, "add", 1), sig(app, "add", 2)))), [3, 4]),
    ]
    results = [(started(chain(canvas, sig(app, "pack"))), value) for canvas, value in cases]

    for result, value in results:
        assert result.get(timeout=30) == [value]
        wait_until_told(result, Succeeded, nodes=2)


@pytest.mark.parametrize("where", ["first", "middle", "header"])
def test_a_failure_in_a_replacement_fails_its_task(app: Celery, where: str) -> None:
    """It is told by the step that failed, with its own exception."""
    add, boom = sig(app, "add", 1, 2), sig(app, "boom")
    by = {
        "first": chain(boom, sig(app, "pack")),
        "middle": chain(add, boom, sig(app, "pack"), sig(app, "pack")),
        "header": chain(add, group(boom, sig(app, "add", 1)), sig(app, "pack")),
    }
    result = failed(chain(replaced(app, by[where]), sig(app, "pack")), ValueError)

    wait_until_told(result, Failed, nodes=1)


def test_a_step_of_a_replacement_that_dies_is_a_loss(app: Celery, key: str) -> None:
    """The task is run again, and replaces itself again."""
    result = started(replaced(app, chain(sig(app, "die_once", key), sig(app, "pack"))))

    assert result.get(timeout=30) == [key]
    assert len(ends(result, Lost)) == 1


def test_a_step_of_a_replacement_is_held_by_its_worker(app: Celery, redis: Redis, key: str) -> None:
    """While it runs, the worker's lease names the task that it replaces, so that nobody takes that for gone."""
    task = replaced(app, chain(sig(app, "wait_for", key), sig(app, "pack"))).set(task_id=f"id-{key}")
    result = started(task)
    journal = adapter_of(app).journal

    def held() -> set[str]:
        return {name for view in journal.leases()[0] for name in view.lease.active}

    wait_until(lambda: f"id-{key}" in held(), "the name in a lease", lambda: str(held()))
    redis.set(key, 1)
    assert result.get(timeout=30) == [key]
    assert not ends(result, Lost)


def test_a_worker_that_dies_in_a_replacement_loses_the_task(
    app: Celery, redis: Redis, redis_url: str, key: str, tmp_path: Path
) -> None:
    """Once its lease has run out, the task runs again in another worker, and replaces itself again."""
    doomed = Workers(redis_url, tmp_path / "log")
    step = sig(app, "wait_for", key).set(queue="doomed")
    result = started(replaced(app, chain(step, sig(app, "pack"))).set(task_id=f"id-{key}"))
    attempt = Attempt(f"id-{key}")

    def runner() -> str:
        marks = adapter_of(app).journal.marks(result.run.key, [attempt]).get(attempt)
        return "" if marks is None else marks.worker

    try:
        doomed.start("-Q", "doomed", "-n", "doomed@%h")
        wait_until(lambda: runner().startswith("doomed@"), "the step's start", doomed.said)
        doomed.kill()
        redis.set(key, 1)
        doomed.start("-Q", "doomed", "-n", "other@%h")

        assert result.get(timeout=30) == [key]
    finally:
        doomed.kill()
    assert len(ends(result, Lost)) == 1


def test_what_a_task_sends_besides_is_none_of_ours(app: Celery, redis: Redis, key: str) -> None:
    """A task may start other tasks and canvases; only what takes its place ends it."""
    result = started(sig(app, "starts_others", key))

    assert result.get(timeout=30) == "own"
    wait_until(lambda: redis.llen(key) == 2, "the end of what it started", lambda: str(left(redis, key)))
    assert len(ends(result, Succeeded)) == 1
