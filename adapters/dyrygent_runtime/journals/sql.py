"""The SQL journal, through SQLAlchemy; SQLite first.

Each call is one transaction. One that writes about a workflow first takes the workflow's own lock, an update of its
row; on SQLite that is the database's single write lock, taken at BEGIN. All times are the database's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import asdict
from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from dyrygent_core import Attempt, Begin, Observation
from dyrygent_core.codec import JSON_VALUES, decode_observation, encode_observation
from dyrygent_core.errors import UnknownWorkflowError, UnsupportedVersionError
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
    Seen,
    StoredWorkflow,
    WorkflowKey,
)
from dyrygent_runtime.journals.marking import marked
from dyrygent_runtime.journals.sql_connection import NOW_MS, SqlConnection
from dyrygent_runtime.journals.sql_tables import (
    ANNOTATIONS,
    CALLS,
    DEFINITIONS,
    ENTRIES,
    LEASES,
    MARKS,
    OF_WORKFLOW,
    RESULTS,
    WORKFLOWS,
)
from dyrygent_runtime.journals.writing import attempt_of, field_of, lease_of, lease_text

__all__ = ["SqlJournal"]

_DAY_MS: Final = 86_400_000
_MOST_PARAMETERS: Final = 500
"""In one statement; SQLite takes 32,766, older ones 999."""
_FIRST_WATCH_S: Final = 0.01
_LONGEST_WATCH_S: Final = 0.5


class SqlJournal:
    """Keeps workflows in a SQL database: `sqlite:///path`. Tables are made when first needed.

    Connections are opened when needed, in each process its own. Raises `UsageError` for another database, and for
    SQLite's memory.
    """

    def __init__(self, url: str, namespace: str = "dyrygent") -> None:
        self._database = SqlConnection(url)
        self._namespace = namespace

    def __repr__(self) -> str:
        return f"<SqlJournal {self._namespace!r}>"

    @property
    def namespace(self) -> str:
        """The name given at the start."""
        return self._namespace

    def create(self, workflow: NewWorkflow, *, nonce: str, due_in_ms: int) -> Created:
        """See `Journal.create`."""
        with self._database.writing() as (connection, now_ms):
            row = self._find(connection, workflow.key.id)
            if row is not None:
                key = WorkflowKey(workflow.key.id, row.incarnation)
                return Created(key, row.digest, key == workflow.key, row.created_ms)
            values = {
                "namespace": self._name,
                "id": workflow.key.id.encode(),
                "incarnation": workflow.key.incarnation,
                "digest": workflow.digest,
                "created_ms": now_ms,
                "length": 1,
                "due_ms": now_ms + due_in_ms,
            }
            (number,) = connection.execute(insert(WORKFLOWS).values(values)).inserted_primary_key or (0,)
            connection.execute(insert(DEFINITIONS).values(workflow=number, definition=workflow.definition))
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
        with self._database.writing() as (connection, now_ms):
            row = self._known(connection, key)
            first = row.length + 1
            missed = _missed(connection, row, seen)
            if observations:
                connection.execute(insert(ENTRIES), _entry_rows(row.number, first, nonce, now_ms, observations))
            _insert_results(connection, row.number, results or {})
            connection.execute(
                update(WORKFLOWS)
                .where(WORKFLOWS.c.number == row.number)
                .values(length=row.length + len(observations), due_ms=func.coalesce(WORKFLOWS.c.due_ms, now_ms))
            )
            return Appended(first, now_ms, missed or (), has_diverged=missed is None)

    def read(self, key: WorkflowKey, *, after: int = 0) -> tuple[Entry, ...]:
        """See `Journal.read`."""
        with self._database.reading() as connection:
            return _read(connection, self._known(connection, key).number, after)

    def definition(self, workflow_id: str) -> StoredWorkflow:
        """See `Journal.definition`."""
        with self._database.reading() as connection:
            row = self._find(connection, workflow_id)
            if row is None:
                raise UnknownWorkflowError(workflow_id)
            place = DEFINITIONS.c.workflow == row.number
            definition = connection.execute(select(DEFINITIONS.c.definition).where(place)).scalar_one()
        key = WorkflowKey(workflow_id, row.incarnation)
        return StoredWorkflow(key, row.digest, definition, row.due_ms is not None, row.created_ms)

    def calls(self, key: WorkflowKey, numbers: Sequence[int]) -> Mapping[int, bytes]:
        """See `Journal.calls`."""
        return self._lookup(key, CALLS, CALLS.c.node, CALLS.c.call, {number: number for number in numbers})

    def results(self, key: WorkflowKey, attempts: Sequence[Attempt]) -> Mapping[Attempt, bytes]:
        """See `Journal.results`."""
        wanted = {field_of(attempt): attempt for attempt in attempts}
        return self._lookup(key, RESULTS, RESULTS.c.attempt, RESULTS.c.value, wanted)

    def mark(self, key: WorkflowKey, marks: Sequence[Mark]) -> int:
        """See `Journal.mark`."""
        with self._database.hinting() as (connection, now_ms):
            row = self._find(connection, key.id)
            if row is None or row.incarnation != key.incarnation:
                return now_ms
            _set_marks(connection, row.number, marks, now_ms)
            return now_ms

    def marks(self, key: WorkflowKey) -> Mapping[Attempt, Marks]:
        """See `Journal.marks`."""
        with self._database.reading() as connection:
            number = self._known(connection, key).number
            rows = connection.execute(select(MARKS).where(MARKS.c.workflow == number)).all()
        return {attempt_of(row.attempt): _marks(row) for row in rows}

    def due(self, *, limit: int, claim_ms: int) -> tuple[Due, ...]:
        """See `Journal.due`."""
        overdue = (
            select(WORKFLOWS.c.number, WORKFLOWS.c.id, WORKFLOWS.c.incarnation)
            .where(WORKFLOWS.c.namespace == self._name, WORKFLOWS.c.due_ms <= NOW_MS)
            .order_by(WORKFLOWS.c.due_ms)
            .limit(limit)
        )
        with self._database.reading() as connection:
            if connection.execute(overdue.limit(1)).first() is None:
                return ()  # an idle sweeper takes no lock
        with self._database.hinting() as (connection, now_ms):
            rows = connection.execute(overdue).all()
            for row in rows:
                claimed = update(WORKFLOWS).where(WORKFLOWS.c.number == row.number)
                connection.execute(claimed.values(due_ms=now_ms + claim_ms))
            return tuple(Due(WorkflowKey(row.id.decode(), row.incarnation), now_ms) for row in rows)

    def rest(self, key: WorkflowKey, *, in_ms: int) -> None:
        """See `Journal.rest`."""
        with self._database.hinting() as (connection, now_ms):
            row = self._known(connection, key)
            if row.due_ms is not None:
                self._set_due(connection, row, now_ms + in_ms)

    def remind(self, key: WorkflowKey, *, in_ms: int) -> None:
        """See `Journal.remind`."""
        with self._database.hinting() as (connection, now_ms):
            row = self._known(connection, key)
            if row.due_ms is not None and row.due_ms > now_ms + in_ms:
                self._set_due(connection, row, now_ms + in_ms)

    def close(self, key: WorkflowKey, *, at: int) -> bool:
        """See `Journal.close`."""
        with self._database.writing() as (connection, _):
            row = self._known(connection, key)
            if row.length != at:
                return row.due_ms is None
            self._set_due(connection, row, None)
            return True

    def delete(self, key: WorkflowKey) -> None:
        """See `Journal.delete`."""
        with self._database.writing() as (connection, _):
            row = self._find(connection, key.id)
            if row is None or row.incarnation != key.incarnation:
                return
            for table in OF_WORKFLOW:
                connection.execute(delete(table).where(table.c.workflow == row.number))
            connection.execute(delete(WORKFLOWS).where(WORKFLOWS.c.number == row.number))

    def annotate(self, key: WorkflowKey, notes: Mapping[str, Any]) -> None:
        """See `Journal.annotate`."""
        written = {name: None if value is None else JSON_VALUES.encode(value).decode() for name, value in notes.items()}
        with self._database.writing() as (connection, _):
            number = self._known(connection, key).number
            for name, text in written.items():
                place = (ANNOTATIONS.c.workflow == number, ANNOTATIONS.c.name == name.encode())
                connection.execute(delete(ANNOTATIONS).where(*place))
                if text is not None:
                    connection.execute(insert(ANNOTATIONS).values(workflow=number, name=name.encode(), value=text))

    def annotations(self, key: WorkflowKey) -> Mapping[str, Any]:
        """See `Journal.annotations`."""
        with self._database.reading() as connection:
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
        with self._database.hinting() as (connection, now_ms):
            before = connection.execute(select(LEASES).where(*place)).first()
            values = {"names": lease_text(lease), "renewed_ms": now_ms, "expires_ms": now_ms + ttl_ms}
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
        with self._database.reading() as connection:
            now_ms = int(connection.execute(select(NOW_MS)).scalar_one())
            fresh = (LEASES.c.namespace == self._name, LEASES.c.expires_ms >= now_ms - _DAY_MS)
            rows = connection.execute(select(LEASES).where(*fresh)).all()
        return tuple(map(_lease_view, rows)), now_ms

    def watch(self, key: WorkflowKey, *, after: int, timeout_ms: int) -> bool:
        """See `Journal.watch`. A database tells nobody, so it is asked, less and less often."""
        end = time.monotonic() + timeout_ms / 1000
        pause = _FIRST_WATCH_S
        while True:
            with self._database.reading() as connection:
                if self._known(connection, key).length > after:
                    return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_WATCH_S)

    def dispose(self) -> None:
        """Close this process's connections."""
        self._database.dispose()

    @property
    def _name(self) -> bytes:
        return self._namespace.encode()

    def _find(self, connection: Connection, workflow_id: str) -> Row[Any] | None:
        place = (WORKFLOWS.c.namespace == self._name, WORKFLOWS.c.id == workflow_id.encode())
        return connection.execute(select(WORKFLOWS).where(*place)).first()

    def _known(self, connection: Connection, key: WorkflowKey) -> Row[Any]:
        row = self._find(connection, key.id)
        if row is None or row.incarnation != key.incarnation:
            raise UnknownWorkflowError(key.id)
        return row

    def _set_due(self, connection: Connection, row: Row[Any], due_ms: int | None) -> None:
        connection.execute(update(WORKFLOWS).where(WORKFLOWS.c.number == row.number).values(due_ms=due_ms))

    def _lookup(
        self, key: WorkflowKey, table: Any, name: Any, value: Any, wanted: Mapping[Any, Any]
    ) -> dict[Any, bytes]:
        """Read the values of these names, a few hundred at a time."""
        found: dict[Any, bytes] = {}
        names = list(wanted)
        with self._database.reading() as connection:
            number = self._known(connection, key).number
            for start in range(0, len(names), _MOST_PARAMETERS):
                chunk = names[start : start + _MOST_PARAMETERS]
                rows = connection.execute(select(name, value).where(table.c.workflow == number, name.in_(chunk)))
                found.update({wanted[row[0]]: row[1] for row in rows})
        return found


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


def _missed(connection: Connection, row: Row[Any], seen: Seen) -> tuple[Entry, ...] | None:
    """Read what comes after `seen`; None if that is not what stands here, or cannot be read by this release."""
    if seen.position > row.length:
        return None
    if seen.position:
        place = (ENTRIES.c.workflow == row.number, ENTRIES.c.position == seen.position)
        if connection.execute(select(ENTRIES.c.nonce).where(*place)).scalar() != seen.nonce:
            return None
    if seen.position == row.length:
        return ()
    try:
        return _read(connection, row.number, seen.position)
    except UnsupportedVersionError:
        return None


def _insert_results(connection: Connection, number: int, results: Mapping[Attempt, bytes]) -> None:
    values = {field_of(attempt): value for attempt, value in results.items()}
    for chunk in _chunks(list(values)):
        place = (RESULTS.c.workflow == number, RESULTS.c.attempt.in_(chunk))
        known = set(connection.execute(select(RESULTS.c.attempt).where(*place)).scalars())
        rows = [{"workflow": number, "attempt": it, "value": values[it]} for it in chunk if it not in known]
        if rows:
            connection.execute(insert(RESULTS), rows)


def _set_marks(connection: Connection, number: int, marks: Sequence[Mark], now_ms: int) -> None:
    attempts = list(dict.fromkeys(field_of(mark.attempt) for mark in marks))
    before: dict[bytes, Marks] = {}
    for chunk in _chunks(attempts):
        place = (MARKS.c.workflow == number, MARKS.c.attempt.in_(chunk))
        before |= {row.attempt: _marks(row) for row in connection.execute(select(MARKS).where(*place))}
    after = dict(before)
    for mark in marks:
        name = field_of(mark.attempt)
        after[name] = marked(after.get(name, Marks()), mark, now_ms)
    rows = [{"in_workflow": number, "of_attempt": name, **asdict(it)} for name, it in after.items()]
    old = [row for row in rows if row["of_attempt"] in before]
    if old:
        connection.execute(_UPDATE_MARKS, old)
    if len(rows) > len(old):
        connection.execute(_INSERT_MARKS, [row for row in rows if row["of_attempt"] not in before])


_MARKED: Final[dict[str, Any]] = {name: bindparam(name) for name in ("sent", "sent_ms", "started_ms", "worker", "boot")}
_INSERT_MARKS: Final = insert(MARKS).values(
    workflow=bindparam("in_workflow"), attempt=bindparam("of_attempt"), **_MARKED
)
_UPDATE_MARKS: Final = (
    update(MARKS)
    .where(MARKS.c.workflow == bindparam("in_workflow"), MARKS.c.attempt == bindparam("of_attempt"))
    .values(**_MARKED)
)


def _marks(row: Row[Any]) -> Marks:
    return Marks(row.sent, row.sent_ms, row.started_ms, row.worker, row.boot)


def _chunks(names: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    return (names[start : start + _MOST_PARAMETERS] for start in range(0, len(names), _MOST_PARAMETERS))


def _lease_view(row: Row[Any]) -> LeaseView:
    worker = row.worker.decode()
    previous = None if row.previous is None else lease_of(worker, row.boot, row.previous)
    return LeaseView(lease_of(worker, row.boot, row.names), row.renewed_ms, row.expires_ms, previous, row.previous_ms)
