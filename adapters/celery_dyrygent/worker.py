"""In a worker's main process: the sweeper's thread, and the lease that says which attempts are here."""

from __future__ import annotations

import json
import logging
import os
from typing import Any, ClassVar, Final

from celery import bootsteps, signals
from celery.worker import state

from celery_dyrygent.adapter import adapter_of
from celery_dyrygent.brokers import warn_about
from celery_dyrygent.identity import identity_in
from dyrygent_core import UsageError
from dyrygent_core.ports import Lease
from dyrygent_runtime import Sweeper
from dyrygent_runtime.holdings import Boot

__all__ = ["SweeperStep", "began", "boot", "left"]

_LOG = logging.getLogger("dyrygent")
_MOST_TRIES: Final = 5


_BOOT: list[Boot] = []
_INHERITED: Final = "DYRYGENT_WORKER"
"""The environment variable that tells spawned pool processes whose they are; forked ones know."""


def boot() -> Boot:
    """Return this worker's boot. Pool processes inherit it from the main process, so its lease covers them."""
    if not _BOOT:
        _BOOT.append(_inherited() or Boot.of_process("celery"))
    return _BOOT[-1]


def _begin(worker: str) -> None:
    """Begin a life of a worker, in its main process, before there are pool processes."""
    here = Boot.named(worker)
    _BOOT.append(here)
    os.environ[_INHERITED] = json.dumps([os.getpid(), here.worker, here.boot])


def _inherited() -> Boot | None:
    """Give the boot of the worker that has started this process; a task's own subprocesses are no workers' children."""
    pid, worker, token = json.loads(os.environ.get(_INHERITED, "[0, null, null]"))
    return Boot(worker, token) if pid == os.getppid() else None


class SweeperStep(bootsteps.StartStopStep):
    """The worker's boot step: sweeps from start to stop."""

    requires: ClassVar[set[str]] = {"celery.worker.components:Pool"}

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._sweeper: Sweeper | None = None
        _begin(parent.hostname)

    def start(self, parent: Any) -> None:
        """Begin to sweep; without a usable journal the worker runs on, and says so."""
        try:
            adapter = adapter_of(parent.app)
        except UsageError as problem:
            _LOG.warning("this worker cannot run workflows: %s", problem)
            return
        warn_about(parent.app)
        self._sweeper = Sweeper(adapter.conductor, lease=_lease)
        self._sweeper.start()

    def stop(self, parent: Any) -> None:
        """Sweep no more when the worker has shut down: until then tasks run to their end, under its lease."""
        if self._sweeper is not None:
            signals.worker_shutdown.connect(self.terminate, sender=parent)

    def terminate(self, parent: Any = None, **_: Any) -> None:
        """Sweep no more."""
        if self._sweeper is not None:
            self._sweeper.stop()


_LEFT: set[str] = set()


def began(task_id: str) -> None:
    """Note that a task has begun in this process."""
    _LEFT.discard(task_id)


def left(task_id: str) -> None:
    """Note that a task has left its body without an end, by `sys.exit` for one.

    A pool process dies of it, and its worker sees that. Where tasks run in the worker's own process, Celery counts such
    a task as running for ever (celery/concurrency/base.py, `apply_target`): so the lease names it no more, and unless
    its end is told after all, as that of a time limit is, the sweep finds it lost.
    """
    _LEFT.add(task_id)


def _lease() -> Lease:
    here = boot()
    active = _ids(state.active_requests)
    if state.should_stop is not None or state.should_terminate is not None:
        return Lease(here.worker, here.boot, active)  # what has not begun is put back into its queue
    return Lease(here.worker, here.boot, active, _ids(state.reserved_requests) - active)


def _ids(requests: Any) -> frozenset[str]:
    """Copy the ids of the attempts among these requests; another thread may change the set meanwhile."""
    for _ in range(_MOST_TRIES):
        try:
            held = list(requests)
        except RuntimeError:
            continue
        known = ((it.id, identity_in(it.request_dict)) for it in held if it.id not in _LEFT)
        return frozenset(identity.replaces or task_id for task_id, identity in known if identity is not None)
    return frozenset()
