"""What can be asked of a workflow while a real worker runs it."""

from __future__ import annotations

import pytest
from celery import Celery
from celery.exceptions import TaskRevokedError
from celery.result import AsyncResult
from redis import Redis

from celery_dyrygent import CeleryAdapter
from celery_dyrygent.results import WorkflowResult
from dyrygent_core import (
    CancelRequested,
    Failed,
    Status,
    UsageError,
    Workflow,
    WorkflowFailedError,
    WorkflowState,
)
from dyrygent_runtime import Run
from dyrygent_runtime.fold import attempt_id
from tests.celery_dyrygent.conftest import Workers, wait_until
from tests.celery_dyrygent.test_worker import ended, story, task


def is_running(adapter: CeleryAdapter, run: Run, node: str) -> bool:
    attempt = run.state.attempt(node)
    mark = adapter.journal.marks(run.key, [attempt]).get(attempt)
    return mark is not None and mark.started_ms is not None


def wait_for_start(adapter: CeleryAdapter, run: Run, node: str, workers: Workers) -> None:
    wait_until(lambda: is_running(adapter, run, node), f"the start of {node}", lambda: story(run, workers))


def held(key: str) -> Workflow:
    """Build a node that waits for a key, and one after it."""
    workflow = Workflow()
    first = workflow.add(task("wait_for", key), id="held")
    workflow.add(task("pack", first.result), id="after")
    return workflow


def test_a_cancel_may_terminate_what_runs(app: Celery, adapter: CeleryAdapter, workers: Workers) -> None:
    """With `terminate` the process that runs a task is signalled, and the workflow ends without waiting for it."""
    run = adapter.start(held("tests:never"))
    wait_for_start(adapter, run, "held", workers)
    result = WorkflowResult(run.id, app=app)

    result.revoke(terminate=True, signal="SIGKILL", wait=True, timeout=30)

    assert run.workflow_state is WorkflowState.CANCELLED, story(run, workers)
    assert set(run.statuses.values()) == {Status.CANCELLED}
    _, cancelled, end = (entry.observation for entry in run.history())
    assert isinstance(cancelled, CancelRequested)
    assert isinstance(end, Failed)
    assert end.is_revoked
    wait_until(lambda: result.state == "REVOKED", "the published end", lambda: story(run, workers))
    with pytest.raises(TaskRevokedError):
        result.get(timeout=10)


def test_a_signal_that_is_none_cancels_nothing(app: Celery, adapter: CeleryAdapter) -> None:
    """It is refused before anything is recorded."""
    run = adapter.start(Workflow())

    with pytest.raises(UsageError, match="'SIGNOTHING' is no signal of this system"):
        WorkflowResult(run.id, app=app).revoke(terminate=True, signal="SIGNOTHING")
    assert len(run.history()) == 1


def test_a_plain_result_cannot_cancel_a_workflow(
    app: Celery, adapter: CeleryAdapter, workers: Workers, redis: Redis
) -> None:
    """`AsyncResult(id).revoke()` tells the workers to drop a task of that id, and there is none: the workflow goes on.

    Since Celery 5.7 it says REVOKED until then: the workers write that for every id that they do not know.
    """
    run = adapter.start(held("tests:plain"))
    wait_for_start(adapter, run, "held", workers)

    AsyncResult(run.id, app=app).revoke()
    redis.set("tests:plain", 1)

    assert ended(run, workers) is WorkflowState.SUCCESS
    again = lambda: WorkflowResult(run.id, app=app)  # noqa: E731  # an AsyncResult keeps an end
    wait_until(lambda: again().state == "SUCCESS", "the published end", lambda: story(run, workers))
    assert again().get(timeout=10) == ["tests:plain"]


def test_revoking_a_nodes_own_task_fails_the_node(app: Celery, adapter: CeleryAdapter, workers: Workers) -> None:
    """It is a failure with the reason, and what needs the node does not run; the workflow is not cancelled."""
    run = adapter.start(held("tests:own-task"))
    wait_for_start(adapter, run, "held", workers)
    task_id = attempt_id(adapter.conductor.refresh(run.key), run.state.attempt("held"))

    AsyncResult(task_id, app=app).revoke(terminate=True, signal="SIGKILL")

    assert ended(run, workers) is WorkflowState.FAILURE
    assert run.status("after") is Status.UPSTREAM_FAILED
    with pytest.raises(WorkflowFailedError, match="'held' failed first: TaskRevokedError: revoked"):
        run.result()


def test_a_pause_holds_back_what_would_start(adapter: CeleryAdapter, workers: Workers, redis: Redis) -> None:
    """What runs goes on to its end; what follows starts when the pause is over, whoever resumes."""
    run = adapter.start(held("tests:pause"))
    wait_for_start(adapter, run, "held", workers)
    run.pause("lunch")
    redis.set("tests:pause", 1)
    wait_until(lambda: run.status("held") is Status.SUCCEEDED, "the end", lambda: story(run, workers))
    assert run.status("after") is Status.READY

    Run.from_id(run.id, adapter.journal, adapter).resume()

    assert ended(run, workers) is WorkflowState.SUCCESS
    assert run.result() == ["tests:pause"]


def test_a_node_that_runs_is_skipped(adapter: CeleryAdapter, workers: Workers) -> None:
    """What does not need its success goes on without it, once it has ended."""
    workflow = Workflow()
    first = workflow.add(task("wait_for", "tests:never-3"), id="held")
    workflow.add(task("add", 1, 2), after=first.done, id="after")
    run = adapter.start(workflow)
    wait_for_start(adapter, run, "held", workers)
    task_id = attempt_id(adapter.conductor.refresh(run.key), run.state.attempt("held"))

    run.skip("held")
    adapter.app.control.revoke(task_id, terminate=True, signal="SIGKILL")

    assert ended(run, workers) is WorkflowState.SUCCESS
    assert (run.status("held"), run.status("after")) == (Status.SKIPPED, Status.SUCCEEDED)


def test_a_deadline_ends_the_workflow_in_error(
    app: Celery, adapter: CeleryAdapter, workers: Workers, redis: Redis
) -> None:
    """Nothing starts after it; the workflow's result says that it is over."""
    workflow = Workflow(deadline=300)
    first = workflow.add(task("wait_for", "tests:deadline"), id="held")
    workflow.add(task("pack", first.result), id="after")
    run = adapter.start(workflow)
    wait_until(lambda: run.status("after") is Status.CANCELLED, "the deadline", lambda: story(run, workers))
    redis.set("tests:deadline", 1)

    assert ended(run, workers) is WorkflowState.ERROR
    with pytest.raises(WorkflowFailedError, match="ended in ERROR"):
        WorkflowResult(run.id, app=app).get(timeout=10)


def test_only_what_failed_runs_again(adapter: CeleryAdapter, workers: Workers, redis: Redis) -> None:
    """A rerun keeps what succeeded, with its result."""
    redis.delete("tests:starts")
    workflow = Workflow()
    first = workflow.add(task("add", 1, 2), id="kept")
    workflow.add(task("fail_until", "tests:again", first.result), id="flaky")
    run = adapter.start(workflow)
    assert ended(run, workers) is WorkflowState.FAILURE
    redis.set("tests:again", 1)

    run.rerun()

    assert ended(run, workers) is WorkflowState.SUCCESS
    assert redis.lrange("tests:starts", 0, -1) == [b"add", b"fail_until", b"fail_until"]
