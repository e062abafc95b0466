"""Workflows on real workers, started by Dramatiq's command line, on Redis and RabbitMQ."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis

from dramatiq_dyrygent import Workflow
from dyrygent_core import Status, WorkflowState, call
from dyrygent_runtime import Run
from tests.dramatiq_dyrygent.actors import STARTS
from tests.dramatiq_dyrygent.conftest import Deployed, deployed, wait_until


def ended(run: Run, here: Deployed) -> WorkflowState:
    """Wait for the end, or tell what the workers said."""
    try:
        return run.wait(timeout=30)
    except TimeoutError:
        pytest.fail(f"{dict(run.statuses)}\n{here.workers.said()}", pytrace=False)


def test_results_go_along_edges(place: Deployed) -> None:
    """Sync and async actors get the results of others, and the workflow's own result is the last one's."""
    workflow = Workflow("sum")
    first, second = workflow.add(call("add", 1, 2)), workflow.add(call("pair", "x"))
    workflow.add(call("pack", first.result, second.result[0]), id="last")

    run = place.adapter.start(workflow)

    assert ended(run, place) is WorkflowState.SUCCESS
    assert run.result() == [3, "x"]


def test_a_failure_and_what_is_after_it(place: Deployed) -> None:
    """An exception fails the node at once, though Dramatiq would try it 20 times; what needs it does not run."""
    workflow = Workflow()
    workflow.add(call("boom"), id="bad")
    workflow.add(call("add", 1, 1), id="never", after="bad")
    workflow.add(call("add", 1, 1), id="anyway", after=[workflow.add(call("skip"), id="skipped").done])

    run = place.adapter.start(workflow)

    assert ended(run, place) is WorkflowState.FAILURE
    assert dict(run.statuses) == {
        "bad": Status.FAILED,
        "never": Status.UPSTREAM_FAILED,
        "skipped": Status.SKIPPED,
        "anyway": Status.SUCCEEDED,
    }


def test_dramatiqs_own_retries_are_no_failures(place: Deployed, redis: Redis) -> None:
    """As many as the actor, or its call, says; an exception that is tried again is observed by nobody."""
    redis.delete("flaky-2", "flaky-3")
    workflow = Workflow()
    well = workflow.add(call("flaky", "flaky-2", 2), id="well")
    workflow.add(call("flaky", "flaky-3", 3).with_options(max_retries=1), id="ill")
    workflow.returns(well.result)

    run = place.adapter.start(workflow)

    assert ended(run, place) is WorkflowState.FAILURE
    assert dict(run.statuses) == {"well": Status.SUCCEEDED, "ill": Status.FAILED}
    assert (run.result(well), int(redis.get("flaky-3") or 0)) == (3, 2)


@pytest.mark.parametrize("kind", ["redis", "rabbitmq"])
def test_a_worker_is_killed_mid_task(kind: str, redis_url: str, redis: Redis, tmp_path: Path) -> None:
    """What ran in it is lost and tried again, once; what it held runs under its first attempt, once.

    RabbitMQ gives both back at once: that is no other attempt, so what has begun is left to the lease.
    """
    with deployed(kind, redis_url, tmp_path) as here:
        here.workers.start()
        go = f"{here.place.queue}-go"
        workflow = Workflow()
        running = [workflow.add(call("wait_for", go, n), id=f"running-{n}") for n in range(2)]
        held = [workflow.add(call("add", n, n), id=f"held-{n}") for n in range(2)]
        workflow.add(call("pack", *(node.result for node in [*running, *held])), id="last")
        run = here.adapter.start(workflow)
        wait_until(lambda: redis.llen(STARTS) == 2, "two actors that run", here.workers.said)

        here.workers.kill()
        redis.set(go, 1)
        here.workers.start()

        assert ended(run, here) is WorkflowState.SUCCESS
        assert [run.state.attempt(node.id).number for node in running] == [2, 2]
        assert [run.state.attempt(node.id).number for node in held] == [1, 1]
        assert redis.llen(STARTS) == 4
        assert run.result() == [go, go, 0, 2]
