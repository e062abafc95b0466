"""The SQL journal on SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

import pytest
from sqlalchemy import Connection

from dyrygent_core import Attempt, Lost, Succeeded, WorkflowState
from dyrygent_core.errors import JournalError, JournalUnavailableError, UnsupportedVersionError
from dyrygent_core.ports import (
    Entry,
    Journal,
    Lease,
    Mark,
    MarkKind,
    Query,
    Seen,
    StoredSnapshot,
    WorkflowKey,
)
from dyrygent_runtime.journals.sql import SqlJournal, Tables
from dyrygent_testing import JournalSuite
from dyrygent_testing.journal_basis import LATER_MS, add, new_workflow
from tests.dyrygent_runtime.journals.process_rules import append_often, forked, join
from tests.dyrygent_runtime.journals.sql_rules import SqlRules

_A = Attempt("a")


class TestSqliteJournal(SqlRules, JournalSuite):
    """The suite, and the rules for several processes and for databases."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/journal.db"

    @pytest.fixture
    def make_journal(self, url: str) -> Callable[[str], Journal]:
        return lambda namespace: SqlJournal(url, namespace)

    @pytest.fixture
    def empty(self, tmp_path: Path) -> Callable[[], AbstractContextManager[str]]:
        return lambda: nullcontext(f"sqlite:///{tmp_path}/empty.db")


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


# A file that is in use, full, or not to be written


def test_j9_a_file_that_is_locked_for_too_long_is_unavailable(path: Path, journal: SqlJournal) -> None:
    """Who waits for another's write waits as long as the URL says; 30 seconds if it says nothing."""
    key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key
    hasty = SqlJournal(f"sqlite:///{path}?timeout=0.05", "n")
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalUnavailableError, match="database is locked"):
            add(hasty, key, Lost(_A))
        assert len(hasty.read(key)) == 1
        holder.execute("ROLLBACK")

    assert add(hasty, key, Lost(_A)).first == 2


def test_j9_a_full_disk_is_unavailable(journal: SqlJournal) -> None:
    """What does not fit is not there in part, and fits when there is room."""
    key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key
    _limit_pages(journal, 60)
    value = bytes(1 << 20)
    with pytest.raises(JournalUnavailableError, match="full"):
        journal.append(key, [Succeeded(_A)], seen=Seen(), nonce="n", results={_A: value})
    assert len(journal.read(key)) == 1
    assert journal.results(key, [_A]) == {}

    _limit_pages(journal, 1_000_000)
    assert journal.append(key, [Succeeded(_A)], seen=Seen(), nonce="n", results={_A: value}).first == 2


def _limit_pages(journal: SqlJournal, count: int) -> None:
    """Limit the file, for the one connection that a journal has which is used by one thread."""
    journal._database.read(lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count = {count}").scalar())


def test_j9_a_read_only_file_can_be_read(path: Path, journal: SqlJournal) -> None:
    """What is written is refused as long as it lasts."""
    key = journal.create(new_workflow(), nonce="n", due_in_ms=0).key
    reader = SqlJournal(f"sqlite:///file:{path}?mode=ro&uri=true", "n")

    assert len(reader.read(key)) == 1
    for ask in (lambda: add(reader, key, Lost(_A)), lambda: reader.due(limit=1, claim_ms=1)):
        with pytest.raises(JournalUnavailableError, match="readonly"):
            ask()
    assert len(journal.read(key)) == 1


# Tables of the release before


@pytest.fixture
def old(path: Path) -> Path:
    """Give a file that release 0.1 has left: its tables had no version."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(Path(__file__).with_name("version_1.sql").read_text(encoding="utf-8"))
    return path


@pytest.mark.usefixtures("old")
def test_tables_of_version_1_are_brought_up_to_date(journal: SqlJournal) -> None:
    """Nothing is lost, and what was not known then is found out: a closed workflow is due once more, to be closed."""
    opened, closed = WorkflowKey("open", "1"), WorkflowKey("closed", "1")

    for key, created_ms, at_ms in ((opened, 1795886378612, 1795886378628), (closed, 1795886378663, 1795886378680)):
        stored = journal.definition(key.id)
        assert (stored.key, stored.definition, stored.is_open, stored.snapshot) == (key, b"def", True, None)
        assert stored.created_ms == created_ms
        assert journal.read(key, after=1) == (Entry(2, "m", Lost(_A, at_ms=at_ms)),)
        assert journal.calls(key, [0]) == {0: b"c"}
        assert journal.results(key, [_A]) == {_A: b"r"}
        assert journal.marks(key, [_A])[_A].worker == "w"
        assert journal.annotations(key) == {"x": 1}
    assert [it.key for it in journal.due(limit=9, claim_ms=LATER_MS)] == [closed]

    assert journal.close(closed, at=2, state=WorkflowState.FAILURE)
    listed = journal.list(Query(), limit=9).items
    assert [(it.key, it.state) for it in listed] == [(closed, WorkflowState.FAILURE), (opened, WorkflowState.RUNNING)]
    assert [(it.name, it.tags) for it in listed] == [("", ())] * 2


def test_tables_that_were_brought_up_are_like_new_ones(old: Path, tmp_path: Path, journal: SqlJournal) -> None:
    """The same tables, columns and indexes."""
    journal.create_schema()
    SqlJournal(f"sqlite:///{tmp_path}/new.db").create_schema()

    assert _schema(old) == _schema(tmp_path / "new.db")
    assert _execute(old, "SELECT version FROM dyrygent_schema") == [(2,)]


def _schema(path: Path) -> set[object]:
    tables = [str(name) for (name,) in _execute(path, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    columns = {(table, *column[1:4]) for table in tables for column in _execute(path, f"PRAGMA table_info({table})")}
    return columns | set(_execute(path, "SELECT tbl_name, sql FROM sqlite_master WHERE type = 'index'"))


@pytest.mark.usefixtures("old")
def test_of_processes_that_find_version_1_one_brings_it_up(journal: SqlJournal) -> None:
    """The others wait for it."""

    def work(name: str) -> None:
        append_often(journal, WorkflowKey("open", "1"), name, turns=3)

    assert join([forked(lambda name=f"p{it}": work(name)) for it in range(4)]) == [0] * 4
    assert len(journal.read(WorkflowKey("open", "1"))) == 2 + 4 * 3


def test_tables_of_version_1_are_not_brought_up_where_that_is_anothers_to_do(old: Path) -> None:
    """Then nothing is changed."""
    before = _schema(old), _execute(old, "SELECT * FROM dyrygent_workflows")
    journal = SqlJournal(f"sqlite:///{old}", "n", tables=Tables.BEFOREHAND)

    with pytest.raises(JournalError, match="tables of version 1, not 2"):
        journal.definition("open")
    assert (_schema(old), _execute(old, "SELECT * FROM dyrygent_workflows")) == before
