"""Looking up rows of a workflow by name, some hundred at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Column, Connection, Row, and_, select

from dyrygent_core.errors import UnknownWorkflowError
from dyrygent_core.ports import WorkflowKey
from dyrygent_runtime.journals.sql.heads import key_is
from dyrygent_runtime.journals.sql.tables import WORKFLOWS

__all__ = ["look_up"]

_MOST_NAMES: Final = 500
"""In one statement; SQLite takes 32,766 parameters, older ones 999."""


def look_up(
    connection: Connection, namespace: bytes, key: WorkflowKey, name: Column[Any], names: Sequence[Any]
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Give the rows of a workflow that have one of these names in this column; raises `UnknownWorkflowError`."""
    table = name.table
    found: list[Row[*tuple[Any, ...]]] = []
    for start in range(0, max(len(names), 1), _MOST_NAMES):
        here = and_(table.c.workflow == WORKFLOWS.c.number, name.in_(names[start : start + _MOST_NAMES]))
        statement = select(table).select_from(WORKFLOWS.outerjoin(table, here)).where(key_is(namespace, key))
        rows = connection.execute(statement).all()
        if not rows:
            raise UnknownWorkflowError(key.id)
        found += (row for row in rows if row.workflow is not None)
    return found
