"""What PostgreSQL does at once: the calls that each node costs, each a statement that is a whole transaction.

An append's statement takes the workflow's lock by its UPDATE, which waits for whoever has it and then goes on from
the row that they left, and gives positions and time from there. Only what it reads of the entries is as old as its
beginning: entries written by those it waited for are not among them. Positions have no gaps, so that is seen, and the
rest is read by a second statement. Entries never change, so they are those that stood there under the lock.

The same UPDATE calls those who wait for the workflow (`listener`), if anybody does: PostgreSQL delivers calls when
they are committed, and commits transactions that call one after the other, so nobody is called in vain.
Marks wait for no disk. They lock the workflow's row against deletion only, which appends do not mind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Boolean, Connection, Integer, LargeBinary, Row, Text, TextClause, bindparam, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY

from dyrygent_core.errors import UnknownWorkflowError
from dyrygent_core.ports import Appended, WorkflowKey
from dyrygent_runtime.journals.sql.durability import RELAXED, RELAXED_TEXT
from dyrygent_runtime.journals.sql.entries import Batch, missed_of
from dyrygent_runtime.journals.sql.heads import key_is
from dyrygent_runtime.journals.sql.marks import MarkChange
from dyrygent_runtime.journals.sql.tables import ENTRIES, WORKFLOWS
from dyrygent_runtime.journals.sql.times import NOW_MS, NOW_MS_IN_POSTGRESQL

__all__ = ["append_at_once", "look_and_watch", "mark_at_once"]

_BYTES: Final = LargeBinary()
_KEY: Final = "namespace = :namespace AND id = :id AND incarnation = :incarnation"
_KEY_TYPES: Final = (bindparam("namespace", type_=_BYTES), bindparam("id", type_=_BYTES))

_APPEND: Final = """
    WITH head AS (
        UPDATE dyrygent_workflows
        SET length = length + :count, due_ms = coalesce(due_ms, {now}), state = 'RUNNING', closed_ms = NULL
        WHERE {key}
        RETURNING number, length - :count AS before, {now} AS now_ms,
                  CASE WHEN watched_ms > {now} THEN CAST(pg_notify(:channel, '') AS TEXT) END
    ), own AS (
        INSERT INTO dyrygent_entries (workflow, position, nonce, at_ms, observation)
        SELECT head.number, head.before + line.place, :nonce, head.now_ms, line.observation
        FROM head, unnest(CAST(:lines AS TEXT[])) WITH ORDINALITY AS line (observation, place)
    ), kept AS (
        INSERT INTO dyrygent_results (workflow, attempt, value)
        SELECT head.number, result.attempt, result.value FROM head, {results} AS result (attempt, value)
        ON CONFLICT DO NOTHING
    )
    SELECT head.number, head.before, head.now_ms, entry.position, entry.nonce, entry.at_ms, entry.observation,
           NULL AS node, NULL AS call
    FROM head LEFT JOIN dyrygent_entries AS entry ON entry.workflow = head.number AND entry.position >= :seen
    UNION ALL
    SELECT head.number, head.before, head.now_ms, NULL, NULL, NULL, NULL, wanted.node, wanted.call
    FROM head JOIN dyrygent_calls AS wanted ON wanted.workflow = head.number
                                           AND wanted.node = ANY(CAST(:calls AS INTEGER[]))
    ORDER BY 4
    """
_APPEND_ONE: Final = text(
    _APPEND.format(
        now=NOW_MS_IN_POSTGRESQL, key=_KEY, results="(VALUES (CAST(:attempt AS BYTEA), CAST(:value AS BYTEA)))"
    )
).bindparams(
    *_KEY_TYPES,
    bindparam("lines", type_=ARRAY(Text)),
    bindparam("calls", type_=ARRAY(Integer)),
    bindparam("attempt", type_=_BYTES),
    bindparam("value", type_=_BYTES),
)
"""For one result, which may be long: psycopg writes arrays as text, and takes six times as long for them."""
_APPEND_ANY: Final = text(
    _APPEND.format(
        now=NOW_MS_IN_POSTGRESQL, key=_KEY, results="unnest(CAST(:attempts AS BYTEA[]), CAST(:values AS BYTEA[]))"
    )
).bindparams(
    *_KEY_TYPES,
    bindparam("lines", type_=ARRAY(Text)),
    bindparam("calls", type_=ARRAY(Integer)),
    bindparam("attempts", type_=ARRAY(_BYTES)),
    bindparam("values", type_=ARRAY(_BYTES)),
)


def append_at_once(connection: Connection, channel: str, batch: Batch) -> Appended:
    """Append in one round trip, or two if it had to wait for another append; raises `UnknownWorkflowError`."""
    rows = connection.execute(*_append(channel, batch)).all()
    if not rows:
        raise UnknownWorkflowError(batch.key.id)
    number, before, now_ms = rows[0].number, rows[0].before, rows[0].now_ms
    written = [row for row in rows if row.position is not None]
    if batch.seen.position <= before:
        last = written[-1].position if written else max(batch.seen.position, 1) - 1
        written += _entries_between(connection, number, last, before)
        if not written or written[-1].position < before:
            raise UnknownWorkflowError(batch.key.id)  # deleted since
    missed = missed_of(written, before, batch.seen)
    calls = {row.node: row.call for row in rows if row.node is not None}
    return Appended(before + 1, now_ms, missed or (), missed is None, calls)


def _append(channel: str, batch: Batch) -> tuple[TextClause, dict[str, Any]]:
    values = {
        **_named(batch.namespace, batch.key),
        "channel": channel,
        "count": len(batch.lines),
        "nonce": batch.nonce,
        "lines": list(batch.lines),
        "seen": max(batch.seen.position, 1),
        "calls": list(batch.calls),
    }
    if len(batch.results) == 1:
        ((attempt, value),) = batch.results.items()
        return _APPEND_ONE, {**values, "attempt": attempt, "value": value}
    return _APPEND_ANY, {**values, "attempts": list(batch.results), "values": list(batch.results.values())}


def _entries_between(connection: Connection, number: int, after: int, to: int) -> Sequence[Row[*tuple[Any, ...]]]:
    if after >= to:
        return ()
    place = (ENTRIES.c.workflow == number, ENTRIES.c.position > after, ENTRIES.c.position <= to)
    return connection.execute(select(ENTRIES).where(*place).order_by(ENTRIES.c.position)).all()


def look_and_watch(connection: Connection, namespace: bytes, key: WorkflowKey, watched_for_ms: int) -> int:
    """Ask to be called by appends for so long, and give how many entries there are; raises `UnknownWorkflowError`.

    An append that does not call yet is among them, since this waits for it.
    """
    statement = update(WORKFLOWS).where(key_is(namespace, key)).values(watched_ms=NOW_MS + watched_for_ms)
    row = connection.execute(statement.returning(WORKFLOWS.c.length, RELAXED)).first()
    if row is None:
        raise UnknownWorkflowError(key.id)
    return int(row.length)


_MARK: Final = """
    WITH moment AS MATERIALIZED (
        SELECT {now} AS ms, {relaxed}
    ), head AS (
        SELECT number FROM dyrygent_workflows WHERE {key} FOR KEY SHARE
    ), own AS (
        INSERT INTO dyrygent_marks AS old (workflow, attempt, sent, sent_ms, started_ms, worker, boot)
        SELECT head.number, mark.attempt, mark.sent, CASE WHEN mark.sent > 0 THEN moment.ms END,
               CASE WHEN mark.is_started THEN moment.ms END, mark.worker, mark.boot
        FROM head, moment, unnest(CAST(:attempts AS BYTEA[]), CAST(:sent AS INTEGER[]), CAST(:started AS BOOLEAN[]),
                               CAST(:workers AS TEXT[]), CAST(:boots AS TEXT[]))
                        AS mark (attempt, sent, is_started, worker, boot)
        ON CONFLICT (workflow, attempt) DO UPDATE
        SET sent = old.sent + excluded.sent, sent_ms = coalesce(excluded.sent_ms, old.sent_ms){also}
    )
    SELECT ms FROM moment
    """
_OVERWRITE: Final = ", started_ms = excluded.started_ms, worker = excluded.worker, boot = excluded.boot"
_MARK_STATEMENTS: Final = {
    is_started: text(
        _MARK.format(now=NOW_MS_IN_POSTGRESQL, relaxed=RELAXED_TEXT, key=_KEY, also=_OVERWRITE if is_started else "")
    ).bindparams(
        *_KEY_TYPES,
        bindparam("attempts", type_=ARRAY(_BYTES)),
        bindparam("sent", type_=ARRAY(Integer)),
        bindparam("started", type_=ARRAY(Boolean)),
        bindparam("workers", type_=ARRAY(Text)),
        bindparam("boots", type_=ARRAY(Text)),
    )
    for is_started in (False, True)
}


def mark_at_once(connection: Connection, namespace: bytes, key: WorkflowKey, changes: Sequence[MarkChange]) -> int:
    """Write marks, unless the workflow is gone; give the time. One round trip for each kind of change."""
    now_ms = 0
    for change in changes or [MarkChange(is_started=False, marks={})]:  # the time is wanted in any case
        values = {
            **_named(namespace, key),
            "attempts": list(change.marks),
            "sent": [it.sent for it in change.marks.values()],
            "started": [it.started_ms is not None for it in change.marks.values()],
            "workers": [it.worker for it in change.marks.values()],
            "boots": [it.boot for it in change.marks.values()],
        }
        now_ms = int(connection.execute(_MARK_STATEMENTS[change.is_started], values).scalar_one())
    return now_ms


def _named(namespace: bytes, key: WorkflowKey) -> dict[str, Any]:
    return {"namespace": namespace, "id": key.id.encode(), "incarnation": key.incarnation}
