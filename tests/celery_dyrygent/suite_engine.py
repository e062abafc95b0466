"""Celery as the adapter suite sees it: workers in threads or in processes, and queues through kombu alone."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from celery import Celery, _state, signals, states
from celery.contrib.testing.worker import start_worker
from kombu import Connection
from kombu.message import Message

from celery_dyrygent.adapter import adapter_of
from dyrygent_core import WorkflowState
from dyrygent_testing import AdapterEngine
from tests.celery_dyrygent.suite_app import CONFIGURATION, make_app
from tests.proxy import Proxy

__all__ = ["CeleryEngine", "ThreadedEngine", "WorkerEngine"]

_PAUSE_S: Final = 0.02
_ROOT: Final = Path(__file__).parents[2]
_STATES: Final = {
    states.SUCCESS: WorkflowState.SUCCESS,
    states.FAILURE: WorkflowState.FAILURE,
    states.REVOKED: WorkflowState.CANCELLED,
}


class CeleryEngine(AdapterEngine):
    """The hooks that are the same wherever the worker runs."""

    def __init__(self, app: Celery) -> None:
        super().__init__(adapter_of(app))
        self.app = app
        self.queue: str = app.conf.task_default_queue

    @abstractmethod
    def close(self) -> None:
        """End the worker, and leave no queue behind."""

    def queued_ids(self) -> Sequence[str]:
        with self._taken() as messages:
            return [message.headers["id"] for message in messages]

    def repeat(self, attempt_id: str) -> None:
        with self._taken() as messages:
            (message,) = (it for it in messages if it.headers["id"] == attempt_id)
            with self._connection() as connection, connection.Producer() as producer:
                producer.publish(
                    message.body,
                    routing_key=self.queue,
                    content_type=message.content_type,
                    content_encoding=message.content_encoding,
                    headers=dict(message.headers),
                    correlation_id=attempt_id,
                )

    def forget(self, attempt_id: str) -> None:
        with self._taken() as messages:
            for message in messages:
                if message.headers["id"] == attempt_id:
                    message.ack()

    def told(self, workflow_id: str) -> tuple[WorkflowState, Any] | None:
        self.app.backend._cache.clear()
        meta = self.app.backend.get_task_meta(workflow_id, cache=False)
        if meta["status"] == states.PENDING:
            return None
        is_success = meta["status"] == states.SUCCESS
        return _STATES[meta["status"]], meta["result"] if is_success else None

    def _connection(self) -> Connection:
        return self.app.connection_for_read()

    @contextlib.contextmanager
    def _taken(self) -> Iterator[list[Message]]:
        """Take what waits, and put back what is not acknowledged."""
        with self._connection() as connection, connection.channel() as channel:
            queue = self.app.amqp.queues[self.queue](channel)
            queue.declare()
            messages: list[Message] = []
            while (message := queue.get(no_ack=False)) is not None:
                messages.append(message)
            try:
                yield messages
            finally:
                for message in messages:
                    if not message.acknowledged:
                        message.requeue()


class ThreadedEngine(CeleryEngine):
    """With Celery's own embedded worker, in threads of this process."""

    def __init__(self, app: Celery) -> None:
        super().__init__(app)
        self._worker: contextlib.ExitStack | None = None

    def start_worker(self) -> None:
        if self._worker is not None:
            return
        self._worker = contextlib.ExitStack()
        self._worker.enter_context(_untouched())
        embedded = start_worker(
            self.app, concurrency=self.slots, pool="threads", perform_ping_check=False, loglevel="CRITICAL"
        )
        self._worker.enter_context(embedded)

    def stop_worker(self) -> None:
        if self._worker is None:
            return
        closing = threading.Thread(target=self._worker.close)
        closing.start()
        while closing.is_alive():  # it looks up every two seconds, or when something comes
            self.app.control.broadcast("enable_events")
            closing.join(_PAUSE_S)
        self._worker = None

    def close(self) -> None:
        self.stop_worker()
        self.app.close()


@contextlib.contextmanager
def _untouched() -> Iterator[None]:
    """Take back what the embedded worker does to its process: its logging, and which app is the current one."""
    default, current = _state.default_app, _state._tls.current_app
    signals.setup_logging.connect(_no_logging)
    try:
        yield
    finally:
        signals.setup_logging.disconnect(_no_logging)
        logging.captureWarnings(capture=False)
        _state.set_default_app(default)
        _state._set_current_app(current)


def _no_logging(**_: object) -> None:
    """Stand for a set-up of logging, so that Celery makes none."""


class WorkerEngine(CeleryEngine):
    """With `celery worker`, a main process and two children, whose log is in a file.

    This process has a way of its own to the broker, which can be cut.
    """

    def __init__(self, configuration: dict[str, Any], proxy: Proxy, log: Path) -> None:
        super().__init__(make_app({**configuration, "broker_url": proxy.url}))
        self._direct: str = configuration["broker_url"]
        self._proxy = proxy
        self._environment = {**os.environ, CONFIGURATION: json.dumps(configuration), "PYTHONPATH": str(_ROOT)}
        self._log = log
        self._worker: subprocess.Popen[bytes] | None = None

    def start_worker(self) -> None:
        if self._worker is not None and self._worker.poll() is None:
            return
        before = self._said().count(" ready.")
        command = [sys.executable, "-W", "ignore", "-m", "celery", "-A", "tests.celery_dyrygent.suite_app", "worker"]
        command += ["-c", str(self.slots), "-l", "INFO", "--without-gossip", "--without-mingle"]
        with self._log.open("ab") as log:
            self._worker = subprocess.Popen(
                command, cwd=_ROOT, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        self._wait(lambda: self._said().count(" ready.") > before, "a worker's start")

    def stop_worker(self) -> None:
        if self._worker is not None:
            self._worker.terminate()
            self._worker.wait(self.limit_s)
            self._worker = None

    def kill_worker(self) -> None:
        if self._worker is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._worker.pid, signal.SIGKILL)
            self._worker.wait()
            self._worker = None

    def outage(self) -> contextlib.AbstractContextManager[None]:
        return self._proxy.cut()

    def close(self) -> None:
        self.kill_worker()
        self._proxy.close()
        with self._connection() as connection, connection.channel() as channel:
            channel.queue_delete(self.queue)
            channel.exchange_delete(self.queue)
        self.app.close()

    def _connection(self) -> Connection:
        return self.app.connection_for_read(self._direct)

    def _said(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + self.limit_s
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"{what} did not come about\n{self._said()[-4_000:]}")
            time.sleep(_PAUSE_S)
