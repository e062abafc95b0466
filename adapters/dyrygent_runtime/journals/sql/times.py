"""The database's clock, in milliseconds since the epoch, in each database's own words (J4).

There are two: most databases read the clock once for a statement, before the statement waits for a lock, and an
entry must not be older than one that was written while its own append waited.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

__all__ = ["NOW_MS", "NOW_MS_IN_POSTGRESQL", "START_MS"]

NOW_MS_IN_POSTGRESQL: Final = "CAST(floor(EXTRACT(EPOCH FROM clock_timestamp()) * 1000) AS BIGINT)"
_START_MS_IN_POSTGRESQL: Final = "CAST(floor(EXTRACT(EPOCH FROM statement_timestamp()) * 1000) AS BIGINT)"
_NOW_MS_IN_MYSQL: Final = "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', SYSDATE(3)) DIV 1000)"
"""In the session's time zone, which `engine` sets to UTC."""
_START_MS_IN_MYSQL: Final = "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(3)) DIV 1000)"
_NOW_MS_IN_SQLITE: Final = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


class _NowMs(FunctionElement[int]):
    """The time at which the database comes to this expression."""

    type = BigInteger()
    inherit_cache = True


class _StartMs(FunctionElement[int]):
    """The time at which the statement began: the same wherever it stands, so that an index can be used."""

    type = BigInteger()
    inherit_cache = True


NOW_MS: Final = _NowMs()
START_MS: Final = _StartMs()


@compiles(_NowMs, "sqlite")
@compiles(_StartMs, "sqlite")
def _in_sqlite(*_: Any, **__: Any) -> str:
    return _NOW_MS_IN_SQLITE  # a statement never waits: the lock was taken before it


@compiles(_NowMs, "postgresql")
def _now_in_postgresql(*_: Any, **__: Any) -> str:
    return NOW_MS_IN_POSTGRESQL


@compiles(_StartMs, "postgresql")
def _start_in_postgresql(*_: Any, **__: Any) -> str:
    return _START_MS_IN_POSTGRESQL


@compiles(_NowMs, "mysql", "mariadb")
def _now_in_mysql(*_: Any, **__: Any) -> str:
    return _NOW_MS_IN_MYSQL


@compiles(_StartMs, "mysql", "mariadb")
def _start_in_mysql(*_: Any, **__: Any) -> str:
    return _START_MS_IN_MYSQL
