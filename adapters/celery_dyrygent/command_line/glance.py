"""What there is to see of a workflow at one moment, in a size that does not grow with it.

What is in flight may be running or waiting in a queue; which of it runs is told by the marks beside the journal, and
these are read for those only that have been in flight for longest. No time of the end is foretold: how long the nodes
will take that have not begun is not known.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen

from celery_dyrygent.command_line.stages import Stage, Stages
from dyrygent_core import Attempt, Status, WorkflowState
from dyrygent_core.ports import Marks, WorkflowKey
from dyrygent_runtime import Conductor
from dyrygent_runtime.fold import Folded, emission_of
from dyrygent_runtime.summary import cause_of

__all__ = ["FailedNode", "Glance", "Looker", "RunningNode"]

_MOST_MARKED: Final = 200
_MOST_FAILED: Final = 10
_RATE_OVER_MS: Final = 10_000
_LEAST_FOR_A_RATE_MS: Final = 1_000


@frozen
class RunningNode:
    """An attempt that a worker has begun."""

    attempt: Attempt
    for_ms: int
    worker: str


@frozen
class FailedNode:
    """A node that failed, and why."""

    node: str
    reason: str


@frozen
class Glance:
    """One workflow at one moment.

    `running`: those that are known to run, longest first, of the `looked_at` attempts that have been in flight for
    longest. `failed`: the first few of `whole.counts[FAILED]`. `per_s`: nodes that became final, over the last
    seconds; None until there is something to tell.
    """

    key: WorkflowKey
    name: str
    position: int
    state: WorkflowState
    round: int
    is_paused: bool
    is_ending: bool
    whole: Stage
    stages: tuple[Stage, ...]
    in_flight: int
    looked_at: int
    running: tuple[RunningNode, ...]
    failed: tuple[FailedNode, ...]
    elapsed_ms: int
    per_s: float | None = None


class Looker:
    """Looks at one workflow again and again; remembers how far it was."""

    def __init__(self, conductor: Conductor, key: WorkflowKey) -> None:
        self._conductor = conductor
        self._key = key
        folded = conductor.refresh(key)
        self._stages = Stages(folded.definition.graph)
        self._ahead_ms = conductor.journal.mark(key, []) - _clock_ms()
        self._done: deque[tuple[int, int]] = deque()

    def look(self) -> Glance:
        """Look at it now. Cost: two reads of the journal at most, and O(nodes)."""
        folded = self._conductor.refresh(self._key)
        now_ms = _clock_ms() + self._ahead_ms
        state = folded.state
        counts = {status: number for status, number in state.counts.items() if number}
        marks = {} if state.is_finished else self._marks(folded)
        glance = Glance(
            key=self._key,
            name=folded.definition.name,
            position=folded.seen.position,
            state=state.workflow_state,
            round=state.round,
            is_paused=state.is_paused,
            is_ending=state.is_ending,
            whole=Stage("all", counts),
            stages=self._stages.of(state),
            in_flight=state.in_flight,
            looked_at=min(_MOST_MARKED, state.in_flight),
            running=_running(marks, now_ms),
            failed=_failed(folded),
            elapsed_ms=self._elapsed_ms(folded, now_ms),
            per_s=None,
        )
        return glance if state.is_finished else self._with_rate(glance)

    def _marks(self, folded: Folded) -> Mapping[Attempt, Marks]:
        """Read what is marked of the attempts that have been in flight for longest."""

        def emitted(attempt: Attempt) -> int:
            emission = emission_of(folded, attempt)
            return 0 if emission is None else emission.position

        oldest = heapq.nsmallest(_MOST_MARKED, folded.state.attempts_in_flight, key=emitted)
        return self._conductor.journal.marks(self._key, oldest) if oldest else {}

    def _elapsed_ms(self, folded: Folded, now_ms: int) -> int:
        begun_ms = folded.state.begun_ms
        if folded.state.is_finished:
            last = self._conductor.journal.read(self._key, after=folded.seen.position - 1)
            now_ms = last[0].observation.at_ms if last else now_ms
        return max(0, now_ms - begun_ms) if begun_ms else 0

    def _with_rate(self, glance: Glance) -> Glance:
        now_ms, done = _clock_ms(), glance.whole.done
        if self._done and done < self._done[-1][1]:
            self._done.clear()  # a rerun has begun
        self._done.append((now_ms, done))
        while now_ms - self._done[0][0] > _RATE_OVER_MS:
            self._done.popleft()
        since_ms, before = self._done[0]
        passed_ms = now_ms - since_ms
        if passed_ms < _LEAST_FOR_A_RATE_MS:
            return glance
        return evolve(glance, per_s=(done - before) * 1000 / passed_ms)


def _running(marks: Mapping[Attempt, Marks], now_ms: int) -> tuple[RunningNode, ...]:
    found = [
        RunningNode(attempt, max(0, now_ms - mark.started_ms), mark.worker)
        for attempt, mark in marks.items()
        if mark.started_ms is not None
    ]
    return tuple(sorted(found, key=lambda it: -it.for_ms))


def _failed(folded: Folded) -> tuple[FailedNode, ...]:
    found: list[FailedNode] = []
    for number in folded.state.find(Status.FAILED):
        if len(found) == _MOST_FAILED:
            break
        node = folded.definition.graph.nodes[number].id
        found.append(FailedNode(node, str(cause_of(folded, node) or "")))
    return tuple(found)


def _clock_ms() -> int:
    return time.monotonic_ns() // 1_000_000
