"""The Celery adapter keeps the clauses of the port: with an embedded worker, and with real ones on real brokers."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dyrygent_testing import AdapterSuite
from tests import services
from tests.celery_dyrygent.suite_app import make_app
from tests.celery_dyrygent.suite_engine import ThreadedEngine, WorkerEngine
from tests.only import NIGHTLY, only
from tests.proxy import Proxy

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")  # Celery's calls of redis-py 8


class TestCeleryInThreads(AdapterSuite):
    """Celery's embedded worker, a broker, a result backend and a journal in memory."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> Iterator[ThreadedEngine]:
        name = f"suite-{secrets.token_hex(4)}"
        configuration = {
            "broker_url": "memory://",
            "broker_transport_options": {"polling_interval": 0.01},
            "result_backend": "cache+memory://",
            "dyrygent_journal": "memory://",
            "dyrygent_namespace": name,
            "task_default_queue": name,
        }
        engine = ThreadedEngine(make_app(configuration))
        yield engine
        engine.close()


class OnRedis(AdapterSuite):
    """A prefork worker; broker, result backend and journal on Redis."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerEngine]:
        yield from worker_engine(redis_url, 6379, redis_url, tmp_path_factory.mktemp("worker"))


class OnRabbitMq(AdapterSuite):
    """A prefork worker; the broker RabbitMQ, result backend and journal on Redis."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerEngine]:
        amqp = services.AMQP.require()
        yield from worker_engine(amqp, 5672, redis_url, tmp_path_factory.mktemp("worker"))


SOME = (
    "test_a1_an_outage_loses_nothing",
    "test_a2_a_failure_is_told_as_it_was",
    "test_a3_what_is_found_is_what_was_reported",
    "test_a10_a_result_may_come_after_its_attempt_was_lost",
    "test_a11_a_worker_dies_in_the_midst_of_a_task",
    "test_whole_diamond",
)


@only(*SOME)
class TestSomeOnRedis(OnRedis):
    """What takes seconds."""


@only(*SOME)
class TestSomeOnRabbitMq(OnRabbitMq):
    """What takes seconds."""


@NIGHTLY
class TestAllOnRedis(OnRedis):
    """All of it."""


@NIGHTLY
class TestAllOnRabbitMq(OnRabbitMq):
    """All of it."""


def worker_engine(broker: str, port: int, redis_url: str, folder: Path) -> Iterator[WorkerEngine]:
    name = f"suite-{secrets.token_hex(4)}"
    configuration: dict[str, Any] = {
        "broker_url": broker,
        "result_backend": redis_url,
        "dyrygent_namespace": name,
        "task_default_queue": name,
    }
    engine = WorkerEngine(configuration, Proxy(broker, port), folder / "log")
    try:
        yield engine
    finally:
        engine.close()
