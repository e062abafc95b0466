"""Times in which a simulation only polls: renewals of leases, and sweeps that find nothing.

Days of these are left out, as if the threads that poll had not been given the processor meanwhile; then those of the
leases are the first to get it. That is sound where nothing would have been done in that time, and a sweep does nothing
of its own but when something has waited for long enough. How long that is depends on the settings, of which the longest
pause is not left out; on how often an attempt was sent; and on the workflow: its retries, time-outs and deadline. The
times that are looked at are all of those, and some more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from typing import Final, TypeAlias

from attrs import frozen

from dyrygent_core import State, UsageError
from dyrygent_core.errors import quoted
from dyrygent_core.ports import WorkflowKey
from dyrygent_runtime import Settings
from dyrygent_testing.simulation.client import Client
from dyrygent_testing.simulation.fate import Fate
from dyrygent_testing.simulation.process import Process, World
from dyrygent_testing.simulation.trace import Named

__all__ = ["MOST_EVENTS", "Idleness", "Open", "waits_ms"]

MOST_EVENTS: Final = 2_000_000
"""Of one simulation; a second of a worker is two of them even if it has nothing to do."""

Open: TypeAlias = Callable[[], Collection[tuple[WorkflowKey, State]]]
"""Gives the workflows that are not over."""


@frozen
class Idleness:
    """Knows when something happened last, and when something may happen next."""

    world: World
    fate: Fate
    client: Client
    processes: Callable[[], Collection[Process]]
    open: Open
    store_ms: Callable[[], int]

    @property
    def since_ms(self) -> int:
        """When the last thing happened that was no poll."""
        recorder = self.world.recorder
        happened_ms = [it.at_ms for its in (recorder.wrote, recorder.sent) for it in its[-1:]]
        struck_ms = [it.until_ms for it in recorder.struck[-1:]]
        return max([self.client.heard_ms, *happened_ms, *struck_ms])

    @property
    def expected_ms(self) -> int:
        """When the last of what was told to happen will have happened: executions end, somebody asks for something."""
        return max([self.client.last_ms, *self._ends_ms().values()])

    def skip(self) -> None:
        """Go to shortly before the next thing that may happen, if that is far."""
        loop = self.world.loop
        pause_ms = 2 * waits_ms(
            self.world.settings
        )  # no sweep does anything later than this for a reason that all settings have
        longest_ms = pause_ms + self.world.gate.jumped_ms  # unless its clock was put back
        if loop.now_ms <= self.since_ms + longest_ms or not self._is_idle():
            return
        next_ms = min(self._next_ms(), default=0)
        if next_ms > loop.now_ms + 2 * pause_ms:
            loop.skip(next_ms - pause_ms)
            with self.fate.spared():
                for process in self.processes():
                    process.renew()

    def check_length(self) -> None:
        """Raise `UsageError` if most of the events of a simulation that is not over were polls."""
        now_ms, workers = self.world.loop.now_ms, [it for it in self.processes() if it.worker is not None]
        polls = 2 * len(workers) * now_ms // self.world.settings.poll_ms
        if 2 * polls < MOST_EVENTS:
            return  # it goes round and round
        message = (
            f"the simulated time is too long: {_time(now_ms)} have passed after {MOST_EVENTS:,} events, most of which "
            f"are workers that look for something to do; {self._why_long()}"
        )
        raise UsageError(message)

    def _why_long(self) -> str:
        now_ms = self.world.loop.now_ms
        if self.fate.may_strike_by_chance(now_ms):
            return (
                f"faults strike by chance until heal_ms={self.fate.heal_ms:_}, and until then none of that can be left "
                f"out; let them heal sooner: faults=Faults(…, heal_ms=120_000)"
            )
        ends_ms = self._ends_ms()
        if not ends_ms:
            return "let retries, time-outs and deadlines be shorter; the order in which they pass is what matters"
        _, attempt = last = max(ends_ms, key=ends_ms.__getitem__)
        return (
            f"node {quoted(attempt.node)} runs for {_time(ends_ms[last] - now_ms)} more, as durations say; let it take "
            f"less: what a workflow does depends on what ends first, not on how long it takes"
        )

    def _is_idle(self) -> bool:
        """Tell whether there is nobody who does anything but wait."""
        now_ms = self.world.loop.now_ms
        if self.fate.may_strike_by_chance(now_ms) or not self.client.only_waits:
            return False
        return all(it.is_alive and it.stopped_until_ms <= now_ms and it.has_told for it in self.processes())

    def _next_ms(self) -> Iterator[int]:
        now_ms = self.world.loop.now_ms
        ahead_ms = self.store_ms() - now_ms
        if (next_ms := self.world.loop.next_ms) is not None:
            yield next_ms
        for key, state in self.open():
            yield from (at_ms - ahead_ms for at_ms in self._times_ms(key, state) if at_ms - ahead_ms > now_ms)

    def _times_ms(self, key: WorkflowKey, state: State) -> Iterator[int]:
        """Give when, by the store's clock, a sweep may find something to do."""
        yield from (due_ms for _, due_ms in state.delayed)
        if state.graph.deadline_ms is not None:
            yield state.begun_ms + state.graph.deadline_ms
        resend_ms = self.world.settings.resend_after_ms
        for attempt, mark in self.world.store.marks(key, state.attempts_in_flight).items():
            timeout_ms = state.graph.node(attempt.node).timeout_ms
            if timeout_ms is not None:
                yield from (at_ms + timeout_ms for at_ms in (mark.started_ms, mark.sent_ms) if at_ms is not None)
            if resend_ms is not None and mark.started_ms is None and mark.sent_ms is not None:
                yield from (mark.sent_ms + (resend_ms << doublings) for doublings in range(mark.sent + 3))

    def _ends_ms(self) -> dict[Named, int]:
        workers = [it.worker for it in self.processes() if it.worker is not None]
        return {name: ends_ms for worker in workers for name, ends_ms in worker.ends_ms.items()}


def waits_ms(settings: Settings) -> int:
    """Return how long all the waits take together that do not depend on a workflow."""
    return settings.lease_ms + settings.grace_ms + settings.cancel_grace_ms + settings.sweep_interval_ms


def _time(ms: int) -> str:
    return str(timedelta(milliseconds=ms)).partition(".")[0]
