"""The SQL journal, through SQLAlchemy; SQLite first.

Each call is one transaction. One that writes about a workflow first takes the workflow's own lock, an update of its
row; on SQLite that is the database's single write lock, taken at BEGIN. All times are the database's.
SQLite runs in WAL mode with `synchronous=FULL`: an append that was answered is on the disk.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, assert_never

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    NullPool,
    Row,
    create_engine,
    delete,
    event,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError

from dyrygent_core import Attempt, Begin, Observation
from dyrygent_core.codec import JSON_VALUES, decode_observation, encode_observation
from dyrygent_core.errors import JournalUnavailableError, UnknownWorkflowError
from dyrygent_core.ports import (
    Appended,
    Created,
    Due,
    Entry,
    Lease,
    LeaseView,
    Mark,
    MarkKind,
    Marks,
    NewWorkflow,
    Seen,
    StoredWorkflow,
    WorkflowKey,
)
from dyrygent_runtime.journals.sql_tables import (
    ANNOTATIONS,
    CALLS,
    ENTRIES,
    LEASES,
    MARKS,
    METADATA,
    OF_WORKFLOW,
    RESULTS,
    WORKFLOWS,
)

__all__ = ["SqlJournal"]

_DAY_MS: Final = 86_400_000
_BUSY_S: Final = 30
_MOST_PARAMETERS: Final = 500
"""In one statement; SQLite takes 32,766, older ones 999."""
_FIRST_WATCH_S: Final = 0.01
_LONGEST_WATCH_S: Final = 0.5
_NOW: Final[ColumnElement[int]] = literal_column("CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)")


class SqlJournal:
    """Keeps workflows in a SQL database: `sqlite:///path`. Tables are made when first needed.

    Connections are opened for each call and closed after it, so none crosses a fork.
    """

    def __init__(self, url: str, namespace: str = "dyrygent") -> None:
        self._url = url
        self._namespace = namespace
        self._of_process: tuple[int, Engine] | None = None

    def __repr__(self) -> str:
        return f"<SqlJournal {self._namespace!r}>"

    @property
    def namespace(self) -> str:
        """The name given at the start."""
        return self._namespace

    def create(self, workflow: NewWorkflow, *, nonce: str, due_in_ms: int) -> Created:
        """See `Journal.create`."""
        with self._writing() as (connection, now_ms):
            row = self._find(connection, workflow.key.id)
            if row is not None:
                key = WorkflowKey(workflow.key.id, row.incarnation)
                return Created(key, row.digest, key == workflow.key, row.created_ms)
            values = {
                "namespace": self._name,
                "id": workflow.key.id.encode(),
                "incarnation": workflow.key.incarnation,
                "digest": workflow.digest,
                "definition": workflow.definition,
                "created_ms": now_ms,
                "length": 1,
                "due_ms": now_ms + due_in_ms,
            }
            (number,) = connection.execute(insert(WORKFLOWS).values(values)).inserted_primary_key or (0,)
            connection.execute(insert(ENTRIES), _entry_rows(number, 1, nonce, now_ms, [Begin()]))
            calls = [{"workflow": number, "node": node, "call": call} for node, call in enumerate(workflow.calls)]
            if calls:
                connection.execute(insert(CALLS), calls)
            return Created(workflow.key, workflow.digest, is_new=True, at_ms=now_ms)

    def append(
        self,
        key: WorkflowKey,
        observations: Sequence[Observation],
        *,
        seen: Seen,
        nonce: str,
        results: Mapping[Attempt, bytes] | None = None,
    ) -> Appended:
        """See `Journal.append`."""
        with self._writing() as (connection, now_ms):
            row = self._known(connection, key)
            first = row.length + 1
            has_diverged = not self._agrees(connection, row.number, seen)
            missed = () if has_diverged else _read(connection, row.number, seen.position)
            if observations:
                connection.execute(insert(ENTRIES), _entry_rows(row.number, first, nonce, now_ms, observations))
            self._insert_results(connection, row.number, results or {})
            connection.execute(
                update(WORKFLOWS)
                .where(WORKFLOWS.c.number == row.number)
                .values(length=row.length + len(observations), due_ms=func.coalesce(WORKFLOWS.c.due_ms, now_ms))
            )
            return Appended(first, now_ms, missed, has_diverged)

    def read(self, key: WorkflowKey, *, after: int = 0) -> tuple[Entry, ...]:
        """See `Journal.read`."""
        with self._reading() as connection:
            return _read(connection, self._known(connection, key).number, after)

    def definition(self, workflow_id: str) -> StoredWorkflow:
        """See `Journal.definition`."""
        with self._reading() as connection:
            row = self._find(connection, workflow_id)
        if row is None:
            raise UnknownWorkflowError(workflow_id)
        key = WorkflowKey(workflow_id, row.incarnation)
        return StoredWorkflow(key, row.digest, row.definition, row.due_ms is not None, row.created_ms)

    def calls(self, key: WorkflowKey, numbers: Sequence[int]) -> Mapping[int, bytes]:
        """See `Journal.calls`."""
        return self._lookup(key, CALLS, CALLS.c.node, CALLS.c.call, {number: number for number in numbers})

    def results(self, key: WorkflowKey, attempts: Sequence[Attempt]) -> Mapping[Attempt, bytes]:
        """See `Journal.results`."""
        wanted = {_field(attempt): attempt for attempt in attempts}
        return self._lookup(key, RESULTS, RESULTS.c.attempt, RESULTS.c.value, wanted)

    def mark(self, key: WorkflowKey, marks: Sequence[Mark]) -> int:
        """See `Journal.mark`."""
        with self._writing() as (connection, now_ms):
            row = self._find(connection, key.id)
            if row is None or row.incarnation != key.incarnation:
                return now_ms
            for mark in marks:
                self._mark(connection, row.number, mark, now_ms)
            return now_ms

    def marks(self, key: WorkflowKey) -> Mapping[Attempt, Marks]:
        """See `Journal.marks`."""
        with self._reading() as connection:
            number = self._known(connection, key).number
            rows = connection.execute(select(MARKS).where(MARKS.c.workflow == number)).all()
        return {
            _attempt(row.attempt): Marks(row.sent, row.sent_ms, row.started_ms, row.worker, row.boot) for row in rows
        }

    def due(self, *, limit: int, claim_ms: int) -> tuple[Due, ...]:
        """See `Journal.due`."""
        overdue = (
            select(WORKFLOWS.c.number, WORKFLOWS.c.id, WORKFLOWS.c.incarnation)
            .where(WORKFLOWS.c.namespace == self._name, WORKFLOWS.c.due_ms <= _NOW)
            .order_by(WORKFLOWS.c.due_ms)
            .limit(limit)
        )
        with self._reading() as connection:
            if connection.execute(overdue.limit(1)).first() is None:
                return ()  # an idle sweeper takes no lock
        with self._writing() as (connection, now_ms):
            rows = connection.execute(overdue).all()
            for row in rows:
                claimed = update(WORKFLOWS).where(WORKFLOWS.c.number == row.number)
                connection.execute(claimed.values(due_ms=now_ms + claim_ms))
            return tuple(Due(WorkflowKey(row.id.decode(), row.incarnation), now_ms) for row in rows)

    def rest(self, key: WorkflowKey, *, in_ms: int) -> None:
        """See `Journal.rest`."""
        with self._writing() as (connection, now_ms):
            row = self._known(connection, key)
            if row.due_ms is not None:
                self._set_due(connection, row, now_ms + in_ms)

    def remind(self, key: WorkflowKey, *, in_ms: int) -> None:
        """See `Journal.remind`."""
        with self._writing() as (connection, now_ms):
            row = self._known(connection, key)
            if row.due_ms is not None and row.due_ms > now_ms + in_ms:
                self._set_due(connection, row, now_ms + in_ms)

    def close(self, key: WorkflowKey, *, at: int) -> bool:
        """See `Journal.close`."""
        with self._writing() as (connection, _):
            row = self._known(connection, key)
            if row.length != at:
                return row.due_ms is None
            self._set_due(connection, row, None)
            return True

    def delete(self, key: WorkflowKey) -> None:
        """See `Journal.delete`."""
        with self._writing() as (connection, _):
            row = self._find(connection, key.id)
            if row is None or row.incarnation != key.incarnation:
                return
            for table in OF_WORKFLOW:
                connection.execute(delete(table).where(table.c.workflow == row.number))
            connection.execute(delete(WORKFLOWS).where(WORKFLOWS.c.number == row.number))

    def annotate(self, key: WorkflowKey, notes: Mapping[str, Any]) -> None:
        """See `Journal.annotate`."""
        written = {name: None if value is None else JSON_VALUES.encode(value).decode() for name, value in notes.items()}
        with self._writing() as (connection, _):
            number = self._known(connection, key).number
            for name, text in written.items():
                place = (ANNOTATIONS.c.workflow == number, ANNOTATIONS.c.name == name.encode())
                connection.execute(delete(ANNOTATIONS).where(*place))
                if text is not None:
                    connection.execute(insert(ANNOTATIONS).values(workflow=number, name=name.encode(), value=text))

    def annotations(self, key: WorkflowKey) -> Mapping[str, Any]:
        """See `Journal.annotations`."""
        with self._reading() as connection:
            number = self._known(connection, key).number
            rows = connection.execute(select(ANNOTATIONS).where(ANNOTATIONS.c.workflow == number)).all()
        return {row.name.decode(): json.loads(row.value) for row in rows}

    def renew_lease(self, lease: Lease, *, ttl_ms: int) -> int:
        """See `Journal.renew_lease`."""
        place = (
            LEASES.c.namespace == self._name,
            LEASES.c.worker == lease.worker.encode(),
            LEASES.c.boot == lease.boot,
        )
        with self._writing() as (connection, now_ms):
            before = connection.execute(select(LEASES).where(*place)).first()
            values = {"names": _names(lease), "renewed_ms": now_ms, "expires_ms": now_ms + ttl_ms}
            if before is None:
                identity = {"namespace": self._name, "worker": lease.worker.encode(), "boot": lease.boot}
                connection.execute(insert(LEASES).values({**identity, **values}))
            else:
                values |= {"previous": before.names, "previous_ms": before.renewed_ms}
                connection.execute(update(LEASES).where(*place).values(values))
            old = (LEASES.c.namespace == self._name, LEASES.c.expires_ms < now_ms - _DAY_MS)
            connection.execute(delete(LEASES).where(*old))
            return now_ms

    def leases(self) -> tuple[tuple[LeaseView, ...], int]:
        """See `Journal.leases`."""
        with self._reading() as connection:
            now_ms = int(connection.execute(select(_NOW)).scalar_one())
            fresh = (LEASES.c.namespace == self._name, LEASES.c.expires_ms >= now_ms - _DAY_MS)
            rows = connection.execute(select(LEASES).where(*fresh)).all()
        return tuple(map(_lease_view, rows)), now_ms

    def watch(self, key: WorkflowKey, *, after: int, timeout_ms: int) -> bool:
        """See `Journal.watch`. A database tells nobody, so it is asked, less and less often."""
        end = time.monotonic() + timeout_ms / 1000
        pause = _FIRST_WATCH_S
        while True:
            with self._reading() as connection:
                if self._known(connection, key).length > after:
                    return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_WATCH_S)

    def dispose(self) -> None:
        """Close this process's connections."""
        if self._of_process is not None and self._of_process[0] == os.getpid():
            self._of_process[1].dispose()
        self._of_process = None

    # Transactions

    @property
    def _name(self) -> bytes:
        return self._namespace.encode()

    @contextmanager
    def _reading(self) -> Generator[Connection]:
        """Give a connection with one consistent view."""
        with _translated(), self._engine().connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection

    @contextmanager
    def _writing(self) -> Generator[tuple[Connection, int]]:
        """Give a connection that holds the write lock, and the database's time under that lock."""
        with _translated(), self._engine().connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection, int(connection.execute(select(_NOW)).scalar_one())
            connection.commit()

    def _engine(self) -> Engine:
        pid = os.getpid()
        if self._of_process is None or self._of_process[0] != pid:
            engine = create_engine(self._url, poolclass=NullPool, connect_args={"timeout": _BUSY_S})
            event.listen(engine, "connect", _configure)
            with engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                METADATA.create_all(connection)
                connection.commit()
            self._of_process = (pid, engine)
        return self._of_process[1]

    # Rows

    def _find(self, connection: Connection, workflow_id: str) -> Row[Any] | None:
        place = (WORKFLOWS.c.namespace == self._name, WORKFLOWS.c.id == workflow_id.encode())
        return connection.execute(select(WORKFLOWS).where(*place)).first()

    def _known(self, connection: Connection, key: WorkflowKey) -> Row[Any]:
        row = self._find(connection, key.id)
        if row is None or row.incarnation != key.incarnation:
            raise UnknownWorkflowError(key.id)
        return row

    def _agrees(self, connection: Connection, number: int, seen: Seen) -> bool:
        if not seen.position:
            return True
        place = (ENTRIES.c.workflow == number, ENTRIES.c.position == seen.position)
        return connection.execute(select(ENTRIES.c.nonce).where(*place)).scalar() == seen.nonce

    def _insert_results(self, connection: Connection, number: int, results: Mapping[Attempt, bytes]) -> None:
        for attempt, value in results.items():
            place = (RESULTS.c.workflow == number, RESULTS.c.attempt == _field(attempt))
            if connection.execute(select(RESULTS.c.workflow).where(*place)).first() is None:
                connection.execute(insert(RESULTS).values(workflow=number, attempt=_field(attempt), value=value))

    def _mark(self, connection: Connection, number: int, mark: Mark, now_ms: int) -> None:
        place = (MARKS.c.workflow == number, MARKS.c.attempt == _field(mark.attempt))
        match mark.kind:
            case MarkKind.SENT:
                values: dict[str, Any] = {"sent": MARKS.c.sent + 1, "sent_ms": now_ms}
            case MarkKind.STARTED:
                values = {"started_ms": now_ms, "worker": mark.worker, "boot": mark.boot}
            case MarkKind.CLEARED:
                values = {"started_ms": None, "worker": "", "boot": ""}
            case _:
                assert_never(mark.kind)
        if connection.execute(update(MARKS).where(*place).values(values)).rowcount:
            return
        fresh = {"workflow": number, "attempt": _field(mark.attempt), "sent": 0, "worker": "", "boot": ""}
        connection.execute(insert(MARKS).values(fresh))
        connection.execute(update(MARKS).where(*place).values(values))

    def _set_due(self, connection: Connection, row: Row[Any], due_ms: int | None) -> None:
        connection.execute(update(WORKFLOWS).where(WORKFLOWS.c.number == row.number).values(due_ms=due_ms))

    def _lookup(
        self, key: WorkflowKey, table: Any, name: Any, value: Any, wanted: Mapping[Any, Any]
    ) -> dict[Any, bytes]:
        """Read the values of these names, a few hundred at a time."""
        found: dict[Any, bytes] = {}
        names = list(wanted)
        with self._reading() as connection:
            number = self._known(connection, key).number
            for start in range(0, len(names), _MOST_PARAMETERS):
                chunk = names[start : start + _MOST_PARAMETERS]
                rows = connection.execute(select(name, value).where(table.c.workflow == number, name.in_(chunk)))
                found.update({wanted[row[0]]: row[1] for row in rows})
        return found


@contextmanager
def _translated() -> Generator[None]:
    """Turn the database's transport errors into ours."""
    try:
        yield
    except (OperationalError, InterfaceError, IntegrityError) as problem:
        raise _unavailable(problem) from problem
    except DBAPIError as problem:
        if problem.connection_invalidated:
            raise _unavailable(problem) from problem
        raise


def _unavailable(problem: DBAPIError) -> JournalUnavailableError:
    return JournalUnavailableError(f"the database cannot be used now: {problem.orig}")


def _configure(connection: Any, _: Any) -> None:
    """Let SQLAlchemy, not the driver, begin transactions; make commits durable, and readers not wait for writers."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _entry_rows(
    number: int, first: int, nonce: str, at_ms: int, observations: Sequence[Observation]
) -> list[dict[str, Any]]:
    return [
        {
            "workflow": number,
            "position": position,
            "nonce": nonce,
            "at_ms": at_ms,
            "observation": encode_observation(observation),
        }
        for position, observation in enumerate(observations, first)
    ]


def _read(connection: Connection, number: int, after: int) -> tuple[Entry, ...]:
    place = (ENTRIES.c.workflow == number, ENTRIES.c.position > after)
    rows = connection.execute(select(ENTRIES).where(*place).order_by(ENTRIES.c.position))
    return tuple(Entry(row.position, row.nonce, decode_observation(row.observation, row.at_ms)) for row in rows)


def _field(attempt: Attempt) -> bytes:
    return f"{attempt.index}.{attempt.number}.{attempt.node}".encode()


def _attempt(name: bytes) -> Attempt:
    index, number, node = name.decode().split(".", 2)
    return Attempt(node, int(index), int(number))


def _names(lease: Lease) -> str:
    return json.dumps([sorted(lease.active), sorted(lease.reserved)])


def _lease(worker: str, boot: str, names: str) -> Lease:
    active, reserved = json.loads(names)
    return Lease(worker, boot, frozenset(active), frozenset(reserved))


def _lease_view(row: Row[Any]) -> LeaseView:
    worker = row.worker.decode()
    previous = None if row.previous is None else _lease(worker, row.boot, row.previous)
    return LeaseView(_lease(worker, row.boot, row.names), row.renewed_ms, row.expires_ms, previous, row.previous_ms)
