"""The Redis journal: one script, one round trip, for each step of a turn.

A workflow lives in one of 64 partitions, whose name is its keys' hash tag, so that a script may touch all that it
needs on a cluster too. Ids are hashed into keys, and lengths prefixed where two texts stand side by side.
How durable it is, is the server's configuration: with `appendfsync everysec` a crash of the server may lose the
last second, without an append-only file all since the last snapshot. It is said once, when a workflow is created.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import zlib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final, cast

import redis
from redis import exceptions
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from dyrygent_core import Attempt, Begin, Observation
from dyrygent_core.codec import JSON_VALUES, decode_observation, encode_observation
from dyrygent_core.errors import JournalUnavailableError, UnknownWorkflowError
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

__all__ = ["RedisJournal"]

_LOG = logging.getLogger("dyrygent")
_PARTITIONS: Final = 64
_CALLS_AT_ONCE: Final = 1_000
_CALLS_EXPIRE_S: Final = 86_400
_DAY_MS: Final = 86_400_000
_TIMEOUT_S: Final = 10.0
_CONNECT_TIMEOUT_S: Final = 5.0
_RETRIES: Final = 2
_AWAY: Final = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
)


class RedisJournal:
    """Keeps workflows in Redis 5 or newer. Connections are opened when needed, in each process its own."""

    def __init__(self, url: str, namespace: str = "dyrygent") -> None:
        self._url = url
        self._namespace = namespace
        self._of_process: tuple[int, redis.Redis] | None = None
        self._has_warned = False

    def __repr__(self) -> str:
        return f"<RedisJournal {self._namespace!r}>"

    @property
    def namespace(self) -> str:
        """The name given at the start."""
        return self._namespace

    def create(self, workflow: NewWorkflow, *, nonce: str, due_in_ms: int) -> Created:
        """See `Journal.create`. The calls go first, under the new incarnation; the script makes them count."""
        self._warn_of_configuration()
        keys = self._keys(workflow.key)
        with self._connected() as client:
            calls = iter(enumerate(workflow.calls))
            while chunk := dict(islice(calls, _CALLS_AT_ONCE)):
                client.hset(keys.calls, mapping=cast("dict[Any, Any]", chunk))
                client.expire(keys.calls, _CALLS_EXPIRE_S)
        incarnation, digest, created = self._run(
            scripts.CREATE,
            [keys.head, keys.entries, keys.due, keys.calls],
            [
                workflow.key.incarnation,
                workflow.key.id.encode(),
                workflow.digest,
                workflow.definition,
                nonce,
                encode_observation(Begin()),
                _member(workflow.key),
                due_in_ms,
            ],
        )
        key = WorkflowKey(workflow.key.id, incarnation.decode())
        is_new = key == workflow.key
        if not is_new:
            with self._connected() as client:
                client.delete(keys.calls)
        return Created(key, digest.decode(), is_new, int(created))

    def append(
        self,
        key: WorkflowKey,
        observations: Sequence[Observation],
        *,
        seen: Seen,
        nonce: str,
        results: Mapping[Attempt, bytes] | None = None,
    ) -> Appended:
        """See `Journal.append`."""
        keys = self._keys(key)
        arguments: list[Any] = [key.incarnation, _member(key), seen.position, seen.nonce, nonce, len(observations)]
        arguments += [encode_observation(it) for it in observations]
        for attempt, value in (results or {}).items():
            arguments += [_field(attempt), value]
        _, first, at_ms, diverged, missed = self._known(
            key, scripts.APPEND, [keys.head, keys.entries, keys.results, keys.due, keys.wake], arguments
        )
        entries = _entries(missed, int(first) - len(missed))
        return Appended(int(first), int(at_ms), entries, bool(diverged))

    def read(self, key: WorkflowKey, *, after: int = 0) -> tuple[Entry, ...]:
        """See `Journal.read`."""
        keys = self._keys(key)
        incarnation, lines = self._pipelined(
            lambda pipe: pipe.hget(keys.head, "incarnation").lrange(keys.entries, after, -1)
        )
        self._check(key, incarnation)
        return _entries(lines, after + 1)

    def definition(self, workflow_id: str) -> StoredWorkflow:
        """See `Journal.definition`."""
        with self._connected() as client:
            stored = cast("Any", client.hgetall(self._keys(WorkflowKey(workflow_id, "")).head))
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
        return self._fields(key, self._keys(key).calls, dict(zip(numbers, numbers, strict=True)))

    def results(self, key: WorkflowKey, attempts: Sequence[Attempt]) -> Mapping[Attempt, bytes]:
        """See `Journal.results`."""
        return self._fields(key, self._keys(key).results, {_field(attempt): attempt for attempt in attempts})

    def mark(self, key: WorkflowKey, marks: Sequence[Mark]) -> int:
        """See `Journal.mark`."""
        keys = self._keys(key)
        arguments: list[Any] = [key.incarnation]
        for mark in marks:
            arguments += [_field(mark.attempt), mark.kind.value, mark.worker, mark.boot]
        return int(self._run(scripts.MARK, [keys.head, keys.marks], arguments))

    def marks(self, key: WorkflowKey) -> Mapping[Attempt, Marks]:
        """See `Journal.marks`."""
        keys = self._keys(key)
        incarnation, stored = self._pipelined(lambda pipe: pipe.hget(keys.head, "incarnation").hgetall(keys.marks))
        self._check(key, incarnation)
        return {_attempt(name): _marks(text) for name, text in stored.items()}

    def due(self, *, limit: int, claim_ms: int) -> tuple[Due, ...]:
        """See `Journal.due`. Partitions take turns at being asked first."""
        found: list[Due] = []
        for key, overdue in self._due_partitions():
            if len(found) >= limit:
                break
            if overdue:
                now_ms, members = self._run(scripts.DUE, [key], [limit - len(found), claim_ms])
                found += [Due(_key(member), int(now_ms)) for member in members]
        return tuple(found)

    def rest(self, key: WorkflowKey, *, in_ms: int) -> None:
        """See `Journal.rest`."""
        keys = self._keys(key)
        self._known(key, scripts.REST, [keys.head, keys.due], [key.incarnation, _member(key), in_ms])

    def remind(self, key: WorkflowKey, *, in_ms: int) -> None:
        """See `Journal.remind`."""
        keys = self._keys(key)
        self._known(key, scripts.REMIND, [keys.head, keys.due], [key.incarnation, _member(key), in_ms])

    def close(self, key: WorkflowKey, *, at: int) -> bool:
        """See `Journal.close`."""
        keys = self._keys(key)
        arguments = [key.incarnation, _member(key), at]
        _, is_closed = self._known(key, scripts.CLOSE, [keys.head, keys.entries, keys.due], arguments)
        return bool(is_closed)

    def delete(self, key: WorkflowKey) -> None:
        """See `Journal.delete`."""
        keys = self._keys(key)
        names = [
            keys.due,
            keys.wake,
            keys.head,
            keys.entries,
            keys.calls,
            keys.results,
            keys.marks,
            keys.notes,
        ]
        self._run(scripts.DELETE, names, [key.incarnation, _member(key)])

    def annotate(self, key: WorkflowKey, notes: Mapping[str, Any]) -> None:
        """See `Journal.annotate`."""
        keys = self._keys(key)
        arguments: list[Any] = [key.incarnation]
        for name, value in notes.items():
            arguments += [name, b"" if value is None else JSON_VALUES.encode(value)]
        self._known(key, scripts.ANNOTATE, [keys.head, keys.notes], arguments)

    def annotations(self, key: WorkflowKey) -> Mapping[str, Any]:
        """See `Journal.annotations`."""
        keys = self._keys(key)
        incarnation, stored = self._pipelined(lambda pipe: pipe.hget(keys.head, "incarnation").hgetall(keys.notes))
        self._check(key, incarnation)
        return {name.decode(): json.loads(text) for name, text in stored.items()}

    def renew_lease(self, lease: Lease, *, ttl_ms: int) -> int:
        """See `Journal.renew_lease`."""
        name = json.dumps([lease.worker, lease.boot])
        return int(self._run(scripts.LEASE, [self._leases_key], [name, ttl_ms, _lease_text(lease)]))

    def leases(self) -> tuple[tuple[LeaseView, ...], int]:
        """See `Journal.leases`."""
        (seconds, micros), stored = self._pipelined(lambda pipe: pipe.time().hgetall(self._leases_key))
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        views = {name: _lease_view(json.loads(name), json.loads(text)) for name, text in stored.items()}
        old = [name for name, view in views.items() if view.expires_ms + _DAY_MS < now_ms]
        if old:
            with self._connected() as client:
                client.hdel(self._leases_key, *old)
        return tuple(view for name, view in views.items() if name not in old), now_ms

    def watch(self, key: WorkflowKey, *, after: int, timeout_ms: int) -> bool:
        """See `Journal.watch`. What is appended before the subscription is seen by looking once it stands."""
        keys = self._keys(key)
        with self._connected() as client, client.pubsub() as channel:  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
            channel.subscribe(keys.wake)
            channel.get_message(timeout=_TIMEOUT_S)  # the subscription itself
            if self._length(key) <= after:
                channel.get_message(timeout=timeout_ms / 1000)
        return self._length(key) > after

    def dispose(self) -> None:
        """Close this process's connections."""
        if self._of_process is not None and self._of_process[0] == os.getpid():
            self._of_process[1].close()
        self._of_process = None

    # Talking to the server

    @contextmanager
    def _connected(self) -> Generator[redis.Redis]:
        """Give this process's client, and turn its transport errors into ours."""
        try:
            yield self._client()
        except _AWAY as problem:
            message = f"Redis cannot be used now: {type(problem).__name__}: {problem}"
            raise JournalUnavailableError(message) from problem

    def _client(self) -> redis.Redis:
        pid = os.getpid()
        if self._of_process is None or self._of_process[0] != pid:
            client = redis.Redis.from_url(
                self._url,
                socket_timeout=_TIMEOUT_S,
                socket_connect_timeout=_CONNECT_TIMEOUT_S,
                retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), _RETRIES),
                health_check_interval=30,
            )
            self._of_process = (pid, client)
        return self._of_process[1]

    def _run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        with self._connected() as client:
            sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
            try:
                return client.evalsha(sha, len(keys), *keys, *arguments)
            except exceptions.NoScriptError:
                return client.eval(script, len(keys), *keys, *arguments)

    def _known(self, key: WorkflowKey, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        answer = self._run(script, keys, arguments)
        if answer[0] == b"unknown":
            raise UnknownWorkflowError(key.id)
        return answer

    def _pipelined(self, fill: Callable[[Any], Any]) -> list[Any]:
        """Send several reads as one transaction."""
        with self._connected() as client:
            pipe = client.pipeline(transaction=True)
            fill(pipe)
            return pipe.execute()

    def _fields(self, key: WorkflowKey, name: str, wanted: Mapping[Any, Any]) -> dict[Any, bytes]:
        if not wanted:
            return {}
        incarnation, values = self._pipelined(
            lambda pipe: pipe.hget(self._keys(key).head, "incarnation").hmget(name, list(wanted))
        )
        self._check(key, incarnation)
        return {place: value for place, value in zip(wanted.values(), values, strict=True) if value is not None}

    def _length(self, key: WorkflowKey) -> int:
        keys = self._keys(key)
        incarnation, length = self._pipelined(lambda pipe: pipe.hget(keys.head, "incarnation").llen(keys.entries))
        self._check(key, incarnation)
        return int(length)

    def _due_partitions(self) -> list[tuple[str, bool]]:
        """Ask all partitions, in one round trip, whether anything is due; the longest overdue first."""
        keys = [f"{{dy:{number}}}:{_sized(self._namespace)}:due" for number in range(_PARTITIONS)]

        def ask(pipe: Any) -> None:
            pipe.time()
            for key in keys:
                pipe.zrange(key, 0, 0, withscores=True)

        with self._connected() as client:
            pipe = client.pipeline(transaction=False)
            ask(pipe)
            (seconds, micros), *firsts = pipe.execute()
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        scored = sorted((first[0][1], key) for key, first in zip(keys, firsts, strict=True) if first)
        return [(key, score <= now_ms) for score, key in scored]

    def _check(self, key: WorkflowKey, incarnation: bytes | None) -> None:
        if incarnation is None or incarnation.decode() != key.incarnation:
            raise UnknownWorkflowError(key.id)

    def _warn_of_configuration(self) -> None:
        """Say once if this server may forget: it evicts keys, or keeps no append-only file."""
        if self._has_warned:
            return
        self._has_warned = True
        with self._connected() as client:
            try:
                memory, persistence = client.info("memory"), client.info("persistence")
            except exceptions.ResponseError:
                return  # not allowed to ask
        policy = str(memory.get("maxmemory_policy", "noeviction"))
        if policy != "noeviction":
            _LOG.warning("Redis may evict workflows: set maxmemory-policy to noeviction, it is %s", policy)
        if not persistence.get("aof_enabled"):
            _LOG.warning("Redis keeps no append-only file, so workflows are lost if it stops: set appendonly yes")

    # Names of keys

    @property
    def _leases_key(self) -> str:
        return f"{{dy}}:{_sized(self._namespace)}:leases"

    def _keys(self, key: WorkflowKey) -> _Keys:
        name = key.id.encode()
        tag = f"{{dy:{zlib.crc32(name) % _PARTITIONS}}}:{_sized(self._namespace)}"
        digest = hashlib.sha256(name).hexdigest()
        return _Keys(tag, digest, key.incarnation)


class _Keys:
    """The names of one workflow's keys."""

    def __init__(self, tag: str, digest: str, incarnation: str) -> None:
        own = f"{tag}:{digest}:{incarnation}"
        self.head = f"{tag}:{digest}:h"
        self.entries = f"{own}:e"
        self.calls = f"{own}:c"
        self.results = f"{own}:r"
        self.marks = f"{own}:m"
        self.notes = f"{own}:n"
        self.due = f"{tag}:due"
        self.wake = f"{tag}:wake:{digest}"


def _sized(text: str) -> str:
    """Prefix a text with its length, so that what follows it cannot be taken for a part of it."""
    return f"{len(text)}:{text}"


def _member(key: WorkflowKey) -> bytes:
    return f"{len(key.incarnation)}:{key.incarnation}{key.id}".encode()


def _key(member: bytes) -> WorkflowKey:
    length, _, rest = member.decode().partition(":")
    return WorkflowKey(rest[int(length) :], rest[: int(length)])


def _field(attempt: Attempt) -> bytes:
    return f"{attempt.index}.{attempt.number}.{attempt.node}".encode()


def _attempt(name: bytes) -> Attempt:
    index, number, node = name.decode().split(".", 2)
    return Attempt(node, int(index), int(number))


def _entries(lines: Sequence[bytes], first: int) -> tuple[Entry, ...]:
    entries: list[Entry] = []
    for position, line in enumerate(lines, first):
        nonce, at_ms, text = json.loads(line)
        entries.append(Entry(position, nonce, decode_observation(text, int(at_ms))))
    return tuple(entries)


def _marks(text: bytes) -> Marks:
    sent, sent_ms, started_ms, worker, boot = json.loads(text)
    return Marks(int(sent), int(sent_ms) or None, int(started_ms) or None, worker, boot)


def _lease_text(lease: Lease) -> str:
    return json.dumps([sorted(lease.active), sorted(lease.reserved)])


def _lease(name: Sequence[str], text: str) -> Lease:
    worker, boot = name
    active, reserved = json.loads(text)
    return Lease(worker, boot, frozenset(active), frozenset(reserved))


def _lease_view(name: Sequence[str], stored: Sequence[Any]) -> LeaseView:
    text, renewed_ms, expires_ms, before = stored
    return LeaseView(
        _lease(name, text),
        int(renewed_ms),
        int(expires_ms),
        None if before is None else _lease(name, before[0]),
        None if before is None else int(before[1]),
    )
