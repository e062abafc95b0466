"""How the SQL journal reaches its database: an engine for each process, transactions, and what is done again.

A transaction that failed before its end was asked for did not happen, and is done again where that may help: on
another connection if this one was cut, or after a pause if another transaction was in the way. Once its end has been
asked for, only the database knows; the caller is told so, and finds out by reading (J9).
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Final, TypeVar

from attrs import define
from sqlalchemy import Connection, Engine, PoolProxiedConnection
from sqlalchemy.exc import SQLAlchemyError

from dyrygent_core import DyrygentError, UsageError
from dyrygent_runtime.journals.locks import ForkGate, ForkSafeCondition
from dyrygent_runtime.journals.sql.addresses import Kind, address_of
from dyrygent_runtime.journals.sql.engine import engine_of
from dyrygent_runtime.journals.sql.errors import Trouble, error_of, trouble_of
from dyrygent_runtime.journals.sql.schema import Tables, create_tables, prepare_tables

__all__ = ["SqlConnection"]

T = TypeVar("T")

_MOST_CONFLICTS: Final = 8
_MOST_CUTS: Final = 2
_FIRST_PAUSE_S: Final = 0.01
_LONGEST_PAUSE_S: Final = 0.1
"""After a conflict, doubling from the first, and up to as much again by chance, so that the same two do not meet."""

_FORK_GATE: Final = ForkGate()
"""SQLite's own locks are not made for a fork: no thread may be inside of it then, or the child waits for ever."""
_inherited: list[Engine] = []
"""Engines of the processes that this one was forked from: never used, and never freed. Closing one would say goodbye
to the server on the parent's connection, and SQLite forbids a forked process even to close what its parent opened."""

_FULL: Final = ("PRAGMA synchronous=FULL", "BEGIN IMMEDIATE")
_RELAXED: Final = ("PRAGMA synchronous=NORMAL", "BEGIN IMMEDIATE")
"""How a transaction begins on SQLite, which is told each time what it is to wait for at its end."""


@define
class _OfProcess:
    """What one process has open."""

    pid: int
    engine: Engine
    at_once: Engine
    """The same connections, each statement a transaction of its own, where the database needs to be told so."""
    is_prepared: bool = False
    is_disposed: bool = False

    @contextmanager
    def lend(self, engine: Engine) -> Generator[Connection]:
        """Lend a connection; throw it away if it was left in the middle of something: by a time limit, say."""
        try:
            with engine.connect() as connection:
                try:
                    yield connection
                except (SQLAlchemyError, DyrygentError):
                    raise
                except BaseException:
                    connection.invalidate()
                    raise
        finally:
            if self.is_disposed:
                self.dispose()

    def dispose(self) -> None:
        """Close what is not in use."""
        self.is_disposed = True
        self.engine.pool.dispose()


class SqlConnection:
    """One database, as this process and those that it forks see it."""

    def __init__(self, url: str, tables: Tables) -> None:
        self._address = address_of(url)
        self._tables = tables
        self._opening = ForkSafeCondition()
        self._of_process: _OfProcess | None = None
        self._gate: AbstractContextManager[object] = _FORK_GATE if self.kind is Kind.SQLITE else nullcontext()

    @property
    def kind(self) -> Kind:
        """Which database this is."""
        return self._address.kind

    @property
    def file(self) -> Path | None:
        """The file that the database is, if it is one."""
        return self._address.file

    @property
    def can_listen(self) -> bool:
        """Whether `take_out` gives a connection on which notifications are heard."""
        return self._address.can_listen

    def read(self, ask: Callable[[Connection], T]) -> T:
        """Give a connection for statements that change nothing, and are not one transaction."""

        def run() -> T:
            known = self._prepared()
            with known.lend(known.at_once) as connection:
                return ask(connection)

        return self._repeated(run)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Give a connection within a transaction, and commit it. `work` may be called more than once."""
        return self._repeated(lambda: self._committed(work, _FULL))

    def hint(self, work: Callable[[Connection], T]) -> T:
        """Do as `write` does, with less durability on SQLite: a crash of the machine, not of a process, may lose it.

        PostgreSQL's statements say that themselves, for its setting would be a round trip. MySQL has none.
        """
        return self._repeated(lambda: self._committed(work, _RELAXED))

    def write_at_once(self, work: Callable[[Connection], T]) -> T:
        """Give a connection on which each statement is a transaction of its own: on PostgreSQL only."""

        def run() -> T:
            known = self._prepared()
            with known.lend(known.at_once) as connection, _end_asked_for():
                return work(connection)

        return self._repeated(run)

    def create_schema(self) -> None:
        """Make the tables, or bring them to the present version."""
        self._repeated(lambda: create_tables(self._opened().engine, self.kind))

    def take_out(self) -> PoolProxiedConnection:
        """Give a connection that is not of the pool any more, and that its taker closes."""

        def run() -> PoolProxiedConnection:
            connection = self._prepared().engine.raw_connection()
            connection.detach()
            return connection

        return self._repeated(run)

    def dispose(self) -> None:
        """Close this process's connections; those in use are closed when they are given back."""
        with self._opening:
            known, self._of_process = self._of_process, None
        if known is None:
            return
        if known.pid == os.getpid():
            with self._gate:
                known.dispose()
        else:
            _inherited.append(known.engine)

    def _committed(self, work: Callable[[Connection], T], beginning: Sequence[str]) -> T:
        known = self._prepared()
        with known.lend(known.engine) as connection:
            for statement in beginning if self.kind is Kind.SQLITE else ():
                connection.exec_driver_sql(statement)
            answer = work(connection)
            with _end_asked_for():
                connection.commit()
            return answer

    def _repeated(self, run: Callable[[], T]) -> T:
        """Run a transaction, again where that may help, and tell errors as ours.

        Their texts carry no values, those of their causes neither.
        """
        conflicts = cuts = 0
        while True:
            try:
                with self._gate:
                    return run()
            except SQLAlchemyError as problem:
                trouble = trouble_of(problem)
                conflicts += trouble is Trouble.CONFLICT
                cuts += trouble is Trouble.CUT
                is_hopeless = trouble not in {Trouble.CONFLICT, Trouble.CUT}
                if is_hopeless or conflicts > _MOST_CONFLICTS or cuts > _MOST_CUTS:
                    raise error_of(problem) from problem
            if conflicts:
                pause_s = min(_FIRST_PAUSE_S * 2 ** (conflicts - 1), _LONGEST_PAUSE_S)
                time.sleep(pause_s * (1 + secrets.randbelow(100) / 100))

    def _prepared(self) -> _OfProcess:
        """Give what this process has open, the tables made."""
        known = self._opened()
        if not known.is_prepared:
            with self._opening:
                if not known.is_prepared:
                    _prepare(known.engine, self.kind, self._tables)
                    known.is_prepared = True
        return known

    def _opened(self) -> _OfProcess:
        with self._opening:
            known = self._of_process
            if known is not None and known.pid != os.getpid():
                _inherited.append(known.engine)
                known = None
            if known is None:
                engine = engine_of(self._address)
                is_told = self.kind is Kind.POSTGRESQL
                at_once = engine.execution_options(isolation_level="AUTOCOMMIT") if is_told else engine
                known = self._of_process = _OfProcess(os.getpid(), engine, at_once)
            return known


@contextmanager
def _end_asked_for() -> Generator[None]:
    """Mark what is not to be repeated, since it may have happened, unless the database says that it did not."""
    try:
        yield
    except SQLAlchemyError as problem:
        if trouble_of(problem) is Trouble.CONFLICT:
            raise
        raise error_of(problem) from problem


def _prepare(engine: Engine, kind: Kind, tables: Tables) -> None:
    try:
        prepare_tables(engine, kind, tables)
    except TypeError as problem:  # how drivers written in Python refuse an option that they do not know
        message = f"the database's driver refuses an option of the URL: {problem}"
        raise UsageError(message) from problem
