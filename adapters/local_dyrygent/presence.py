"""Who of those that share a file lives: each process holds the lock of a file of its own, which the kernel takes back.

So it is known at once, and for certain, that a process has died, however it did: the same in containers that share a
folder, and after its number was given to another. A lease alone would have to run out first.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from pathlib import Path
from typing import Final

from dyrygent_runtime.forks import reset_after_fork

__all__ = ["Presence"]

_LOG: Final = logging.getLogger("dyrygent")
_INFIX: Final = "-worker-"
_UNNAMED: Final = ".new"


class Presence:
    """The lock of this process beside a database, from its making to `leave`, and a look at those of others.

    `name`: a token that nobody else has. Where no file can be made or locked nothing is known of anybody.
    """

    def __init__(self, database: Path, name: str) -> None:
        self._prefix = f"{database.name}{_INFIX}"
        self._folder = database.parent
        self._name = name
        self._lock: int | None = None
        unnamed = self._path(f"{name}{_UNNAMED}")
        try:
            self._lock = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unnamed.rename(self._path(name))  # which others look at only once it is locked
        except OSError as problem:
            _LOG.warning(
                "%s cannot be locked, so that others see only late when this process dies: %s", unnamed, problem
            )

        reset_after_fork(self._close)  # a child would hold on to the lock

    def gone(self) -> frozenset[str]:
        """Return the names of those that have died, until `forget` is told of them."""
        try:
            files = [it.name for it in self._folder.iterdir() if it.name.startswith(self._prefix)]
        except OSError:
            return frozenset()
        others = {file.removeprefix(self._prefix) for file in files} - {self._name}
        return frozenset(name for name in others if self._is_gone(name))

    def forget(self, name: str) -> None:
        """Look no more at one that has died."""
        with contextlib.suppress(OSError):
            self._path(name).unlink()

    def leave(self) -> None:
        """Say that this process is no longer there, although it lives."""
        if self._lock is not None:
            self.forget(self._name)
            self._close()

    def _close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _is_gone(self, name: str) -> bool:
        if name.endswith(_UNNAMED):
            return False
        try:
            other = os.open(self._path(name), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(other)
        return True

    def _path(self, name: str) -> Path:
        return self._folder / f"{self._prefix}{name}"
