"""Entries: how they are written down, appended step by step, and read.

The steps of an append, all in one transaction: take the lock and read with it what was missed; insert; move the
workflow's row on; read the calls that are wanted. Each is a round trip, so PostgreSQL does it in another way
(`at_once`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import field, frozen
from sqlalchemy import Connection, Row, and_, func, insert, select, update

from dyrygent_core import Attempt, Begin, Observation, WorkflowState
from dyrygent_core.codec import decode_observation, encode_observation
from dyrygent_core.errors import UnknownWorkflowError, UnsupportedVersionError
from dyrygent_core.ports import Appended, Entry, Seen, WorkflowKey
from dyrygent_runtime.journals.sql.addresses import Kind
from dyrygent_runtime.journals.sql.heads import key_is
from dyrygent_runtime.journals.sql.lookups import look_up
from dyrygent_runtime.journals.sql.tables import CALLS, ENTRIES, RESULTS, WORKFLOWS
from dyrygent_runtime.journals.sql.times import NOW_MS
from dyrygent_runtime.journals.sql.upserts import insert_if_absent
from dyrygent_runtime.journals.writing import field_of

__all__ = ["Batch", "append_by_steps", "batch_of", "insert_begin", "missed_of", "read_entries"]


@frozen
class Batch:
    """What one append brings, written down before anything is asked of the database."""

    namespace: bytes
    key: WorkflowKey
    seen: Seen
    nonce: str
    lines: tuple[str, ...] = field(repr=False)
    results: Mapping[bytes, bytes] = field(repr=False)
    calls: tuple[int, ...] = ()


def batch_of(
    namespace: bytes,
    key: WorkflowKey,
    observations: Sequence[Observation],
    *,
    seen: Seen,
    nonce: str,
    results: Mapping[Attempt, bytes],
    calls: Sequence[int],
) -> Batch:
    """Write down what is to be appended; raises what `encode_observation` does."""
    values = {field_of(attempt): value for attempt, value in results.items()}
    return Batch(namespace, key, seen, nonce, tuple(map(encode_observation, observations)), values, tuple(calls))


def append_by_steps(connection: Connection, kind: Kind, batch: Batch) -> Appended:
    """Append within a transaction; raises `UnknownWorkflowError`."""
    rows = _locked_head_and_missed(connection, batch)
    if not rows:
        raise UnknownWorkflowError(batch.key.id)
    number, before = rows[0].number, rows[0].length
    now_ms = max(row.now_ms for row in rows)
    written = sorted((row for row in rows if row.position is not None), key=lambda row: row.position)
    missed = missed_of(written, before, batch.seen)
    if batch.lines:
        connection.execute(insert(ENTRIES), _lines(number, before + 1, batch.nonce, now_ms, batch.lines))
    if batch.results:
        values = [{"workflow": number, "attempt": name, "value": value} for name, value in batch.results.items()]
        connection.execute(insert_if_absent(kind, RESULTS), values)
    connection.execute(
        update(WORKFLOWS)
        .where(WORKFLOWS.c.number == number)
        .values(
            length=before + len(batch.lines),
            due_ms=func.coalesce(WORKFLOWS.c.due_ms, now_ms),
            state=WorkflowState.RUNNING.value,
            closed_ms=None,
        )
    )
    found = look_up(connection, batch.namespace, batch.key, CALLS.c.node, batch.calls) if batch.calls else ()
    return Appended(before + 1, now_ms, missed or (), missed is None, {row.node: row.call for row in found})


def insert_begin(connection: Connection, number: int, nonce: str, now_ms: int) -> None:
    """Write the first entry of a new workflow."""
    connection.execute(insert(ENTRIES), _lines(number, 1, nonce, now_ms, [encode_observation(Begin())]))


def read_entries(connection: Connection, namespace: bytes, key: WorkflowKey, after: int) -> tuple[Entry, ...]:
    """Read the entries after a position; raises `UnknownWorkflowError`."""
    entries = and_(ENTRIES.c.workflow == WORKFLOWS.c.number, ENTRIES.c.position > after)
    rows = connection.execute(
        select(ENTRIES.c.position, ENTRIES.c.nonce, ENTRIES.c.at_ms, ENTRIES.c.observation)
        .select_from(WORKFLOWS.outerjoin(ENTRIES, entries))
        .where(key_is(namespace, key))
        .order_by(ENTRIES.c.position)
    ).all()
    if not rows:
        raise UnknownWorkflowError(key.id)
    return _entries(row for row in rows if row.position is not None)


def missed_of(written: Sequence[Row[*tuple[Any, ...]]], length: int, seen: Seen) -> tuple[Entry, ...] | None:
    """Give the entries that were missed, from those that stand at `seen` and after it, in order.

    None if what was seen is not what stands there, or what was missed cannot be read by this release.
    """
    if seen.position > length:
        return None
    if seen.position:
        if not written or Seen(written[0].position, written[0].nonce) != seen:
            return None
        written = written[1:]
    try:
        return _entries(written)
    except UnsupportedVersionError:
        return None


def _locked_head_and_missed(connection: Connection, batch: Batch) -> Sequence[Row[*tuple[Any, ...]]]:
    """Take the workflow's lock, then read its row and what stands at `seen` and after it.

    A locking read sees what is committed when it gets the lock, in every table that it names (InnoDB).
    The order is not asked for, so that nothing is gathered, or the time told, before the lock is there.
    """
    missed = and_(ENTRIES.c.workflow == WORKFLOWS.c.number, ENTRIES.c.position >= max(batch.seen.position, 1))
    return connection.execute(
        select(
            NOW_MS.label("now_ms"),
            WORKFLOWS.c.number,
            WORKFLOWS.c.length,
            ENTRIES.c.position,
            ENTRIES.c.nonce,
            ENTRIES.c.at_ms,
            ENTRIES.c.observation,
        )
        .select_from(WORKFLOWS.outerjoin(ENTRIES, missed))
        .where(key_is(batch.namespace, batch.key))
        .with_for_update()
    ).all()


def _lines(number: int, first: int, nonce: str, at_ms: int, lines: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"workflow": number, "position": position, "nonce": nonce, "at_ms": at_ms, "observation": line}
        for position, line in enumerate(lines, first)
    ]


def _entries(rows: Iterable[Row[*tuple[Any, ...]]]) -> tuple[Entry, ...]:
    return tuple(Entry(row.position, row.nonce, decode_observation(row.observation, row.at_ms)) for row in rows)
