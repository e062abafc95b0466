"""Real stores in virtual time: whatever asks the server for its clock is told the simulation's.

Nothing of the product is changed for it. On SQL the database's words for its clock are replaced by a number in each
statement that is on its way to the driver, on Redis in each script that is on its way to the server by a read of a
key that is set beforehand. Nor do SQLite and PostgreSQL wait for the disk: no machine loses its power here.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import redis
from sqlalchemy import Connection, Engine, event

from dyrygent_core.ports import Journal
from dyrygent_runtime.journals.redis.connection import Call, RedisConnection
from dyrygent_runtime.journals.redis.journal import RedisJournal
from dyrygent_runtime.journals.sql.connection import SqlConnection
from dyrygent_runtime.journals.sql.journal import SqlJournal, Tables
from dyrygent_runtime.journals.sql.times import NOW_MS, START_MS

__all__ = ["Clock", "in_virtual_time"]

Clock: TypeAlias = Callable[[], int]

_ASKS_REDIS: Final = "redis.call('TIME')"
_TOLD_KEY: Final = "tests:virtual-time"
_TOLD_BY_REDIS: Final = f"redis.call('HMGET', '{_TOLD_KEY}', 'seconds', 'microseconds')"


@contextmanager
def in_virtual_time(url: str) -> Generator[Callable[[Clock], Journal]]:
    """Lend a store; what is yielded makes an empty journal in it, over a clock, for one simulation after another.

    All of these have the connections of the first.
    """
    with _redis_store(url) if url.startswith("redis") else _sql_store(url) as make:
        yield make


# SQL


@contextmanager
def _sql_store(url: str) -> Generator[Callable[[Clock], Journal]]:
    is_told = url.startswith("postgresql")
    store = SqlConnection(f"{url}?options=-csynchronous_commit%3Doff" if is_told else url, Tables.WHEN_NEEDED)
    clock: Clock = lambda: 0  # noqa: E731  # until there is another
    words: list[str] = []

    def tell(connection: Connection, _: Any, statement: str, parameters: Any, *__: Any) -> tuple[str, Any]:
        if not words:
            words.extend(str(it.compile(dialect=connection.dialect)) for it in (NOW_MS, START_MS))
        now_ms = f"CAST({clock()} AS {_INTEGERS[connection.dialect.name]})"
        for asked in words:
            statement = statement.replace(asked, now_ms)
        return statement.replace("synchronous=FULL", "synchronous=OFF"), parameters

    def make(now_ms: Clock) -> Journal:
        nonlocal clock
        clock = now_ms
        journal = SqlJournal(url, f"virtual-{secrets.token_hex(6)}")
        journal._database = store
        return journal

    event.listen(Engine, "before_cursor_execute", tell, retval=True)
    try:
        yield make
    finally:
        event.remove(Engine, "before_cursor_execute", tell)
        store.dispose()


_INTEGERS: Final = {"sqlite": "INTEGER", "postgresql": "BIGINT", "mysql": "SIGNED", "mariadb": "SIGNED"}


# Redis


class _VirtualRedis(RedisConnection):
    """The connection to a server whose time is what a key says."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.clock: Clock = lambda: 0
        self._told_ms = -1
        self._own = redis.Redis.from_url(url)

    def run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        return super().run(self._told(script), keys, arguments)

    def run_again(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        return super().run_again(self._told(script), keys, arguments)

    def run_each(self, script: str, calls: Sequence[Call]) -> list[Any]:
        return super().run_each(self._told(script), calls)

    def dispose(self) -> None:
        self._own.close()
        super().dispose()

    def _told(self, script: str) -> str:
        now_ms = self.clock()
        if now_ms != self._told_ms:
            told = {"seconds": now_ms // 1000, "microseconds": now_ms % 1000 * 1000}
            self._own.hset(_TOLD_KEY, mapping=told)  # type: ignore[arg-type]
            self._told_ms = now_ms
        return script.replace(_ASKS_REDIS, _TOLD_BY_REDIS)


@contextmanager
def _redis_store(url: str) -> Generator[Callable[[Clock], Journal]]:
    store = _VirtualRedis(url)

    def make(clock: Clock) -> Journal:
        store.clock = clock
        journal = RedisJournal(url, f"virtual-{secrets.token_hex(6)}")
        journal._redis = store
        return journal

    try:
        yield make
    finally:
        store.dispose()
