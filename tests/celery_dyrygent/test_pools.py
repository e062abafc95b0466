"""The same workflows on every pool, broker and result backend, each with a real worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord
from celery.app.defaults import NAMESPACES
from redis import Redis

import celery_dyrygent
from celery_dyrygent.results import WorkflowResult
from dyrygent_core import Attempt, Lost, Status, TimedOut, Workflow, WorkflowFailedError, WorkflowState
from dyrygent_core.ports import Lease, Marks
from dyrygent_runtime import Sweeper
from tests.celery_dyrygent.conftest import wait_until
from tests.celery_dyrygent.deployments import Deployed, Deployment, deployed
from tests.celery_dyrygent.test_worker import PREFIX, ended, story, task

CONFIRMED = {"broker_transport_options": {"confirm_publish": True}}

DEPLOYMENTS = [
    Deployment("threads", ("-P", "threads")),
    Deployment("gevent", ("-P", "gevent", "-c", "20")),
    Deployment("solo, RabbitMQ, no results", ("-P", "solo"), broker="amqp", backend=None, journal="redis"),
    Deployment("spawned children", (), configuration={"worker_pool_start_method": "spawn"}),
    Deployment("RabbitMQ, PostgreSQL", (), broker="amqp", backend="postgresql", configuration=CONFIRMED),
]


@pytest.fixture(scope="module", params=DEPLOYMENTS, ids=str)
def here(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    """Give each deployment one worker for all tests."""
    with deployed(request.param, redis_url, tmp_path_factory.mktemp("deployed")) as it:
        it.workers.start(*it.what.options)
        yield it


@pytest.fixture
def plain(redis_url: str, tmp_path: Path) -> Iterator[Deployed]:
    """Give a worker of the same app that has not been told of this library."""
    with deployed(Deployment("plain", ()), redis_url, tmp_path) as it:
        it.workers.environment["DYRYGENT_TEST_APP_IS_PLAIN"] = "1"
        it.workers.start()
        yield it


def sig(here: Deployed, name: str, *args: object) -> Any:
    return here.app.signature(PREFIX + name, args=args)


def test_a_chain_and_a_chord(here: Deployed) -> None:
    """A canvas returns what Celery would return for it."""
    workflow = celery_dyrygent.Workflow()
    first = chain(sig(here, "add", 1, 2), sig(here, "add", 3))
    joined = chord([sig(here, "add", n, n) for n in range(5)], sig(here, "pack"))
    workflow.add_celery_canvas(first)
    workflow.add_celery_canvas(joined)

    run = here.adapter.start(workflow)

    assert ended(run, here.workers) is WorkflowState.SUCCESS
    assert run.result() == [6, [[0, 2, 4, 6, 8]]]


def test_a_map(here: Deployed) -> None:
    """Each element of a list is a task of its own, and the results are in its order."""
    workflow = Workflow()
    workflow.add(task("add", workflow.item, 10), each=workflow.add(task("spread", 30), id="spread"))

    run = here.adapter.start(workflow)

    assert ended(run, here.workers) is WorkflowState.SUCCESS
    assert run.result() == list(range(10, 40))


def test_a_failure(here: Deployed) -> None:
    """A failure is told as what it is; what waits for an end of any kind runs, and what needs a success does not."""
    workflow = Workflow()
    failing = workflow.add(task("boom"))
    after = workflow.add(task("add", 1, 1), after=failing.done, id="after")
    below = workflow.add(task("add", 2, 2), after=failing, id="below")

    run = here.adapter.start(workflow)

    assert ended(run, here.workers) is WorkflowState.FAILURE
    assert (run.status(after), run.status(below)) == (Status.SUCCEEDED, Status.UPSTREAM_FAILED)
    with pytest.raises(WorkflowFailedError, match="ValueError: boom"):
        run.result()
    if here.what.backend is not None:
        with pytest.raises(ValueError, match=r"^boom$"):
            WorkflowResult(run.id, app=here.app).get(timeout=10)


def test_retries_and_skips(here: Deployed) -> None:
    """A task that calls `self.retry` decides nothing until it ends, and one that raises `Ignore` skips its node."""
    workflow = Workflow()
    again = workflow.add(task("retried", 7), id="again")
    workflow.add(task("ignored"), id="ignored")
    workflow.returns(again.result)

    run = here.adapter.start(workflow)

    assert ended(run, here.workers) is WorkflowState.SUCCESS
    assert (run.result(), run.status("ignored")) == (7, Status.SKIPPED)


def test_the_lease_names_what_runs(here: Deployed, redis: Redis) -> None:
    """A task is marked as started by the very worker whose lease says that it runs it."""
    key = f"tests:{here.app.main}"
    workflow = Workflow()
    workflow.add(task("wait_for", key), id="node")
    run, node, journal = here.adapter.start(workflow), Attempt("node"), here.adapter.journal

    def names_it(lease: Lease, mark: Marks) -> bool:
        return (lease.worker, lease.boot) == (mark.worker, mark.boot) and bool(lease.active)

    def is_named() -> bool:
        mark = journal.marks(run.key, [node]).get(node, Marks())
        return mark.started_ms is not None and any(names_it(it.lease, mark) for it in journal.leases()[0])

    wait_until(is_named, "the lease that names the task", lambda: f"{journal.leases()}\n{story(run, here.workers)}")
    redis.set(key, 1)

    assert ended(run, here.workers) is WorkflowState.SUCCESS


def test_a_time_out(here: Deployed, redis: Redis) -> None:
    """The time-out of a node works everywhere, also where Celery's own time limits do not."""
    key = f"tests:{here.app.main}:time-out"
    workflow = Workflow()
    workflow.add(task("wait_for", key), timeout=700)

    run = here.adapter.start(workflow)

    assert ended(run, here.workers) is WorkflowState.FAILURE
    assert any(isinstance(entry.observation, TimedOut) for entry in run.history())
    redis.set(key, 1)  # where it cannot be stopped, it holds its thread until then


def test_a_broker_that_confirms_nothing_is_warned_about(here: Deployed) -> None:
    """A worker on RabbitMQ says so at its start if publisher confirms are not asked for."""
    is_told = here.what.broker == "amqp" and not here.what.configuration
    assert ("confirm_publish" in here.workers.said()) is is_told


def test_a_task_that_leaves(here: Deployed) -> None:
    """A task that calls `sys.exit` holds nothing up: it is lost, and what waits for its end runs.

    A solo worker dies of it, so it is started again there, as a supervisor would.
    """
    workflow = Workflow()
    leaving = workflow.add(task("leave"), id="leaving", max_losses=1)
    after = workflow.add(task("add", 1, 1), after=leaving.done)

    run = here.adapter.start(workflow)
    if "solo" in here.what.options:
        process = here.workers.processes[-1]
        wait_until(lambda: process.poll() is not None, "the worker's end", here.workers.said)
        here.workers.start(*here.what.options)

    assert ended(run, here.workers) is WorkflowState.FAILURE
    assert isinstance(run.history()[1].observation, Lost)
    assert run.status(after) is Status.SUCCEEDED


def test_workers_without_the_library_are_served_by_the_sweep(plain: Deployed) -> None:
    """Where a worker tells nothing, any process that sweeps finds the ends of its tasks in the result backend."""
    workflow = Workflow()
    first = workflow.add(task("add", 1, 2), id="first")
    failing = workflow.add(task("boom"), id="failing")
    workflow.returns(workflow.add(task("add", first.result, 10), after=failing.done).result)
    workflow.add(task("pack"), after=failing, id="below")
    sweeper = Sweeper(plain.adapter.conductor)
    sweeper.start()
    try:
        run = plain.adapter.start(workflow)

        assert ended(run, plain.workers) is WorkflowState.FAILURE
    finally:
        sweeper.stop()
    assert run.timeline() == {}
    assert run.results()["tests.celery_dyrygent.app.add"] == 13
    with pytest.raises(WorkflowFailedError, match="ValueError: boom"):
        run.result()


def test_children_are_spawned_where_that_is_asked_for(here: Deployed) -> None:
    """The deployment with spawned children does spawn them, and no other does."""
    if "pool_start_method" not in NAMESPACES["worker"]:
        pytest.skip("this Celery has no worker_pool_start_method")
    workflow = Workflow()
    workflow.add(task("start_method"))

    run = here.adapter.start(workflow)

    assert ended(run, here.workers) is WorkflowState.SUCCESS
    assert (run.result() == "spawn") is ("worker_pool_start_method" in here.what.configuration)
