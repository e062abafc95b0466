"""The memory journal: the reference of the port. It lives, and ends, with its process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from attrs import define, field

from dyrygent_core import Attempt, Begin, Observation, WorkflowState
from dyrygent_core.codec import JSON_VALUES, decode_observation, encode_observation
from dyrygent_core.errors import UnknownWorkflowError, UnsupportedVersionError
from dyrygent_core.ports import (
    Appended,
    Created,
    Due,
    Entry,
    Lease,
    LeaseView,
    Listed,
    Mark,
    Marks,
    NewWorkflow,
    Page,
    Query,
    Seen,
    StoredSnapshot,
    StoredWorkflow,
    WorkflowKey,
)
from dyrygent_runtime.journals.listing import matches, page_of, place_of, read_cursor
from dyrygent_runtime.journals.locks import ForkSafeCondition
from dyrygent_runtime.journals.marking import marked

__all__ = ["MemoryJournal"]

_DAY_MS: Final = 86_400_000
_LATELY_READ: Final = 1_024


@define
class _Line:
    """One entry as it is stored."""

    nonce: str
    text: str
    at_ms: int


@define
class _Record:
    """Everything about one workflow."""

    workflow: NewWorkflow
    created_ms: int
    due_ms: int | None
    lines: list[_Line]
    state: WorkflowState = WorkflowState.RUNNING
    closed_ms: int | None = None
    snapshot: StoredSnapshot | None = None
    results: dict[Attempt, bytes] = field(factory=dict[Attempt, bytes])
    marks: dict[Attempt, Marks] = field(factory=dict[Attempt, Marks])
    notes: dict[str, bytes] = field(factory=dict[str, bytes])


class MemoryJournal:
    """Keeps workflows in this process. `clock` gives the store's time in milliseconds, for tests."""

    def __init__(self, namespace: str = "dyrygent", *, clock: Callable[[], int] | None = None) -> None:
        self._namespace = namespace
        self._clock = clock or _wall_ms
        self._records: dict[str, _Record] = {}
        self._leases: dict[tuple[str, str], LeaseView] = {}
        self._changed = ForkSafeCondition()

    @property
    def namespace(self) -> str:
        """The name given at the start."""
        return self._namespace

    def create(self, workflow: NewWorkflow, *, nonce: str, due_in_ms: int) -> Created:
        """See `Journal.create`."""
        with self._changed:
            record = self._records.get(workflow.key.id)
            now_ms = self._clock()
            if record is None:
                begin = _Line(nonce, encode_observation(Begin()), now_ms)
                record = _Record(workflow, now_ms, now_ms + due_in_ms, [begin])
                self._records[workflow.key.id] = record
            stored = record.workflow
            return Created(stored.key, stored.digest, stored.key == workflow.key, record.created_ms)

    def append(
        self,
        key: WorkflowKey,
        observations: Sequence[Observation],
        *,
        seen: Seen,
        nonce: str,
        results: Mapping[Attempt, bytes] | None = None,
        calls: Sequence[int] = (),
    ) -> Appended:
        """See `Journal.append`."""
        with self._changed:
            record, now_ms = self._record(key), self._clock()
            before = len(record.lines)
            has_diverged = not _agrees(record, seen)
            missed: tuple[Entry, ...] = ()
            try:
                missed = () if has_diverged else _entries(record, seen.position)
            except UnsupportedVersionError:
                has_diverged = True
            record.lines += [_Line(nonce, encode_observation(it), now_ms) for it in observations]
            for attempt, value in (results or {}).items():
                record.results.setdefault(attempt, value)
            if record.due_ms is None:
                record.due_ms, record.closed_ms, record.state = now_ms, None, WorkflowState.RUNNING
            self._changed.notify_all()
            return Appended(before + 1, now_ms, missed, has_diverged, _calls(record, calls))

    def read(self, key: WorkflowKey, *, after: int = 0) -> tuple[Entry, ...]:
        """See `Journal.read`."""
        with self._changed:
            return _entries(self._record(key), after)

    def definition(self, workflow_id: str) -> StoredWorkflow:
        """See `Journal.definition`."""
        with self._changed:
            record = self._records.get(workflow_id)
            if record is None:
                raise UnknownWorkflowError(workflow_id)
            stored, is_open = record.workflow, record.due_ms is not None
            return StoredWorkflow(
                stored.key, stored.digest, stored.definition, is_open, record.created_ms, record.snapshot
            )

    def calls(self, key: WorkflowKey, numbers: Sequence[int]) -> Mapping[int, bytes]:
        """See `Journal.calls`."""
        with self._changed:
            return _calls(self._record(key), numbers)

    def results(self, key: WorkflowKey, attempts: Sequence[Attempt]) -> Mapping[Attempt, bytes]:
        """See `Journal.results`."""
        with self._changed:
            stored = self._record(key).results
            return {attempt: stored[attempt] for attempt in attempts if attempt in stored}

    def mark(self, key: WorkflowKey, marks: Sequence[Mark]) -> int:
        """See `Journal.mark`."""
        with self._changed:
            now_ms = self._clock()
            record = self._records.get(key.id)
            if record is not None and record.workflow.key == key:
                for mark in marks:
                    record.marks[mark.attempt] = marked(record.marks.get(mark.attempt, Marks()), mark, now_ms)
            return now_ms

    def marks(self, key: WorkflowKey, attempts: Sequence[Attempt]) -> Mapping[Attempt, Marks]:
        """See `Journal.marks`."""
        with self._changed:
            stored = self._record(key).marks
            return {attempt: stored[attempt] for attempt in attempts if attempt in stored}

    def due(self, *, limit: int, claim_ms: int) -> tuple[Due, ...]:
        """See `Journal.due`."""
        with self._changed:
            now_ms = self._clock()
            overdue = [it for it in self._records.values() if it.due_ms is not None and it.due_ms <= now_ms]
            overdue.sort(key=lambda it: it.due_ms or 0)
            for record in overdue[:limit]:
                record.due_ms = now_ms + claim_ms
            return tuple(Due(record.workflow.key, now_ms) for record in overdue[:limit])

    def rest(self, key: WorkflowKey, *, in_ms: int) -> None:
        """See `Journal.rest`."""
        with self._changed:
            record = self._record(key)
            if record.due_ms is not None:
                record.due_ms = self._clock() + in_ms

    def remind(self, key: WorkflowKey, *, in_ms: int) -> None:
        """See `Journal.remind`."""
        with self._changed:
            record = self._record(key)
            if record.due_ms is not None:
                record.due_ms = min(record.due_ms, self._clock() + in_ms)

    def close(self, key: WorkflowKey, *, at: int, state: WorkflowState) -> bool:
        """See `Journal.close`."""
        with self._changed:
            record = self._record(key)
            if len(record.lines) == at and record.due_ms is not None:
                record.due_ms, record.closed_ms, record.state = None, self._clock(), state
            return record.due_ms is None

    def keep_snapshot(self, key: WorkflowKey, snapshot: StoredSnapshot) -> None:
        """See `Journal.keep_snapshot`."""
        with self._changed:
            record = self._record(key)
            if record.snapshot is None or record.snapshot.seen.position < snapshot.seen.position:
                record.snapshot = snapshot

    def delete(self, key: WorkflowKey, *, at: int | None = None) -> bool:
        """See `Journal.delete`."""
        with self._changed:
            record = self._records.get(key.id)
            if record is not None and record.workflow.key == key:
                if at is not None and len(record.lines) != at:
                    return False
                del self._records[key.id]
            self._changed.notify_all()
            return True

    def list(self, query: Query, *, limit: int, after: str | None = None) -> Page:
        """See `Journal.list`."""
        place = None if after is None else read_cursor(after)
        with self._changed:
            found = [it for it in map(_listed, self._records.values()) if matches(query, it)]
        found.sort(key=place_of)
        rest = [it for it in found if place is None or place_of(it) > place]
        return page_of(rest[: limit + 1], limit)

    def purge(self, *, closed_for_ms: int, limit: int) -> int:
        """See `Journal.purge`."""
        with self._changed:
            before_ms = self._clock() - closed_for_ms
            old = [it for it in self._records.values() if it.closed_ms is not None and it.closed_ms <= before_ms]
            for record in old[:limit]:
                del self._records[record.workflow.key.id]
            return len(old[:limit])

    def annotate(self, key: WorkflowKey, notes: Mapping[str, Any]) -> None:
        """See `Journal.annotate`."""
        written = {name: None if value is None else JSON_VALUES.encode(value) for name, value in notes.items()}
        with self._changed:
            merged = {**self._record(key).notes, **written}
            self._record(key).notes = {name: text for name, text in merged.items() if text is not None}

    def annotations(self, key: WorkflowKey) -> Mapping[str, Any]:
        """See `Journal.annotations`."""
        with self._changed:
            return {name: JSON_VALUES.decode(text) for name, text in self._record(key).notes.items()}

    def renew_lease(self, lease: Lease, *, ttl_ms: int) -> int:
        """See `Journal.renew_lease`."""
        with self._changed:
            now_ms = self._clock()
            name = (lease.worker, lease.boot)
            before = self._leases.get(name)
            self._leases[name] = LeaseView(
                lease,
                now_ms,
                now_ms + ttl_ms,
                None if before is None else before.lease,
                None if before is None else before.renewed_ms,
            )
            return now_ms

    def leases(self) -> tuple[tuple[LeaseView, ...], int]:
        """See `Journal.leases`."""
        with self._changed:
            now_ms = self._clock()
            self._leases = {name: it for name, it in self._leases.items() if it.expires_ms + _DAY_MS > now_ms}
            return tuple(self._leases.values()), now_ms

    def watch(self, key: WorkflowKey, *, after: int, timeout_ms: int) -> bool:
        """See `Journal.watch`."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._record(key).lines) > after, timeout_ms / 1000)
            return len(self._record(key).lines) > after

    def dispose(self) -> None:
        """Do nothing: there are no connections."""

    def _record(self, key: WorkflowKey) -> _Record:
        record = self._records.get(key.id)
        if record is None or record.workflow.key != key:
            raise UnknownWorkflowError(key.id)
        return record


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _listed(record: _Record) -> Listed:
    new = record.workflow
    return Listed(new.key, new.name, new.tags, record.state, record.created_ms, record.closed_ms)


def _calls(record: _Record, numbers: Sequence[int]) -> dict[int, bytes]:
    stored = record.workflow.calls
    return {number: stored[number] for number in numbers if 0 <= number < len(stored)}


_decoded = lru_cache(maxsize=_LATELY_READ)(decode_observation)
"""Each process that shares a journal reads the same lines, one soon after the other."""


def _entries(record: _Record, after: int) -> tuple[Entry, ...]:
    return tuple(
        Entry(position, line.nonce, _decoded(line.text, line.at_ms))
        for position, line in enumerate(record.lines[after:], after + 1)
    )


def _agrees(record: _Record, seen: Seen) -> bool:
    """Tell whether what was seen is what stands there; before the first entry there is nothing to differ in."""
    if not seen.position:
        return True
    return seen.position <= len(record.lines) and record.lines[seen.position - 1].nonce == seen.nonce
