"""INSERT where a row may be there already, in each database's own words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, assert_never

from sqlalchemy import Insert, Table
from sqlalchemy.dialects import mysql, postgresql, sqlite

from dyrygent_runtime.journals.sql.addresses import Kind

__all__ = ["insert_if_absent", "insert_or_change"]


def insert_if_absent(kind: Kind, table: Table) -> Insert:
    """Insert, and leave a row that is there as it is."""
    match kind:
        case Kind.SQLITE:
            return sqlite.insert(table).on_conflict_do_nothing()
        case Kind.POSTGRESQL:
            return postgresql.insert(table).on_conflict_do_nothing()
        case Kind.MYSQL:  # INSERT IGNORE would ignore more than that
            first = next(iter(table.primary_key))
            return mysql.insert(table).on_duplicate_key_update([(first.name, first)])
        case _:
            assert_never(kind)


def insert_or_change(kind: Kind, table: Table, changes: Callable[[Any], Mapping[str, Any]]) -> Insert:
    """Insert, or change a row that is there.

    `changes` is given the columns of the new row, and says in order what to set: MySQL sets one column after the
    other, so what is kept of an old value stands before what replaces it.
    """
    keys = list(table.primary_key)
    match kind:
        case Kind.SQLITE:
            into_sqlite = sqlite.insert(table)
            return into_sqlite.on_conflict_do_update(index_elements=keys, set_=changes(into_sqlite.excluded))
        case Kind.POSTGRESQL:
            into_postgresql = postgresql.insert(table)
            return into_postgresql.on_conflict_do_update(index_elements=keys, set_=changes(into_postgresql.excluded))
        case Kind.MYSQL:
            into_mysql = mysql.insert(table)
            return into_mysql.on_duplicate_key_update(list(changes(into_mysql.inserted).items()))
        case _:
            assert_never(kind)
