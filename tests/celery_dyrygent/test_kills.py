"""A workflow of sixty nodes whose whole worker is killed six times on the way ends as if nothing had happened.

The predecessor, killed three times during a workflow of 24 nodes, left 20 of them never run and its state RETRY.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Final

import pytest
from celery import Celery
from redis import Redis

from celery_dyrygent import CeleryAdapter
from dyrygent_core import NodeHandle, Status, Workflow, WorkflowState, call
from dyrygent_runtime import Run
from tests.celery_dyrygent.conftest import Workers, wait_until

EFFECTS: Final = "tests:effects"
LAYERS: Final = 6
WIDTH: Final = 10
KILLS: Final = 6
EXTRA_RUNS_A_KILL: Final = 2
"""As many tasks run at a time as there are pool processes; what was only held by the worker was never started."""
LEASE_S: Final = 5.0
SECONDS_AFTER: Final = 20.0


def layered() -> tuple[Workflow, dict[str, list[str]]]:
    """Build layers of nodes, each of which needs two of the layer before."""
    workflow, above, parents = Workflow("kills"), list[NodeHandle](), dict[str, list[str]]()
    for layer in range(LAYERS):
        now: list[NodeHandle] = []
        for place in range(WIDTH):
            name = f"{layer}.{place}"
            wanted = [above[place], above[(place + 3) % WIDTH]] if above else []
            parents[name] = [node.id for node in wanted]
            step = call("tests.celery_dyrygent.app.step", name, *(node.result for node in wanted))
            now.append(workflow.add(step.with_options(queue="kills"), id=name))
        above = now
    return workflow, parents


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_all_workers_are_killed_six_times(
    app: Celery, redis: Redis, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """SUCCESS, order kept, at most two extra runs a kill, and done within seconds of the last restart and one lease."""
    redis.delete(EFFECTS)
    workers = Workers(redis_url, tmp_path_factory.mktemp("kills") / "log")
    workflow, parents = layered()
    try:
        workers.start("-Q", "kills", "-n", "0@%h")
        run = CeleryAdapter(app).start(workflow)
        for kill in range(1, KILLS + 1):
            wait_until(lambda at=kill * 8: done(run) >= at, f"kill {kill}", lambda: story(run, workers))
            workers.kill()
            workers.start("-Q", "kills", "-n", f"{kill}@%h")
        restarted = time.monotonic()

        assert run.wait(60) is WorkflowState.SUCCESS, story(run, workers)
        taken = time.monotonic() - restarted
    finally:
        workers.kill()

    effects = [line.decode() for line in redis.lrange(EFFECTS, 0, -1)]
    starts = Counter(line.removeprefix("start ") for line in effects if line.startswith("start "))
    assert set(starts) == set(parents)
    assert starts.total() - len(parents) <= EXTRA_RUNS_A_KILL * KILLS, starts
    for name, above in parents.items():
        assert all(effects.index(f"end {parent}") < effects.index(f"start {name}") for parent in above), name
    assert taken < SECONDS_AFTER + LEASE_S


def done(run: Run) -> int:
    """Count the nodes that have succeeded."""
    return run.state.counts[Status.SUCCEEDED]


def story(run: Run, workers: Workers) -> str:
    return f"{run.state!r}\n{workers.said()[-4000:]}"
