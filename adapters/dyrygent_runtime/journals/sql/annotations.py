"""Annotations: small JSON values by name, beside the entries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from dyrygent_core.errors import UnknownWorkflowError
from dyrygent_core.ports import WorkflowKey
from dyrygent_runtime.journals.sql.heads import key_is, locked_head
from dyrygent_runtime.journals.sql.tables import ANNOTATIONS, WORKFLOWS

__all__ = ["annotate", "read_annotations"]


def annotate(connection: Connection, namespace: bytes, key: WorkflowKey, written: Mapping[str, str | None]) -> None:
    """Set the values that are given as JSON, and remove the others; raises `UnknownWorkflowError`."""
    number = locked_head(connection, namespace, key).number
    if not written:
        return
    names = [name.encode() for name in written]
    connection.execute(delete(ANNOTATIONS).where(ANNOTATIONS.c.workflow == number, ANNOTATIONS.c.name.in_(names)))
    rows = [
        {"workflow": number, "name": name.encode(), "value": text} for name, text in written.items() if text is not None
    ]
    if rows:
        connection.execute(insert(ANNOTATIONS), rows)


def read_annotations(connection: Connection, namespace: bytes, key: WorkflowKey) -> dict[str, Any]:
    """Read what was annotated; raises `UnknownWorkflowError`."""
    here = ANNOTATIONS.c.workflow == WORKFLOWS.c.number
    rows = connection.execute(
        select(ANNOTATIONS.c.name, ANNOTATIONS.c.value)
        .select_from(WORKFLOWS.outerjoin(ANNOTATIONS, here))
        .where(key_is(namespace, key))
    ).all()
    if not rows:
        raise UnknownWorkflowError(key.id)
    return {row.name.decode(): json.loads(row.value) for row in rows if row.name is not None}
