"""The adapter for RQ of `examples/`: the suite's rules on real workers, and RQ's own ways to end a job."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from redis import Redis
from rq import Queue
from rq_adapter import WorkflowValues, WorkflowWorker

from dyrygent_core import (
    Attempt,
    Call,
    Failed,
    Failure,
    Lost,
    Outcome,
    Skipped,
    Status,
    Succeeded,
    UsageError,
    Workflow,
    WorkflowState,
    call,
)
from dyrygent_core.ports import Submission
from dyrygent_runtime import Run, Sweeper
from dyrygent_testing import AdapterEngine, AdapterSuite
from tests import services
from tests.examples import rq_workers
from tests.examples.conftest import EXAMPLES

takes_many: Final = pytest.mark.skipif(
    os.environ.get("HYPOTHESIS_PROFILE") != "nightly", reason="takes many forks; the nightly profile"
)
ROOT: Final = Path(__file__).parents[2]
TASKS: Final = "tests.examples.rq_workers"
_QUEUE: Final = "rq:queue:default"
_LIMIT_S: Final = 30.0


class RQEngine(AdapterEngine):
    """As many workers as there are slots, each of which runs a job at a time; and RQ's keys as Redis has them."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__(rq_workers.make_adapter(url))
        self.redis = Redis.from_url(url)
        self.url = url
        self._log = folder / "workers.log"
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(self, *calls: Call) -> Run:
        """Start a workflow of these calls side by side."""
        workflow = Workflow()
        for it in calls:
            workflow.add(it)
        return self.adapter.start(workflow)

    def target(self, name: str) -> str:
        return f"dyrygent_testing.adapter_tasks.{name}"

    def start_worker(self) -> None:
        self.workers = [it for it in self.workers if it.poll() is None]
        while len(self.workers) < self.slots:
            kind = f"{TASKS}.Forking"
            self.workers.append(start_worker(kind, self.url, self._log, {rq_workers.URL: self.url}))

    def stop_worker(self) -> None:
        for it in self.workers:
            it.terminate()
        for it in self.workers:
            it.wait(_LIMIT_S)

    def kill_worker(self) -> None:
        for it in self.workers:
            horses = horses_of(it)
            it.kill()
            it.wait()
            for horse in horses:
                kill(horse)

    def queued_ids(self) -> Sequence[str]:
        return [it.decode().replace("_", ".") for it in self.redis.lrange(_QUEUE, 0, -1)]

    def repeat(self, attempt_id: str) -> None:
        self.redis.rpush(_QUEUE, attempt_id.replace(".", "_"))

    def forget(self, attempt_id: str) -> None:
        job_id = attempt_id.replace(".", "_")
        assert (self.redis.lrem(_QUEUE, 0, job_id), self.redis.delete(f"rq:job:{job_id}")) == (1, 1)

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        connection = self.adapter.connection
        self.adapter.connection = rq_workers.make_adapter("redis://127.0.0.1:1").connection
        try:
            yield
        finally:
            self.adapter.connection = connection


def start_worker(kind: str, url: str, log: Path, environment: dict[str, str], *options: str) -> subprocess.Popen[bytes]:
    """Run a worker by RQ's own command line."""
    command = [sys.executable, "-m", "rq.cli", "worker", "--worker-class", kind, "--url", url, *options]
    environment = os.environ | environment | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(EXAMPLES)])}
    with log.open("ab") as output:
        return subprocess.Popen(command, env=environment, stdout=output, stderr=output)


@contextlib.contextmanager
def running(kind: str, url: str, log: Path, environment: dict[str, str], *options: str) -> Iterator[None]:
    """Run a worker, and stop it."""
    worker = start_worker(kind, url, log, environment, *options)
    try:
        yield
    finally:
        worker.terminate()
        worker.wait(_LIMIT_S)


def horses_of(worker: subprocess.Popen[bytes]) -> list[int]:
    """Return a worker's children: the work-horse of the job that it runs."""
    found = subprocess.run(["pgrep", "-P", str(worker.pid)], check=False, capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def rq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RQEngine]:
    with services.redis_database() as url:
        engine = RQEngine(url, tmp_path_factory.mktemp("rq"))
        try:
            yield engine
        finally:
            engine.kill_worker()


class TestRQ(AdapterSuite):
    """Ordinary workers, which fork a work-horse for each job; what takes many is left to the nightly profile."""

    test_a1_a_large_batch_is_sent_whole = takes_many(AdapterSuite.test_a1_a_large_batch_is_sent_whole)
    test_a1_threads_send_at_once = takes_many(AdapterSuite.test_a1_threads_send_at_once)
    test_whole_wide_step = takes_many(AdapterSuite.test_whole_wide_step)
    test_whole_many_at_once = takes_many(AdapterSuite.test_whole_many_at_once)

    @pytest.fixture
    def engine(self, rq: RQEngine) -> RQEngine:
        return rq


def test_the_example_runs_from_its_command_lines(rq: RQEngine, tmp_path: Path) -> None:
    """As the module tells it: RQ's own worker in one terminal, the script in another."""
    here = {"RQ_REDIS_URL": rq.url}
    rq.stop_worker()
    command = [sys.executable, str(EXAMPLES / "rq_app.py"), "Ada", "Grace"]
    with running("rq_app.Worker", rq.url, tmp_path / "log", here):
        done = subprocess.run(
            command, check=False, env=os.environ | here, capture_output=True, text=True, timeout=2 * _LIMIT_S
        )
        assert (done.returncode, done.stdout) == (0, "Hello Ada, Hello Grace\n"), done.stderr
    assert b"Traceback" not in (tmp_path / "log").read_bytes()


@pytest.mark.parametrize("kind", ["Spawning", "Simple"])
def test_any_of_rqs_workers_reports(rq: RQEngine, tmp_path: Path, kind: str) -> None:
    """Its work-horse may be an interpreter of its own, or there may be none."""
    rq.stop_worker()
    run = rq.start(call(f"{TASKS}.double", 4))
    with running(f"{TASKS}.{kind}", rq.url, tmp_path / "log", {rq_workers.URL: rq.url}):
        assert run.wait(_LIMIT_S) is WorkflowState.SUCCESS, (tmp_path / "log").read_text()
        assert run.result() == 8
        assert ends(run) == [Succeeded]
        (outcome,) = outcomes(run)
        assert outcome.ran is not None
        assert outcome.ran.worker in {view.lease.worker for view in rq.adapter.journal.leases()[0]}


# How a job ends in RQ


def test_a_work_horse_that_is_killed_is_lost_at_once(rq: RQEngine, tmp_path: Path) -> None:
    """Its worker lives and tells of it: nobody waits for a lease to run out."""
    rq.start_worker()
    run = rq.start(call(f"{TASKS}.hold", str(tmp_path)))
    kill_horses(rq, tmp_path)

    assert run.wait(_LIMIT_S) is WorkflowState.SUCCESS
    assert (run.result(), ends(run)) == (2, [Lost, Succeeded])
    assert "signal 9" in next(it.reason for it in outcomes(run) if isinstance(it, Lost))


def test_what_rq_runs_again_is_one_attempt(rq: RQEngine, tmp_path: Path) -> None:
    """Its own retries are not failures: of what raised, of what returned `Retry`, and of what was killed."""
    rq.start_worker()
    for name in ("fail_twice", "ask_again", "hold"):
        place = tmp_path / name
        place.mkdir()
        run = rq.start(call(f"{TASKS}.{name}", str(place)).with_options(retries=2))
        if name == "hold":
            kill_horses(rq, place)

        assert run.wait(_LIMIT_S) is WorkflowState.SUCCESS, name
        assert (run.result(), ends(run)) == (2 if name == "hold" else 3, [Succeeded])


def test_a_job_that_takes_too_long_for_rq_has_failed(rq: RQEngine, tmp_path: Path) -> None:
    """RQ's time-out is a failure, by its name."""
    rq.start_worker()
    run = rq.start(call(f"{TASKS}.hold", str(tmp_path)).with_options(timeout=1))

    assert run.wait(_LIMIT_S) is WorkflowState.FAILURE
    (outcome,) = outcomes(run)
    assert isinstance(outcome, Failed)
    assert (outcome.failure.type, outcome.failure.module) == ("JobTimeoutException", "rq.timeouts")


def test_a_job_that_asks_again_too_often_has_failed(rq: RQEngine) -> None:
    """As RQ has it, whoever tells of it, the report or the sweep; not by what failed before in that process."""
    rq.start_worker()
    run = rq.start(call(f"{TASKS}.never_enough"))

    assert run.wait(_LIMIT_S) is WorkflowState.FAILURE
    (outcome,) = outcomes(run)
    assert isinstance(outcome, Failed)
    assert str(outcome.failure) == "RuntimeError: the job returned Retry more often than that allows"
    asked = Submission(outcome.attempt, f"{run.key.incarnation}.0.0.1", f"{TASKS}.never_enough")
    found = rq.adapter.lookup([asked])[outcome.attempt].outcome
    assert isinstance(found, Failed)
    assert str(found.failure) == str(outcome.failure)


def test_a_cancelled_workflow_stops_its_jobs(rq: RQEngine, tmp_path: Path) -> None:
    """The one that runs is stopped and the one that waits never starts, long before the cancel's grace is over."""
    rq.stop_worker()
    rq.start_worker()
    place = [tmp_path / str(number) for number in range(3)]
    for it in place:
        it.mkdir()
    run = rq.start(*(call(f"{TASKS}.hold", str(it)) for it in place))
    until(lambda: sum(1 for it in place if list(it.iterdir())) == rq.slots, "two jobs that run")
    run.cancel("enough")

    assert run.wait(_LIMIT_S) is WorkflowState.CANCELLED
    assert ends(run) == [Failed] * 3
    assert all(isinstance(it, Failed) and it.is_revoked for it in outcomes(run))
    assert sum(1 for it in place if list(it.iterdir())) == rq.slots


def test_what_nobody_reported_is_found(rq: RQEngine, tmp_path: Path) -> None:
    """RQ has the ends of jobs that a worker without a report ran: values, branches, skips, failures."""
    rq.stop_worker()
    workflow = Workflow()
    chosen = workflow.add(call(f"{TASKS}.choose", "value", "left"), id="chosen")
    workflow.add(call(f"{TASKS}.double", 1), id="left", after=[chosen])
    workflow.add(call(f"{TASKS}.double", chosen.result), id="right")
    workflow.add(call(f"{TASKS}.skip", "not: today"), id="skipped")
    workflow.add(call(f"{TASKS}.unwritable"), id="unwritable")
    workflow.add(call("no.module.of_mine"), id="unknown")
    run = rq.adapter.start(workflow)
    with running("rq.SimpleWorker", rq.url, tmp_path / "log", {}, "--serializer", "rq_adapter.WorkflowValues"):
        sweeper = Sweeper(rq.adapter.conductor)
        sweeper.start()
        try:
            assert run.wait(_LIMIT_S) is WorkflowState.FAILURE
        finally:
            sweeper.stop()

    assert (run.status("chosen"), run.status("left"), run.status("right")) == (
        Status.SUCCEEDED,
        Status.SUCCEEDED,
        Status.SKIPPED,
    )
    found = {it.attempt.node: it for it in outcomes(run)}
    assert isinstance(found["skipped"], Skipped)
    assert found["skipped"].reason == "not: today"
    assert isinstance(found["unknown"], Failed)
    assert found["unknown"].failure == Failure("ValueError", "Invalid attribute name: no.module.of_mine")
    assert isinstance(found["unwritable"], Failed)
    assert found["unwritable"].failure.type == "ResultMissingError"


def test_jobs_of_others_run_as_ever(rq: RQEngine) -> None:
    """A worker that reports runs what is enqueued without a workflow, and what it cannot read fails in RQ alone."""
    rq.start_worker()
    ours = Queue(connection=rq.redis, serializer=WorkflowValues).enqueue(f"{TASKS}.double", 4)
    pickled = Queue(connection=rq.redis).enqueue(f"{TASKS}.double", 4)

    until(lambda: ours.is_finished and pickled.is_failed, "both ends")
    assert ours.return_value() == 8


# What is refused


@pytest.mark.parametrize(
    ("target", "options", "told"),
    [
        ("double", {}, "write call('module.double')"),
        ("a.b", {"retires": 3}, "has no option 'retires' for 'a.b'; it has at_front, failure_ttl, queue"),
        ("a.b", {"timeout": "soon"}, "RQ cannot run 'a.b' with {'timeout': 'soon'}: Timeout must be an integer"),
        ("a.b", {"timeout": 0}, "0 timeout is not allowed"),
        ("a.b", {"retries": -1}, "please enter a value greater than 0"),
        ("a.b", {"retries": 2, "retry_intervals": -5}, "negative numbers are not allowed"),
    ],
)
def test_what_rq_cannot_run_is_refused(rq: RQEngine, target: str, options: dict[str, Any], told: str) -> None:
    """It is said before anything is written, with the repair."""
    before = rq.redis.dbsize()
    with pytest.raises(UsageError, match=re.escape(told)):
        rq.start(call(target).with_options(**options))

    assert rq.redis.dbsize() == before


def test_a_worker_without_an_adapter_does_not_start() -> None:
    """It is told what to write."""

    class Lonely(WorkflowWorker):
        pass

    with pytest.raises(UsageError, match=r"Lonely reports to nobody; write class Lonely\(…\): adapter = RQAdapter"):
        Lonely(["default"], connection=Redis())


def outcomes(run: Run) -> list[Outcome]:
    """Return the outcome of each attempt: the first, for a sweep may find in RQ what is about to be reported."""
    found: dict[Attempt, Outcome] = {}
    for it in (entry.observation for entry in run.history()):
        if isinstance(it, Succeeded | Failed | Lost | Skipped):
            found.setdefault(it.attempt, it)
    return list(found.values())


def ends(run: Run) -> list[type[Outcome]]:
    return [type(it) for it in outcomes(run)]


def kill_horses(rq: RQEngine, place: Path) -> None:
    """Kill the work-horses once something has begun to run."""
    until(lambda: any(place.iterdir()), "a job that runs")
    for worker in rq.workers:
        for horse in horses_of(worker):
            kill(horse)


def until(probe: Callable[[], Any], what: str, limit_s: float = _LIMIT_S) -> None:
    """Ask until the answer is true."""
    end = time.monotonic() + limit_s
    while not probe():
        assert time.monotonic() < end, f"{what}: not within {limit_s} s"
        time.sleep(0.02)
