"""Waiting for the end of a workflow, woken by the journal's store.

A wait is cut into slices. Each asks the journal how things are, unless this process has just folded more of it, and
then watches it: a store that can wake a waiter does, and one that cannot is asked less and less often within the slice
(`Journal.watch`). So a wait never spins, a wake-up that got lost costs one slice at most, and a wait that is given up
leaves nothing behind for longer than that.
"""

from __future__ import annotations

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from attrs import define

from dyrygent_core import UsageError, WorkflowState
from dyrygent_core.checks import shown
from dyrygent_core.errors import quoted
from dyrygent_core.ports import WorkflowKey
from dyrygent_runtime.conductor import Conductor
from dyrygent_runtime.fold import Folded

__all__ = ["wait_for_end", "wait_for_end_async"]

_SLICE_MS: Final = 10_000
_ASYNC_SLICE_MS: Final = 500
"""For so long a thread outlives the wait that was cancelled."""


def wait_for_end(conductor: Conductor, key: WorkflowKey, timeout: float | None) -> WorkflowState:
    """Block until the workflow has ended, at most `timeout` seconds; raises `TimeoutError`."""
    wait = _Wait(conductor, key, timeout, _end_ms(conductor, timeout))
    while (state := wait.step(_SLICE_MS)) is None:
        pass
    return state


async def wait_for_end_async(conductor: Conductor, key: WorkflowKey, timeout: float | None) -> WorkflowState:  # noqa: ASYNC109  # as in `wait_for_end`
    """Wait as `wait_for_end` does, in a thread of its own.

    Not in one of the loop's default executor: that has few, and whoever looks up a host's name needs one of them.
    """
    wait = _Wait(conductor, key, timeout, _end_ms(conductor, timeout))
    loop = asyncio.get_running_loop()
    thread = ThreadPoolExecutor(1, thread_name_prefix="dyrygent-wait")
    try:
        while (state := await loop.run_in_executor(thread, wait.step, _ASYNC_SLICE_MS)) is None:
            pass
    finally:
        thread.shutdown(wait=False)  # it ends with its slice
    return state


@define
class _Wait:
    """One wait, until `end_ms` on the conductor's clock. `seen` is what it saw last."""

    conductor: Conductor
    key: WorkflowKey
    timeout: float | None
    end_ms: int | None
    seen: Folded | None = None

    def step(self, slice_ms: int) -> WorkflowState | None:
        """Give the final state, or None after having watched for at most `slice_ms`."""
        folded = self.seen = self._now()
        if folded.state.is_finished:
            return folded.state.workflow_state
        left_ms = slice_ms if self.end_ms is None else self.end_ms - self.conductor.clock.monotonic_ms()
        if left_ms <= 0:
            message = f"workflow {quoted(self.key.id)} has not ended within {self.timeout} s: {folded.state!r}"
            raise TimeoutError(message)
        self.conductor.journal.watch(self.key, after=folded.seen.position, timeout_ms=math.ceil(min(left_ms, slice_ms)))
        return None

    def _now(self) -> Folded:
        """Give the workflow as it is now: what this process has folded since the last look needs no reading."""
        known = self.conductor.known(self.key)
        if known is not None and self.seen is not None and known.seen.position > self.seen.seen.position:
            return known
        return self.conductor.refresh(self.key)


def _end_ms(conductor: Conductor, timeout: object) -> int | None:
    """Say when to give up; never for None, and for infinity."""
    if timeout is None:
        return None
    if not isinstance(timeout, int | float) or timeout != timeout:  # noqa: PLR0124  # which only NaN is
        message = f"timeout must be a number of seconds, or None to wait as long as it takes, not {shown(timeout)}"
        raise UsageError(message)
    if timeout == math.inf:
        return None
    left_ms = math.ceil(timeout * 1000) + 1 if timeout > 0 else 0  # one more, for the clock cuts off what it has begun
    return conductor.clock.monotonic_ms() + left_ms
