"""A Celery worker of one's own, with prefork's pool: a process that is stopped at the end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from processes import CannotRunError, last_lines, start, stop

__all__ = ["OwnWorker", "started_worker"]

_START_LIMIT_S: Final = 60.0
_HERE: Final = Path(__file__).parent


@frozen
class OwnWorker:
    """A worker that was started."""

    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise `CannotRunError` unless it runs."""
        if self.process.poll() is not None:
            message = f"the Celery worker ended with exit code {self.process.returncode}"
            raise CannotRunError(self.told(message))

    def told(self, message: str) -> str:
        """Add the end of the log to a message."""
        return f"{message}; the end of its log:\n{last_lines(self.log)}"


@contextlib.contextmanager
def started_worker(app: Any, module: str, processes: int) -> Iterator[OwnWorker]:
    """Run a worker of the app in a module beside this one; the block begins when it is ready.

    Raises `CannotRunError` if it does not get ready.
    """
    name = f"verify-{os.getpid()}@localhost"
    options = ["--pool", "prefork", "--concurrency", str(processes), "--hostname", name, "--loglevel", "WARNING"]
    command = [sys.executable, "-m", "celery", "-A", module, "worker", *options, "--without-gossip", "--without-mingle"]
    with tempfile.TemporaryDirectory(prefix="dyrygent-worker-", ignore_cleanup_errors=True) as folder:
        log = Path(folder, "worker.log")
        worker = OwnWorker(start(command, log, _HERE), log)
        try:
            _wait_until_ready(app, name, worker)
            yield worker
        finally:
            stop(worker.process)


def _wait_until_ready(app: Any, name: str, worker: OwnWorker) -> None:
    limit = time.monotonic() + _START_LIMIT_S
    while not app.control.ping(destination=[name], timeout=0.5, limit=1):
        worker.check()
        if time.monotonic() > limit:
            raise CannotRunError(worker.told(f"the Celery worker is not ready after {_START_LIMIT_S:.0f} s"))
