"""How a process connects to its database: the pool, time-outs, and what each new connection is told.

No waiting is without an end: for a connection from the pool or from the server, for a lock, for a statement, for a
packet. A server's own settings are overruled only where a promise hangs on them.

SQLite runs in WAL mode, so readers and the one writer do not wait for each other, with `synchronous=FULL`: what was
answered is on the disk.
"""

from __future__ import annotations

import select
import sqlite3
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, assert_never

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError

from dyrygent_core.errors import JournalError
from dyrygent_runtime.journals.sql.addresses import Address, Kind

__all__ = ["engine_of"]

_BUSY_S: Final = 30
"""How long a write to SQLite waits for other processes' writes."""
_SWITCH_PAUSE_S: Final = 0.01
_CONNECT_S: Final = 5
_LOCK_S: Final = 10
_STATEMENT_S: Final = 30
_SERVER: Final[dict[str, Any]] = {
    "isolation_level": "READ COMMITTED",  # a lock that was waited for shows what was committed meanwhile
    "pool_size": 5,
    "max_overflow": 15,
    "pool_timeout": 10,  # seconds, of which a thread waits for one of the 20
    "pool_recycle": 1_800,  # seconds; firewalls and `wait_timeout` end what is idle for hours
    "pool_reset_on_return": None,  # each transaction is ended before; a ROLLBACK would be a round trip in vain
}
_LIBPQ: Final = {
    "connect_timeout": _CONNECT_S,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
_CONNECT_OPTIONS: Final[Mapping[str, Mapping[str, int]]] = {
    "pysqlite": {"timeout": _BUSY_S},
    "psycopg": {**_LIBPQ, "tcp_user_timeout": 1_000 * _STATEMENT_S},
    "psycopg2": _LIBPQ,
    "pymysql": {"connect_timeout": _CONNECT_S, "read_timeout": _STATEMENT_S, "write_timeout": _STATEMENT_S},
    "mysqldb": {"connect_timeout": _CONNECT_S, "read_timeout": _STATEMENT_S, "write_timeout": _STATEMENT_S},
}
"""By driver. What a URL says itself goes before."""
_SETTINGS_OF_POSTGRESQL: Final = {
    "default_transaction_isolation": "read committed",
    "lock_timeout": f"{_LOCK_S}s",
    "statement_timeout": f"{_STATEMENT_S}s",
    "idle_in_transaction_session_timeout": f"{2 * _STATEMENT_S}s",
}
_SETTINGS_OF_MYSQL: Final = (
    f"SET time_zone = '+00:00', innodb_lock_wait_timeout = {_LOCK_S}, lock_wait_timeout = {_STATEMENT_S}, "
    "sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
)
_NEW: Final = "dyrygent_new"
_PACKET: Final = "dyrygent_max_allowed_packet"
_MOST_AROUND_BYTES: Final = 1_000
"""What a statement holds beside its text and its long values: quotes, and values that are short."""


def engine_of(address: Address) -> Engine:
    """Make an engine, which connects when it is first used."""
    match address.kind:
        case Kind.SQLITE:
            engine = _engine_of(address.url, max_overflow=-1)
            event.listen(engine, "connect", _prepare_sqlite)
        case Kind.POSTGRESQL:
            engine = _engine_of(address.url, **_SERVER)
            event.listen(engine, "connect", _prepare_postgresql)
            event.listen(engine, "checkout", _replace_what_was_cut)
        case Kind.MYSQL:
            engine = _engine_of(address.url, **_SERVER)
            event.listen(engine, "connect", _prepare_mysql)
            event.listen(engine, "before_cursor_execute", _refuse_too_large_a_packet)
        case _:
            assert_never(address.kind)
    return engine


def _engine_of(url: URL, **options: Any) -> Engine:
    known = _CONNECT_OPTIONS.get(url.get_driver_name(), {})
    connect_args = {name: value for name, value in known.items() if name not in url.query}
    return create_engine(url, hide_parameters=True, connect_args=connect_args, **options)


# SQLite


def _prepare_sqlite(connection: Any, _: Any) -> None:
    """Let us, not the driver, begin transactions."""
    connection.isolation_level = None
    cursor = connection.cursor()
    _switch_to_wal(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _switch_to_wal(cursor: Any) -> None:
    """Switch a new file to WAL mode. Of processes that do at once, SQLite lets none wait: it refuses all but one."""
    end = time.monotonic() + _BUSY_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as problem:
            if "locked" not in str(problem) or time.monotonic() > end:
                raise
            time.sleep(_SWITCH_PAUSE_S)
        else:
            return


# PostgreSQL


def _prepare_postgresql(connection: Any, record: Any) -> None:
    record.info[_NEW] = True
    settings = (f"set_config('{name}', '{value}', FALSE)" for name, value in _SETTINGS_OF_POSTGRESQL.items())
    cursor = connection.cursor()
    cursor.execute(f"SELECT {', '.join(settings)}")
    cursor.close()
    connection.commit()


def _replace_what_was_cut(connection: Any, record: Any, _: Any) -> None:
    """Replace a connection that the server has closed while it was idle.

    An idle server says nothing, so a socket with something to read has its farewell. This costs no round trip, and
    a statement that is a whole transaction must not find out by itself: it could not tell whether it happened.
    """
    find = getattr(connection, "fileno", None)  # drivers other than psycopg and psycopg2 have none
    if find is None or record.info.pop(_NEW, False):  # another that is new would be no better
        return
    poll = select.poll()
    if not connection.closed:
        poll.register(find(), select.POLLIN)
    if connection.closed or poll.poll(0):
        raise DisconnectionError("the server has closed this connection")


# MySQL and MariaDB


def _prepare_mysql(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(_SETTINGS_OF_MYSQL)
    cursor.execute("SELECT @@max_allowed_packet")
    (record.info[_PACKET],) = cursor.fetchone()
    cursor.close()
    connection.commit()


def _refuse_too_large_a_packet(connection: Connection, _: Any, statement: str, parameters: Any, *more: Any) -> None:
    """Refuse here what the server would answer by hanging up, as if it were away.

    A byte takes up to two in a statement: PyMySQL writes it as two digits, and others escape some.
    """
    limit = int(connection.info.get(_PACKET, 0))
    _, is_many = more
    for row in parameters if is_many else (parameters,):
        size = _size_of(row)
        if len(statement) + _MOST_AROUND_BYTES + 2 * size > limit:
            message = (
                f"{size} bytes are too many: the database takes half of its max_allowed_packet at once, which is "
                f"{limit}; raise that, or keep large values elsewhere"
            )
            raise JournalError(message)


def _size_of(row: Any) -> int:
    """Measure what may be long of a statement's parameters, which drivers take by name or by place."""
    values: Iterable[Any] = row.values() if hasattr(row, "values") else row or ()
    return sum(len(value) for value in values if isinstance(value, bytes | str))
