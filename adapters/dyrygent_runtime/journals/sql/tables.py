"""The tables of the SQL journal, in their present version. How they come to be, `schema` decides.

Texts that users choose (ids, names, tags) are compared code point by code point, so they are kept as their UTF-8
bytes: collations of databases differ. Their lengths fit the indexes of all databases, of which InnoDB's are the
shortest (3,072 bytes). What grows is `LONGBLOB` or `LONGTEXT` on MySQL, whose plain `BLOB` ends at 64 KiB.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

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
    "SCHEMA",
    "SNAPSHOTS",
    "TAGS",
    "WORKFLOWS",
]

METADATA: Final = MetaData()

_MYSQL: Final = ("mysql", "mariadb")
_NAME_BYTES: Final = 1_020
"""255 characters in UTF-8."""
_IN_MYSQL: Final[dict[str, Any]] = {
    f"{name}_{option}": value
    for name in _MYSQL
    for option, value in (("engine", "InnoDB"), ("row_format", "DYNAMIC"), ("charset", "utf8mb4"))
}


def _bytes(length: int) -> TypeEngine[bytes]:
    return LargeBinary(length).with_variant(mysql.VARBINARY(length), *_MYSQL)


def _letters(length: int) -> TypeEngine[str]:
    """Give a type for short texts of our own making, told apart by their case too."""
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return String(length).with_variant(exact, *_MYSQL)


_NAME: Final = _bytes(_NAME_BYTES)
_ATTEMPT: Final = _bytes(_NAME_BYTES + 24)
_BLOB: Final = LargeBinary().with_variant(mysql.LONGBLOB(), *_MYSQL)
_TEXT: Final = Text().with_variant(mysql.LONGTEXT(), *_MYSQL)
_NUMBER: Final = Integer().with_variant(BigInteger(), "postgresql", *_MYSQL)


def _of(name: str, *parts: Column[Any] | Index) -> Table:
    """Make a table of rows that belong to one incarnation of a workflow."""
    workflow = Column("workflow", _NUMBER, primary_key=True, autoincrement=False)
    return Table(f"dyrygent_{name}", METADATA, workflow, *parts, **_IN_MYSQL)


SCHEMA: Final = Table(
    "dyrygent_schema",
    METADATA,
    Column("version", Integer, primary_key=True, autoincrement=False),
    **_IN_MYSQL,
)

WORKFLOWS: Final = Table(
    "dyrygent_workflows",
    METADATA,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("namespace", _NAME, nullable=False),
    Column("id", _NAME, nullable=False),
    Column("incarnation", _letters(20), nullable=False),
    Column("digest", _letters(64), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("length", Integer, nullable=False),
    Column("due_ms", BigInteger),
    Column("name", _NAME, nullable=False),
    Column("state", _letters(16), nullable=False),
    Column("closed_ms", BigInteger),
    Column("watched_ms", BigInteger),  # until when an append is to call those who wait; see `listener`
    sqlite_autoincrement=True,  # a number is never used again, so no late write can reach another workflow
    **_IN_MYSQL,
)
Index("dyrygent_workflow_ids", WORKFLOWS.c.namespace, WORKFLOWS.c.id, unique=True)
Index("dyrygent_workflow_due", WORKFLOWS.c.namespace, WORKFLOWS.c.due_ms)
Index("dyrygent_workflow_created", WORKFLOWS.c.namespace, WORKFLOWS.c.created_ms.desc(), WORKFLOWS.c.id)
Index("dyrygent_workflow_names", WORKFLOWS.c.namespace, WORKFLOWS.c.name, WORKFLOWS.c.created_ms.desc())
Index("dyrygent_workflow_states", WORKFLOWS.c.namespace, WORKFLOWS.c.state, WORKFLOWS.c.created_ms.desc())
Index("dyrygent_workflow_closed", WORKFLOWS.c.namespace, WORKFLOWS.c.closed_ms)

# Apart from its workflow's row, which each append rewrites whole.
DEFINITIONS: Final = _of("definitions", Column("definition", _BLOB, nullable=False))
ENTRIES: Final = _of(
    "entries",
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("nonce", _letters(32), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("observation", _TEXT, nullable=False),
)
CALLS: Final = _of(
    "calls",
    Column("node", Integer, primary_key=True, autoincrement=False),
    Column("call", _BLOB, nullable=False),
)
RESULTS: Final = _of(
    "results",
    Column("attempt", _ATTEMPT, primary_key=True),
    Column("value", _BLOB, nullable=False),
)
MARKS: Final = _of(
    "marks",
    Column("attempt", _ATTEMPT, primary_key=True),
    Column("sent", Integer, nullable=False),
    Column("sent_ms", BigInteger),
    Column("started_ms", BigInteger),
    Column("worker", _TEXT, nullable=False),
    Column("boot", _TEXT, nullable=False),
)
ANNOTATIONS: Final = _of(
    "annotations",
    Column("name", _NAME, primary_key=True),
    Column("value", _TEXT, nullable=False),
)
TAGS: Final = _of(
    "tags",
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("tag", _NAME, nullable=False),
    Index("dyrygent_tag_workflows", "tag", "workflow"),
)
SNAPSHOTS: Final = _of(
    "snapshots",
    Column("position", Integer, nullable=False),
    Column("nonce", _letters(32), nullable=False),
    Column("data", _BLOB, nullable=False),
)

OF_WORKFLOW: Final = (DEFINITIONS, ENTRIES, CALLS, RESULTS, MARKS, ANNOTATIONS, TAGS, SNAPSHOTS)

LEASES: Final = Table(
    "dyrygent_leases",
    METADATA,
    Column("namespace", _NAME, primary_key=True),
    Column("worker", _NAME, primary_key=True),
    Column("boot", _letters(32), primary_key=True),
    Column("names", _TEXT, nullable=False),
    Column("renewed_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("previous", _TEXT),
    Column("previous_ms", BigInteger),
    **_IN_MYSQL,
)
