"""Nodes are ordinary tasks to everything that watches Celery: inspection, events, signals, logs."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any, Self

import pytest
from celery import Celery
from redis import Redis

from celery_dyrygent import CeleryAdapter
from celery_dyrygent.logs import WorkflowFilter
from dyrygent_core import Workflow, WorkflowState, call
from dyrygent_runtime import Run
from dyrygent_runtime.fold import attempt_id
from tests.celery_dyrygent.conftest import Workers, wait_until
from tests.celery_dyrygent.test_worker import ended, story


@pytest.fixture(scope="module")
def habits(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    workers = Workers(redis_url, tmp_path_factory.mktemp("habits") / "log", "tests.celery_dyrygent.habits_app")
    workers.start("-n", "habits@%h")
    yield workers
    workers.kill()


@pytest.fixture(scope="module")
def habits_app(redis_url: str) -> Celery:
    os.environ["DYRYGENT_TEST_APP_REDIS"] = redis_url
    from tests.celery_dyrygent.habits_app import app  # noqa: PLC0415  # it reads where Redis is

    return app


class Events:
    """All task events that workers send, from `start` to `stop`."""

    def __init__(self, app: Celery) -> None:
        self.seen: list[dict[str, Any]] = []
        self._app = app
        self._is_over = False
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._thread.join(10)

    def of(self, task_id: str) -> dict[str, dict[str, Any]]:
        return {it["type"]: it for it in self.seen if it.get("uuid") == task_id}

    def _read(self) -> None:
        with self._app.connection_for_read() as connection:
            receiver = self._app.events.Receiver(connection, handlers={"*": self.seen.append})
            with receiver.consumer_context() as (own, _channel, _consumers):
                self._is_ready.set()
                while not self._is_over:
                    with contextlib.suppress(TimeoutError):
                        own.drain_events(timeout=0.1)


def started(app: Celery) -> tuple[CeleryAdapter, Run]:
    """Start talk -> wait."""
    workflow = Workflow()
    said = workflow.add(call("habits.talk", "hello"), id="first word")
    workflow.add(call("habits.wait", said.result), id="waits")
    adapter = CeleryAdapter(app)
    return adapter, adapter.start(workflow)


def id_of(adapter: CeleryAdapter, run: Run, node: str) -> str:
    return attempt_id(adapter.conductor.refresh(run.key), run.state.attempt(node))


def test_a_node_is_an_ordinary_task(habits_app: Celery, habits: Workers, redis: Redis) -> None:
    """Inspection and events name it with its id, arguments and root; its own signals fire; its log lines say whose."""
    redis.delete("tests:fired", "tests:habits-may-end")
    with Events(habits_app) as events:
        adapter, run = started(habits_app)
        first, last = id_of(adapter, run, "first word"), id_of(adapter, run, "waits")
        wait_until(lambda: events.of(last).get("task-started"), "the start", lambda: story(run, habits))
        inspect = habits_app.control.inspect([f"habits@{socket.gethostname()}"], timeout=10, limit=1)
        # The first task's process may not have told its worker yet that it is done.
        (active,) = (it for it in next(iter(inspect.active().values())) if it["id"] == last)
        registered = next(iter(inspect.registered().values()))
        redis.set("tests:habits-may-end", 1)
        assert ended(run, habits) is WorkflowState.SUCCESS
        wait_until(lambda: events.of(last).get("task-succeeded"), "the end", lambda: story(run, habits))

    assert (active["name"], active["id"], active["args"]) == ("habits.wait", last, ["hello"])
    assert {"habits.talk", "habits.wait", "workflow-processor"} <= set(registered)
    received = events.of(first)["task-received"]
    assert (received["name"], received["args"], received["root_id"]) == ("habits.talk", "['hello']", run.id)
    assert set(events.of(first)) == {"task-received", "task-started", "task-succeeded"}
    fired = [it.decode() for it in redis.lrange("tests:fired", 0, -1)]
    assert fired == [f"{name} {task_id}" for task_id in (first, last) for name in ("prerun", "success", "postrun")]
    log = habits.said()
    assert f"INFO habits.talk [{run.id}/first word#1] I say hello" in log
    assert f"INFO [{run.id}/first word] Task habits.talk[{first}] succeeded" in log
    assert "INFO [-/-] Task habits.talk" in log  # received, in the main process, where no task runs


def test_a_line_of_no_workflow_has_a_dash() -> None:
    """A format may name the attributes everywhere, and whoever sets up logging can add the filter."""
    record = logging.makeLogRecord({"msg": "x"})

    assert WorkflowFilter().filter(record)
    assert (record.workflow, record.node, record.attempt) == ("-", "-", "-")


def test_what_a_record_has_already_stays() -> None:
    """Whoever logs a node of its own, as `extra`, finds it in the log."""
    record = logging.makeLogRecord({"msg": "x", "node": "database-3"})

    assert WorkflowFilter().filter(record)
    assert (record.workflow, record.node) == ("-", "database-3")
