"""Lists (J10): filters, order and pages as statements. What a cursor says, `listing` decides, for all journals."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select

from dyrygent_core import WorkflowState
from dyrygent_core.ports import Listed, Page, Query, WorkflowKey
from dyrygent_runtime.journals.listing import Place, page_of
from dyrygent_runtime.journals.sql.tables import TAGS, WORKFLOWS

__all__ = ["list_page"]


def list_page(connection: Connection, namespace: bytes, query: Query, limit: int, place: Place | None) -> Page:
    """List workflows after a place, in one statement: they and their tags are of one moment."""
    found = (
        select(WORKFLOWS)
        .where(WORKFLOWS.c.namespace == namespace, *_conditions(query))
        .order_by(WORKFLOWS.c.created_ms.desc(), WORKFLOWS.c.id)
        .limit(limit + 1)
    )
    if place is not None:
        found = found.where(_comes_after(place))
    page = found.subquery("page")
    rows = connection.execute(
        select(page, TAGS.c.tag)
        .select_from(page.outerjoin(TAGS, TAGS.c.workflow == page.c.number))
        .order_by(page.c.created_ms.desc(), page.c.id, TAGS.c.place)
    )
    return page_of([_listed(list(group)) for _, group in groupby(rows, lambda row: row.number)], limit)


def _conditions(query: Query) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        WORKFLOWS.c.number.in_(select(TAGS.c.workflow).where(TAGS.c.tag == tag.encode())) for tag in query.tags
    ]
    if query.states:
        conditions.append(WORKFLOWS.c.state.in_(sorted(state.value for state in query.states)))
    if query.name is not None:
        conditions.append(WORKFLOWS.c.name == query.name.encode())
    if query.created_from_ms is not None:
        conditions.append(WORKFLOWS.c.created_ms >= query.created_from_ms)
    if query.created_to_ms is not None:
        conditions.append(WORKFLOWS.c.created_ms < query.created_to_ms)
    return conditions


def _comes_after(place: Place) -> ColumnElement[bool]:
    created_ms, workflow_id = -place[0], place[1]
    return and_(
        WORKFLOWS.c.created_ms <= created_ms,  # what the next line says, and an index understands
        or_(WORKFLOWS.c.created_ms < created_ms, WORKFLOWS.c.id > workflow_id),
    )


def _listed(rows: list[Row[*tuple[Any, ...]]]) -> Listed:
    """Make an item of a workflow's row, which stands once for each of its tags."""
    row = rows[0]
    return Listed(
        WorkflowKey(row.id.decode(), row.incarnation),
        row.name.decode(),
        tuple(it.tag.decode() for it in rows if it.tag is not None),
        WorkflowState(row.state),
        row.created_ms,
        row.closed_ms,
    )
