"""Threads that run one thing after the other, and hold up nobody who wants to go.

Those of `concurrent.futures` are waited for when the interpreter ends, however long they take; these are not.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Threads"]

Job: TypeAlias = Callable[[], object]


class Threads:
    """At most `count` daemon threads, started when there is something to do. A job must not raise."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._idle = 0
        self._busy = 0
        self._is_stopped = False

    def submit(self, job: Job) -> None:
        """Run a job when its turn comes; after `stop` never."""
        with self._changed:
            if self._is_stopped:
                return
            self._jobs.append(job)
            if self._idle >= len(self._jobs) or self._idle + self._busy >= self._count:
                self._changed.notify_all()
                return
            self._idle += 1
            name = f"{self._name}-{self._idle + self._busy}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def stop(self) -> None:
        """Begin nothing more."""
        with self._changed:
            self._is_stopped = True
            self._jobs.clear()
            self._changed.notify_all()

    def join(self) -> None:
        """Wait until nothing runs any more, after `stop`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            finally:
                with self._changed:
                    self._busy -= 1
                    self._idle += 1
                    self._changed.notify_all()
                del job  # and what it holds

    def _next(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._is_stopped)
            self._idle -= 1
            if self._is_stopped:
                return None
            self._busy += 1
            return self._jobs.popleft()
