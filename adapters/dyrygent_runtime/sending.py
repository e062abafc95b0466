"""From attempts to the engine: calls put together, sent in chunks, and each chunk marked as sent.

Whoever sends stops at a time of its own: an owner when half the grace has passed since its entry was first sent to the
journal, so that the sweep, which takes over after all of it, and the owner do not race. What is not sent by then, or
meets a transport that is down, is left as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeAlias

from dyrygent_core import Attempt
from dyrygent_core.errors import AdapterUnavailableError, JournalUnavailableError, quoted
from dyrygent_core.ports import Adapter, Clock, Dispatch, Journal, Mark, MarkKind, Refusal, WorkflowKey
from dyrygent_runtime.at_hand import AtHand
from dyrygent_runtime.faults import FaultPoint, Reach
from dyrygent_runtime.fold import Folded, Step, attempt_id, first_id
from dyrygent_runtime.resolution import resolved_calls
from dyrygent_runtime.settings import CHUNK, Settings

__all__ = ["MarkSent", "Sender"]

_LOG = logging.getLogger("dyrygent")

MarkSent: TypeAlias = Callable[[WorkflowKey, Sequence[Mark]], object]
"""Writes marks of attempts that were sent, see `late_marks`."""


class Sender:
    """Sends attempts to one engine, and says so by `mark`. Threads may share it."""

    def __init__(
        self, journal: Journal, adapter: Adapter, settings: Settings, clock: Clock, reach: Reach, *, mark: MarkSent
    ) -> None:
        self._journal = journal
        self._write_marks = mark
        self._adapter = adapter
        self._settings = settings
        self._clock = clock
        self._reach = reach

    def send(self, folded: Folded, attempts: Sequence[Attempt], until_ms: int, at_hand: AtHand) -> list[Refusal]:
        """Send attempts; give those that the engine, or what they refer to, refuses for good.

        `until_ms`: monotonic time after which no chunk is sent. `at_hand`: what need not be read.
        """
        refusals: list[Refusal] = []
        for start in range(0, len(attempts), CHUNK):
            chunk = attempts[start : start + CHUNK]
            try:
                more = self._send_chunk(folded, chunk, until_ms, at_hand)
            except AdapterUnavailableError as problem:
                _LOG.warning("workflow %s: cannot send, the sweep will: %s", quoted(folded.key.id), problem)
                break
            if more is None:
                _LOG.warning("workflow %s: too late to send the rest; the sweep does", quoted(folded.key.id))
                break
            refusals += more
        return refusals

    def hand_over(self, key: WorkflowKey, steps: Sequence[Step], limit: int) -> list[Attempt]:
        """Keep the first `limit` attempts, and hand the rest over to another process, entry by entry."""
        mine: list[Attempt] = []
        for step in steps:
            kept = step.emitted[: max(0, limit - len(mine))]
            mine += kept
            if len(kept) == len(step.emitted):
                continue
            self._reach(FaultPoint.BEFORE_HAND_OVER)
            try:
                is_taken = self._adapter.hand_over(key, step.entry.position, len(kept))
            except AdapterUnavailableError:
                is_taken = False
            self._reach(FaultPoint.AFTER_HAND_OVER)
            if not is_taken:
                mine += step.emitted[len(kept) :]
        return mine

    def _send_chunk(
        self, folded: Folded, chunk: Sequence[Attempt], until_ms: int, at_hand: AtHand
    ) -> list[Refusal] | None:
        """Send one chunk and mark it; None if it is too late to."""
        batch, refusals = self._batch(folded, chunk, at_hand)
        self._reach(FaultPoint.BEFORE_SEND)
        if self._clock.monotonic_ms() > until_ms:  # reading may take long, and a process may be stopped anywhere
            return None
        refused = self._adapter.dispatch(batch) if batch else ()
        self._reach(FaultPoint.AFTER_SEND)
        not_sent = {it.attempt for it in refused}
        sent = [Mark(MarkKind.SENT, it.attempt) for it in batch if it.attempt not in not_sent]
        if sent:
            self._mark(folded, sent)
        self._reach(FaultPoint.AFTER_MARK)
        return [*refusals, *refused]

    def _batch(self, folded: Folded, chunk: Sequence[Attempt], at_hand: AtHand) -> tuple[list[Dispatch], list[Refusal]]:
        graph, kept = folded.definition.graph, folded.definition.kept
        calls, refusals = resolved_calls(self._journal, self._adapter.values, folded, chunk, at_hand)
        batch = [
            Dispatch(
                folded.key,
                self._journal.namespace,
                attempt,
                attempt_id(folded, attempt),
                calls[attempt],
                attempt.node in kept,
                first_id(folded, attempt),
                graph.measured_paths(attempt.node),
            )
            for attempt in chunk
            if attempt in calls
        ]
        return batch, refusals

    def _mark(self, folded: Folded, marks: Sequence[Mark]) -> None:
        """Set marks, and have the sweep look in time where a time-out is short.

        They are hints, so a journal that is away loses them and no more.
        """
        nodes = map(folded.definition.graph.node, {mark.attempt.node for mark in marks})
        timeouts_ms = [node.timeout_ms for node in nodes if node.timeout_ms is not None]
        try:
            self._write_marks(folded.key, marks)
            if timeouts_ms and min(timeouts_ms) < self._settings.sweep_interval_ms:
                self._journal.remind(folded.key, in_ms=min(timeouts_ms))
        except JournalUnavailableError as problem:
            _LOG.warning("workflow %s: marks not set: %s", quoted(folded.key.id), problem)
