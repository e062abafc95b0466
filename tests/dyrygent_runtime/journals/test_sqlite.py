"""The SQL journal on SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection

from dyrygent_core import Attempt, Lost, Succeeded
from dyrygent_core.errors import JournalError, JournalUnavailableError, UnsupportedVersionError
from dyrygent_core.ports import Journal, Lease, Mark, MarkKind, Seen, StoredSnapshot
from dyrygent_runtime.journals.sql import SqlJournal
from dyrygent_testing import JournalSuite
from dyrygent_testing.journal_basis import LATER_MS, add, new_workflow
from tests.dyrygent_runtime.journals.process_rules import ProcessRules

_A = Attempt("a")


class TestSqliteJournal(ProcessRules, JournalSuite):
    """The suite, and the rules for several processes."""

    @pytest.fixture
    def make_journal(self, tmp_path: Path) -> Callable[[str], Journal]:
        return lambda namespace: SqlJournal(f"sqlite:///{tmp_path}/journal.db", namespace)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> SqlJournal:
    return SqlJournal(f"sqlite:///{path}", "n")


def _execute(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement).fetchall()


def test_j9_a_database_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    """Where there is no file, nor a folder to make it in, the error is ours and its cause the library's."""
    journal = SqlJournal(f"sqlite:///{tmp_path}/nowhere/journal.db")

    with pytest.raises(JournalUnavailableError, match="unable to open database file") as problem:
        journal.create(new_workflow(), nonce="n", due_in_ms=0)
    assert problem.value.__cause__ is not None


def test_j9_a_file_that_is_no_database_is_an_error_of_the_journal(path: Path) -> None:
    """It will not get better by waiting, so it is not called unavailable."""
    path.write_text("some other file\n" * 100)

    with pytest.raises(JournalError, match="not a database") as problem:
        SqlJournal(f"sqlite:///{path}").definition("w")
    assert not isinstance(problem.value, JournalUnavailableError)
    assert path.read_text() == "some other file\n" * 100


def test_errors_show_no_values(path: Path, journal: SqlJournal) -> None:
    """Neither an error nor its cause tells what was being written."""
    key = journal.create(new_workflow(), nonce="n", due_in_ms=0).key
    _execute(path, "DROP TABLE dyrygent_results")

    with pytest.raises(JournalUnavailableError) as problem:
        journal.append(key, [Succeeded(_A)], seen=Seen(), nonce="n", results={_A: b"secret"})
    assert "secret" not in f"{problem.value} {problem.value.__cause__}"
    assert len(journal.read(key)) == 1


@pytest.mark.parametrize("text", ['{"v":99,"t":"begin"}', '{"v":1,"t":"unheard_of"}', "no JSON"])
def test_an_entry_of_an_unknown_version_is_refused(path: Path, journal: SqlJournal, text: str) -> None:
    """What a newer release wrote is not read, and stays as it is; what is appended beside it is recorded."""
    key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key
    journal.append(key, [Lost(_A)], seen=Seen(1, "n"), nonce="n")
    _execute(path, f"UPDATE dyrygent_entries SET observation = '{text}' WHERE position = 2")  # noqa: S608  # ours
    before = _execute(path, "SELECT * FROM dyrygent_entries")

    with pytest.raises(UnsupportedVersionError):
        journal.read(key)
    assert _execute(path, "SELECT * FROM dyrygent_entries") == before
    assert len(journal.read(key, after=2)) == 0

    appended = journal.append(key, [Lost(_A)], seen=Seen(1, "n"), nonce="n")
    assert (appended.first, appended.missed, appended.has_diverged) == (3, (), True)
    assert _execute(path, "SELECT * FROM dyrygent_entries WHERE position < 3") == before


def test_deleting_all_workflows_leaves_only_leases(path: Path, journal: SqlJournal) -> None:
    """No table keeps a row of a workflow that was deleted."""
    key = journal.create(new_workflow(tags=("eu",)), nonce="n", due_in_ms=0).key
    journal.append(key, [Succeeded(_A)], seen=Seen(), nonce="n", results={_A: b"value"})
    journal.mark(key, [Mark(MarkKind.SENT, _A)])
    journal.annotate(key, {"name": 1})
    journal.keep_snapshot(key, StoredSnapshot(Seen(1, "n"), b"state"))
    journal.renew_lease(Lease("w", "1"), ttl_ms=LATER_MS)
    tables = sorted(
        {str(name) for (name,) in _execute(path, "SELECT tbl_name FROM sqlite_master WHERE name LIKE 'dyrygent%'")}
    )
    assert all(_execute(path, f"SELECT * FROM {table}") for table in tables)  # noqa: S608  # ours

    journal.delete(key)

    assert len(tables) > 5
    left = [table for table in tables if _execute(path, f"SELECT * FROM {table}")]  # noqa: S608  # ours
    assert left == ["dyrygent_leases", "dyrygent_schema"]


def test_old_leases_are_dropped(path: Path, journal: SqlJournal) -> None:
    """A lease that has been over for a day is told of no longer, and goes with the next renewal."""
    journal.renew_lease(Lease("old", "1"), ttl_ms=0)
    journal.renew_lease(Lease("new", "1"), ttl_ms=0)
    _execute(path, "UPDATE dyrygent_leases SET expires_ms = expires_ms - 90000000 WHERE worker = CAST('old' AS BLOB)")

    assert [view.lease.worker for view in journal.leases()[0]] == ["new"]
    journal.renew_lease(Lease("new", "1"), ttl_ms=0)
    assert _execute(path, "SELECT count(*) FROM dyrygent_leases") == [(1,)]


def test_what_was_answered_is_on_the_disk(journal: SqlJournal) -> None:
    """Appends are synchronous, also on a connection that wrote a hint before."""
    key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key
    for _ in range(2):
        assert journal._database.write(_pragmas) == (2, "wal")
        journal.mark(key, [Mark(MarkKind.SENT, _A)])


def _pragmas(connection: Connection) -> tuple[object, ...]:
    return tuple(connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "journal_mode"))


def test_an_append_does_not_rewrite_the_definition(path: Path, journal: SqlJournal) -> None:
    """A workflow's row, which each append changes, holds nothing large."""
    columns = _columns(path, journal)

    assert "definition" not in columns
    assert {"length", "due_ms"} <= columns


def _columns(path: Path, journal: SqlJournal) -> set[object]:
    add(journal, journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key, Lost(_A))
    return {row[1] for row in _execute(path, "PRAGMA table_info(dyrygent_workflows)")}
