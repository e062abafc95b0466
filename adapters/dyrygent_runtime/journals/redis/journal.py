"""The Redis journal: one script, one round trip, for each step of a turn.

A script touches keys of one partition only (`keys`), so that it can do all it needs on a cluster too.
How durable it is, is the server's configuration: with `appendfsync everysec` a crash of the server may lose the
last second, without an append-only file all since the last snapshot. Whoever sweeps says so once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from dyrygent_core import Attempt, Begin, Observation, WorkflowState
from dyrygent_core.codec import JSON_VALUES, encode_observation
from dyrygent_core.errors import JournalUnavailableError, UnknownWorkflowError, UnsupportedVersionError
from dyrygent_core.ports import (
    Appended,
    Created,
    Due,
    Entry,
    Lease,
    LeaseView,
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
from dyrygent_runtime.journals.redis import scripts
from dyrygent_runtime.journals.redis.connection import RedisConnection
from dyrygent_runtime.journals.redis.keys import (
    STORED,
    Keys,
    entries_of,
    lease_view,
    leases_key,
    marks_of,
    member_of,
    stored_of,
    tags_text,
)
from dyrygent_runtime.journals.redis.walking import claim_due, list_page, purge_closed, removal
from dyrygent_runtime.journals.writing import field_of, lease_text

__all__ = ["RedisJournal"]

_CALLS_AT_ONCE: Final = 1_000
_BYTES_AT_ONCE: Final = 8 << 20
_CALLS_EXPIRE_S: Final = 3_600
"""After so long, calls whose workflow never was created vanish."""
_DAY_MS: Final = 86_400_000


class RedisJournal:
    """Keeps workflows in Redis 5 or newer, or a cluster of it (`address` says how its URL is written).

    Connections are opened when needed, in each process its own.

    Raises `UsageError` for a URL that is none.
    """

    def __init__(self, url: str, namespace: str = "dyrygent") -> None:
        self._redis = RedisConnection(url)
        self._namespace = namespace

    def __repr__(self) -> str:
        return f"<RedisJournal {self._namespace!r}>"

    @property
    def namespace(self) -> str:
        """The name given at the start."""
        return self._namespace

    def create(self, workflow: NewWorkflow, *, nonce: str, due_in_ms: int) -> Created:
        """See `Journal.create`. One script; before it, of very many calls those that it does not take along."""
        keys = self._keys(workflow.key)
        *earlier, last = _chunks(workflow.calls)
        for chunk in earlier:
            if not self._redis.run_again(scripts.CALLS, [keys.head, keys.calls], [_CALLS_EXPIRE_S, *chunk]):
                break  # the id is taken, or this very workflow is there
        incarnation, digest, created = self._redis.run_again(
            scripts.CREATE,
            [keys.head, keys.entries, keys.calls, keys.due, keys.created],
            [
                workflow.key.incarnation,
                workflow.key.id.encode(),
                workflow.digest,
                workflow.definition,
                workflow.name,
                tags_text(workflow.tags),
                nonce,
                encode_observation(Begin()),
                member_of(workflow.key),
                due_in_ms,
                len(workflow.calls),
                *last,
            ],
        )
        if created is None:
            raise JournalUnavailableError("the workflow of this id was deleted while it was looked at; create again")
        key = WorkflowKey(workflow.key.id, incarnation.decode())
        return Created(key, digest.decode(), key == workflow.key, int(created))

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
        """See `Journal.append`. It is sent once: if the reply is lost, the caller reads whether it was written."""
        keys = self._keys(key)
        arguments: list[Any] = [key.incarnation, member_of(key), seen.position, seen.nonce, nonce]
        arguments += [len(observations), len(calls), *map(encode_observation, observations), *calls]
        for attempt, value in (results or {}).items():
            arguments += [field_of(attempt), value]
        names = [keys.head, keys.entries, keys.results, keys.due, keys.closed, keys.wake, keys.calls]
        _, first, at_ms, has_diverged, lines, texts = _known(key, self._redis.run(scripts.APPEND, names, arguments))
        found = _found(calls, texts)
        try:
            missed = entries_of(lines, int(first) - len(lines))
        except UnsupportedVersionError:
            return Appended(int(first), int(at_ms), (), has_diverged=True, calls=found)
        return Appended(int(first), int(at_ms), missed, bool(has_diverged), found)

    def read(self, key: WorkflowKey, *, after: int = 0) -> tuple[Entry, ...]:
        """See `Journal.read`."""
        lines = self._read(key, lambda pipe, keys: pipe.lrange(keys.entries, after, -1))
        return entries_of(lines, after + 1)

    def definition(self, workflow_id: str) -> StoredWorkflow:
        """See `Journal.definition`."""
        (head,) = self._redis.read(lambda pipe: pipe.hmget(Keys(self._namespace, workflow_id).head, STORED))
        stored = stored_of(workflow_id, head)
        if stored is None:
            raise UnknownWorkflowError(workflow_id)
        return stored

    def calls(self, key: WorkflowKey, numbers: Sequence[int]) -> Mapping[int, bytes]:
        """See `Journal.calls`."""
        if not numbers:
            return {}
        values = self._read(key, lambda pipe, keys: pipe.hmget(keys.calls, list(numbers)))
        return _found(numbers, values)

    def results(self, key: WorkflowKey, attempts: Sequence[Attempt]) -> Mapping[Attempt, bytes]:
        """See `Journal.results`."""
        wanted = [field_of(attempt) for attempt in attempts]
        values = self._read(key, lambda pipe, keys: pipe.hmget(keys.results, wanted or [b""]))
        return {it: value for it, value in zip(attempts, values, strict=False) if value is not None}

    def mark(self, key: WorkflowKey, marks: Sequence[Mark]) -> int:
        """See `Journal.mark`."""
        keys = self._keys(key)
        arguments: list[Any] = [key.incarnation]
        for mark in marks:
            arguments += [field_of(mark.attempt), mark.kind.value, mark.worker, mark.boot]
        return int(self._redis.run(scripts.MARK, [keys.head, keys.marks], arguments))

    def marks(self, key: WorkflowKey, attempts: Sequence[Attempt]) -> Mapping[Attempt, Marks]:
        """See `Journal.marks`."""
        wanted = [field_of(attempt) for attempt in attempts]
        texts = self._read(key, lambda pipe, keys: pipe.hmget(keys.marks, wanted or [b""]))
        return {it: marks_of(text) for it, text in zip(attempts, texts, strict=False) if text is not None}

    def due(self, *, limit: int, claim_ms: int) -> tuple[Due, ...]:
        """See `Journal.due`. A process that asks sweeps, and it says once if the server may forget what it keeps."""
        self._redis.warn_of_configuration()
        return claim_due(self._redis, self._namespace, limit=limit, claim_ms=claim_ms)

    def rest(self, key: WorkflowKey, *, in_ms: int) -> None:
        """See `Journal.rest`."""
        keys = self._keys(key)
        self._run_known(key, scripts.REST, [keys.head, keys.due, keys.created], [member_of(key), in_ms])

    def remind(self, key: WorkflowKey, *, in_ms: int) -> None:
        """See `Journal.remind`."""
        keys = self._keys(key)
        self._run_known(key, scripts.REMIND, [keys.head, keys.due], [member_of(key), in_ms])

    def close(self, key: WorkflowKey, *, at: int, state: WorkflowState) -> bool:
        """See `Journal.close`."""
        keys = self._keys(key)
        names = [keys.head, keys.due, keys.created, keys.closed, keys.entries]
        _, is_closed = self._run_known(key, scripts.CLOSE, names, [member_of(key), at, state.value])
        return bool(is_closed)

    def keep_snapshot(self, key: WorkflowKey, snapshot: StoredSnapshot) -> None:
        """See `Journal.keep_snapshot`."""
        arguments = [snapshot.seen.position, snapshot.seen.nonce, snapshot.data]
        self._run_known(key, scripts.KEEP, [self._keys(key).head], arguments)

    def delete(self, key: WorkflowKey, *, at: int | None = None) -> bool:
        """See `Journal.delete`."""
        names, arguments = removal(self._namespace, key)
        return bool(self._redis.run_again(scripts.DELETE, names, [*arguments, "" if at is None else at]))

    def list(self, query: Query, *, limit: int, after: str | None = None) -> Page:
        """See `Journal.list`. A page for a filter that matches one workflow in thousands may be short."""
        return list_page(self._redis, self._namespace, query, limit=limit, after=after)

    def purge(self, *, closed_for_ms: int, limit: int) -> int:
        """See `Journal.purge`."""
        return purge_closed(self._redis, self._namespace, closed_for_ms=closed_for_ms, limit=limit)

    def annotate(self, key: WorkflowKey, notes: Mapping[str, Any]) -> None:
        """See `Journal.annotate`."""
        keys = self._keys(key)
        written = [(name, b"" if value is None else JSON_VALUES.encode(value)) for name, value in notes.items()]
        self._run_known(key, scripts.ANNOTATE, [keys.head, keys.notes], list(chain.from_iterable(written)))

    def annotations(self, key: WorkflowKey) -> Mapping[str, Any]:
        """See `Journal.annotations`."""
        stored = self._read(key, lambda pipe, keys: pipe.hgetall(keys.notes))
        return {name.decode(): JSON_VALUES.decode(text) for name, text in stored.items()}

    def renew_lease(self, lease: Lease, *, ttl_ms: int) -> int:
        """See `Journal.renew_lease`."""
        name = JSON_VALUES.encode([lease.worker, lease.boot])
        arguments = [name, ttl_ms, lease_text(lease), _DAY_MS]
        return int(self._redis.run(scripts.LEASE, [leases_key(self._namespace)], arguments))

    def leases(self) -> tuple[tuple[LeaseView, ...], int]:
        """See `Journal.leases`."""
        now, stored = self._redis.run_again(scripts.LEASES, [leases_key(self._namespace)], [_DAY_MS])
        views = map(lease_view, stored[::2], stored[1::2])
        return tuple(views), int(now)

    def watch(self, key: WorkflowKey, *, after: int, timeout_ms: int) -> bool:
        """See `Journal.watch`. All that wait in a process share one connection."""

        def is_there() -> bool:
            return self._length(key) > after

        if is_there():
            return True
        if timeout_ms <= 0:
            return False
        length = self._redis.wait(self._keys(key).wake, is_there, timeout_ms / 1000)
        return (length is not None and length > after) or is_there()

    def dispose(self) -> None:
        """Close this process's connections."""
        self._redis.dispose()

    def _keys(self, key: WorkflowKey) -> Keys:
        return Keys(self._namespace, key.id, key.incarnation)

    def _run_known(self, key: WorkflowKey, script: str, names: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run a script that may be repeated, of a workflow that must be there."""
        return _known(key, self._redis.run_again(script, names, [key.incarnation, *arguments]))

    def _read(self, key: WorkflowKey, fill: Callable[[Any, Keys], Any]) -> Any:
        """Read something of a workflow, if it is this incarnation of it.

        An incarnation comes once, and goes for good: if it is there before and after, it was in between.
        """
        keys = self._keys(key)

        def ask(pipe: Any) -> None:
            pipe.hget(keys.head, "incarnation")
            fill(pipe, keys)
            pipe.hget(keys.head, "incarnation")

        before, found, then = self._redis.read(ask)
        if not before == then == key.incarnation.encode():
            raise UnknownWorkflowError(key.id)
        return found

    def _length(self, key: WorkflowKey) -> int:
        return int(self._read(key, lambda pipe, keys: pipe.llen(keys.entries)))


def _known(key: WorkflowKey, answer: Any) -> Any:
    if answer[0] == b"unknown":
        raise UnknownWorkflowError(key.id)
    return answer


def _found(numbers: Sequence[int], texts: Sequence[bytes | None]) -> dict[int, bytes]:
    return {number: text for number, text in zip(numbers, texts, strict=True) if text is not None}


def _chunks(calls: Sequence[bytes]) -> Sequence[Sequence[Any]]:
    """Cut calls, each behind its number, into what one script takes without holding up the server for long."""
    chunks: list[list[Any]] = [[]]
    size = 0
    for number, call in enumerate(calls):
        if chunks[-1] and (size + len(call) > _BYTES_AT_ONCE or len(chunks[-1]) >= 2 * _CALLS_AT_ONCE):
            chunks.append([])
            size = 0
        chunks[-1] += [number, call]
        size += len(call)
    return chunks
