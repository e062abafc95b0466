"""Waiting for the end: woken by the store, bounded, and without holding up an event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dyrygent_core import UnknownWorkflowError, UsageError, WorkflowState
from dyrygent_core.ports import WorkflowKey
from dyrygent_runtime import Run
from dyrygent_runtime.journals import MemoryJournal
from dyrygent_testing.journal_basis import eventually
from tests.dyrygent_runtime.stores import STORES, Store, of_calls, opened

_PROMPTLY_S = 3.0
"""Far below a slice of `wait`, far above what waking up takes."""


class WatchedJournal(MemoryJournal):
    """A journal that tells when somebody watches it, and counts how often."""

    def __init__(self) -> None:
        super().__init__("tests")
        self.watched = 0
        self.is_watched = threading.Event()

    def watch(self, key: WorkflowKey, *, after: int, timeout_ms: int) -> bool:
        self.watched += 1
        self.is_watched.set()
        return super().watch(key, after=after, timeout_ms=timeout_ms)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request, tmp_path) as store:
        yield store


@pytest.fixture
def watched() -> WatchedJournal:
    return WatchedJournal()


@pytest.fixture
def run(watched: WatchedJournal) -> Run:
    return Store(lambda: watched).start(of_calls("a"), id="w")


def test_a_wait_is_woken_by_another_process(store: Store) -> None:
    """As soon as another process records the end, `wait` returns."""
    run = store.start(of_calls("a"))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(store.elsewhere(run).wait, 60)
        store.succeed(run, "a")
        assert waiting.result(_PROMPTLY_S) is WorkflowState.SUCCESS


def test_a_wait_of_a_round_ends_with_it(store: Store) -> None:
    """After a rerun `wait` waits for the end of that round."""
    run = store.start(of_calls("a"))
    store.fail(run, "a")
    assert run.wait() is WorkflowState.FAILURE
    run.rerun()
    with pytest.raises(TimeoutError):
        run.wait(0)
    store.succeed(run, "a")

    assert run.wait(float("inf")) is WorkflowState.SUCCESS


@pytest.mark.parametrize("timeout", [0, 0.05, -1, -float("inf")])
def test_a_wait_that_is_too_long_is_given_up(run: Run, timeout: float) -> None:
    """The error has the workflow's id, the time that was given, and how things are; the workflow goes on."""
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=rf"'w' has not ended within {timeout} s: <State RUNNING: 1 SCHEDULED>"):
        run.wait(timeout)

    assert max(0, timeout) <= time.monotonic() - begun < _PROMPTLY_S
    assert run.workflow_state is WorkflowState.RUNNING


def test_a_wait_does_not_spin(run: Run, watched: WatchedJournal) -> None:
    """Between two looks at the journal there is one blocking watch, and that lasts."""
    with pytest.raises(TimeoutError):
        run.wait(0.3)

    assert watched.watched <= 2


def test_whoever_waits_for_what_is_deleted_is_told(run: Run, watched: WatchedJournal) -> None:
    """A wait ends when its workflow is deleted."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run.wait, 60)
        assert watched.is_watched.wait(_PROMPTLY_S)
        run.delete(on_unfinished="delete")
        with pytest.raises(UnknownWorkflowError):
            waiting.result(_PROMPTLY_S)


# In an event loop


def test_an_event_loop_goes_on_while_it_waits(store: Store) -> None:
    """A coroutine that waits holds up no other: here the other one ends the workflow, after many turns of the loop."""
    run = store.start(of_calls("a"))

    async def beat() -> int:
        for _ in range(50):
            await asyncio.sleep(0.005)
        store.succeed(run, "a")
        return 50

    async def both() -> tuple[WorkflowState, int]:
        return await asyncio.gather(store.elsewhere(run).wait_async(60), beat())

    assert tuple(asyncio.run(both())) == (WorkflowState.SUCCESS, 50)
    _no_thread_is_left()


def test_many_may_wait_in_one_loop(store: Store) -> None:
    """However many wait, none waits for another, and the loop's own executor stays free."""
    runs = [store.start(of_calls("a")) for _ in range(40)]

    async def all_of_them() -> list[WorkflowState]:
        waits = [asyncio.create_task(run.wait_async(60)) for run in runs]
        for run in reversed(runs):
            await asyncio.wait_for(asyncio.to_thread(store.succeed, run, "a"), _PROMPTLY_S)
        return await asyncio.wait_for(asyncio.gather(*waits), 2 * _PROMPTLY_S)

    assert asyncio.run(all_of_them()) == [WorkflowState.SUCCESS] * 40
    _no_thread_is_left()


def test_a_cancelled_wait_returns_at_once(run: Run, watched: WatchedJournal) -> None:
    """Whoever cancels a wait is not kept waiting, and its thread ends by itself soon after."""

    async def cancelled() -> float:
        task = asyncio.create_task(run.wait_async())
        await asyncio.to_thread(watched.is_watched.wait, _PROMPTLY_S)
        begun = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - begun

    assert asyncio.run(cancelled()) < 0.25
    _no_thread_is_left()
    assert run.workflow_state is WorkflowState.RUNNING


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_a_wait_in_a_loop_is_given_up_too(run: Run, timeout: float) -> None:
    """The same error as from `wait`."""
    with pytest.raises(TimeoutError, match=f"'w' has not ended within {timeout} s"):
        asyncio.run(run.wait_async(timeout))
    _no_thread_is_left()


def test_a_wait_in_a_loop_may_have_a_time_limit_of_the_loops(run: Run) -> None:
    """`asyncio.timeout` works as for any other coroutine."""

    async def limited() -> None:
        async with asyncio.timeout(0.05):
            await run.wait_async()

    with pytest.raises(TimeoutError):
        asyncio.run(limited())
    _no_thread_is_left()


@pytest.mark.parametrize("timeout", ["soon", float("nan")])
def test_a_wait_in_a_loop_refuses_what_makes_no_sense(run: Run, timeout: float) -> None:
    """As `wait` does, and no thread is started."""
    with pytest.raises(UsageError, match="timeout must be a number of seconds"):
        asyncio.run(run.wait_async(timeout))


def _no_thread_is_left() -> None:
    eventually(lambda: not any(thread.name.startswith("dyrygent-wait") for thread in threading.enumerate()))
