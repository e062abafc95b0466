"""Maps, branches, time-outs, requests and last nodes on a real prefork worker."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery, chain
from celery.result import AsyncResult
from redis import Redis

import celery_dyrygent
from celery_dyrygent import CeleryAdapter
from celery_dyrygent.backend import _failure, look_up
from celery_dyrygent.identity import identity_in
from celery_dyrygent.results import WorkflowResult
from dyrygent_core import (
    Attempt,
    Failed,
    Lost,
    SkipNode,
    Skipped,
    Status,
    TimedOut,
    UsageError,
    Workflow,
    WorkflowFailedError,
    WorkflowState,
    call,
)
from dyrygent_core.codec import decode_observation, encode_observation
from dyrygent_core.errors import UpstreamFailedError
from dyrygent_core.ports import Dispatch, Submission, WorkflowKey
from dyrygent_runtime import Run
from dyrygent_runtime.fold import attempt_id
from dyrygent_runtime.identity import Identity
from tests.celery_dyrygent.conftest import Workers, wait_until
from tests.celery_dyrygent.test_worker import PREFIX, ended, story, task


def sig(app: Celery, name: str, *args: object) -> Any:
    return app.signature(PREFIX + name, args=args)


def id_of(run: Run, node: str, index: int = 0) -> str:
    """Give the task id of a node's newest attempt."""
    return attempt_id(run._conductor.refresh(run.key), run.state.attempt(node, index))


# Maps


def test_each_element_is_a_task(adapter: CeleryAdapter, workers: Workers, redis: Redis) -> None:
    """A list of more elements than one process sends at a time is mapped over, and each task runs once."""
    redis.delete("tests:starts")
    workflow = Workflow()
    source = workflow.add(task("spread", 110), id="source")
    squares = workflow.add(task("add", workflow.item, workflow.item), each=source, id="doubles")
    again = workflow.add(task("pack"), each=squares, id="packed")
    workflow.returns([source.result[109], squares.result, again.result[7]])

    run = adapter.start(workflow)

    assert ended(run, workers) is WorkflowState.SUCCESS
    assert run.result() == [109, [2 * number for number in range(110)], [14]]
    assert redis.llen("tests:starts") == 221


def test_a_skipped_instance_leaves_none(app: Celery, adapter: CeleryAdapter, workers: Workers) -> None:
    """A task that raises `SkipNode` skips its instance; to Celery it is a failure that tells the reason."""
    workflow = Workflow()
    workflow.add(task("even"), each=workflow.add(task("spread", 3)), id="even")

    run = adapter.start(workflow)

    assert ended(run, workers) is WorkflowState.SUCCESS
    assert run.result() == [0, None, 2]
    odd = AsyncResult(id_of(run, "even", 1), app=app)
    assert odd.state == "FAILURE"
    with pytest.raises(SkipNode, match=r"^1 is odd$"):
        odd.get(timeout=10)
    (finding,) = look_up(app, [Submission(Attempt("even", 1), odd.id, "even")], adapter.values).values()
    assert finding.outcome == Skipped(Attempt("even", 1), "1 is odd")


def test_what_is_no_list_fails_the_map(adapter: CeleryAdapter, workers: Workers) -> None:
    """A map over what is no list fails without a task, and the workflow's result tells why."""
    workflow = Workflow()
    workflow.add(task("pack"), each=workflow.add(task("add", 1, 2), id="source"), id="mapped")

    run = adapter.start(workflow)

    assert ended(run, workers) is WorkflowState.FAILURE
    with pytest.raises(WorkflowFailedError, match="'mapped' maps over the result of 'source', which is no list"):
        run.result()


@pytest.mark.usefixtures("workers")
def test_a_mapped_signature_is_many_tasks(app: Celery) -> None:
    """A signature that is run for each element is given no task id, and one that has an id is refused."""
    workflow = celery_dyrygent.Workflow()
    source = workflow.add(sig(app, "spread", 2))
    each = sig(app, "add", 10)
    mapped = workflow.add(each, each=source)
    assert (mapped.id, each.id) == (PREFIX + "add", None)
    before = len(workflow)
    with pytest.raises(UsageError, match="it stands for many tasks"):
        workflow.add(sig(app, "add", 1).set(task_id="mine"), each=source)
    assert len(workflow) == before

    assert workflow.apply_async().get(timeout=30) == [10, 11]


# Branches


def test_a_task_takes_a_branch(app: Celery, adapter: CeleryAdapter, workers: Workers) -> None:
    """`Take` lets the branches go on that it names; in the result backend it is its value."""
    workflow = Workflow()
    choice = workflow.add(task("choose", {"x": 1}, ["left"]), id="choice")
    left = workflow.add(task("pack", choice.result), id="left")
    right = workflow.add(task("pack", 2), after=choice, id="right")
    workflow.add(
        task("pack", left.result.default(None), right.result.default(None)), trigger="none_failed_min_one_success"
    )

    run = adapter.start(workflow)

    assert ended(run, workers) is WorkflowState.SUCCESS
    assert run.result() == [[{"x": 1}], None]
    assert run.status("right") is Status.SKIPPED
    assert AsyncResult(id_of(run, "choice"), app=app).get(timeout=10) == {"x": 1}


def test_a_branch_that_is_not_there_fails_the_workflow(app: Celery, adapter: CeleryAdapter, workers: Workers) -> None:
    """A branch that no dependent is named by fails the node, and the workflow's `get` raises an error that says so."""
    workflow = Workflow()
    workflow.add(task("choose", 1, ["nowhere"]), id="choice")
    workflow.add(task("pack"), after="choice", id="below")

    run = adapter.start(workflow)

    assert ended(run, workers) is WorkflowState.FAILURE
    with pytest.raises(UsageError, match=r"took the branch 'nowhere'.*take some of 'below'"):
        WorkflowResult(run.id, app=app).get(timeout=10)


# Time-outs


def test_a_task_that_takes_too_long_is_given_up(adapter: CeleryAdapter, workers: Workers, redis: Redis) -> None:
    """A node's time-out ends the attempt, whatever its task still does, and the next attempt counts."""
    workflow = Workflow()
    workflow.add(task("wait_for", "tests:time-out"), timeout=700, max_attempts=2, id="slow")
    run = adapter.start(workflow)

    wait_until(lambda: run.state.attempt("slow").number == 2, "the second attempt", lambda: story(run, workers))
    redis.set("tests:time-out", 1)

    assert ended(run, workers) is WorkflowState.SUCCESS
    assert isinstance(run.history()[1].observation, TimedOut)
    assert run.result() == "tests:time-out"


# Nodes of the whole workflow


def test_the_end_is_published_after_the_last_nodes(app: Celery, workers: Workers, redis: Redis) -> None:
    """`get` returns what the canvas returned, but not before the nodes that follow all others have ended."""
    workflow = celery_dyrygent.Workflow()
    workflow.add_celery_canvas(chain(sig(app, "add", 1, 2), sig(app, "add", 3)))
    last = sig(app, "wait_for", "tests:may-publish")
    workflow.finally_(last)
    unwanted = sig(app, "boom")
    workflow.on_error(unwanted)
    noted = workflow.on_success(sig(app, "note", "tests:summary", workflow.summary))
    result = workflow.apply_async()

    wait_until(lambda: result.run.status(noted) is Status.SUCCEEDED, "on_success", lambda: story(result.run, workers))
    assert result.state == "STARTED"
    redis.set("tests:may-publish", 1)

    assert result.get(timeout=30) == 6
    assert b"'state': 'SUCCESS'" in redis.get("tests:summary")
    assert AsyncResult(last.id, app=app).get(timeout=10) == "tests:may-publish"
    with pytest.raises(UpstreamFailedError, match="it was skipped"):
        AsyncResult(unwanted.id, app=app).get(timeout=10)


@pytest.mark.usefixtures("workers")
def test_a_failing_last_node_fails_the_workflow(app: Celery) -> None:
    """When what runs at the end fails, so does the workflow, with that exception."""
    workflow = celery_dyrygent.Workflow()
    workflow.add_celery_canvas(sig(app, "add", 1, 2))
    workflow.finally_(sig(app, "boom"))

    with pytest.raises(ValueError, match=r"^boom$"):
        workflow.apply_async().get(timeout=30)


def test_last_nodes_take_tasks_only(app: Celery) -> None:
    """What is neither a call nor one task's signature is refused, as is a second name, and nothing is added."""
    workflow = celery_dyrygent.Workflow()

    with pytest.raises(UsageError, match="a call or a task's signature, not a 'int'"):
        workflow.finally_(7)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="drop one"):
        workflow.finally_(sig(app, "add").set(task_id="mine"), id="other")
    assert len(workflow) == 0


# Requests


@pytest.mark.usefixtures("workers")
def test_a_rerun_takes_the_end_back_and_gives_another(app: Celery, redis: Redis) -> None:
    """After a rerun the workflow runs again, in Celery's eyes too, and its result is that of the new round."""
    workflow = celery_dyrygent.Workflow(max_in_flight=1)
    flaky, last = sig(app, "fail_until", "tests:rerun"), sig(app, "wait_for", "tests:rerun-end")
    workflow.add_celery_canvas(chain(sig(app, "add", 1, 2), flaky.set(immutable=True), last.set(immutable=True)))
    result = workflow.apply_async()
    with pytest.raises(ValueError, match="tests:rerun"):
        result.get(timeout=30)
    redis.set("tests:rerun", 1)

    result.run.rerun()

    def again() -> WorkflowResult:
        return WorkflowResult(result.id, app=app)  # a new one: an AsyncResult keeps an end

    assert again().state == "STARTED"
    redis.set("tests:rerun-end", 1)
    assert again().get(timeout=30) == "tests:rerun-end"
    assert again().state == "SUCCESS"
    assert result.run.state.round == 2


def test_a_worker_dies_while_its_workflow_is_paused(
    app: Celery, redis: Redis, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What a dead worker had is lost during a pause too, and sent again only when the pause is over."""
    own = Workers(redis_url, tmp_path_factory.mktemp("paused") / "log")
    queue = ["-Q", "paused"]
    adapter = CeleryAdapter(app)
    own.start(*queue, "-n", "first-paused@%h")
    workflow = Workflow()
    workflow.add(task("wait_for", "tests:paused").with_options(queue="paused"), id="node")
    run, node = adapter.start(workflow), Attempt("node")
    try:
        wait_until(
            lambda: (mark := adapter.journal.marks(run.key, [node]).get(node)) is not None and mark.started_ms,
            "the start",
            lambda: story(run, own),
        )
        run.pause()
        own.kill()
        redis.set("tests:paused", 1)
        own.start(*queue, "-n", "second-paused@%h")
        wait_until(lambda: run.status("node") is Status.READY, "the loss", lambda: story(run, own))
        assert isinstance(run.history()[-1].observation, Lost)

        run.resume()

        assert ended(run, own) is WorkflowState.SUCCESS
    finally:
        own.kill()


# What travels with a message


def test_what_a_worker_must_know_travels_with_the_message() -> None:
    """The header holds who the task is, what of its value is wanted, and where the lists in it are."""
    key = WorkflowKey("w", "i")
    item = Dispatch(key, "n", Attempt("a", 3, 2), "id", call("t"), True, "first", ((), ("rows", 0)))  # noqa: FBT003
    identity = Identity.of(item)

    assert identity_in({"dyrygent": identity.as_text()}) == identity
    assert identity.measure == ((), ("rows", 0))


def test_what_the_backend_tells_can_be_written_down() -> None:
    """A failure whose arguments JSON allows to Celery, but not to the journal, is recorded without them."""
    failure = _failure({"exc_type": "ValueError", "exc_message": [float("nan"), "x"], "exc_module": "builtins"})

    assert (failure.type, failure.args) == ("ValueError", None)
    assert decode_observation(encode_observation(Failed(Attempt("a"), failure))) == Failed(Attempt("a"), failure)
