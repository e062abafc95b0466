"""Leases: renewed by a worker, with the names of the time before; told of for a day after they ran out."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, Row, and_, delete, select

from dyrygent_core.ports import Lease, LeaseView
from dyrygent_runtime.journals.sql.addresses import Kind
from dyrygent_runtime.journals.sql.heads import now_beside
from dyrygent_runtime.journals.sql.tables import LEASES
from dyrygent_runtime.journals.sql.times import NOW_MS, START_MS
from dyrygent_runtime.journals.sql.upserts import insert_or_change
from dyrygent_runtime.journals.writing import lease_of, lease_text

__all__ = ["read_leases", "renew_lease"]

_DAY_MS: Final = 86_400_000


def renew_lease(connection: Connection, kind: Kind, namespace: bytes, lease: Lease, ttl_ms: int) -> int:
    """Renew or begin a lease within a transaction, and drop old ones; give the time."""
    now_ms = int(connection.execute(select(NOW_MS)).scalar_one())
    row = {
        "namespace": namespace,
        "worker": lease.worker.encode(),
        "boot": lease.boot,
        "names": lease_text(lease),
        "renewed_ms": now_ms,
        "expires_ms": now_ms + ttl_ms,
    }
    connection.execute(insert_or_change(kind, LEASES, _renewed_columns), row)
    connection.execute(delete(LEASES).where(LEASES.c.namespace == namespace, LEASES.c.expires_ms < now_ms - _DAY_MS))
    return now_ms


def read_leases(connection: Connection, namespace: bytes) -> tuple[tuple[LeaseView, ...], int]:
    """Read the leases of a namespace and the time."""
    fresh = and_(LEASES.c.namespace == namespace, LEASES.c.expires_ms >= START_MS - _DAY_MS)
    rows = connection.execute(now_beside(LEASES, fresh, *LEASES.c)).all()
    return tuple(_lease_view(row) for row in rows if row.worker is not None), int(rows[0].now_ms)


def _renewed_columns(new: Any) -> dict[str, Any]:
    before = {"previous": LEASES.c.names, "previous_ms": LEASES.c.renewed_ms}
    return {**before, **{name: new[name] for name in ("names", "renewed_ms", "expires_ms")}}


def _lease_view(row: Row[*tuple[Any, ...]]) -> LeaseView:
    worker = row.worker.decode()
    previous = None if row.previous is None else lease_of(worker, row.boot, row.previous)
    return LeaseView(lease_of(worker, row.boot, row.names), row.renewed_ms, row.expires_ms, previous, row.previous_ms)
