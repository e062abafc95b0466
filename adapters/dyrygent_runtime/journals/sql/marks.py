"""Marks: how several of one call add up, and how they are written step by step; PostgreSQL does it at once.

A mark is written over those before without reading them, so two processes that mark one attempt lose none.
Attempts are taken in one order by all, so that no two wait for each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, func

from dyrygent_core.ports import Mark, MarkKind, Marks, WorkflowKey
from dyrygent_runtime.journals.marking import marked
from dyrygent_runtime.journals.sql.addresses import Kind
from dyrygent_runtime.journals.sql.heads import key_is, now_beside
from dyrygent_runtime.journals.sql.tables import MARKS, WORKFLOWS
from dyrygent_runtime.journals.sql.upserts import insert_or_change
from dyrygent_runtime.journals.writing import field_of

__all__ = ["MarkChange", "mark_by_steps", "mark_changes"]


@frozen
class MarkChange:
    """What one call makes of the marks of some attempts, which it all changes in the same way.

    Each attempt's `Marks` are what its new ones alone would give, at the time 0. Sendings are added to those before;
    all else is overwritten, or if not `is_started` left as it is.
    """

    is_started: bool
    marks: Mapping[bytes, Marks]


def mark_changes(marks: Sequence[Mark]) -> tuple[MarkChange, ...]:
    """Sum up marks: of attempts that were only sent, and of those that were started or put back."""
    sums: dict[bytes, Marks] = {}
    touched: set[bytes] = set()
    for mark in marks:
        name = field_of(mark.attempt)
        sums[name] = marked(sums.get(name, Marks()), mark, 0)
        if mark.kind is not MarkKind.SENT:
            touched.add(name)
    names = sorted(sums)
    changes = (
        MarkChange(is_started, {name: sums[name] for name in names if (name in touched) is is_started})
        for is_started in (False, True)
    )
    return tuple(change for change in changes if change.marks)


def mark_by_steps(
    connection: Connection, kind: Kind, namespace: bytes, key: WorkflowKey, changes: Sequence[MarkChange]
) -> int:
    """Write marks within a transaction, unless the workflow is gone; give the time."""
    head = now_beside(WORKFLOWS, key_is(namespace, key), WORKFLOWS.c.number).with_for_update(read=True)
    row = connection.execute(head).one()
    number: int | None = row.number
    if number is not None:
        for change in changes:
            rows = [_row(number, name, it, row.now_ms) for name, it in change.marks.items()]
            connection.execute(insert_or_change(kind, MARKS, partial(_changed_columns, change.is_started)), rows)
    return int(row.now_ms)


def _changed_columns(is_started: bool, new: Any) -> dict[str, Any]:  # noqa: FBT001  # the first is bound
    sent = {"sent": MARKS.c.sent + new.sent, "sent_ms": func.coalesce(new.sent_ms, MARKS.c.sent_ms)}
    return {**sent, **{name: new[name] for name in ("started_ms", "worker", "boot")}} if is_started else sent


def _row(number: int, name: bytes, marks: Marks, now_ms: int) -> dict[str, Any]:
    return {
        "workflow": number,
        "attempt": name,
        "sent": marks.sent,
        "sent_ms": None if marks.sent_ms is None else now_ms,
        "started_ms": None if marks.started_ms is None else now_ms,
        "worker": marks.worker,
        "boot": marks.boot,
    }
