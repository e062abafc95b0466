"""A condition variable that a forked child finds free, whichever thread of the parent held it."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Self

__all__ = ["ForkSafeCondition"]


class ForkSafeCondition:
    """A `threading.Condition`, made anew after a fork."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        renew = weakref.WeakMethod(self._renew)
        os.register_at_fork(after_in_child=lambda: (method := renew()) and method())

    def __enter__(self) -> Self:
        self._condition.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._condition.release()

    def notify_all(self) -> None:
        """Wake all that wait."""
        self._condition.notify_all()

    def wait_for(self, predicate: Callable[[], bool], timeout: float) -> bool:
        """Wait, at most `timeout` seconds, until the predicate holds."""
        return self._condition.wait_for(predicate, timeout)

    def _renew(self) -> None:
        self._condition = threading.Condition()
