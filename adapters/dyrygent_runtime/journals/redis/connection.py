"""What the Redis journal says to its server or cluster: clients by process, scripts by their hash, errors of ours.

Nothing is repeated here unless its caller says that it may be: the reply to an append that got lost does not say
whether the append did, and who appends finds that out by reading.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias, TypeVar, cast

import redis
from attrs import define
from redis import exceptions
from redis.backoff import ExponentialBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from dyrygent_core.errors import JournalError, JournalUnavailableError
from dyrygent_runtime.journals.locks import ForkSafeCondition
from dyrygent_runtime.journals.redis.address import Client, connected, read_address
from dyrygent_runtime.journals.redis.watching import Listener

__all__ = ["Call", "RedisConnection"]

T = TypeVar("T")
Call: TypeAlias = tuple[Sequence[str], Sequence[Any]]
"""The keys and the arguments that a script is run with."""

_LOG: Final = logging.getLogger("dyrygent")
_RETRIES: Final = 2
_AWAY: Final = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.TryAgainError,
    exceptions.ClusterError,
    exceptions.RedisClusterException,
)
_AWAY_CODES: Final = re.compile(
    r"(?:^|@user_script: ?\d+: -?)(BUSY|MISCONF|NOREPLICAS|OOM|READONLY|CLUSTERDOWN|MASTERDOWN|TRYAGAIN) "
)
"""Answers by which a server cannot be used now: as it gives them, and as those before 7 pass them on from a script."""
_CODES: Final = ((exceptions.OutOfMemoryError, "OOM"), (exceptions.ReadOnlyError, "READONLY"))
"""The client takes the code out of the text where it has a class for it."""
_HINTS: Final = {
    "OOM": "its memory is full; nothing was written: raise maxmemory, or purge workflows",
    "READONLY": "this is a read-only replica: give the URL of the primary",
    "MISCONF": "it cannot save to its disk, and refuses to write until it can",
}


@define(eq=False)
class _Process:
    """What one process has: a client, and who listens for it."""

    pid: int
    client: Client
    listener: Listener | None = None


_inherited: list[_Process] = []
"""Those of the processes that this one was forked from: never used, and never freed, since freeing a client takes a
lock that a thread which was not forked may hold."""


class RedisConnection:
    """One server or cluster, as this process and those that it forks see it. Raises `UsageError` for no Redis URL."""

    def __init__(self, url: str) -> None:
        self._address = read_address(url)
        self._crosses_slots = not self._address.is_cluster
        self._process: _Process | None = None
        self._changing = ForkSafeCondition()
        self._has_warned = False

    def run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run a script once, in one round trip."""
        with self._translated() as client:
            return _evaluated(client, script, keys, arguments)

    def run_again(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run a script that may be repeated, and repeat it when the connection breaks."""
        return self._again(lambda client: _evaluated(client, script, keys, arguments))

    def run_across(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any | None:
        """Run a script once over keys of several slots; None from a cluster, which has no such thing."""
        return self._across(lambda: self.run(script, keys, arguments))

    def run_each(self, script: str, calls: Sequence[Call]) -> list[Any]:
        """Run a script that may be repeated once for each call, of any slots, in one round trip to each server."""

        def send(client: Client) -> list[Any]:
            pipe = _pipeline(client)
            for keys, arguments in calls:  # whole: by its hash it might be unknown in the middle of a pipeline
                where = _node_of(client, keys[0])
                pipe.execute_command("EVAL", script, len(keys), *keys, *arguments, **where)
            return cast("list[Any]", pipe.execute())

        return self._again(send)

    def gather(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> list[Any]:
        """Run a script that may be repeated, and that gives an answer for each of its keys, over keys of any slots."""
        answers = self._across(lambda: self.run_again(script, keys, arguments))
        if answers is None:
            answers = [answer for (answer,) in self.run_each(script, [([key], arguments) for key in keys])]
        return cast("list[Any]", answers)

    def read(self, fill: Callable[[Any], Any]) -> list[Any]:
        """Send several commands that may be repeated, in one round trip; others may come between them."""

        def send(client: Client) -> list[Any]:
            pipe = _pipeline(client)
            fill(pipe)
            return cast("list[Any]", pipe.execute())

        return self._again(send)

    def wait(self, channel: str, is_there: Callable[[], bool], timeout_s: float) -> int | None:
        """Wait for a message, as `Listener.wait` does."""
        with self._translated() as client:
            return self._listener(client).wait(channel, is_there, timeout_s)

    def dispose(self) -> None:
        """Close this process's connections; what another thread is in the middle of goes on to its end."""
        known, self._process = self._process, None
        if known is None:
            return
        if known.pid != os.getpid():
            _inherited.append(known)
            return
        if known.listener is not None:
            known.listener.stop()
        for server in _servers(known.client):
            cast("Any", server.connection_pool).disconnect(inuse_connections=False)

    def warn_of_configuration(self) -> None:
        """Say once if a server may forget: it evicts keys, or keeps no append-only file."""
        if self._has_warned:
            return
        self._has_warned = True
        try:
            configurations = self._again(_configurations)
        except JournalUnavailableError:
            self._has_warned = False
            raise
        except JournalError:
            return  # not allowed to ask
        evicting = [policy for policy, _ in configurations if policy != "noeviction"]
        if evicting:
            _LOG.warning("Redis may evict workflows: set maxmemory-policy to noeviction, it is %s", evicting[0])
        if not all(keeps_file for _, keeps_file in configurations):
            _LOG.warning("Redis keeps no append-only file, so workflows are lost if it stops: set appendonly yes")

    def _across(self, send: Callable[[], Any]) -> Any | None:
        """Send what concerns several slots; None from a cluster, even if it was not known to be one."""
        if not self._crosses_slots:
            return None
        try:
            return send()
        except JournalError as problem:
            if not isinstance(problem.__cause__, exceptions.ClusterCrossSlotError):
                raise
            self._crosses_slots = False
            return None

    @contextmanager
    def _translated(self) -> Generator[Client]:
        """Give this process's client, and turn its errors into ours."""
        try:
            yield self._of_this_process().client
        except (exceptions.RedisError, exceptions.RedisClusterException) as problem:
            raise _translation(problem) from problem

    def _again(self, send: Callable[[Client], T]) -> T:
        with self._translated() as client:
            retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), _RETRIES)
            return retry.call_with_retry(lambda: send(client), lambda _: None)

    def _of_this_process(self) -> _Process:
        known = self._process
        if known is not None and known.pid == os.getpid():
            return known
        with self._changing:
            known = self._process
            if known is None or known.pid != os.getpid():
                if known is not None:
                    _inherited.append(known)
                known = self._process = _Process(os.getpid(), connected(self._address))
            return known

    def _listener(self, client: Client) -> Listener:
        with self._changing:
            process = self._process
            if process is None or process.client is not client:
                raise redis.ConnectionError("the journal was disposed of while this began to wait")
            if process.listener is None or process.listener.is_over:
                process.listener = Listener(next(_servers(client, any_of_them=True)))
            return process.listener


def _servers(client: Client, *, any_of_them: bool = False) -> Iterator[redis.Redis]:
    """Give the client of each server that holds data, or of one of a cluster, by chance."""
    if isinstance(client, redis.Redis):
        yield client
        return
    cluster: Any = client
    for node in [cluster.get_random_node()] if any_of_them else cluster.get_primaries():
        yield cluster.get_redis_connection(node)


def _configurations(client: Client) -> list[tuple[str, bool]]:
    """Give the eviction policy of each server, and whether it keeps an append-only file."""
    found: list[tuple[str, bool]] = []
    for server in _servers(client):
        memory, persistence = cast("Any", server).pipeline().info("memory").info("persistence").execute()
        policy = str(memory.get("maxmemory_policy", "noeviction")) if memory.get("maxmemory") else "noeviction"
        found.append((policy, bool(persistence.get("aof_enabled"))))
    return found


def _evaluated(client: Client, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
    """Run a script by its hash; a server that does not know it has not run it, and is sent the whole."""
    caller = cast("Any", client)
    sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
    try:
        return caller.evalsha(sha, len(keys), *keys, *arguments)
    except exceptions.NoScriptError:
        return caller.eval(script, len(keys), *keys, *arguments)


def _pipeline(client: Client) -> Any:
    """Make a pipeline that is no transaction; the client's own types of it are not strict."""
    return cast("Any", client).pipeline(transaction=False)


def _node_of(client: Client, key: str) -> dict[str, Any]:
    """Say where a script goes: the pipeline of a cluster would ask the server, once for each."""
    return {"target_nodes": cast("Any", client).get_node_from_key(key)} if isinstance(client, RedisCluster) else {}


def _translation(problem: Exception) -> JournalError:
    code = next((code for kind, code in _CODES if isinstance(problem, kind)), None)
    if code is None and (found := _AWAY_CODES.search(str(problem))) is not None:
        code = found[1]
    text = f"{type(problem).__name__}: {problem}"
    if code is not None:
        return JournalUnavailableError(f"Redis cannot be used now: {_HINTS.get(code, code)} ({text})")
    if isinstance(problem, _AWAY):
        return JournalUnavailableError(f"Redis cannot be used now: {text}")
    if isinstance(problem, exceptions.MovedError):
        return JournalError(f"this is a node of a Redis cluster: use redis+cluster://… ({text})")
    return JournalError(f"Redis refuses this: {text}")
