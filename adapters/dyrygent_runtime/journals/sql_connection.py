"""How the SQL journal reaches its database: an engine for each process, transactions, errors of ours.

SQLite runs in WAL mode, so readers and the one writer do not wait for each other, with `synchronous=FULL`: what was
answered is on the disk. Hints (marks, claims, leases) are written with `NORMAL`: a crash of the machine, not of a
process, may lose the last of them, and a crash of either leaves the file whole.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, create_engine, event, literal_column, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from dyrygent_core import UsageError
from dyrygent_core.errors import JournalError, JournalUnavailableError
from dyrygent_runtime.journals.locks import ForkGate
from dyrygent_runtime.journals.sql_tables import METADATA

__all__ = ["NOW_MS", "SqlConnection"]

_BUSY_S: Final = 30
"""How long a write waits for other processes' writes."""
_SWITCH_PAUSE_S: Final = 0.01
NOW_MS: Final[ColumnElement[int]] = literal_column("CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)")

_FORK_GATE: Final = ForkGate()
"""SQLite's own locks are not made for a fork: no thread may be inside of it then, or the child waits for ever."""
_inherited: list[Engine] = []
"""Engines of the processes that this one was forked from: never used, and never freed, since SQLite forbids a
forked process even to close what its parent opened."""


class SqlConnection:
    """One database, as this process and those that it forks see it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._of_process: tuple[int, Engine] | None = None
        _check(url)

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """Give a connection with one consistent view."""
        with _FORK_GATE, _translated(), self._engine().connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection

    @contextmanager
    def writing(self) -> Generator[tuple[Connection, int]]:
        """Give a connection that holds the write lock, and the database's time under that lock."""
        with _FORK_GATE, _translated(), self._engine().connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection, _now_ms(connection)
            connection.commit()

    @contextmanager
    def hinting(self) -> Generator[tuple[Connection, int]]:
        """Do as `writing` does, with relaxed durability."""
        with _FORK_GATE, _translated(), self._engine().connect() as connection:
            connection.exec_driver_sql("PRAGMA synchronous=NORMAL")
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield connection, _now_ms(connection)
                connection.commit()
            finally:
                connection.rollback()
                connection.exec_driver_sql("PRAGMA synchronous=FULL")

    def dispose(self) -> None:
        """Close this process's connections."""
        known, self._of_process = self._of_process, None
        if known is None:
            return
        if known[0] == os.getpid():
            with _FORK_GATE:
                known[1].dispose()
        else:
            _inherited.append(known[1])

    def _engine(self) -> Engine:
        """Give this process's engine, its tables made."""
        pid = os.getpid()
        if self._of_process is not None and self._of_process[0] != pid:
            _inherited.append(self._of_process[1])
            self._of_process = None
        known = self._of_process
        if known is None:
            known = self._of_process = (pid, _made(self._url))
        return known[1]


def _check(url: str) -> None:
    """Refuse what cannot hold a journal, before anything is connected."""
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):  # its text may hold the password
        message = "this is not a database's URL as SQLAlchemy writes them; use sqlite:///path"
        raise UsageError(message) from None
    if address.get_backend_name() != "sqlite":
        message = f"no journal can be kept in {address.get_backend_name()} yet; use sqlite:///path"
        raise UsageError(message)
    if address.database in {None, "", ":memory:"} or address.query.get("mode") == "memory":
        message = "each connection to SQLite's memory would see another journal; use memory:// or sqlite:///path"
        raise UsageError(message)


def _made(url: str) -> Engine:
    engine = create_engine(url, max_overflow=-1, connect_args={"timeout": _BUSY_S}, hide_parameters=True)
    event.listen(engine, "connect", _configure)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # of several processes, one makes the tables
        METADATA.create_all(connection)
        connection.commit()
    return engine


def _configure(connection: Any, _: Any) -> None:
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


def _now_ms(connection: Connection) -> int:
    return int(connection.execute(select(NOW_MS)).scalar_one())


@contextmanager
def _translated() -> Generator[None]:
    """Turn the database's errors into ours. Their texts carry no values, those of their causes neither."""
    try:
        yield
    except (OperationalError, InterfaceError, IntegrityError, PoolTimeoutError) as problem:
        message = f"the database cannot be used now: {getattr(problem, 'orig', problem)}"
        raise JournalUnavailableError(message) from problem
    except SQLAlchemyError as problem:
        if isinstance(problem, DBAPIError) and problem.connection_invalidated:
            message = f"the database cannot be used now: {problem.orig}"
            raise JournalUnavailableError(message) from problem
        message = f"the database refuses this: {getattr(problem, 'orig', problem)}"
        raise JournalError(message) from problem
