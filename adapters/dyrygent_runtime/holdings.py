"""What one worker process holds: the attempts that wait in it and those that it runs, for its lease to name."""

from __future__ import annotations

import os
import secrets
import socket
import threading

from attrs import frozen

from dyrygent_core.ports import Lease
from dyrygent_runtime.forks import reset_after_fork

__all__ = ["Boot", "Holdings"]

_TOKEN_BYTES = 8


@frozen
class Boot:
    """One life of a worker: its name, and a token made when it started."""

    worker: str
    boot: str

    @classmethod
    def named(cls, worker: str) -> Boot:
        """Begin a life of the worker of this name."""
        return cls(worker, secrets.token_hex(_TOKEN_BYTES))

    @classmethod
    def of_process(cls, engine: str) -> Boot:
        """Begin a life of this process as a worker of an engine, named after the host and the process."""
        return cls.named(f"{engine}@{socket.gethostname()}:{os.getpid()}")


class Holdings:
    """The attempts, by attempt id, in a worker whose tasks run in its own process. Threads may share it.

    A forked child begins with none: it is another worker, and makes another `Boot`.
    """

    def __init__(self, boot: Boot) -> None:
        self.boot = boot
        self._reset()
        reset_after_fork(self._reset)

    def __contains__(self, attempt_id: str) -> bool:
        with self._lock:
            return attempt_id in self._active or attempt_id in self._reserved

    def reserve(self, attempt_id: str) -> bool:
        """Hold an attempt that has not begun; False if it is here already."""
        with self._lock:
            if attempt_id in self._active or attempt_id in self._reserved:
                return False
            self._reserved.add(attempt_id)
            return True

    def begin(self, attempt_id: str) -> None:
        """Hold an attempt as one that runs."""
        with self._lock:
            self._reserved.discard(attempt_id)
            self._active.add(attempt_id)

    def drop(self, attempt_id: str) -> None:
        """Hold an attempt no more."""
        with self._lock:
            self._reserved.discard(attempt_id)
            self._active.discard(attempt_id)

    def lease(self) -> Lease:
        """Say what is here, for `Sweeper(conductor, lease=…)`."""
        with self._lock:
            return Lease(self.boot.worker, self.boot.boot, frozenset(self._active), frozenset(self._reserved))

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._active: set[str] = set()
        self._reserved: set[str] = set()
