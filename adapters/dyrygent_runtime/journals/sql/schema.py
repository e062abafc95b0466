"""How the tables come to be, and to their present version.

Version 1 had no table that says so, and was on SQLite only. Each later version has a step from the one before, which
is taken in place by the first process of a newer release. A version newer than one's own is left alone.

Of processes that do this at once one does it, and the others wait for it. On SQLite and PostgreSQL it is one
transaction; MySQL has no transactions for tables, so there each part looks first whether it is there, and the version
is written last.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Final, assert_never

from sqlalchemy import Connection, Engine, Table, delete, func, insert, inspect, select, true, update

from dyrygent_core.errors import JournalError, JournalUnavailableError, UnsupportedVersionError
from dyrygent_runtime.journals.sql.addresses import Kind
from dyrygent_runtime.journals.sql.tables import METADATA, SCHEMA, WORKFLOWS
from dyrygent_runtime.journals.sql.times import START_MS

__all__ = ["VERSION", "Tables", "create_tables", "prepare_tables"]

VERSION: Final = 2
_WAIT_S: Final = 60
_LOCK_NUMBER: Final = 0x6479_7279_6765_6E74
""""dyrygent" in ASCII."""


class Tables(Enum):
    """Who makes the tables, and brings them to a newer release's version."""

    WHEN_NEEDED = "when needed"
    """The journal does, in the first process that uses it."""
    BEFOREHAND = "beforehand"
    """Somebody calls `create_schema`: where processes that use a journal may not alter tables, say."""


def prepare_tables(engine: Engine, kind: Kind, tables: Tables) -> None:
    """See that the tables are there, in the present version.

    Raises `UnsupportedVersionError` for a newer one, and `JournalError` if somebody else was to make them.
    """
    with engine.connect() as connection:
        version = _version(connection, kind)
    _check_known(version)
    if version == VERSION:
        return
    if tables is Tables.BEFOREHAND:
        what = "has no tables of this journal" if not version else f"has tables of version {version}, not {VERSION}"
        message = f"the database {what}; call SqlJournal(url).create_schema() once, as a user who may make tables"
        raise JournalError(message)
    create_tables(engine, kind)


def create_tables(engine: Engine, kind: Kind) -> None:
    """Make the tables, or bring them to the present version; if they are there nothing happens."""
    with engine.connect() as connection, _alone(connection, kind):
        version = _version(connection, kind)
        _check_known(version)
        if version == VERSION:
            return
        for step in range(version or VERSION, VERSION):
            _STEPS[step](connection)
        for table in METADATA.sorted_tables:
            _create(connection, table)
        if kind is Kind.POSTGRESQL:  # each append rewrites a row; where its page has room, that touches no index
            connection.exec_driver_sql(f"ALTER TABLE {WORKFLOWS.name} SET (fillfactor = 70)")
        connection.execute(delete(SCHEMA))
        connection.execute(insert(SCHEMA), {"version": VERSION})
        connection.commit()


def _create(connection: Connection, table: Table) -> None:
    """Make a table, or what is missing of its indexes."""
    if not inspect(connection).has_table(table.name):
        table.create(connection)
        return
    for index in sorted(table.indexes, key=lambda it: str(it.name)):
        index.create(connection, checkfirst=True)


def _version(connection: Connection, kind: Kind) -> int:
    """Read the version of the tables; 0 if there are none, or not all."""
    found = inspect(connection)
    if found.has_table(SCHEMA.name):
        return connection.execute(select(SCHEMA.c.version)).scalar() or 0
    return 1 if kind is Kind.SQLITE and found.has_table(WORKFLOWS.name) else 0


def _check_known(version: int) -> None:
    if version > VERSION:
        message = (
            f"this database holds tables of version {version}, and this release knows {VERSION}; "
            "use the newer release, or another database"
        )
        raise UnsupportedVersionError(message)


@contextmanager
def _alone(connection: Connection, kind: Kind) -> Generator[None]:
    """Keep other processes from doing the same."""
    match kind:
        case Kind.SQLITE:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield
        case Kind.POSTGRESQL:
            for name in ("lock_timeout", "statement_timeout"):
                connection.execute(select(func.set_config(name, f"{_WAIT_S}s", true())))
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK_NUMBER)))
            yield
        case Kind.MYSQL:
            of_database = func.concat("dyrygent:", func.md5(func.database()))
            if connection.execute(select(func.get_lock(of_database, _WAIT_S))).scalar() != 1:
                raise JournalUnavailableError("another process has been making the tables for too long")
            try:
                yield
            finally:
                connection.execute(select(func.release_lock(of_database)))
        case _:
            assert_never(kind)


def _to_version_2(connection: Connection) -> None:
    """Names, states and the time of the last close, for lists and retention.

    Version 1 did not say what a closed workflow had come to. So each is due once more: the sweep, which reads that
    from the entries, closes it again.
    """
    for column in (
        "name BLOB NOT NULL DEFAULT x''",
        "state VARCHAR(16) NOT NULL DEFAULT 'RUNNING'",
        "closed_ms BIGINT",
        "watched_ms BIGINT",
    ):
        connection.exec_driver_sql(f"ALTER TABLE {WORKFLOWS.name} ADD COLUMN {column}")
    connection.execute(update(WORKFLOWS).where(WORKFLOWS.c.due_ms.is_(None)).values(due_ms=START_MS))


_STEPS: Final[Mapping[int, Callable[[Connection], None]]] = {1: _to_version_2}
"""How to get from each version to the next."""
