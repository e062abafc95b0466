"""What is written of a workflow once (J8), and read when a process first meets it, with the newest snapshot (J6)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert, select, update

from dyrygent_core import WorkflowState
from dyrygent_core.errors import UnknownWorkflowError
from dyrygent_core.ports import Created, NewWorkflow, Seen, StoredSnapshot, StoredWorkflow, WorkflowKey
from dyrygent_runtime.journals.sql.entries import insert_begin
from dyrygent_runtime.journals.sql.heads import id_is, locked_head, now_beside
from dyrygent_runtime.journals.sql.tables import CALLS, DEFINITIONS, SNAPSHOTS, TAGS, WORKFLOWS

__all__ = ["create_workflow", "keep_snapshot", "read_definition"]


def create_workflow(connection: Connection, namespace: bytes, new: NewWorkflow, nonce: str, due_in_ms: int) -> Created:
    """Write a workflow within a transaction, unless its id is taken.

    If two do so at once one of them meets the other's row, and finds it when the transaction is repeated.
    """
    head = WORKFLOWS.c
    found = now_beside(WORKFLOWS, id_is(namespace, new.key.id), head.incarnation, head.digest, head.created_ms)
    row = connection.execute(found).one()
    if row.incarnation is not None:
        key = WorkflowKey(new.key.id, row.incarnation)
        return Created(key, row.digest, key == new.key, row.created_ms)
    values = _head(namespace, new, row.now_ms, row.now_ms + due_in_ms)
    (number,) = connection.execute(insert(WORKFLOWS), values).inserted_primary_key or (0,)
    connection.execute(insert(DEFINITIONS), {"workflow": number, "definition": new.definition})
    insert_begin(connection, number, nonce, row.now_ms)
    if new.calls:
        calls = [{"workflow": number, "node": node, "call": call} for node, call in enumerate(new.calls)]
        connection.execute(insert(CALLS), calls)
    if new.tags:
        tags = [{"workflow": number, "place": place, "tag": tag.encode()} for place, tag in enumerate(new.tags)]
        connection.execute(insert(TAGS), tags)
    return Created(new.key, new.digest, is_new=True, at_ms=row.now_ms)


def read_definition(connection: Connection, namespace: bytes, workflow_id: str) -> StoredWorkflow:
    """Read a workflow's definition and its snapshot; raises `UnknownWorkflowError`."""
    row = connection.execute(
        select(
            WORKFLOWS.c.incarnation,
            WORKFLOWS.c.digest,
            WORKFLOWS.c.created_ms,
            WORKFLOWS.c.due_ms,
            DEFINITIONS.c.definition,
            SNAPSHOTS.c.position,
            SNAPSHOTS.c.nonce,
            SNAPSHOTS.c.data,
        )
        .select_from(WORKFLOWS)
        .join(DEFINITIONS, DEFINITIONS.c.workflow == WORKFLOWS.c.number)
        .outerjoin(SNAPSHOTS, SNAPSHOTS.c.workflow == WORKFLOWS.c.number)
        .where(id_is(namespace, workflow_id))
    ).first()
    if row is None:
        raise UnknownWorkflowError(workflow_id)
    key = WorkflowKey(workflow_id, row.incarnation)
    snapshot = None if row.position is None else StoredSnapshot(Seen(row.position, row.nonce), row.data)
    return StoredWorkflow(key, row.digest, row.definition, row.due_ms is not None, row.created_ms, snapshot)


def keep_snapshot(connection: Connection, namespace: bytes, key: WorkflowKey, snapshot: StoredSnapshot) -> None:
    """Keep a snapshot within a transaction, if it is newer; raises `UnknownWorkflowError`."""
    number = locked_head(connection, namespace, key).number
    here = SNAPSHOTS.c.workflow == number
    known = connection.execute(select(SNAPSHOTS.c.position).where(here)).scalar()
    values = {"position": snapshot.seen.position, "nonce": snapshot.seen.nonce, "data": snapshot.data}
    if known is None:
        connection.execute(insert(SNAPSHOTS).values(workflow=number, **values))
    elif known < snapshot.seen.position:
        connection.execute(update(SNAPSHOTS).where(here).values(values))


def _head(namespace: bytes, new: NewWorkflow, now_ms: int, due_ms: int) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "id": new.key.id.encode(),
        "incarnation": new.key.incarnation,
        "digest": new.digest,
        "created_ms": now_ms,
        "length": 1,
        "due_ms": due_ms,
        "name": new.name.encode(),
        "state": WorkflowState.RUNNING.value,
        "closed_ms": None,
    }
