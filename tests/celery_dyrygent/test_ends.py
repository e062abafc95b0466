"""What becomes of a node, whatever becomes of its task: the table of docs/reference/when-tasks-end.md, row by row.

Each row with early acknowledgement, Celery's default, and with late. The rows that end a whole worker are played at the
same time, each by a worker of its own, and one more worker finds what they leave.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Final

import pytest
from attrs import asdict, frozen
from redis import Redis

from dyrygent_core import Attempt, Failed, Lost, Status, Succeeded, Workflow, WorkflowState
from dyrygent_core.ports import Marks
from dyrygent_runtime import Run
from dyrygent_runtime.fold import attempt_id
from tests.celery_dyrygent.conftest import wait_until
from tests.celery_dyrygent.deployments import QUICK, Deployed, Deployment, deployed
from tests.celery_dyrygent.test_worker import ended, story, task

ACKNOWLEDGED: Final = {"early": "", "late": "late_"}
"""The prefix of the task's name."""
SURVIVOR: Final = "survivor@tests"
PATIENT: Final = {"dyrygent_settings": {**asdict(QUICK), "lease_ms": 12_000}}
"""A cold shutdown, and what it puts back, have to be over within a lease, however busy the machine is."""


@pytest.fixture(scope="module")
def here(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """One prefork worker for the rows that it survives."""
    with deployed(Deployment("prefork", (), configuration=PATIENT), redis_url, tmp_path_factory.mktemp("ends")) as it:
        it.workers.start("-n", SURVIVOR)
        yield it


def outcomes(run: Run) -> list[str]:
    """Tell what was observed, one word each, without what changed nothing."""
    found: list[str] = []
    known: set[Attempt] = set()
    for entry in run.history():
        match entry.observation:
            case Succeeded(attempt) | Lost(attempt) as it if attempt not in known:
                known.add(attempt)
                found.append(type(it).__name__)
            case Failed(attempt, failure) if attempt not in known:
                known.add(attempt)
                found.append(failure.type)
            case _:
                pass
    return found


def one(here: Deployed, name: str, *args: object, **options: object) -> Run:
    """Start a workflow of one node, and one more that needs its success."""
    workflow = Workflow()
    node = workflow.add(task(name, *args).with_options(**options), id="node")
    workflow.add(task("add", 1, 1), after=node, id="below")
    return here.adapter.start(workflow)


def is_started(here: Deployed, run: Run) -> bool:
    node = run.state.attempt("node")
    return here.adapter.journal.marks(run.key, [node]).get(node, Marks()).started_ms is not None


def wait_for_start(here: Deployed, *runs: Run) -> None:
    wait_until(
        lambda: all(is_started(here, run) for run in runs),
        "the start",
        lambda: "\n".join(story(run, here.workers) for run in runs),
    )


# What the worker survives


def both(here: Deployed, name: str, *args: object, **options: object) -> list[Run]:
    """Start the task that is acknowledged early, and the one that is late."""
    return [one(here, prefix + name, *args, **options) for prefix in ACKNOWLEDGED.values()]


def test_the_pool_process_is_killed(here: Deployed) -> None:
    """The attempt is lost, and the next one begins at once."""
    runs = [one(here, late + "die_once", f"tests:{late}ends-die-once") for late in ACKNOWLEDGED.values()]

    for run in runs:
        assert ended(run, here.workers) is WorkflowState.SUCCESS
        assert outcomes(run) == ["Lost", "Succeeded", "Succeeded"]


def test_the_task_leaves_the_process(here: Deployed) -> None:
    """A task that calls `sys.exit` is a loss each time; the third one fails the node."""
    for late in ACKNOWLEDGED.values():  # one at a time: all of a pool's processes at once is another story
        run = one(here, late + "leave")
        assert ended(run, here.workers) is WorkflowState.FAILURE
        assert outcomes(run) == ["Lost", "Lost", "Lost"]
        assert run.status("below") is Status.UPSTREAM_FAILED


def test_a_running_task_is_revoked_and_terminated(here: Deployed) -> None:
    """The node fails, and says that it was revoked."""
    runs = both(here, "wait_for", "tests:ends-never")
    wait_for_start(here, *runs)

    for run in runs:
        here.app.control.revoke(task_id(run), terminate=True)

    for run in runs:
        assert ended(run, here.workers) is WorkflowState.FAILURE
        assert outcomes(run) == ["TaskRevokedError"]


def test_the_hard_time_limit(here: Deployed) -> None:
    """The node fails with `TimeLimitExceeded`."""
    for run in both(here, "wait_for", "tests:ends-never", time_limit=0.7):
        assert ended(run, here.workers) is WorkflowState.FAILURE
        assert outcomes(run) == ["TimeLimitExceeded"]


def test_the_soft_time_limit(here: Deployed) -> None:
    """The node fails with `SoftTimeLimitExceeded`, unless the task catches that."""
    for run in both(here, "wait_for", "tests:ends-never", soft_time_limit=0.5):
        assert ended(run, here.workers) is WorkflowState.FAILURE
        assert outcomes(run) == ["SoftTimeLimitExceeded"]


def test_the_message_expires(here: Deployed) -> None:
    """The node fails, and says that it has expired."""
    for run in both(here, "wait_for", "tests:ends-never", expires=-1):
        assert ended(run, here.workers) is WorkflowState.FAILURE
        assert outcomes(run) == ["TaskRevokedError"]
        assert "expired" in run.explain("node")


def test_no_worker_knows_the_task(here: Deployed) -> None:
    """The node fails with `NotRegistered`."""
    run = one(here, "no_such_task")

    assert ended(run, here.workers) is WorkflowState.FAILURE
    assert outcomes(run) == ["NotRegistered"]


def task_id(run: Run) -> str:
    return attempt_id(run._conductor.refresh(run.key), run.state.attempt("node"))


# What it does not survive


@frozen
class Death:
    """One way for a worker to end, and what is then observed of the task that it ran."""

    name: str
    signal: signal.Signals
    early: tuple[str, ...]
    late: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


DEATHS: Final = [
    Death("killed", signal.SIGKILL, ("Lost", "Succeeded", "Succeeded"), ("Lost", "Succeeded", "Succeeded")),
    Death("warm shutdown", signal.SIGTERM, ("Succeeded", "Succeeded"), ("Succeeded", "Succeeded")),
    Death("cold shutdown", signal.SIGQUIT, ("Lost", "Succeeded", "Succeeded"), ("Succeeded", "Succeeded")),
]


@pytest.fixture(scope="module")
def dead(here: Deployed, redis: Redis) -> dict[tuple[str, str], Run]:
    """End three workers in mid-task, each its own way; then have one worker see to all their queues."""
    runs: dict[tuple[str, str], Run] = {}
    victims = {}
    for death in DEATHS:
        queue = f"{here.app.main}-{death.signal.name}"
        here.workers.launch("-Q", queue, "-n", f"{death.signal.name}@%h")
        victims[death.name] = here.workers.processes[-1]
        for how, prefix in ACKNOWLEDGED.items():
            runs[death.name, how] = one(here, prefix + "wait_for", "tests:ends-deaths", queue=queue)
    wait_for_start(here, *runs.values())
    for death in DEATHS:
        here.app.control.add_consumer(
            f"{here.app.main}-{death.signal.name}", destination=[SURVIVOR], reply=True, timeout=10, limit=1
        )
    for death in DEATHS:
        os.kill(victims[death.name].pid, death.signal)
    wait_until(lambda: victims["killed"].poll() is not None, "the kill", here.workers.said)
    wait_until(lambda: victims["cold shutdown"].poll() is not None, "the cold shutdown", here.workers.said)
    assert victims["warm shutdown"].poll() is None
    redis.set("tests:ends-deaths", 1)
    wait_until(lambda: victims["warm shutdown"].poll() is not None, "the warm shutdown", here.workers.said)
    return runs


@pytest.mark.parametrize("death", DEATHS, ids=str)
@pytest.mark.parametrize("how", ACKNOWLEDGED)
def test_the_worker_ends(here: Deployed, dead: dict[tuple[str, str], Run], death: Death, how: str) -> None:
    """What a worker has begun is ended by it in a warm shutdown, and by another one after all others."""
    run = dead[death.name, how]

    assert ended(run, here.workers) is WorkflowState.SUCCESS
    assert tuple(outcomes(run)) == getattr(death, how), story(run, here.workers)
