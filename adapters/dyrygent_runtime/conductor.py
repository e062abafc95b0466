"""The conductor: the imperative shell around the pure core.

Whoever appended entry k owns exactly what `advance` emits at k. One *turn*:

    1. append the observations; the answer tells their positions and what was missed;
    2. fold what was missed and discard what it emits, for that has owners; then fold one's own;
    3. resolve references and dispatch what one's own entries emitted, in chunks;
    4. mark each chunk as sent; the turn that finishes the workflow publishes its outcome and closes it.

Nothing is decided here. A turn that dies anywhere leaves the journal right and at worst something unsent, which
the sweep sends after the grace time.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from attrs import evolve

from dyrygent_core import Attempt, Failed, Observation, WorkflowState
from dyrygent_core.codec import decode_definition
from dyrygent_core.errors import (
    AdapterUnavailableError,
    JournalUnavailableError,
    UnknownWorkflowError,
    quoted,
)
from dyrygent_core.ports import (
    Adapter,
    Appended,
    Clock,
    Dispatch,
    Entry,
    Journal,
    Mark,
    MarkKind,
    Refusal,
    Seen,
    WorkflowKey,
    WorkflowOutcome,
)
from dyrygent_runtime.clock import SystemClock
from dyrygent_runtime.faults import FaultPoint, Reach, kill_from_environment
from dyrygent_runtime.finish import PUBLISHED, is_published, outcome_of
from dyrygent_runtime.fold import Folded, attempt_id, first_id, fold
from dyrygent_runtime.resolution import resolved_calls
from dyrygent_runtime.settings import CHUNK, Settings

__all__ = ["Conductor"]

_LOG = logging.getLogger("dyrygent")
_MOST_CACHED_NODES: Final = 200_000
"""About 200 MB of graphs; a larger workflow is kept alone."""
_NODES_PER_WORKFLOW: Final = 200
"""What a cached workflow costs beside its nodes, in nodes; so at most 1,000 are cached."""


class Conductor:
    """Turns the observations of one process into journal entries, and its own entries into dispatched attempts.

    Threads may share a conductor. It keeps the fold of recent workflows, and nothing that a crash could lose.
    """

    def __init__(
        self,
        journal: Journal,
        adapter: Adapter,
        *,
        settings: Settings | None = None,
        clock: Clock | None = None,
        reach: Reach | None = None,
    ) -> None:
        self.journal = journal
        self.adapter = adapter
        self.settings = settings or Settings()
        self.clock = clock or SystemClock()
        self.reach = reach or kill_from_environment()
        self._cache: OrderedDict[WorkflowKey, Folded] = OrderedDict()
        self._cached_nodes = 0
        self._lock = threading.Lock()
        forget = weakref.WeakMethod(self._forget_after_fork)
        os.register_at_fork(after_in_child=lambda: (method := forget()) and method())

    # Turns

    def turn(
        self,
        key: WorkflowKey,
        observations: Sequence[Observation],
        *,
        results: Mapping[Attempt, bytes] | None = None,
        nonce: str | None = None,
        is_second_try: bool = False,
        send_limit: int | None = None,
    ) -> Folded:
        """Append observations and do all that follows from them; return the workflow as of now.

        `nonce`: one for this turn, made here if not given; with `is_second_try` it is that of an earlier try whose
        fate is unknown, and what is in the journal under it already is not appended again.
        `send_limit`: how many attempts to send before handing the rest over to another process; None sends all.

        Raises `UnknownWorkflowError` for a workflow that the journal does not hold, and `JournalUnavailableError`
        when its store cannot be reached: then the turn may be tried again with the nonce it was given.
        """
        until = self.clock.monotonic_ms() + self.settings.grace_ms // 2
        self.reach(FaultPoint.BEFORE_APPEND)
        nonce = nonce or secrets.token_hex(8)
        entries, folded = self._append(key, observations, results or {}, nonce, is_second_try=is_second_try)
        self.reach(FaultPoint.AFTER_APPEND)
        folded, owned = self._fold(folded, entries, nonce)
        self._remember(folded)
        fresh = results if len(observations) == 1 else None  # of several, some may have come too late (P5)
        self._follow_up(folded, owned, fresh or {}, until, send_limit)
        return folded

    def begin(self, folded: Folded, nonce: str, at: Entry, until: int) -> Folded:
        """Do what follows from a workflow's first entry, which `create` wrote under `nonce`."""
        folded, owned = self._fold(folded, [at], nonce)
        self._remember(folded)
        self._follow_up(folded, owned, {}, until, None)
        return folded

    def refresh(self, key: WorkflowKey) -> Folded:
        """Return the workflow as of now, folding what this process has not seen; nothing is written."""
        cached = self._cached(key)
        if cached is not None and cached.seen.position:
            newer = self.journal.read(key, after=cached.seen.position - 1)
            if newer and Seen(newer[0].position, newer[0].nonce) == cached.seen:
                folded, _ = fold(cached, newer[1:])
                self._remember(folded)
                return folded
        folded, _ = fold(self._initial(key), self.journal.read(key))
        self._remember(folded)
        return folded

    def go_on(self, key: WorkflowKey, position: int, offset: int) -> None:
        """Send what the entry at `position` emitted, from the `offset`-th on: the rest of another turn's work.

        The time that owner had counts on: what comes too late here is left to the sweep, as all of its would be.
        """
        folded, emissions = fold(self._initial(key), self.journal.read(key))
        self._remember(folded)
        found = next(((entry, emitted) for entry, emitted in emissions if entry.position == position), None)
        if found is None:
            return
        entry, emitted = found
        age_ms = self.journal.mark(key, []) - entry.observation.at_ms
        until = self.clock.monotonic_ms() + self.settings.grace_ms // 2 - age_ms
        wanted = set(folded.state.attempts_in_flight) - set(folded.state.to_revoke)
        self.send(folded, [it for it in emitted[offset:] if it in wanted], until=until)

    # Sending

    def send(
        self,
        folded: Folded,
        attempts: Sequence[Attempt],
        *,
        until: int | None = None,
        results: Mapping[Attempt, bytes] | None = None,
    ) -> None:
        """Dispatch attempts in chunks and mark each chunk; what is refused for good is recorded as failed.

        Stops at `until` (monotonic milliseconds) and at the first transport error: the sweep owns the rest.
        """
        refusals: list[Refusal] = []
        for start in range(0, len(attempts), CHUNK):
            if until is not None and self.clock.monotonic_ms() > until:
                _LOG.warning("workflow %s: too late to send the rest; the sweep does", quoted(folded.key.id))
                break
            chunk = attempts[start : start + CHUNK]
            try:
                refusals += self._send_chunk(folded, chunk, results or {})
            except AdapterUnavailableError as problem:
                _LOG.warning("workflow %s: cannot send, the sweep will: %s", quoted(folded.key.id), problem)
                break
        if refusals:
            self.turn(folded.key, [Failed(it.attempt, it.failure, is_final=True) for it in refusals])

    def _send_chunk(self, folded: Folded, chunk: Sequence[Attempt], results: Mapping[Attempt, bytes]) -> list[Refusal]:
        graph = folded.definition.graph
        calls, refusals = resolved_calls(self.journal, self.adapter.values, folded, chunk, results)
        batch = [
            Dispatch(
                folded.key,
                self.journal.namespace,
                attempt,
                attempt_id(folded, attempt),
                calls[attempt],
                attempt.node in folded.definition.kept,
                first_id(folded, attempt),
                graph.measured_paths(attempt.node),
            )
            for attempt in chunk
            if attempt in calls
        ]
        self.reach(FaultPoint.BEFORE_SEND)
        refused = self.adapter.dispatch(batch) if batch else ()
        self.reach(FaultPoint.AFTER_SEND)
        refusals += refused
        not_sent = {it.attempt for it in refused}
        sent = [Mark(MarkKind.SENT, it.attempt) for it in batch if it.attempt not in not_sent]
        if sent:
            self._mark(folded, sent)
        self.reach(FaultPoint.AFTER_MARK)
        return refusals

    def _mark(self, folded: Folded, marks: Sequence[Mark]) -> None:
        """Set marks, and have the sweep look in time where a time-out is short.

        They are hints, so a journal that is away loses them and no more.
        """
        nodes = map(folded.definition.graph.node, {mark.attempt.node for mark in marks})
        timeouts_ms = [node.timeout_ms for node in nodes if node.timeout_ms is not None]
        try:
            self.journal.mark(folded.key, marks)
            if timeouts_ms and min(timeouts_ms) < self.settings.sweep_interval_ms:
                self.journal.remind(folded.key, in_ms=min(timeouts_ms))
        except JournalUnavailableError as problem:
            _LOG.warning("workflow %s: marks not set: %s", quoted(folded.key.id), problem)

    # The parts of a turn

    def _append(
        self,
        key: WorkflowKey,
        observations: Sequence[Observation],
        results: Mapping[Attempt, bytes],
        nonce: str,
        *,
        is_second_try: bool,
    ) -> tuple[list[Entry], Folded]:
        """Append under one nonce; give the entries to fold, and what they are to be folded into.

        If the reply is lost, the journal tells whether the entries are there: every entry with our nonce is ours.
        """
        cached = self._cached(key)
        if is_second_try and (known := self._already_there(key, cached, nonce)):
            return known
        seen = cached.seen if cached else Seen()
        try:
            appended = self.journal.append(key, observations, seen=seen, nonce=nonce, results=results)
        except JournalUnavailableError:
            _LOG.warning("workflow %s: the journal's reply was lost; looking whether it wrote", quoted(key.id))
            if known := self._already_there(key, cached, nonce):
                return known
            appended = self.journal.append(key, observations, seen=seen, nonce=nonce, results=results)
        if appended.has_diverged:
            self._forget(key)
            return [*self.journal.read(key)], self._initial(key)
        return [*appended.missed, *_stamped(observations, appended, nonce)], cached or self._initial(key)

    def _already_there(self, key: WorkflowKey, cached: Folded | None, nonce: str) -> tuple[list[Entry], Folded] | None:
        """Give what there is to fold if an entry with this nonce was written, else None."""
        entries = self.journal.read(key, after=cached.seen.position if cached else 0)
        if not any(entry.nonce == nonce for entry in entries):
            return None
        return [*entries], cached or self._initial(key)

    def _fold(
        self, folded: Folded, entries: Iterable[Entry], nonce: str
    ) -> tuple[Folded, list[tuple[Entry, tuple[Attempt, ...]]]]:
        folded, emissions = fold(folded, entries)
        return folded, [(entry, emitted) for entry, emitted in emissions if entry.nonce == nonce]

    def _follow_up(
        self,
        folded: Folded,
        owned: Sequence[tuple[Entry, tuple[Attempt, ...]]],
        results: Mapping[Attempt, bytes],
        until: int,
        send_limit: int | None,
    ) -> None:
        """Dispatch, wake up in time, finish; what the journal is suddenly away for is left to the sweep."""
        state = folded.state
        if any(entry.position in folded.log.rounds for entry, _ in owned):
            self._take_back(folded.key)  # before anything of the new round can end
        attempts = [attempt for _, emitted in owned for attempt in emitted]
        try:
            if send_limit is not None and len(attempts) > send_limit:
                attempts = self._hand_over(folded.key, owned, send_limit)
            if attempts:
                stopped = set(state.to_revoke)  # by a later observation of this turn
                self.send(folded, [it for it in attempts if it not in stopped], until=until, results=results)
            if state.delayed and owned:
                earliest_ms = min(due_ms for _, due_ms in state.delayed)
                self.journal.remind(folded.key, in_ms=max(0, earliest_ms - owned[-1][0].observation.at_ms))
            if state.is_finished:
                self.finish(folded)
        except JournalUnavailableError as problem:
            _LOG.warning("workflow %s: the sweep does the rest of this turn: %s", quoted(folded.key.id), problem)

    def _hand_over(
        self, key: WorkflowKey, owned: Sequence[tuple[Entry, tuple[Attempt, ...]]], limit: int
    ) -> list[Attempt]:
        """Keep the first `limit` attempts and hand the rest over, entry by entry."""
        mine: list[Attempt] = []
        for entry, emitted in owned:
            kept = emitted[: max(0, limit - len(mine))]
            mine += kept
            if len(kept) == len(emitted):
                continue
            self.reach(FaultPoint.BEFORE_HAND_OVER)
            try:
                is_taken = self.adapter.hand_over(key, entry.position, len(kept))
            except AdapterUnavailableError:
                is_taken = False
            if not is_taken:
                mine += emitted[len(kept) :]
        return mine

    def _take_back(self, key: WorkflowKey) -> None:
        """Tell the engine that a workflow whose end it was told runs again."""
        try:
            self.adapter.publish(WorkflowOutcome(key, WorkflowState.RUNNING))
        except AdapterUnavailableError as problem:
            _LOG.warning("workflow %s: the engine still tells its earlier end: %s", quoted(key.id), problem)

    def finish(self, folded: Folded) -> bool:
        """Publish the outcome of a finished workflow unless that was done, and close it; tell whether it is closed."""
        if not is_published(self.journal, folded):
            self.reach(FaultPoint.BEFORE_PUBLISH)
            outcome = outcome_of(self.journal, self.adapter.values, folded)
            try:
                self.adapter.publish(outcome)
            except AdapterUnavailableError as problem:
                _LOG.warning("workflow %s: its end is not published yet: %s", quoted(folded.key.id), problem)
                return False
            self.reach(FaultPoint.AFTER_PUBLISH)
            self.journal.annotate(folded.key, {PUBLISHED: folded.state.round})
            _LOG.info("workflow %s ended in %s", quoted(folded.key.id), outcome.state.name)
        self.reach(FaultPoint.BEFORE_CLOSE)
        return self.journal.close(folded.key, at=folded.seen.position, state=folded.state.workflow_state)

    # The cache of folds

    def _initial(self, key: WorkflowKey) -> Folded:
        stored = self.journal.definition(key.id)
        if stored.key != key:
            raise UnknownWorkflowError(key.id)
        return Folded.initial(key, decode_definition(stored.definition))

    def _cached(self, key: WorkflowKey) -> Folded | None:
        with self._lock:
            folded = self._cache.get(key)
            if folded is not None:
                self._cache.move_to_end(key)
            return folded

    def _remember(self, folded: Folded) -> None:
        """Keep the fold unless a newer one is there."""
        with self._lock:
            known = self._cache.get(folded.key)
            if known is not None and known.seen.position > folded.seen.position:
                return
            if known is None:
                self._cached_nodes += _weight(folded)
            self._cache[folded.key] = folded
            self._cache.move_to_end(folded.key)
            while len(self._cache) > 1 and self._cached_nodes > _MOST_CACHED_NODES:
                _, oldest = self._cache.popitem(last=False)
                self._cached_nodes -= _weight(oldest)

    def _forget(self, key: WorkflowKey) -> None:
        with self._lock:
            known = self._cache.pop(key, None)
            self._cached_nodes -= _weight(known) if known is not None else 0

    def _forget_after_fork(self) -> None:
        self._lock = threading.Lock()  # another thread of the parent may have held it,
        self._cache = OrderedDict()  # and have been half-way through a change
        self._cached_nodes = 0


def _stamped(observations: Sequence[Observation], appended: Appended, nonce: str) -> list[Entry]:
    return [
        Entry(appended.first + place, nonce, evolve(observation, at_ms=appended.at_ms))
        for place, observation in enumerate(observations)
    ]


def _weight(folded: Folded) -> int:
    return len(folded.definition.graph) + _NODES_PER_WORKFLOW
