"""`Workflow.apply_async`: a canvas in, Celery's own `AsyncResult` out."""

from __future__ import annotations

import pytest
from celery import Celery, chain, chord, group
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult
from redis import Redis

from celery_dyrygent import registered
from celery_dyrygent.workflows import Workflow
from dyrygent_core import UsageError
from dyrygent_core.errors import UpstreamFailedError, WorkflowExistsError
from tests.celery_dyrygent.conftest import Workers, wait_until


@pytest.fixture(autouse=True)
def _running(workers: Workers) -> None:
    """Let a worker run."""


def sig(app: Celery, name: str, *args: object) -> object:
    return app.signature(f"tests.celery_dyrygent.app.{name}", args=args)


def test_a_canvas_gives_its_own_result(app: Celery) -> None:
    """The result of a chain of a group is what the chord's body returns, members in order."""
    workflow = Workflow()
    workflow.add_celery_canvas(
        chain(sig(app, "add", 1, 2), group(sig(app, "add", 10), sig(app, "add", 20)), sig(app, "pack", "end"))
    )

    result = workflow.apply_async()

    assert result.get(timeout=30) == [[13, 23], "end"]
    assert result.state == "SUCCESS"


def test_groups_nested_in_a_header_keep_their_order(app: Celery) -> None:
    """A chord's body gets its header's results in the order in which they are written."""
    workflow = Workflow()
    header = [group(sig(app, "pack", 1), sig(app, "pack", 2)), sig(app, "pack", 3)]
    workflow.add_celery_canvas(chord(header, sig(app, "pack")))

    assert workflow.apply_async().get(timeout=30) == [[[1], [2], [3]]]


def test_a_canvas_has_name_and_tags(app: Celery) -> None:
    """What `apply_async` is given to find the workflow by is found."""
    workflow = Workflow(name="sums")
    workflow.add_celery_canvas(sig(app, "add", 1, 2))

    result = workflow.apply_async(tags=["eu", "daily"])

    assert (result.run.name, result.run.tags) == ("sums", ("eu", "daily"))
    assert result.get(timeout=30) == 3


def test_a_failure_before_a_last_group_is_told(app: Celery) -> None:
    """A chain that fails before the group at its end raises the task's own exception; the group never runs."""
    last = sig(app, "add", 1)
    workflow = Workflow()
    workflow.add_celery_canvas(chain(sig(app, "boom"), group(last, sig(app, "add", 2))))

    with pytest.raises(ValueError, match=r"^boom$"):
        workflow.apply_async().get(timeout=30)
    with pytest.raises(UpstreamFailedError):
        AsyncResult(last.id, app=app).get(timeout=10)  # type: ignore[attr-defined]


def test_the_result_of_each_task_is_its_own_async_result(app: Celery) -> None:
    """A signature in a canvas that was added has an id, under which Celery keeps the task's result as ever."""
    canvas = chain(sig(app, "add", 2, 3), sig(app, "add", 4))
    workflow = Workflow()
    workflow.add_celery_canvas(canvas)

    assert workflow.apply_async().get(timeout=30) == 9
    assert AsyncResult(canvas.tasks[0].id, app=app).get(timeout=10) == 5


def test_a_later_attempt_is_seen_under_the_tasks_own_id(app: Celery) -> None:
    """When a task's process was killed and another attempt succeeded, its own AsyncResult says so."""
    task = sig(app, "die_once", "tests:die-once-more")
    workflow = Workflow()
    workflow.add_celery_canvas(task)

    assert workflow.apply_async().get(timeout=30) == "tests:die-once-more"

    def stored() -> AsyncResult:
        return AsyncResult(task.id, app=app)  # type: ignore[attr-defined]  # a new one: an AsyncResult keeps an end

    wait_until(lambda: stored().state == "SUCCESS", "the success under the first id", lambda: stored().state)
    assert stored().get(timeout=10) == "tests:die-once-more"


def test_signatures_added_by_hand_wait_and_get_nothing(app: Celery) -> None:
    """`add_signature` waits for its dependencies, and runs with its own arguments only."""
    workflow = Workflow()
    first = workflow.add_signature(sig(app, "add", 1, 1))
    second = workflow.add_signature(sig(app, "pack", "own"), dependencies=[first])

    result = workflow.apply_async()

    assert result.get(timeout=30) == ["own"]
    assert result.run.status(second).name == "SUCCEEDED"


def test_get_gives_up_in_time(app: Celery, redis: Redis) -> None:
    """`get` raises Celery's TimeoutError while the workflow runs; the workflow goes on."""
    workflow = Workflow()
    workflow.add_celery_canvas(sig(app, "wait_for", "tests:patience"))
    result = workflow.apply_async()

    with pytest.raises(CeleryTimeoutError):
        result.get(timeout=0.2)
    assert result.state == "STARTED"
    redis.set("tests:patience", 1)
    assert result.get(timeout=30) == "tests:patience"


def test_one_id_is_one_workflow(app: Celery) -> None:
    """The same canvas started twice under one id is one workflow; another canvas under it is refused."""

    def adding(x: int) -> Workflow:
        workflow = Workflow()
        workflow.add_celery_canvas(sig(app, "add", x, 1))
        return workflow

    first, again = adding(1).apply_async(id="tests-one"), adding(1).apply_async(id="tests-one")
    assert first.get(timeout=30) == again.get(timeout=30) == 2
    with pytest.raises(WorkflowExistsError):
        adding(2).apply_async(id="tests-one")


def test_without_a_registered_app_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting before any app was registered says what to call."""
    monkeypatch.setattr(registered, "_REGISTERED", [])

    with pytest.raises(UsageError, match=r"call register_workflow_processor\(app\)"):
        Workflow().apply_async()
