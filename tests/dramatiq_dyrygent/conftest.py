"""Real workers, as the command line starts them, and workers in the tests' own process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from attrs import define, field
from dramatiq import Worker
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import AsyncIO
from redis import Redis

from dramatiq_dyrygent import DramatiqAdapter, Dyrygent
from tests import services
from tests.dramatiq_dyrygent import actors
from tests.dramatiq_dyrygent.brokers import QUICK, Place, broker_of, place_on
from tests.waiting import LIMIT_S, wait_until

_ROOT: Final = Path(__file__).parents[2]


@define
class Workers:
    """Starts workers of a place, and kills them."""

    place: Place
    log: Path
    module: str = "tests.dramatiq_dyrygent.app"
    processes: list[subprocess.Popen[bytes]] = field(factory=list)

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """Start one with two threads, and wait until it is ready."""
        before = self.said().count("is ready for action")
        environment = {
            **os.environ,
            "DYRYGENT_TEST_APP_PLACE": json.dumps(attrs.asdict(self.place)),
            "DYRYGENT_TEST_APP_REDIS": self.place.redis_url,
            "PYTHONPATH": str(_ROOT),
            "dramatiq_worker_timeout": "50",
        }
        command = [sys.executable, "-W", "ignore", "-m", "dramatiq", self.module, "-p", "1", "-t", "2", *options]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command, cwd=_ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(process)
        wait_until(lambda: self.said().count("is ready for action") > before, "a worker's start", self.said)
        return process

    def stop(self) -> None:
        """Let all of them end in order."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
            process.wait(LIMIT_S)
        self.kill()

    def kill(self) -> None:
        """Kill all of them, so that they can do nothing any more."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.processes.clear()

    def said(self) -> str:
        """Give what they have logged."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


@define
class Deployed:
    """A place with an adapter in this process, and its workers."""

    place: Place
    adapter: DramatiqAdapter
    workers: Workers


@contextlib.contextmanager
def deployed(kind: str, redis_url: str, folder: Path, **more: Any) -> Iterator[Deployed]:
    """Give a place without a worker as yet."""
    url = redis_url if kind == "redis" else services.AMQP.require()
    with place_on(kind, url, redis_url, **more) as place, contextlib.ExitStack() as cleanup:
        broker = broker_of(place)
        cleanup.callback(broker.close)
        actors.declare(broker, place.queue)
        adapter = DramatiqAdapter(broker)
        cleanup.callback(adapter.journal.dispose)
        workers = Workers(place, folder / f"{place.queue}.log")
        cleanup.callback(workers.kill)
        yield Deployed(place, adapter, workers)


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def place(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    """Give one running worker on each broker to all tests of a module."""
    with deployed(request.param, redis_url, tmp_path_factory.mktemp("dramatiq")) as here:
        here.workers.start()
        yield here


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        client.delete(actors.STARTS)
        yield client


@pytest.fixture
def stub() -> Iterator[StubBroker]:
    """A broker of this process, with our middleware and the tests' actors, and no worker as yet."""
    broker = StubBroker()
    broker.add_middleware(AsyncIO())
    broker.add_middleware(Dyrygent(settings=QUICK))
    actors.declare(broker)
    yield broker
    broker.close()


@contextlib.contextmanager
def working(broker: StubBroker, threads: int = 2) -> Iterator[Worker]:
    """Run a worker in this process."""
    worker = Worker(broker, worker_timeout=20, worker_threads=threads)
    broker.emit_after("process_boot")  # as the command line does; else time limits do nothing
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()
