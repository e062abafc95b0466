"""A workflow's own row: how it is found and locked, and how its due time and state change (J5)."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, and_, case, literal, select, update

from dyrygent_core import WorkflowState
from dyrygent_core.errors import UnknownWorkflowError
from dyrygent_core.ports import WorkflowKey
from dyrygent_runtime.journals.sql.addresses import Kind
from dyrygent_runtime.journals.sql.durability import RELAXED
from dyrygent_runtime.journals.sql.tables import WORKFLOWS
from dyrygent_runtime.journals.sql.times import NOW_MS, START_MS

__all__ = ["close", "head_of", "id_is", "key_is", "let_rest", "locked_head", "now_beside", "remind"]

_HERE: Final = select(literal(1).label("one")).subquery("here")
"""One row, so that a statement answers with the time even where it finds nothing."""


def id_is(namespace: bytes, workflow_id: str) -> ColumnElement[bool]:
    """Say that a row is that of the workflow with this id."""
    return and_(WORKFLOWS.c.namespace == namespace, WORKFLOWS.c.id == workflow_id.encode())


def key_is(namespace: bytes, key: WorkflowKey) -> ColumnElement[bool]:
    """Say that a row is that of this incarnation."""
    return and_(id_is(namespace, key.id), WORKFLOWS.c.incarnation == key.incarnation)


def head_of(connection: Connection, namespace: bytes, key: WorkflowKey) -> Row[*tuple[Any, ...]]:
    """Read a workflow's row; raises `UnknownWorkflowError`."""
    return _known(connection, select(WORKFLOWS).where(key_is(namespace, key)), key)


def locked_head(connection: Connection, namespace: bytes, key: WorkflowKey) -> Row[*tuple[Any, ...]]:
    """Take a workflow's lock, then read its row; raises `UnknownWorkflowError`.

    On SQLite the lock is that of the whole database, taken before.
    """
    return _known(connection, select(WORKFLOWS).where(key_is(namespace, key)).with_for_update(), key)


def let_rest(connection: Connection, kind: Kind, namespace: bytes, key: WorkflowKey, in_ms: int) -> None:
    """Set the due time, unless the workflow is closed; raises `UnknownWorkflowError`."""
    due_ms = case((WORKFLOWS.c.due_ms.is_(None), None), else_=START_MS + in_ms)
    _set_due(connection, kind, namespace, key, due_ms)


def remind(connection: Connection, kind: Kind, namespace: bytes, key: WorkflowKey, in_ms: int) -> None:
    """Lower the due time, if there is one that is later; raises `UnknownWorkflowError`."""
    due_ms = case((WORKFLOWS.c.due_ms > START_MS + in_ms, START_MS + in_ms), else_=WORKFLOWS.c.due_ms)
    _set_due(connection, kind, namespace, key, due_ms)


def close(connection: Connection, namespace: bytes, key: WorkflowKey, at: int, state: WorkflowState) -> bool:
    """Close the workflow within a transaction, if its last entry is there; raises `UnknownWorkflowError`."""
    row = locked_head(connection, namespace, key)
    if row.due_ms is None or row.length != at:
        return row.due_ms is None
    values = {"due_ms": None, "closed_ms": NOW_MS, "state": state.value}
    connection.execute(update(WORKFLOWS).where(WORKFLOWS.c.number == row.number).values(values))
    return True


def _set_due(
    connection: Connection, kind: Kind, namespace: bytes, key: WorkflowKey, due_ms: ColumnElement[int | None]
) -> None:
    """Set the due time, a hint that waits for no disk, in one statement."""
    statement = update(WORKFLOWS).where(key_is(namespace, key)).values(due_ms=due_ms)
    if kind is Kind.POSTGRESQL:
        is_known = connection.execute(statement.returning(RELAXED)).first() is not None
    else:
        is_known = connection.execute(statement).rowcount > 0
    if not is_known:
        raise UnknownWorkflowError(key.id)


def now_beside(table: Table, condition: ColumnElement[bool], *columns: ColumnElement[Any]) -> Select[*tuple[Any, ...]]:
    """Ask for the time, and for columns of the rows that meet the condition; once with NULLs if there are none."""
    return select(NOW_MS.label("now_ms"), *columns).select_from(_HERE.outerjoin(table, condition))


def _known(connection: Connection, statement: Select[*tuple[Any, ...]], key: WorkflowKey) -> Row[*tuple[Any, ...]]:
    row = connection.execute(statement).first()
    if row is None:
        raise UnknownWorkflowError(key.id)
    return row
