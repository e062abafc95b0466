"""The SQL journal, through SQLAlchemy: SQLite, PostgreSQL, MariaDB and MySQL.

Each call is one transaction. One that writes about a workflow first takes the workflow's own lock, that of its row; on
SQLite that is the database's single write lock, taken at BEGIN. All times are the database's.

What a call is made of stands in the modules beside this one, one for each subject. `at_once` has what PostgreSQL
does in a single statement, and `connection` what is repeated after an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Column, Connection, Row, func, select

from dyrygent_core import Attempt, Observation, WorkflowState
from dyrygent_core.codec import JSON_VALUES
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
    Page,
    Query,
    Seen,
    StoredSnapshot,
    StoredWorkflow,
    WorkflowKey,
)
from dyrygent_runtime.journals.listing import read_cursor
from dyrygent_runtime.journals.sql import at_once, definitions, due, entries, heads, leases, lists
from dyrygent_runtime.journals.sql.addresses import Kind
from dyrygent_runtime.journals.sql.annotations import annotate, read_annotations
from dyrygent_runtime.journals.sql.connection import SqlConnection
from dyrygent_runtime.journals.sql.listener import SqlListener, Wait, channel_of
from dyrygent_runtime.journals.sql.lookups import look_up
from dyrygent_runtime.journals.sql.marks import mark_by_steps, mark_changes
from dyrygent_runtime.journals.sql.schema import Tables
from dyrygent_runtime.journals.sql.tables import CALLS, MARKS, RESULTS
from dyrygent_runtime.journals.writing import field_of

__all__ = ["SqlJournal", "Tables"]

_FIRST_WATCH_S: Final = 0.01
_LONGEST_WATCH_S: Final = 0.5
_LONGEST_HEARD_S: Final = 5.0
"""How long a waiter that would be called trusts that."""


class SqlJournal:
    """Keeps workflows in a SQL database: `sqlite:///…`, `postgresql://…`, `mysql://…` or `mariadb://…`.

    Connections are opened when needed, in each process its own, and so are the tables made, unless `tables` says that
    `create_schema` was called beforehand. Tables of an earlier release are brought to this one's version in place.

    Raises `UsageError` for a URL at which no journal can be kept, and `ImportError` where the driver is missing.
    Every call raises `UnsupportedVersionError` if the tables are a newer release's; they are left as they are.
    """

    def __init__(self, url: str, namespace: str = "dyrygent", *, tables: Tables = Tables.WHEN_NEEDED) -> None:
        self._database = SqlConnection(url, tables)
        self._listener = SqlListener(self._database.take_out) if self._database.can_listen else None
        self._namespace = namespace
        self._name = namespace.encode()

    def __repr__(self) -> str:
        return f"<SqlJournal {self._namespace!r}>"

    @property
    def namespace(self) -> str:
        """The name given at the start."""
        return self._namespace

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database; None for a server."""
        return self._database.file

    def create_schema(self) -> None:
        """Make the tables, or bring them to this release's version; if they are there nothing happens.

        Any number of processes may do so at once. Raises `UnsupportedVersionError` for a newer release's tables.
        """
        self._database.create_schema()

    def create(self, workflow: NewWorkflow, *, nonce: str, due_in_ms: int) -> Created:
        """See `Journal.create`."""
        return self._database.write(lambda it: definitions.create_workflow(it, self._name, workflow, nonce, due_in_ms))

    def append(
        self,
        key: WorkflowKey,
        observations: Sequence[Observation],
        *,
        seen: Seen,
        nonce: str,
        results: Mapping[Attempt, bytes] | None = None,
        calls: Sequence[int] = (),
    ) -> Appended:
        """See `Journal.append`."""
        batch = entries.batch_of(
            self._name, key, observations, seen=seen, nonce=nonce, results=results or {}, calls=calls
        )
        if self._is_at_once:
            channel = channel_of(self._namespace, key)
            return self._database.write_at_once(lambda it: at_once.append_at_once(it, channel, batch))
        return self._database.write(lambda it: entries.append_by_steps(it, self._database.kind, batch))

    def read(self, key: WorkflowKey, *, after: int = 0) -> tuple[Entry, ...]:
        """See `Journal.read`."""
        return self._database.read(lambda it: entries.read_entries(it, self._name, key, after))

    def definition(self, workflow_id: str) -> StoredWorkflow:
        """See `Journal.definition`."""
        return self._database.read(lambda it: definitions.read_definition(it, self._name, workflow_id))

    def calls(self, key: WorkflowKey, numbers: Sequence[int]) -> Mapping[int, bytes]:
        """See `Journal.calls`."""
        return {row.node: row.call for row in self._found(key, CALLS.c.node, numbers)}

    def results(self, key: WorkflowKey, attempts: Sequence[Attempt]) -> Mapping[Attempt, bytes]:
        """See `Journal.results`."""
        wanted = {field_of(attempt): attempt for attempt in attempts}
        return {wanted[row.attempt]: row.value for row in self._found(key, RESULTS.c.attempt, list(wanted))}

    def mark(self, key: WorkflowKey, marks: Sequence[Mark]) -> int:
        """See `Journal.mark`."""
        changes = mark_changes(marks)
        if self._is_at_once:
            return self._database.write_at_once(lambda it: at_once.mark_at_once(it, self._name, key, changes))
        return self._database.hint(lambda it: mark_by_steps(it, self._database.kind, self._name, key, changes))

    def marks(self, key: WorkflowKey, attempts: Sequence[Attempt]) -> Mapping[Attempt, Marks]:
        """See `Journal.marks`."""
        wanted = {field_of(attempt): attempt for attempt in attempts}
        return {
            wanted[row.attempt]: Marks(row.sent, row.sent_ms, row.started_ms, row.worker, row.boot)
            for row in self._found(key, MARKS.c.attempt, list(wanted))
        }

    def due(self, *, limit: int, claim_ms: int) -> tuple[Due, ...]:
        """See `Journal.due`."""
        if self._is_at_once:
            return self._database.write_at_once(lambda it: due.claim_at_once(it, self._name, limit, claim_ms))
        if not self._database.read(lambda it: due.is_anything_due(it, self._name)):
            return ()
        return self._database.hint(lambda it: due.claim_by_steps(it, self._name, limit, claim_ms))

    def rest(self, key: WorkflowKey, *, in_ms: int) -> None:
        """See `Journal.rest`."""
        self._hint(lambda it: heads.let_rest(it, self._database.kind, self._name, key, in_ms))

    def remind(self, key: WorkflowKey, *, in_ms: int) -> None:
        """See `Journal.remind`."""
        self._hint(lambda it: heads.remind(it, self._database.kind, self._name, key, in_ms))

    def close(self, key: WorkflowKey, *, at: int, state: WorkflowState) -> bool:
        """See `Journal.close`."""
        return self._database.write(lambda it: heads.close(it, self._name, key, at, state))

    def keep_snapshot(self, key: WorkflowKey, snapshot: StoredSnapshot) -> None:
        """See `Journal.keep_snapshot`."""
        self._database.hint(lambda it: definitions.keep_snapshot(it, self._name, key, snapshot))

    def delete(self, key: WorkflowKey, *, at: int | None = None) -> bool:
        """See `Journal.delete`. Who watches the workflow is woken, to learn of it."""

        def delete_and_tell(connection: Connection) -> bool:
            is_gone = due.delete_one(connection, self._name, key, at)
            if is_gone and self._is_at_once:
                connection.execute(select(func.pg_notify(channel_of(self._namespace, key), "")))
            return is_gone

        return self._database.write(delete_and_tell)

    def list(self, query: Query, *, limit: int, after: str | None = None) -> Page:
        """See `Journal.list`."""
        place = None if after is None else read_cursor(after)
        return self._database.read(lambda it: lists.list_page(it, self._name, query, limit, place))

    def purge(self, *, closed_for_ms: int, limit: int) -> int:
        """See `Journal.purge`. A few at a time, so that no lock is held for long."""
        count = 0
        while count < limit:
            deleted = self._database.write(partial(self._delete_closed, closed_for_ms, limit - count))
            if not deleted:
                break
            count += deleted
        return count

    def annotate(self, key: WorkflowKey, notes: Mapping[str, Any]) -> None:
        """See `Journal.annotate`."""
        written = {name: None if value is None else JSON_VALUES.encode(value).decode() for name, value in notes.items()}
        self._database.write(lambda it: annotate(it, self._name, key, written))

    def annotations(self, key: WorkflowKey) -> Mapping[str, Any]:
        """See `Journal.annotations`."""
        return self._database.read(lambda it: read_annotations(it, self._name, key))

    def renew_lease(self, lease: Lease, *, ttl_ms: int) -> int:
        """See `Journal.renew_lease`."""
        return self._database.hint(lambda it: leases.renew_lease(it, self._database.kind, self._name, lease, ttl_ms))

    def leases(self) -> tuple[tuple[LeaseView, ...], int]:
        """See `Journal.leases`."""
        return self._database.read(lambda it: leases.read_leases(it, self._name))

    def watch(self, key: WorkflowKey, *, after: int, timeout_ms: int) -> bool:
        """See `Journal.watch`. Where nobody calls, the database is asked, less and less often."""
        end = time.monotonic() + timeout_ms / 1000
        if self._length(key) > after:
            return True
        pause_s = _FIRST_WATCH_S
        with self._waiting(key) as wait:
            while (left_s := end - time.monotonic()) > 0:
                is_heard = wait(min(pause_s, left_s), min(_LONGEST_HEARD_S, left_s))
                if (self._length_watched(key) if is_heard else self._length(key)) > after:
                    return True
                pause_s = min(2 * pause_s, _LONGEST_WATCH_S)
        return False

    def dispose(self) -> None:
        """Close this process's connections."""
        if self._listener is not None:
            self._listener.stop()
        self._database.dispose()

    @property
    def _is_at_once(self) -> bool:
        """Whether what each node costs is done in single statements."""
        return self._database.kind is Kind.POSTGRESQL

    def _hint(self, work: Callable[[Connection], None]) -> None:
        """Write a hint in one statement."""
        (self._database.write_at_once if self._is_at_once else self._database.hint)(work)

    def _delete_closed(self, closed_for_ms: int, limit: int, connection: Connection) -> int:
        return due.delete_closed(connection, self._name, closed_for_ms, limit)

    def _found(self, key: WorkflowKey, name: Column[Any], wanted: Sequence[Any]) -> Sequence[Row[*tuple[Any, ...]]]:
        return self._database.read(lambda it: look_up(it, self._name, key, name, wanted))

    def _length(self, key: WorkflowKey) -> int:
        return int(self._database.read(lambda it: heads.head_of(it, self._name, key)).length)

    def _length_watched(self, key: WorkflowKey) -> int:
        """Ask to be called, too."""
        for_ms = int(2_000 * _LONGEST_HEARD_S)
        return self._database.write_at_once(lambda it: at_once.look_and_watch(it, self._name, key, for_ms))

    def _waiting(self, key: WorkflowKey) -> AbstractContextManager[Wait]:
        if self._listener is None:
            return nullcontext(_sleep)
        return self._listener.hearing(channel_of(self._namespace, key))


def _sleep(unheard_s: float, _: float) -> bool:
    """Wait where nobody calls."""
    time.sleep(unheard_s)
    return False
