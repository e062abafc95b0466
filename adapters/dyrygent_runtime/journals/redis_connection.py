"""What the Redis journal says to its server: a client for each process, scripts by their hash, errors of ours.

Nothing is repeated here unless its caller says that it may be: the reply to an append that got lost does not say
whether the append did, and who appends finds that out by reading.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar, cast

import redis
from redis import connection, exceptions
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry

from dyrygent_core import UsageError
from dyrygent_core.errors import JournalError, JournalUnavailableError

__all__ = ["RedisConnection"]

T = TypeVar("T")

_LOG: Final = logging.getLogger("dyrygent")
_TIMEOUT_S: Final = 10.0
_CONNECT_TIMEOUT_S: Final = 5.0
_RETRIES: Final = 2
_AWAY: Final = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.TryAgainError,
    exceptions.ClusterDownError,
)
_AWAY_CODES: Final = ("BUSY", "MISCONF", "NOREPLICAS")
"""Answers that the client has no class for: a script that runs too long, a full disk, too few replicas."""

_inherited: list[redis.Redis] = []
"""Clients of the processes that this one was forked from: never used, and never freed, since freeing one takes a
lock that a thread which was not forked may hold."""


class RedisConnection:
    """One server, as this process and those that it forks see it."""

    def __init__(self, url: str) -> None:
        try:
            cast("Any", connection).parse_url(url)
        except ValueError:  # its text may hold a piece of the password
            raise UsageError("this is not a Redis URL; use redis://:password@host:6379/0") from None
        self._url = url
        self._of_process: tuple[int, redis.Redis] | None = None
        self._has_warned = False

    def run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run a script once, in one round trip."""
        with self._translated() as client:
            return _evaluated(client, script, keys, arguments)

    def run_again(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run a script that may be repeated, and repeat it when the connection breaks."""
        return self._again(lambda client: _evaluated(client, script, keys, arguments))

    def read(self, fill: Callable[[Any], Any]) -> list[Any]:
        """Send several reads as one transaction, and repeat it when the connection breaks."""

        def send(client: redis.Redis) -> list[Any]:
            pipe = _pipeline(client, is_transaction=True)
            fill(pipe)
            return cast("list[Any]", pipe.execute())

        return self._again(send)

    def send(self, fill: Callable[[Any], Any]) -> list[Any]:
        """Send several commands, to any partitions, in one round trip."""
        with self._translated() as client:
            pipe = _pipeline(client, is_transaction=False)
            fill(pipe)
            return cast("list[Any]", pipe.execute())

    def wait(self, channel: str, is_over: Callable[[], bool], timeout_s: float) -> None:
        """Wait for a message, unless it is over already once the subscription stands."""
        with self._translated() as client, cast("Any", client).pubsub() as subscriber:
            subscriber.subscribe(channel)
            subscriber.get_message(timeout=_TIMEOUT_S)  # the subscription itself
            if not is_over():
                subscriber.get_message(timeout=timeout_s)

    def dispose(self) -> None:
        """Close this process's connections."""
        known, self._of_process = self._of_process, None
        if known is None:
            return
        if known[0] == os.getpid():
            known[1].close()
        else:
            _inherited.append(known[1])

    def warn_of_configuration(self) -> None:
        """Say once if this server may forget: it evicts keys, or keeps no append-only file."""
        if self._has_warned:
            return
        self._has_warned = True
        try:
            memory, persistence = self.read(lambda pipe: pipe.info("memory").info("persistence"))
        except JournalUnavailableError:
            self._has_warned = False
            raise
        except JournalError:
            return  # not allowed to ask
        policy = str(memory.get("maxmemory_policy", "noeviction"))
        if memory.get("maxmemory") and policy != "noeviction":
            _LOG.warning("Redis may evict workflows: set maxmemory-policy to noeviction, it is %s", policy)
        if not persistence.get("aof_enabled"):
            _LOG.warning("Redis keeps no append-only file, so workflows are lost if it stops: set appendonly yes")

    @contextmanager
    def _translated(self) -> Generator[redis.Redis]:
        """Give this process's client, and turn its errors into ours."""
        try:
            yield self._client()
        except _AWAY as problem:
            raise _unavailable(problem) from problem
        except exceptions.RedisError as problem:
            if str(problem).startswith(_AWAY_CODES):
                raise _unavailable(problem) from problem
            message = f"Redis refuses this: {type(problem).__name__}: {problem}"
            raise JournalError(message) from problem

    def _again(self, send: Callable[[redis.Redis], T]) -> T:
        with self._translated() as client:
            retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), _RETRIES)
            return retry.call_with_retry(lambda: send(client), lambda _: None)

    def _client(self) -> redis.Redis:
        pid = os.getpid()
        if self._of_process is not None and self._of_process[0] != pid:
            _inherited.append(self._of_process[1])
            self._of_process = None
        known = self._of_process
        if known is None:
            known = self._of_process = (pid, _connected(self._url))
        return known[1]


def _pipeline(client: redis.Redis, *, is_transaction: bool) -> Any:
    """Make a pipeline; the client's own types of it are not strict."""
    return cast("Any", client).pipeline(transaction=is_transaction)


def _connected(url: str) -> redis.Redis:
    """Make a client. It connects when it is first used, and what it sends it sends once."""
    client: redis.Redis = cast("Any", redis.Redis).from_url(
        url,
        socket_timeout=_TIMEOUT_S,
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 0),
        protocol=2,  # one shape of answers from every release of server and client
    )
    return client


def _evaluated(client: redis.Redis, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
    sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
    try:
        return client.evalsha(sha, len(keys), *keys, *arguments)
    except exceptions.NoScriptError:
        return client.eval(script, len(keys), *keys, *arguments)


def _unavailable(problem: Exception) -> JournalUnavailableError:
    return JournalUnavailableError(f"Redis cannot be used now: {type(problem).__name__}: {problem}")
