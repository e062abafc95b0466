"""What went wrong in a database, sorted by what can be done about it, and told as an error of ours.

Databases number their errors: PostgreSQL by SQLSTATE (its manual, appendix A), MySQL and MariaDB by numbers of their
own (include/mysqld_ername.h, libmariadb's errmsg.h). Where SQLAlchemy and the driver see that the connection is gone,
that is believed without looking at the number.

Texts are cut at their first line, for the lines below may show values.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, Final, cast

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from dyrygent_core.errors import JournalError, JournalUnavailableError

__all__ = ["Trouble", "error_of", "trouble_of"]


class Trouble(Enum):
    """What an error says of the transaction that it ended."""

    CONFLICT = "conflict"
    """Another was in the way. The database has undone this one for certain, so it can be done again."""
    CUT = "cut"
    """The connection is gone. The transaction is undone too, unless its end had been asked for."""
    AWAY = "away"
    """The database cannot be used now."""
    REFUSED = "refused"
    """Waiting will not help."""


_CONFLICT_STATES: Final = frozenset(
    {
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "23505",  # unique_violation: somebody else wrote the row that was not there a moment ago
    }
)
_AWAY_STATES: Final = frozenset(
    {
        "25006",  # read_only_sql_transaction: a standby, or set to be read only
        "25P03",  # idle_in_transaction_session_timeout
        "55P03",  # lock_not_available: it was waited for as long as is allowed
        "57014",  # query_canceled: a statement's time-out among others
    }
)
_AWAY_CLASSES: Final = (
    "08",  # connection exception
    "53",  # insufficient resources: disk full, out of memory, too many connections
    "57P",  # operator intervention: shutdown, crash, "starting up"
    "58",  # system error
)

_CONFLICT_NUMBERS: Final = frozenset(
    {
        1020,  # record has changed since last read (MariaDB's innodb_snapshot_isolation)
        1062,  # duplicate entry, as 23505
        1213,  # deadlock
    }
)
_CUT_NUMBERS: Final = frozenset(
    {
        1053,  # server shutdown in progress
        1927,  # connection was killed (MariaDB)
        2006,  # server has gone away
        2013,  # lost connection during query; also the driver's own time-outs
        2014,  # commands out of sync
        2055,  # lost connection, with a reason
        4031,  # disconnected for inactivity (MySQL)
    }
)
_AWAY_NUMBERS: Final = frozenset(
    {
        1021,  # disk full
        1026,  # error writing a file
        1030,  # error from the storage engine, of which a full disk is one
        1037,  # out of memory
        1038,  # out of sort memory
        1040,  # too many connections
        1041,  # out of memory
        1047,  # unknown command: a Galera node that is not ready
        1114,  # the table is full
        1180,  # error during COMMIT
        1203,  # max_user_connections
        1205,  # lock wait time-out
        1206,  # the lock table is full
        1226,  # a limit of this user
        1290,  # running with --read-only
        1317,  # query interrupted
        1792,  # read only transaction
        1836,  # read-only mode
        1969,  # max_statement_time (MariaDB)
        2002,  # cannot connect through a socket
        2003,  # cannot connect
        3024,  # max_execution_time (MySQL)
    }
)


def trouble_of(problem: SQLAlchemyError) -> Trouble:
    """Sort an error."""
    if not isinstance(problem, DBAPIError):
        return Trouble.AWAY if isinstance(problem, PoolTimeoutError) else Trouble.REFUSED
    code = _code_of(problem.orig)
    if problem.connection_invalidated or code in _CUT_NUMBERS:
        return Trouble.CUT
    if code in _CONFLICT_STATES or code in _CONFLICT_NUMBERS:
        return Trouble.CONFLICT
    is_without_number = code is None and isinstance(problem, OperationalError | InterfaceError | IntegrityError)
    is_away = code in _AWAY_STATES or code in _AWAY_NUMBERS or str(code).startswith(_AWAY_CLASSES)
    # SQLite numbers nothing, and no server numbers that it is not there.
    return Trouble.AWAY if is_away or is_without_number else Trouble.REFUSED


def error_of(problem: SQLAlchemyError) -> JournalError:
    """Tell an error as one of ours."""
    text = _text_of(problem)
    if trouble_of(problem) is Trouble.REFUSED:
        return JournalError(f"the database refuses this: {text}")
    return JournalUnavailableError(f"the database cannot be used now: {text}")


def _code_of(problem: Any) -> str | int | None:
    """Find the database's own number, which drivers keep in different places."""
    arguments: Sequence[Any] = getattr(problem, "args", ())
    first = arguments[0] if arguments else None
    if isinstance(first, int):  # the drivers of MySQL; 0 stands for errors of their own
        return first or None
    if isinstance(first, dict):  # pg8000
        return str(cast("dict[str, Any]", first).get("C"))
    return getattr(problem, "sqlstate", None) or getattr(problem, "pgcode", None)  # psycopg, psycopg2


def _text_of(problem: SQLAlchemyError) -> str:
    original = getattr(problem, "orig", None) or problem
    return (str(original).splitlines() or [type(original).__name__])[0]
