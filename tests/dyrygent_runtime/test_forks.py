"""A fork waits for threads that may hold locks of an engine's library, which the child would find locked for ever."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from dyrygent_runtime import forks
from dyrygent_runtime.forks import no_fork


def in_a_child(does: Callable[[], bool]) -> bool:
    """Fork; say what a function returns in the child."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            status = 0 if does() else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@contextmanager
def another_inside(lock: threading.Lock, pause_s: float) -> Iterator[threading.Thread]:
    """Have another thread hold a lock of a library's, under `no_fork`, from now on and for so long."""
    has_it = threading.Event()

    @no_fork()
    def use() -> None:
        with lock:
            has_it.set()
            time.sleep(pause_s)  # what a library does under its lock

    thread = threading.Thread(target=use)
    thread.start()
    assert has_it.wait(10)
    yield thread
    thread.join()


def test_a_child_finds_no_lock_that_another_thread_held() -> None:
    """The fork waits until that thread is done."""
    lock = threading.Lock()

    with another_inside(lock, 0.2):
        assert in_a_child(lambda: lock.acquire(timeout=5))


def test_who_forks_does_not_wait_for_itself() -> None:
    """Nor does it leave the gate by that; in the child it is inside too, and alone."""
    with no_fork(), no_fork():
        assert in_a_child(lambda: forks._GATE._depths == {threading.get_ident(): 2})
    assert forks._GATE._depths == {}


def test_a_child_may_go_in_and_fork_again() -> None:
    """It does not wait for threads that it does not have."""

    def goes_on() -> bool:
        with no_fork():
            pass
        return in_a_child(lambda: True)

    assert in_a_child(goes_on)


def test_a_library_that_does_not_answer_delays_a_fork_no_longer_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is forked as it would be without us."""
    monkeypatch.setattr(forks, "_LONGEST_WAIT_S", 0.05)
    lock = threading.Lock()

    with another_inside(lock, 1.0) as thread:
        assert in_a_child(lambda: not lock.acquire(timeout=0.01))
        assert thread.is_alive()


def test_threads_do_not_wait_for_each_other() -> None:
    """Only forks wait."""
    together = threading.Barrier(4)
    met: list[int] = []

    @no_fork()
    def meet() -> None:
        met.append(together.wait(10))

    threads = [threading.Thread(target=meet) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(met) == [0, 1, 2, 3]
