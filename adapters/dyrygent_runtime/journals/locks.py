"""What threads of a process that forks hold on to: a condition variable and a gate that a child finds free."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from dyrygent_runtime.forks import reset_after_fork

__all__ = ["ForkGate", "ForkSafeCondition"]

_LONGEST_WAIT_S: Final = 10.0


class ForkSafeCondition:
    """A `threading.Condition`, made anew after a fork."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        reset_after_fork(self._renew)

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


class ForkGate:
    """A gate that many threads may be inside of, and a fork waits until all are out.

    For libraries that hold locks of their own, in C, where nobody can make them anew in the child.
    A fork that has waited for too long goes on all the same: better a child that may hang than a parent that does.
    """

    def __init__(self) -> None:
        self._open_again()
        os.register_at_fork(
            before=self._close, after_in_parent=self._let_in, after_in_child=self._open_again
        )  # for good: a gate is made once, by a module

    def __enter__(self) -> Self:
        with self._changed:
            self._changed.wait_for(lambda: not self._forks)
            self._inside += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def _close(self) -> None:
        with self._changed:
            self._forks += 1
            self._changed.wait_for(lambda: not self._inside, _LONGEST_WAIT_S)

    def _let_in(self) -> None:
        with self._changed:
            self._forks -= 1
            self._changed.notify_all()

    def _open_again(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._forks = 0
