"""The Dramatiq adapter keeps the clauses of the port, on each broker, with and without Dramatiq's results."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, Final
from unittest import mock

import pytest
from dramatiq import Message, Worker
from dramatiq.brokers.stub import StubBroker
from dramatiq.errors import ConnectionFailed
from redis import ConnectionPool

from dramatiq_dyrygent import DramatiqAdapter
from dyrygent_testing.adapter_basis import AdapterBasis
from dyrygent_testing.adapter_control import ControlRules
from dyrygent_testing.adapter_losses import LossRules
from dyrygent_testing.adapter_suite import AdapterEngine, AdapterSuite
from tests.dramatiq_dyrygent.conftest import Deployed, Workers, deployed, working

IS_NIGHTLY: Final = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


class Engine(AdapterEngine):
    """What is the same on each broker."""

    drops_repeats = True
    adapter: DramatiqAdapter

    def target(self, name: str) -> str:
        return f"suite.{name}"

    @property
    def broker(self) -> Any:
        return self.adapter.broker


class StubEngine(Engine):
    """Dramatiq's broker for tests, and a worker in this process."""

    def __init__(self, adapter: DramatiqAdapter) -> None:
        super().__init__(adapter)
        self._workers = contextlib.ExitStack()
        self._worker: Worker | None = None

    def start_worker(self) -> None:
        if self._worker is None:
            self._worker = self._workers.enter_context(working(self.broker))

    def stop_worker(self) -> None:
        self._workers.close()
        self._worker = None

    @property
    def _queue(self) -> Any:
        return self.broker.queues["default"]

    def queued_ids(self) -> Sequence[str]:
        return [Message.decode(data).message_id for data in self._queue.queue]

    def repeat(self, attempt_id: str) -> None:
        self._queue.put(self._data_of(attempt_id))

    def forget(self, attempt_id: str) -> None:
        self._queue.queue.remove(self._data_of(attempt_id))
        self._queue.task_done()

    def _data_of(self, attempt_id: str) -> bytes:
        return next(data for data in self._queue.queue if Message.decode(data).message_id == attempt_id)

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        with mock.patch.object(StubBroker, "enqueue", side_effect=ConnectionFailed("the suite says so")):
            yield


class ServerEngine(Engine):
    """A real broker, and workers as the command line starts them."""

    def __init__(self, here: Deployed) -> None:
        super().__init__(here.adapter)
        self.name = here.place.queue
        self.workers: Workers = here.workers

    def start_worker(self) -> None:
        if not self.workers.processes:
            self.workers.start()

    def stop_worker(self) -> None:
        self.workers.stop()

    def kill_worker(self) -> None:
        self.workers.kill()


class RedisEngine(ServerEngine):
    """On Redis."""

    @property
    def _keys(self) -> tuple[str, str]:
        return f"{self.name}:{self.name}", f"{self.name}:{self.name}.msgs"

    def _waiting(self) -> dict[bytes, Message[Any]]:
        waiting, messages = self._keys
        ids = self.broker.client.lrange(waiting, 0, -1)
        return {it: Message.decode(self.broker.client.hget(messages, it)) for it in ids}

    def queued_ids(self) -> Sequence[str]:
        return [message.message_id for message in self._waiting().values()]

    def repeat(self, attempt_id: str) -> None:
        (message,) = (it for it in self._waiting().values() if it.message_id == attempt_id)
        self.broker.enqueue(message)

    def forget(self, attempt_id: str) -> None:
        (name,) = (name for name, it in self._waiting().items() if it.message_id == attempt_id)
        self.broker.client.lrem(self._keys[0], 0, name)
        self.broker.client.hdel(self._keys[1], name)

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        with mock.patch.object(self.broker.client, "connection_pool", ConnectionPool(port=1)):
            yield


class RabbitmqEngine(ServerEngine):
    """On RabbitMQ."""

    @contextlib.contextmanager
    def _taken(self) -> Iterator[list[tuple[int, bytes]]]:
        """Take what waits, and give it back."""
        with self.broker.connection.channel() as channel:
            taken = list[tuple[int, bytes]]()
            while (got := channel.basic_get(self.name))[0] is not None:
                taken.append((got[0].delivery_tag, got[2]))
            yield taken
            for tag, _ in taken:
                channel.basic_nack(tag, requeue=True)

    def queued_ids(self) -> Sequence[str]:
        with self._taken() as taken:
            return [Message.decode(body).message_id for _, body in taken]

    def repeat(self, attempt_id: str) -> None:
        with self._taken() as taken:
            bodies = [body for _, body in taken if Message.decode(body).message_id == attempt_id]
        self.broker.enqueue(Message.decode(bodies[0]))

    def forget(self, attempt_id: str) -> None:
        with self.broker.connection.channel() as channel:
            method, _, body = channel.basic_get(self.name)
            assert Message.decode(body).message_id == attempt_id
            channel.basic_ack(method.delivery_tag)

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        with mock.patch.object(self.broker.parameters, "_port", 1):
            del self.broker.connection
            yield


class TestDramatiqOnStub(AdapterSuite):
    """In one process."""

    @pytest.fixture
    def engine(self, stub: StubBroker) -> Iterator[AdapterEngine]:
        engine = StubEngine(DramatiqAdapter(stub))
        yield engine
        engine.stop_worker()


class OnRedis(AdapterBasis):
    """With the results of all actors stored."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdapterEngine]:
        with deployed("redis", redis_url, tmp_path_factory.mktemp("suite"), has_results=True) as here:
            yield RedisEngine(here)

    def test_a3_a_record_from_before_the_attempt_is_not_its_own(self) -> None:
        """It cannot be: ids of attempts are made anew for each workflow, and Dramatiq's results have no time."""
        pytest.skip("no id of an attempt was ever used before")


class TestDramatiqOnRedis(OnRedis, ControlRules, LossRules):  # type: ignore[misc]  # the rule that is said again
    """What the server has to do with; all of it in the nightly profile."""


if IS_NIGHTLY:  # they take a minute each

    class TestDramatiqOnRedisWholly(OnRedis, AdapterSuite):  # type: ignore[misc]  # as above
        """All rules."""

    class TestDramatiqOnRabbitmq(AdapterSuite):
        """All rules, with a journal elsewhere."""

        @pytest.fixture(scope="class")
        @classmethod
        def engine(cls, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdapterEngine]:
            with deployed("rabbitmq", redis_url, tmp_path_factory.mktemp("suite")) as here:
                yield RabbitmqEngine(here)
