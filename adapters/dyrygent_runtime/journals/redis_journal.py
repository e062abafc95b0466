"""The Redis journal: one script, one round trip, for each step of a turn.

A script touches keys of one partition only (`redis_keys`), so that it can do all it needs on a cluster too.
How durable it is, is the server's configuration: with `appendfsync everysec` a crash of the server may lose the
last second, without an append-only file all since the last snapshot. Whoever sweeps says so once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final

from dyrygent_core import Attempt, Begin, Observation
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
    Seen,
    StoredWorkflow,
    WorkflowKey,
)
from dyrygent_runtime.journals import redis_scripts as scripts
from dyrygent_runtime.journals.redis_connection import RedisConnection
from dyrygent_runtime.journals.redis_keys import (
    Keys,
    due_keys,
    entries_of,
    key_of,
    lease_view,
    leases_key,
    marks_of,
    member_of,
)
from dyrygent_runtime.journals.writing import attempt_of, field_of, lease_text

__all__ = ["RedisJournal"]

_CALLS_AT_ONCE: Final = 1_000
_BYTES_AT_ONCE: Final = 8 << 20
_CALLS_EXPIRE_S: Final = 86_400
"""After so long, calls whose workflow never was created vanish."""
_DAY_MS: Final = 86_400_000


class RedisJournal:
    """Keeps workflows in Redis 5 or newer. Connections are opened when needed, in each process its own.

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
        """See `Journal.create`. The calls go first, under the new incarnation; the last script makes them count."""
        keys = self._keys(workflow.key)
        for chunk in _chunks(workflow.calls):
            if not self._redis.run_again(scripts.CALLS, [keys.head, keys.calls], [_CALLS_EXPIRE_S, *chunk]):
                break  # the id is taken, or this very workflow is there
        incarnation, digest, created = self._redis.run_again(
            scripts.CREATE,
            [keys.head, keys.entries, keys.due, keys.calls],
            [
                workflow.key.incarnation,
                workflow.key.id.encode(),
                workflow.digest,
                workflow.definition,
                nonce,
                encode_observation(Begin()),
                member_of(workflow.key),
                due_in_ms,
                len(workflow.calls),
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
    ) -> Appended:
        """See `Journal.append`. It is sent once: if the reply is lost, the caller reads whether it was written."""
        keys = self._keys(key)
        arguments: list[Any] = [key.incarnation, member_of(key), seen.position, seen.nonce, nonce, len(observations)]
        arguments += [encode_observation(it) for it in observations]
        for attempt, value in (results or {}).items():
            arguments += [field_of(attempt), value]
        names = [keys.head, keys.entries, keys.results, keys.due, keys.wake]
        _, first, at_ms, has_diverged, lines = _known(key, self._redis.run(scripts.APPEND, names, arguments))
        try:
            missed = entries_of(lines, int(first) - len(lines))
        except UnsupportedVersionError:
            return Appended(int(first), int(at_ms), (), has_diverged=True)
        return Appended(int(first), int(at_ms), missed, bool(has_diverged))

    def read(self, key: WorkflowKey, *, after: int = 0) -> tuple[Entry, ...]:
        """See `Journal.read`."""
        lines = self._read(key, lambda pipe, keys: pipe.lrange(keys.entries, after, -1))
        return entries_of(lines, after + 1)

    def definition(self, workflow_id: str) -> StoredWorkflow:
        """See `Journal.definition`."""
        (stored,) = self._redis.read(lambda pipe: pipe.hgetall(Keys(self._namespace, workflow_id).head))
        if not stored:
            raise UnknownWorkflowError(workflow_id)
        return StoredWorkflow(
            WorkflowKey(workflow_id, stored[b"incarnation"].decode()),
            stored[b"digest"].decode(),
            stored[b"definition"],
            b"closed" not in stored,
            int(stored[b"created"]),
        )

    def calls(self, key: WorkflowKey, numbers: Sequence[int]) -> Mapping[int, bytes]:
        """See `Journal.calls`."""
        if not numbers:
            return {}
        values = self._read(key, lambda pipe, keys: pipe.hmget(keys.calls, list(numbers)))
        return {number: value for number, value in zip(numbers, values, strict=True) if value is not None}

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

    def marks(self, key: WorkflowKey) -> Mapping[Attempt, Marks]:
        """See `Journal.marks`."""
        stored = self._read(key, lambda pipe, keys: pipe.hgetall(keys.marks))
        return {attempt_of(name): marks_of(text) for name, text in stored.items()}

    def due(self, *, limit: int, claim_ms: int) -> tuple[Due, ...]:
        """See `Journal.due`. One round trip tells that nothing is due; two more claim what is.

        A process that asks for this sweeps, and it says once if the server may forget what it keeps.
        """
        self._redis.warn_of_configuration()
        partitions = self._partitions_due()
        if not partitions or limit < 1:
            return ()
        overdue = self._redis.send(lambda pipe: [pipe.eval(scripts.DUE, 1, it, limit) for it in partitions])
        oldest = sorted(
            (float(score), place, member)
            for place, found in enumerate(overdue)
            for member, score in zip(found[::2], found[1::2], strict=True)
        )[:limit]
        wanted: dict[int, list[bytes]] = {}
        for _, place, member in oldest:
            wanted.setdefault(place, []).append(member)
        answers = self._redis.send(
            lambda pipe: [pipe.eval(scripts.CLAIM, 1, partitions[it], claim_ms, *wanted[it]) for it in wanted]
        )
        claimed_ms = {member: int(now_ms) for now_ms, members in answers for member in members}
        return tuple(Due(key_of(it), claimed_ms[it]) for _, _, it in oldest if it in claimed_ms)

    def rest(self, key: WorkflowKey, *, in_ms: int) -> None:
        """See `Journal.rest`."""
        self._set_due(key, scripts.REST, in_ms)

    def remind(self, key: WorkflowKey, *, in_ms: int) -> None:
        """See `Journal.remind`."""
        self._set_due(key, scripts.REMIND, in_ms)

    def close(self, key: WorkflowKey, *, at: int) -> bool:
        """See `Journal.close`."""
        keys = self._keys(key)
        names = [keys.head, keys.entries, keys.due]
        _, is_closed = _known(key, self._redis.run_again(scripts.CLOSE, names, [key.incarnation, member_of(key), at]))
        return bool(is_closed)

    def delete(self, key: WorkflowKey) -> None:
        """See `Journal.delete`."""
        keys = self._keys(key)
        names = [keys.due, keys.wake, keys.head, keys.entries, keys.calls, keys.results, keys.marks, keys.notes]
        self._redis.run_again(scripts.DELETE, names, [key.incarnation, member_of(key)])

    def annotate(self, key: WorkflowKey, notes: Mapping[str, Any]) -> None:
        """See `Journal.annotate`."""
        keys = self._keys(key)
        arguments: list[Any] = [key.incarnation]
        for name, value in notes.items():
            arguments += [name, b"" if value is None else JSON_VALUES.encode(value)]
        _known(key, self._redis.run_again(scripts.ANNOTATE, [keys.head, keys.notes], arguments))

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
        """See `Journal.watch`. What is appended before the subscription is seen by looking once it stands."""
        self._redis.wait(self._keys(key).wake, lambda: self._length(key) > after, timeout_ms / 1000)
        return self._length(key) > after

    def dispose(self) -> None:
        """Close this process's connections."""
        self._redis.dispose()

    def _keys(self, key: WorkflowKey) -> Keys:
        return Keys(self._namespace, key.id, key.incarnation)

    def _read(self, key: WorkflowKey, fill: Callable[[Any, Keys], Any]) -> Any:
        """Read something of a workflow, if it is this incarnation of it."""
        keys = self._keys(key)
        incarnation, found = self._redis.read(lambda pipe: fill(pipe.hget(keys.head, "incarnation"), keys))
        if incarnation is None or incarnation.decode() != key.incarnation:
            raise UnknownWorkflowError(key.id)
        return found

    def _length(self, key: WorkflowKey) -> int:
        return int(self._read(key, lambda pipe, keys: pipe.llen(keys.entries)))

    def _set_due(self, key: WorkflowKey, script: str, in_ms: int) -> None:
        keys = self._keys(key)
        arguments = [key.incarnation, member_of(key), in_ms]
        _known(key, self._redis.run_again(script, [keys.head, keys.due], arguments))

    def _partitions_due(self) -> list[str]:
        """Ask all partitions, in one round trip, whether anything is due."""
        names = due_keys(self._namespace)

        def ask(pipe: Any) -> None:
            pipe.time()
            for name in names:
                pipe.zrange(name, 0, 0, withscores=True)

        (seconds, micros), *firsts = self._redis.send(ask)
        now_ms = seconds * 1000 + micros // 1000
        return [name for name, first in zip(names, firsts, strict=True) if first and first[0][1] <= now_ms]


def _known(key: WorkflowKey, answer: Any) -> Any:
    if answer[0] == b"unknown":
        raise UnknownWorkflowError(key.id)
    return answer


def _chunks(calls: Sequence[bytes]) -> Generator[list[Any]]:
    """Cut calls, each behind its number, into what one script takes without holding up the server for long."""
    chunk: list[Any] = []
    size = 0
    for number, call in enumerate(calls):
        if chunk and (size + len(call) > _BYTES_AT_ONCE or len(chunk) >= 2 * _CALLS_AT_ONCE):
            yield chunk
            chunk, size = [], 0
        chunk += [number, call]
        size += len(call)
    if chunk:
        yield chunk
