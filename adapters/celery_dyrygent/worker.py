"""In a worker's main process: the sweeper's thread, and the lease that says which attempts are here."""

from __future__ import annotations

import logging
import os
import secrets
import socket
from typing import Any, ClassVar, Final

from attrs import frozen
from celery import bootsteps
from celery.worker import state

from celery_dyrygent.adapter import adapter_of
from celery_dyrygent.identity import Identity
from dyrygent_core import UsageError
from dyrygent_core.ports import Lease
from dyrygent_runtime import Sweeper

__all__ = ["Boot", "SweeperStep", "boot"]

_LOG = logging.getLogger("dyrygent")
_MOST_TRIES: Final = 5


@frozen
class Boot:
    """One life of a worker: its name, and a token made when it started."""

    worker: str
    boot: str


_BOOT: list[Boot] = []


def boot() -> Boot:
    """Return this worker's boot. Pool processes inherit it from the main process, so its lease covers them."""
    if not _BOOT:
        _BOOT.append(Boot(f"celery@{socket.gethostname()}:{os.getpid()}", secrets.token_hex(8)))
    return _BOOT[-1]


class SweeperStep(bootsteps.StartStopStep):
    """The worker's boot step: sweeps from start to stop."""

    requires: ClassVar[set[str]] = {"celery.worker.components:Pool"}

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._sweeper: Sweeper | None = None
        _BOOT.append(Boot(parent.hostname, secrets.token_hex(8)))

    def start(self, parent: Any) -> None:
        """Begin to sweep; without a usable journal the worker runs on, and says so."""
        try:
            adapter = adapter_of(parent.app)
        except UsageError as problem:
            _LOG.warning("this worker cannot run workflows: %s", problem)
            return
        self._sweeper = Sweeper(adapter.conductor, lease=_lease)
        self._sweeper.start()

    def stop(self, parent: Any) -> None:
        """Sweep no more."""
        if self._sweeper is not None:
            self._sweeper.stop()

    terminate = stop


def _lease() -> Lease:
    here = boot()
    active = _ids(state.active_requests)
    return Lease(here.worker, here.boot, active, _ids(state.reserved_requests) - active)


def _ids(requests: Any) -> frozenset[str]:
    """Copy the ids of the attempts among these requests; another thread may change the set meanwhile."""
    for _ in range(_MOST_TRIES):
        try:
            held = list(requests)
        except RuntimeError:
            continue
        return frozenset(it.id for it in held if Identity.read(it.request_dict) is not None)
    return frozenset()
