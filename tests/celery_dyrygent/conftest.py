"""A real prefork worker on a Redis database of the test run's own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define, field
from celery import Celery
from redis import Redis

from celery_dyrygent import CeleryAdapter, registered
from tests.waiting import wait_until

_ROOT = Path(__file__).parents[2]


@define
class Workers:
    """Starts workers of the test app, and kills them."""

    url: str
    log: Path
    app: str = "tests.celery_dyrygent.app"
    processes: list[subprocess.Popen[bytes]] = field(factory=list)
    environment: dict[str, str] = field(factory=dict)

    def start(self, *options: str) -> None:
        """Start one, and wait until it is ready."""
        before = self.said().count(" ready.")
        self.launch(*options)
        wait_until(lambda: self.said().count(" ready.") > before, "a worker's start", self.said)

    def launch(self, *options: str) -> None:
        """Start one, and do not wait for it."""
        environment = {
            **os.environ,
            "DYRYGENT_TEST_APP_REDIS": self.url,
            "PYTHONPATH": str(_ROOT),
            **self.environment,
        }
        command = [sys.executable, "-W", "ignore", "-m", "celery", "-A", self.app, "worker"]
        command += ["-c", "2", "-l", "INFO", "--without-gossip", "--without-mingle", *options]
        with self.log.open("ab") as log:
            self.processes.append(
                subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
            )

    def kill(self) -> None:
        """Kill all of them, pool processes too, so that they can do nothing any more."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.processes.clear()

    def said(self) -> str:
        """Give what they have logged."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


@pytest.fixture(autouse=True)
def _tests_app_is_registered_last() -> None:
    """Let `apply_async` use the tests' app, whatever apps of their own other tests have registered."""
    registered._REGISTERED.sort(key=lambda app: app.main == "tests")


@pytest.fixture(scope="session")
def app(redis_url: str) -> Celery:
    """The test app, in this process."""
    os.environ["DYRYGENT_TEST_APP_REDIS"] = redis_url
    from tests.celery_dyrygent.app import app as celery  # noqa: PLC0415  # it reads the variable

    return celery


@pytest.fixture(scope="session")
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture(scope="module")
def workers(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Give one running worker to all tests of a module."""
    workers = Workers(redis_url, tmp_path_factory.mktemp("workers") / "log")
    workers.start()
    yield workers
    workers.kill()


@pytest.fixture
def adapter(app: Celery) -> CeleryAdapter:
    """An adapter of this test's own."""
    return CeleryAdapter(app)
