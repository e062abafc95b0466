"""Workflows on a real prefork worker: results, failures, and workers that die."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery
from celery.local import Proxy
from redis import Redis

from celery_dyrygent import CeleryAdapter, register_workflow_processor, registered
from celery_dyrygent.results import WorkflowResult
from dyrygent_core import (
    Attempt,
    EncodingError,
    Lost,
    Status,
    Succeeded,
    UsageError,
    Workflow,
    WorkflowFailedError,
    WorkflowState,
    call,
)
from dyrygent_core.errors import JournalUnavailableError
from dyrygent_core.ports import Marks, Submission
from dyrygent_runtime import Run
from dyrygent_runtime.journals import MemoryJournal
from tests.celery_dyrygent.conftest import Workers, wait_until

PREFIX = "tests.celery_dyrygent.app."


def task(name: str, *args: object, **kwargs: object) -> object:
    return call(PREFIX + name, *args, **kwargs)


def story(run: Run, workers: Workers) -> str:
    entries = "\n".join(map(repr, run.history()))
    return f"{run.state!r}\n{entries}\n{workers.said()[-4000:]}"


def ended(run: Run, workers: Workers) -> WorkflowState:
    """Wait for the end; tell the journal if it does not come."""
    try:
        return run.wait(30)
    except TimeoutError as problem:
        pytest.fail(f"{problem}\n{story(run, workers)}", pytrace=False)


def one(target: str, *args: object) -> Workflow:
    """Build a workflow of one node, whose value is the workflow's."""
    workflow = Workflow()
    workflow.add(task(target, *args))
    return workflow


def test_results_pass_along_any_edge(adapter: CeleryAdapter, workers: Workers) -> None:
    """A node gets the results that its arguments refer to, from any node above it."""
    workflow = Workflow("diamond")
    top = workflow.add(task("add", 1, 2))
    left = workflow.add(task("add", top.result, 10))
    right = workflow.add(task("pack", {"in": [top.result]}))
    workflow.add(task("pack", right.result[0]["in"], left.result, top.result))

    run = adapter.start(workflow)

    assert ended(run, workers) is WorkflowState.SUCCESS
    assert run.result() == [[3], 13, 3]


def test_a_wide_step_is_shared_with_a_processor(adapter: CeleryAdapter, workers: Workers, redis: Redis) -> None:
    """A node with hundreds of dependents starts each of them once, and their join gets all values in order."""
    redis.delete("tests:starts")
    workflow = Workflow("wide")
    root = workflow.add(task("add", 0, 0))
    leaves = [workflow.add(task("add", root.result, n)) for n in range(250)]
    workflow.add(task("pack", [leaf.result for leaf in leaves]))

    run = adapter.start(workflow)

    assert ended(run, workers) is WorkflowState.SUCCESS
    assert run.result() == [list(range(250))]
    assert redis.llen("tests:starts") == 252


def test_a_failure_is_told_with_its_own_exception(app: Celery, adapter: CeleryAdapter, workers: Workers) -> None:
    """The workflow's AsyncResult raises the exception of the node that failed."""
    workflow = one("boom")
    workflow.add(task("add", 1, 1), after=PREFIX + "boom")

    run = adapter.start(workflow)

    assert ended(run, workers) is WorkflowState.FAILURE
    with pytest.raises(ValueError, match=r"^boom$"):
        WorkflowResult(run.id, app=app).get(timeout=10)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("no_such_task", "NotRegistered"),
        ("rejected", "Reject"),
        ("overruns", "TimeLimitExceeded"),
        ("unwritable", "EncodeError"),
    ],
)
def test_every_odd_end_is_told(adapter: CeleryAdapter, workers: Workers, target: str, kind: str) -> None:
    """A task that no worker knows, that is rejected, overruns or returns what cannot be written fails, and says so."""
    run = adapter.start(one(target))

    assert ended(run, workers) is WorkflowState.FAILURE
    with pytest.raises(WorkflowFailedError, match=kind):
        run.result()


def test_the_engines_own_retries_are_one_attempt(adapter: CeleryAdapter, workers: Workers) -> None:
    """A task that calls `self.retry` decides nothing until it ends; then its end is the attempt's."""
    run = adapter.start(one("retried", 7))

    assert ended(run, workers) is WorkflowState.SUCCESS
    assert run.result() == 7
    assert len(run.history()) == 2


def test_forwarded_headers_give_no_task_anothers_identity(adapter: CeleryAdapter, workers: Workers) -> None:
    """A task that sends its own headers on, as for a trace, still ends by its own end."""
    run = adapter.start(one("forwards"))

    assert ended(run, workers) is WorkflowState.FAILURE
    assert [type(it.observation).__name__ for it in run.history()] == ["Begin", "Failed"]


@pytest.mark.parametrize("time", range(3))
def test_a_retry_is_marked_while_it_runs(adapter: CeleryAdapter, workers: Workers, redis: Redis, time: int) -> None:
    """What the first run takes back, it takes back before the second can begin."""
    key = f"tests:retry-{time}"
    run = adapter.start(one("retries_and_waits", key))
    wait_until(lambda: redis.exists(f"{key}-runs"), "the second run", lambda: story(run, workers))

    attempt = Attempt(PREFIX + "retries_and_waits")
    marks = adapter.journal.marks(run.key, [attempt])[attempt]
    redis.set(key, 1)

    assert marks.started_ms is not None
    assert ended(run, workers) is WorkflowState.SUCCESS


def test_ignore_skips_what_needs_it(adapter: CeleryAdapter, workers: Workers) -> None:
    """A task that raises Ignore is skipped, and what needs its success is skipped too, without a failure."""
    workflow = one("ignored")
    below = workflow.add(task("add", 1, 1), after=PREFIX + "ignored")

    run = adapter.start(workflow)

    assert ended(run, workers) is WorkflowState.SUCCESS
    assert run.status(below) is Status.SKIPPED


def test_a_killed_pool_process_is_a_loss(adapter: CeleryAdapter, workers: Workers) -> None:
    """When the process that runs a task is killed, the attempt is lost and the next one succeeds."""
    run = adapter.start(one("die_once", "tests:die-once"))

    assert ended(run, workers) is WorkflowState.SUCCESS
    assert [type(entry.observation) for entry in run.history()][1:] == [Lost, Succeeded]


def test_revoke_cancels_through_the_journal(
    app: Celery, adapter: CeleryAdapter, workers: Workers, redis: Redis
) -> None:
    """Revoking the workflow's result lets nothing new start, and the workflow ends REVOKED."""
    workflow = one("wait_for", "tests:may-end")
    below = workflow.add(task("add", 1, 1), after=PREFIX + "wait_for")
    run = adapter.start(workflow)
    result = WorkflowResult(run.id, app=app)

    result.revoke()
    redis.set("tests:may-end", 1)

    assert ended(run, workers) is WorkflowState.CANCELLED
    assert run.status(below) is Status.CANCELLED
    wait_until(lambda: result.state == "REVOKED", "the published end", lambda: story(run, workers))


def test_all_workers_may_be_killed(
    app: Celery, redis: Redis, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """When all workers die with one task running and one waiting, new ones finish the workflow by themselves."""
    own = Workers(redis_url, tmp_path_factory.mktemp("killed") / "log")
    queue = ["-Q", "killed"]
    adapter = CeleryAdapter(app)
    own.start(*queue, "-n", "first@%h")
    workflow = Workflow("killed")
    running = workflow.add(task("wait_for", "tests:restarted").with_options(queue="killed"))
    waiting = workflow.add(task("pack", running.result).with_options(queue="killed"))

    run = adapter.start(workflow)

    def marks() -> Marks:
        attempt = run.state.attempt(running.id)
        return adapter.journal.marks(run.key, [attempt]).get(attempt, Marks())

    try:
        wait_until(lambda: marks().started_ms, "the start of the first task", lambda: story(run, own))
        own.kill()
        assert (run.status(running), run.status(waiting)) == (Status.SCHEDULED, Status.WAITING)
        assert len(run.history()) == 1

        redis.set("tests:restarted", 1)
        own.start(*queue, "-n", "second@%h")

        assert ended(run, own) is WorkflowState.SUCCESS
        assert run.result() == ["tests:restarted"]
        assert any(isinstance(entry.observation, Lost) for entry in run.history())
    finally:
        own.kill()


# Refusals


def test_registering_reads_no_configuration_and_starting_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app without a result backend can be registered; starting a workflow tells which setting to add."""
    monkeypatch.setattr(registered, "_REGISTERED", [])  # the last one would be every later test's app
    bare = Celery("bare", broker="memory://", set_as_current=False)
    register_workflow_processor(bare)

    with pytest.raises(UsageError, match=r"no result backend, .* set app.conf.dyrygent_journal"):
        CeleryAdapter(bare)


def test_a_result_backend_that_cannot_keep_workflows_is_named() -> None:
    """A result backend that is neither Redis nor SQL is refused by name."""
    bare = Celery("bare", broker="memory://", backend="rpc://", set_as_current=False)

    with pytest.raises(UsageError, match="'rpc' of this Celery app cannot keep workflows"):
        CeleryAdapter(bare)


def test_results_that_one_process_alone_can_read_are_no_result_backend() -> None:
    """With `rpc://` all that is known of ends comes from the journal, and the sweep asks nobody else."""
    app = Celery("rpc", broker="memory://", backend="rpc://", set_as_current=False)
    adapter = CeleryAdapter(app, journal=MemoryJournal())
    run = adapter.start(one("add", 1, 2))
    attempt = run.state.attempt("tests.celery_dyrygent.app.add")
    adapter.conductor.turn(run.key, [Succeeded(attempt)], results={attempt: adapter.values.encode(3)})

    assert adapter.lookup([Submission(attempt, "some-task-id", "add")]) == {}
    assert not adapter.journal.definition(run.id).is_open  # its end could be published
    assert run.result() == 3


def test_the_current_app_may_be_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of an app stands for the app."""
    monkeypatch.setattr(registered, "_REGISTERED", [])
    app = Celery("own", broker="memory://", set_as_current=False)
    proxy: Any = Proxy(lambda: app)

    assert register_workflow_processor(proxy).app is app
    assert CeleryAdapter(proxy, journal=MemoryJournal()).app is app


def test_an_unreachable_redis_starts_nothing() -> None:
    """Starting on a Redis that is not there raises at once, naming it and not its password."""
    away = Celery("away", broker="memory://", backend="redis://:secret@127.0.0.1:1/0", set_as_current=False)

    with pytest.raises(JournalUnavailableError, match=r"127.0.0.1:1") as caught:
        CeleryAdapter(away).start(one("add", 1, 2))
    assert "secret" not in str(caught.value)


def test_arguments_that_cannot_be_written_start_nothing(adapter: CeleryAdapter) -> None:
    """Arguments that the app's serialiser does not know are refused, naming node and serialiser."""
    with pytest.raises(EncodingError, match=r"the arguments of node .*add.* serializer 'json'"):
        adapter.start(one("add", object(), 1), id="unwritable")
    with pytest.raises(LookupError):
        adapter.journal.definition("unwritable")
