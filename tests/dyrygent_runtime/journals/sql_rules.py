"""Rules for a SQL journal on any database, beside the suite's: races of processes (J1, J5), and its tables."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import pytest
from attrs import evolve

from dyrygent_core import Attempt, DeadlinePassed, Succeeded, WorkflowState
from dyrygent_core.errors import JournalError, JournalUnavailableError, UnsupportedVersionError
from dyrygent_core.ports import Journal, Mark, MarkKind, Query, Seen, StoredSnapshot, WorkflowKey
from dyrygent_runtime.journals.sql import SqlJournal, Tables
from dyrygent_testing.journal_basis import LATER_MS, add, new_workflow
from tests.dyrygent_runtime.journals.process_rules import ProcessRules, append_often, forked, join
from tests.dyrygent_runtime.journals.sql_sabotage import Outsider

_A: Final = Attempt("a")
_PROCESSES: Final = 10


class SqlRules(ProcessRules):
    """A subclass has the fixtures `url`, of the database of the suite, and `empty`, which lends another one."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def empty(self) -> Callable[[], AbstractContextManager[str]]:
        raise NotImplementedError

    @pytest.fixture
    def outsider(self, url: str) -> Outsider:
        return Outsider(url)

    # Races

    def test_j1_ten_processes_race_on_one_workflow(
        self, make_journal: Callable[[str], Journal], namespace: str
    ) -> None:
        """Positions have no gap, everybody sees every entry once, and no entry is older than the one before (J4)."""
        journal = make_journal(namespace)
        key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key
        journal.dispose()

        def work(name: str) -> None:
            own = make_journal(namespace)
            append_often(own, key, name, turns=8)
            own.dispose()

        assert join([forked(lambda name=f"p{it}": work(name)) for it in range(_PROCESSES)]) == [0] * _PROCESSES
        entries = journal.read(key)
        assert [entry.position for entry in entries] == list(range(1, 2 + 8 * _PROCESSES))
        times = [entry.observation.at_ms for entry in entries]
        assert times == sorted(times)
        journal.dispose()

    def test_j5_ten_sweepers_claim_a_hundred(
        self, make_journal: Callable[[str], Journal], namespace: str, tmp_path: Path
    ) -> None:
        """Each workflow is claimed once, and all are."""
        journal = make_journal(namespace)
        created = [journal.create(new_workflow(f"w{it}"), nonce="n", due_in_ms=0).key.id for it in range(100)]
        journal.dispose()

        def sweep(number: int) -> None:
            own, mine = make_journal(namespace), list[str]()
            while claimed := own.due(limit=7, claim_ms=LATER_MS):
                mine += [it.key.id for it in claimed]
            (tmp_path / str(number)).write_text(json.dumps(mine))
            own.dispose()

        assert join([forked(lambda number=it: sweep(number)) for it in range(_PROCESSES)]) == [0] * _PROCESSES
        claimed = [name for it in range(_PROCESSES) for name in json.loads((tmp_path / str(it)).read_text())]
        claimed += [it.key.id for it in journal.due(limit=100, claim_ms=LATER_MS)]  # what others had locked at the end
        assert sorted(claimed) == sorted(created)
        journal.dispose()

    def test_marks_of_one_attempt_by_many_processes_all_count(self, journal: Journal, key: WorkflowKey) -> None:
        """A sending that another marks at the same time is not lost."""
        marks = [Mark(MarkKind.SENT, _A), Mark(MarkKind.SENT, Attempt("b"))]

        def work(number: int) -> None:
            for _ in range(5):
                journal.mark(key, marks[:: 1 if number % 2 else -1])
            journal.dispose()

        assert join([forked(lambda number=it: work(number)) for it in range(4)]) == [0] * 4
        assert [it.sent for it in journal.marks(key, [_A, Attempt("b")]).values()] == [20, 20]

    # Values

    def test_a_row_holds_several_mebibytes(self, journal: Journal) -> None:
        """Definition, call, snapshot and result come back whole, however long."""
        long = os.urandom(3 << 20)
        workflow = evolve(new_workflow(calls=[long]), definition=long)
        key = journal.create(workflow, nonce="n", due_in_ms=LATER_MS).key
        journal.append(key, [Succeeded(_A)], seen=Seen(), nonce="n", results={_A: long})
        journal.keep_snapshot(key, StoredSnapshot(Seen(1, "n"), long))

        stored = journal.definition(key.id)
        assert stored.definition == long
        assert stored.snapshot is not None
        assert stored.snapshot.data == long
        assert journal.calls(key, [0]) == {0: long}
        assert journal.results(key, [_A]) == {_A: long}
        journal.delete(key)

    def test_j10_a_purge_takes_several_transactions(self, journal: Journal) -> None:
        """Many workflows, and long ones, are deleted some at a time, to the number that was asked for."""
        for number in range(60):
            key = journal.create(new_workflow(f"w{number}"), nonce="n", due_in_ms=LATER_MS).key
            journal.close(key, at=1, state=WorkflowState.SUCCESS)

        assert journal.purge(closed_for_ms=0, limit=0) == 0
        assert journal.purge(closed_for_ms=0, limit=55) == 55
        assert len(journal.list(Query(), limit=99).items) == 5
        assert journal.purge(closed_for_ms=0, limit=99) == 5

    def test_j10_a_long_workflow_is_purged_alone(
        self, journal: Journal, monkeypatch: pytest.MonkeyPatch, key: WorkflowKey
    ) -> None:
        """However many entries it has."""
        monkeypatch.setattr("dyrygent_runtime.journals.sql.due._MOST_ENTRIES_DELETED", 2)
        other = journal.create(new_workflow("other"), nonce="n", due_in_ms=LATER_MS).key
        add(journal, key, *[DeadlinePassed()] * 4)
        for name, at in ((key, 5), (other, 1)):
            journal.close(name, at=at, state=WorkflowState.SUCCESS)

        assert journal.purge(closed_for_ms=0, limit=99) == 2

    # Tables

    def test_ten_processes_make_the_tables_at_once(self, empty: Callable[[], AbstractContextManager[str]]) -> None:
        """One does and the others wait, whether they ask for it or just begin."""

        def work(url: str, number: int) -> None:
            journal = SqlJournal(url, tables=Tables.BEFOREHAND if number % 2 else Tables.WHEN_NEEDED)
            if number % 2:
                journal.create_schema()
            journal.create(new_workflow(f"w{number}"), nonce="n", due_in_ms=LATER_MS)
            journal.dispose()

        with empty() as url:
            codes = join([forked(lambda number=it: work(url, number)) for it in range(_PROCESSES)])
            tables = Outsider(url).tables()

        assert codes == [0] * _PROCESSES
        assert tables["dyrygent_schema"] == [(2,)]
        assert len(tables["dyrygent_workflows"]) == _PROCESSES

    def test_tables_that_were_to_be_made_beforehand_are_asked_for(
        self, empty: Callable[[], AbstractContextManager[str]]
    ) -> None:
        """Without them the error says what to call; nothing is made."""
        with empty() as url:
            journal = SqlJournal(url, tables=Tables.BEFOREHAND)
            with pytest.raises(JournalError, match=r"no tables .*create_schema\(\)") as refused:
                journal.definition("w")
            assert not isinstance(refused.value, JournalUnavailableError)
            assert Outsider(url).tables() == {}

            journal.create_schema()
            journal.create_schema()
            assert journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).is_new
            journal.dispose()

    def test_tables_of_a_newer_release_are_left_alone(self, empty: Callable[[], AbstractContextManager[str]]) -> None:
        """Nothing is read or written there, whoever asks and for what."""
        with empty() as url:
            old = SqlJournal(url)
            key = old.create(new_workflow(), nonce="n", due_in_ms=0).key
            old.dispose()
            outsider = Outsider(url)
            outsider.run("UPDATE dyrygent_schema SET version = 3")
            before = outsider.tables()

            journal = SqlJournal(url)
            asked: list[Callable[[], object]] = [
                lambda: journal.read(key),
                lambda: journal.due(limit=1, claim_ms=1),
                lambda: journal.append(key, [Succeeded(_A)], seen=Seen(), nonce="n"),
                journal.create_schema,
            ]
            for ask in asked:
                with pytest.raises(UnsupportedVersionError, match="version 3, and this release knows 2"):
                    ask()
            journal.dispose()
            assert outsider.tables() == before
