"""How PostgreSQL is told, within a statement, that its transaction need not wait for the disk.

For hints: marks, claims, due times. A crash of the server may lose the last of them, and leaves all else whole.
SQLite is told by `SqlConnection.hint`. MySQL has no such word for a single transaction.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, func, true

__all__ = ["RELAXED", "RELAXED_TEXT"]

RELAXED: Final[ColumnElement[str]] = func.set_config("synchronous_commit", "off", true())
RELAXED_TEXT: Final = "set_config('synchronous_commit', 'off', TRUE)"
