"""Claims of what is due (J5), and the deletion of workflows, one by one or by age (J10).

A claim takes the locks of the workflows that it moves on and skips those that others hold, so sweepers neither wait
for each other nor get one due time both. MariaDB skips since 10.6; before that sweepers wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, delete, select, update

from dyrygent_core.ports import Due, WorkflowKey
from dyrygent_runtime.journals.sql.durability import RELAXED
from dyrygent_runtime.journals.sql.heads import key_is
from dyrygent_runtime.journals.sql.tables import OF_WORKFLOW, WORKFLOWS
from dyrygent_runtime.journals.sql.times import START_MS

__all__ = ["claim_at_once", "claim_by_steps", "delete_closed", "delete_one", "is_anything_due"]

_FIRST_MARIADB_THAT_SKIPS: Final = (10, 6)
_MOST_DELETED: Final = 50
_MOST_ENTRIES_DELETED: Final = 100_000
"""In one transaction, unless a single workflow has more."""


def is_anything_due(connection: Connection, namespace: bytes) -> bool:
    """Look without taking a lock, as an idle sweeper does."""
    return connection.execute(_overdue(namespace, 1)).first() is not None


def claim_by_steps(connection: Connection, namespace: bytes, limit: int, claim_ms: int) -> tuple[Due, ...]:
    """Claim within a transaction."""
    overdue = _locked(connection, _overdue(namespace, limit))
    rows = connection.execute(overdue).all()
    if not rows:
        return ()
    now_ms = rows[0].now_ms
    numbers = [row.number for row in rows]
    connection.execute(update(WORKFLOWS).where(WORKFLOWS.c.number.in_(numbers)).values(due_ms=now_ms + claim_ms))
    return _claimed(rows)


def claim_at_once(connection: Connection, namespace: bytes, limit: int, claim_ms: int) -> tuple[Due, ...]:
    """Claim in one statement, which waits for no disk: PostgreSQL."""
    overdue = _overdue(namespace, limit).with_for_update(skip_locked=True).cte("overdue")
    rows = connection.execute(
        update(WORKFLOWS)
        .where(WORKFLOWS.c.number == overdue.c.number)
        .values(due_ms=overdue.c.now_ms + claim_ms)
        .returning(*overdue.c, RELAXED)
    ).all()
    return _claimed(rows)


def delete_one(connection: Connection, namespace: bytes, key: WorkflowKey, at: int | None) -> bool:
    """Delete a workflow within a transaction, if its last entry is at `at` or that is None; tell whether it is gone."""
    lock = select(WORKFLOWS.c.number, WORKFLOWS.c.length).where(key_is(namespace, key)).with_for_update()
    row = connection.execute(lock).first()
    if row is None:
        return True
    if at is not None and row.length != at:
        return False
    _delete(connection, [row.number])
    return True


def delete_closed(connection: Connection, namespace: bytes, closed_for_ms: int, limit: int) -> int:
    """Delete workflows within a transaction that were closed so long ago; tell how many.

    At most `limit`, and fewer where they are long, so that it takes no longer than a statement may; none only if
    there are none.
    """
    place = (WORKFLOWS.c.namespace == namespace, WORKFLOWS.c.closed_ms <= START_MS - closed_for_ms)
    old = select(WORKFLOWS.c.number, WORKFLOWS.c.length).where(*place).order_by(WORKFLOWS.c.closed_ms)
    rows = connection.execute(_locked(connection, old.limit(min(limit, _MOST_DELETED)))).all()
    lengths = accumulate(row.length for row in rows)
    numbers = [row.number for row, length in zip(rows, lengths, strict=True) if length <= _MOST_ENTRIES_DELETED]
    numbers = numbers or [row.number for row in rows[:1]]
    _delete(connection, numbers)
    return len(numbers)


def _overdue(namespace: bytes, limit: int) -> Select[*tuple[Any, ...]]:
    columns = (WORKFLOWS.c.number, WORKFLOWS.c.id, WORKFLOWS.c.incarnation, WORKFLOWS.c.due_ms)
    return (
        select(START_MS.label("now_ms"), *columns)
        .where(WORKFLOWS.c.namespace == namespace, WORKFLOWS.c.due_ms <= START_MS)
        .order_by(WORKFLOWS.c.due_ms)
        .limit(limit)
    )


def _locked(connection: Connection, statement: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Take the locks of what is found, but of nothing that another has locked."""
    dialect: Any = connection.dialect
    is_old = getattr(dialect, "is_mariadb", False) and dialect.server_version_info < _FIRST_MARIADB_THAT_SKIPS
    return statement.with_for_update(skip_locked=not is_old)


def _claimed(rows: Sequence[Row[*tuple[Any, ...]]]) -> tuple[Due, ...]:
    return tuple(
        Due(WorkflowKey(row.id.decode(), row.incarnation), row.now_ms)
        for row in sorted(rows, key=lambda row: int(row.due_ms))
    )


def _delete(connection: Connection, numbers: Sequence[int]) -> None:
    if not numbers:
        return
    for table in OF_WORKFLOW:
        connection.execute(delete(table).where(table.c.workflow.in_(numbers)))
    connection.execute(delete(WORKFLOWS).where(WORKFLOWS.c.number.in_(numbers)))
