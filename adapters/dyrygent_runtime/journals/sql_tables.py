"""The tables of the SQL journal.

Texts that users choose (ids, names) are compared code point by code point, so they are kept as their UTF-8 bytes:
collations of databases differ. Lengths fit the indexes of every database that is to follow SQLite.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text

__all__ = [
    "ANNOTATIONS",
    "CALLS",
    "DEFINITIONS",
    "ENTRIES",
    "LEASES",
    "MARKS",
    "METADATA",
    "OF_WORKFLOW",
    "RESULTS",
    "WORKFLOWS",
]

METADATA: Final = MetaData()

_NAME_BYTES: Final = 1_020
"""255 characters in UTF-8."""
_INCARNATION_CHARACTERS: Final = 20


def _of(name: str, *columns: Column[object]) -> Table:
    """Make a table of rows that belong to one incarnation of a workflow."""
    workflow = Column(
        "workflow", Integer().with_variant(BigInteger(), "postgresql", "mysql", "mariadb"), primary_key=True
    )
    return Table(f"dyrygent_{name}", METADATA, workflow, *columns)


WORKFLOWS: Final = Table(
    "dyrygent_workflows",
    METADATA,
    Column(
        "number",
        Integer().with_variant(BigInteger(), "postgresql", "mysql", "mariadb"),
        primary_key=True,
        autoincrement=True,
    ),
    Column("namespace", LargeBinary(_NAME_BYTES), nullable=False),
    Column("id", LargeBinary(_NAME_BYTES), nullable=False),
    Column("incarnation", String(_INCARNATION_CHARACTERS), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("length", Integer, nullable=False),
    Column("due_ms", BigInteger),
    Index("dyrygent_workflow_ids", "namespace", "id", unique=True),
    Index("dyrygent_workflow_due", "namespace", "due_ms"),
    sqlite_autoincrement=True,  # a number is never used again, so no late write can reach another workflow
)

# Apart from its workflow's row, which each append rewrites whole.
DEFINITIONS: Final = _of("definitions", Column("definition", LargeBinary, nullable=False))
ENTRIES: Final = _of(
    "entries",
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("nonce", String(32), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("observation", Text, nullable=False),
)
CALLS: Final = _of(
    "calls",
    Column("node", Integer, primary_key=True, autoincrement=False),
    Column("call", LargeBinary, nullable=False),
)
RESULTS: Final = _of(
    "results",
    Column("attempt", LargeBinary(_NAME_BYTES + 24), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
MARKS: Final = _of(
    "marks",
    Column("attempt", LargeBinary(_NAME_BYTES + 24), primary_key=True),
    Column("sent", Integer, nullable=False),
    Column("sent_ms", BigInteger),
    Column("started_ms", BigInteger),
    Column("worker", Text, nullable=False),
    Column("boot", Text, nullable=False),
)
ANNOTATIONS: Final = _of(
    "annotations",
    Column("name", LargeBinary(_NAME_BYTES), primary_key=True),
    Column("value", Text, nullable=False),
)

OF_WORKFLOW: Final = (DEFINITIONS, ENTRIES, CALLS, RESULTS, MARKS, ANNOTATIONS)

LEASES: Final = Table(
    "dyrygent_leases",
    METADATA,
    Column("namespace", LargeBinary(_NAME_BYTES), primary_key=True),
    Column("worker", LargeBinary(_NAME_BYTES), primary_key=True),
    Column("boot", String(32), primary_key=True),
    Column("names", Text, nullable=False),
    Column("renewed_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("previous", Text),
    Column("previous_ms", BigInteger),
)
