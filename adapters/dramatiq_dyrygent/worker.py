"""In a worker's process: a sweeper for each adapter, and the lease that says which attempts are here."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dramatiq import ConsumerThread, MessageProxy, Worker

from dramatiq_dyrygent.brokers import Kind, kind_of
from dramatiq_dyrygent.publishing import OPTION
from dyrygent_core.ports import Lease
from dyrygent_runtime import Sweeper
from dyrygent_runtime.holdings import Boot, Holdings

if TYPE_CHECKING:
    from dramatiq_dyrygent.adapter import DramatiqAdapter

__all__ = ["WorkerSide", "give_back"]


class WorkerSide:
    """What a process does while a worker runs in it. A forked child begins with no worker of its own."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._workers: list[Worker] = []
        self._adapters: list[DramatiqAdapter] = []
        self._sweepers: list[Sweeper] = []
        self.holdings = Holdings(Boot.of_process("dramatiq"))

    def begin(self, worker: Worker) -> None:
        """Begin a life of this process as a worker, and to sweep."""
        with self._lock:
            self._workers.append(worker)
            if len(self._workers) > 1:
                return
            self.holdings = Holdings(Boot.of_process("dramatiq"))
            for adapter in self._adapters:
                self._sweep(adapter)

    def take_on(self, adapter: DramatiqAdapter) -> None:
        """Sweep for an adapter too, as long as a worker runs."""
        with self._lock:
            self._adapters.append(adapter)
            if self._workers:
                self._sweep(adapter)

    def end(self, worker: Worker) -> None:
        """Sweep no more once the last worker has ended, and hand over what is not recorded yet."""
        with self._lock:
            self._workers = [it for it in self._workers if it is not worker]
            if self._workers:
                return
            sweepers, self._sweepers = self._sweepers, []
        for sweeper in sweepers:
            sweeper.stop()
        for adapter in list(self._adapters):
            adapter.settle()

    def _sweep(self, adapter: DramatiqAdapter) -> None:
        sweeper = Sweeper(adapter.conductor, lease=self._lease)
        self._sweepers.append(sweeper)
        sweeper.start()

    def _lease(self) -> Lease:
        """Name what runs here, and what was fetched and waits for a thread, or for its time."""
        running = self.holdings.lease()
        held = {it.message_id for worker in list(self._workers) for it in _held(worker) if OPTION in it.options}
        return Lease(running.worker, running.boot, running.active, frozenset(held) - running.active)


def give_back(broker: Any, consumer: ConsumerThread) -> None:
    """Give back to a StubBroker what a worker that ends has not begun: other brokers do so themselves, and it does not.

    (dramatiq/brokers/stub.py, whose consumer has no `requeue`.) It is called when the worker's threads have ended.
    """
    if kind_of(broker) is not Kind.STUB:
        return
    queue = broker.queues[consumer.queue_name]
    for message in _messages(consumer.work_queue, consumer.delay_queue):
        if message.queue_name == consumer.queue_name and OPTION in message.options:
            queue.put(message.encode())
            queue.task_done()  # of the one that was taken


def _held(worker: Worker) -> Iterator[MessageProxy]:
    """Give the messages in a worker's memory."""
    return _messages(worker.work_queue, *(it.delay_queue for it in list(worker.consumers.values())))


def _messages(*queues: Any) -> Iterator[MessageProxy]:
    """Give the messages in queues that other threads change, so each is copied at once."""
    for queue in queues:
        for item in list(queue.queue):
            yield item[-1] if isinstance(item, tuple) else item.message  # as in 2.0
