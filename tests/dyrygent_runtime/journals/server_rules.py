"""Rules for a SQL journal on a server: what breaks, and what the journal makes of it (J9). And what a call costs."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, ClassVar, Final, TypeAlias

import pytest

from dyrygent_core import Attempt, Lost, Succeeded, UsageError
from dyrygent_core.errors import JournalError, JournalUnavailableError
from dyrygent_core.ports import (
    Journal,
    Lease,
    Mark,
    MarkKind,
    Query,
    Seen,
    WorkflowKey,
)
from dyrygent_runtime.journals.sql import SqlJournal
from dyrygent_runtime.journals.sql import engine as sql_engine
from dyrygent_runtime.journals.writing import field_of
from dyrygent_testing.journal_basis import LATER_MS, LIMIT_S, add, eventually, new_workflow
from tests.dyrygent_runtime.journals.sql_rules import SqlRules
from tests.dyrygent_runtime.journals.sql_sabotage import Outsider, Wire

_A: Final = Attempt("a")
_Asked: TypeAlias = Callable[[Journal, WorkflowKey], object]
_ASKED: Final[dict[str, _Asked]] = {
    "append": lambda journal, key: journal.append(key, [Lost(_A), Lost(_A)], seen=Seen(1, "begin"), nonce="n"),
    "append with results": lambda journal, key: journal.append(
        key, [Succeeded(_A)], seen=Seen(1, "begin"), nonce="n", results={_A: b"value", Attempt("b"): b""}
    ),
    "read": lambda journal, key: journal.read(key),
    "definition": lambda journal, key: journal.definition(key.id),
    "calls": lambda journal, key: journal.calls(key, [0, 1]),
    "results": lambda journal, key: journal.results(key, [_A]),
    "mark": lambda journal, key: journal.mark(key, [Mark(MarkKind.SENT, _A), Mark(MarkKind.SENT, Attempt("b"))]),
    "marks": lambda journal, key: journal.marks(key, [_A]),
    "due, nothing": lambda journal, _: journal.due(limit=10, claim_ms=LATER_MS),
    "due, claimed": lambda journal, _: journal.due(limit=10, claim_ms=LATER_MS),
    "rest": lambda journal, key: journal.rest(key, in_ms=LATER_MS),
    "remind": lambda journal, key: journal.remind(key, in_ms=LATER_MS),
    "annotations": lambda journal, key: journal.annotations(key),
    "renew_lease": lambda journal, _: journal.renew_lease(Lease("w", "1"), ttl_ms=LATER_MS),
    "leases": lambda journal, _: journal.leases(),
    "watch, there": lambda journal, key: journal.watch(key, after=0, timeout_ms=LATER_MS),
    "list": lambda journal, _: journal.list(Query(), limit=100),
}


class ServerRules(SqlRules):
    """A subclass says what its server calls things, and what its calls cost."""

    round_trips: ClassVar[Mapping[str, int]]
    read_only: ClassVar[str]
    """The option of a URL with which nothing may be written."""

    @pytest.fixture
    def wire(self, url: str) -> Iterator[Wire]:
        wire = Wire(url)
        yield wire
        wire.close()

    @pytest.fixture
    def behind(self, wire: Wire, namespace: str) -> Iterator[SqlJournal]:
        """Give the journal under test, behind the wire."""
        journal = SqlJournal(wire.url, namespace)
        yield journal
        journal.dispose()

    # What a call costs

    @pytest.mark.parametrize("name", _ASKED)
    def test_a_call_takes_so_many_round_trips(
        self, behind: SqlJournal, key: WorkflowKey, wire: Wire, name: str
    ) -> None:
        """As few as the server allows; what each node costs is cheapest."""
        _ASKED[name](behind, key)  # which connects
        if name == "due, claimed":
            behind.rest(key, in_ms=0)
        before = wire.round_trips
        _ASKED[name](behind, key)

        taken, expected = wire.round_trips - before, self.round_trips[name]
        assert taken == expected, f"it took {taken}"

    # Cuts

    def test_j9_connections_that_were_cut_while_idle_are_not_noticed(
        self, journal: Journal, outsider: Outsider, key: WorkflowKey
    ) -> None:
        """A server that was restarted since the last call costs the next one an attempt, and its caller nothing."""
        add(journal, key, Lost(_A))
        for ask in (lambda: add(journal, key, Lost(_A)), lambda: journal.read(key), lambda: journal.mark(key, [])):
            for number in outsider.others():
                outsider.kill(number)
            ask()

        assert len(journal.read(key)) == 3

    @pytest.mark.parametrize(
        ("request_", "is_after", "is_told", "is_written"),
        [
            (b"INSERT INTO dyrygent_definitions", False, False, True),
            (b"INSERT INTO dyrygent_definitions", True, False, True),
            (rb"COMMIT\b", False, True, False),
            (rb"COMMIT\b", True, True, True),
        ],
    )
    def test_j9_a_transaction_that_is_cut(
        self, behind: SqlJournal, wire: Wire, request_: bytes, *, is_after: bool, is_told: bool, is_written: bool
    ) -> None:
        """Before its COMMIT was sent it is done again; after that its caller is told that it may have happened."""
        behind.create(new_workflow("first"), nonce="n", due_in_ms=LATER_MS)
        workflow = new_workflow("second")
        (wire.cut_after if is_after else wire.cut_before)(request_)
        try:
            assert behind.create(workflow, nonce="n", due_in_ms=LATER_MS).is_new
            assert not is_told
        except JournalUnavailableError:
            assert is_told

        assert {it.key.id for it in behind.list(Query(), limit=9).items} == {"first", *(["second"] * is_written)}
        behind.create(workflow, nonce="n", due_in_ms=LATER_MS)
        assert len(behind.read(workflow.key)) == 1

    def test_j9_reads_are_repeated(self, behind: SqlJournal, wire: Wire, key: WorkflowKey) -> None:
        """A read whose reply is lost is asked again."""
        behind.read(key)
        wire.cut_after(b"")

        assert len(behind.read(key)) == 1

    def test_j9_a_server_that_is_away_is_unavailable(self, wire: Wire, key: WorkflowKey) -> None:
        """Where nothing listens the error is ours, its cause the library's, and neither holds the password."""
        wire.close()
        url = re.sub(r"//.*@", "//somebody:secret@", wire.url)
        journal = SqlJournal(url)

        with pytest.raises(JournalUnavailableError, match="cannot be used now") as problem:
            add(journal, key, Lost(_A))
        assert "secret" not in f"{problem.value} {problem.value.__cause__} {journal!r}"
        journal.dispose()

    def test_j9_a_connection_that_was_in_use_is_closed_when_it_is_given_back(
        self, url: str, namespace: str, outsider: Outsider
    ) -> None:
        """`dispose` in the middle of another thread's call leaves nothing open."""
        journal = SqlJournal(url, namespace)
        has_it, may_go = threading.Event(), threading.Event()

        def hold(_: object) -> None:
            has_it.set()
            may_go.wait(LIMIT_S)

        before = set(outsider.others())
        with ThreadPoolExecutor(1) as pool:
            held = pool.submit(journal._database.read, hold)
            has_it.wait(LIMIT_S)
            journal.dispose()
            assert set(outsider.others()) - before
            may_go.set()
            held.result(LIMIT_S)

        eventually(lambda: not set(outsider.others()) - before)

    # Locks

    def test_j9_a_backend_that_is_killed_while_it_waits(
        self, journal: SqlJournal, outsider: Outsider, key: WorkflowKey
    ) -> None:
        """Its append either happens once all the same, or its caller is told; never twice."""
        lock = f"SELECT number FROM dyrygent_workflows WHERE incarnation = '{key.incarnation}' FOR UPDATE"  # noqa: S608  # ours
        with outsider.holding(lock) as holder, ThreadPoolExecutor(1) as pool:
            appended: Future[Any] = pool.submit(add, journal, key, Lost(_A))
            (number,) = eventually(outsider.waiting)
            outsider.kill(number)
            holder.rollback()
            is_told = isinstance(appended.exception(LIMIT_S), JournalUnavailableError)

        assert len(journal.read(key)) == (1 if is_told else 2)
        assert add(journal, key, Lost(_A)).first == (2 if is_told else 3)

    def test_j1_a_deadlock_is_broken_and_the_append_done_again(
        self, journal: SqlJournal, outsider: Outsider, key: WorkflowKey
    ) -> None:
        """The database chooses the journal's transaction to undo; nobody is told of it."""
        ((number,),) = outsider.run(f"SELECT number FROM dyrygent_workflows WHERE incarnation = '{key.incarnation}'")  # noqa: S608
        with self.heavy_holding(outsider, number) as holder, ThreadPoolExecutor(1) as pool:
            appended = pool.submit(
                journal.append, key, [Succeeded(_A)], seen=Seen(1, "begin"), nonce="n", results={_A: b"ours"}
            )
            eventually(outsider.waiting)
            holder.exec_driver_sql(f"SELECT number FROM dyrygent_workflows WHERE number = {number} FOR UPDATE")  # noqa: S608
            holder.commit()
            assert appended.result(LIMIT_S).first == 2

        assert [entry.nonce for entry in journal.read(key)] == ["begin", "n"]
        assert journal.results(key, [_A]) == {_A: b"theirs"}

    @contextmanager
    def heavy_holding(self, outsider: Outsider, number: int) -> Iterator[Any]:
        """Hold a lock that an append to this workflow needs, in a transaction that is not undone in a deadlock."""
        literal = f"'{field_of(_A).decode()}'"
        theirs = f"INSERT INTO dyrygent_results (workflow, attempt, value) VALUES ({number}, {literal}, 'theirs')"  # noqa: S608
        with outsider.holding(*self.made_heavy, theirs) as connection:
            yield connection

    made_heavy: ClassVar[tuple[str, ...]]
    """What to run so that one's transaction is not the one to be undone."""

    def test_j9_a_call_that_is_broken_off_harms_no_other(
        self, journal: SqlJournal, outsider: Outsider, key: WorkflowKey
    ) -> None:
        """An exception in the middle of it, as time limits raise, leaves no connection behind that answers wrongly."""

        class BrokenOffError(Exception):
            pass

        def break_off(*_: object) -> None:
            raise BrokenOffError

        def signal_once_it_waits() -> None:
            eventually(outsider.waiting)
            os.kill(os.getpid(), signal.SIGUSR1)

        lock = f"SELECT number FROM dyrygent_workflows WHERE incarnation = '{key.incarnation}' FOR UPDATE"  # noqa: S608  # ours
        before = signal.signal(signal.SIGUSR1, break_off)
        try:
            with outsider.holding(lock), ThreadPoolExecutor(1) as pool:
                signalled = pool.submit(signal_once_it_waits)
                with pytest.raises(BrokenOffError):
                    add(journal, key, Lost(_A))
                signalled.result(LIMIT_S)
        finally:
            signal.signal(signal.SIGUSR1, before)

        for number in range(3):  # the one broken off may yet come in between
            first = add(journal, key, Lost(_A), nonce=f"later {number}").first
            entries = journal.read(key)
            assert [entry.position for entry in entries] == list(range(1, 1 + len(entries)))
            assert entries[first - 1].nonce == f"later {number}"

    # What a server says

    def test_an_option_that_the_driver_does_not_know_is_refused(self, url: str) -> None:
        """It is named, and nothing is waited for."""
        journal = SqlJournal(f"{url}?nonsense=1")

        with pytest.raises((UsageError, JournalError), match="nonsense") as refused:
            journal.definition("w")
        assert not isinstance(refused.value, JournalUnavailableError)
        journal.dispose()

    @pytest.fixture
    def refusing(self, journal: Journal, outsider: Outsider) -> Iterator[Journal]:
        """Let the server refuse entries by their nonce, which says with which error, and how often."""
        journal.list(Query(), limit=1)  # which makes the tables
        for statement in self.refusal:
            outsider.run(statement)
        yield journal
        for statement in self.no_refusal:
            outsider.run(statement)

    refusal: ClassVar[tuple[str, ...]]
    no_refusal: ClassVar[tuple[str, ...]]
    conflict: ClassVar[str]
    """An error that says that the transaction is undone."""

    def refused(self, journal: Journal, key: WorkflowKey, code: str) -> JournalError:
        """Append what is always refused with this error; nothing is written."""
        with pytest.raises(JournalError) as problem:
            add(journal, key, Lost(_A), nonce=f"always {code}")
        assert [entry.nonce for entry in journal.read(key)] == ["begin"]
        return problem.value

    def test_j9_conflicts_end(self, refusing: Journal, key: WorkflowKey) -> None:
        """What conflicts again and again is given up, soon enough for its caller to try again."""
        assert isinstance(self.refused(refusing, key, self.conflict), JournalUnavailableError)

    def test_j9_a_conflict_is_done_again(self, refusing: Journal, key: WorkflowKey) -> None:
        """Who was in another's way twice is let through, and written once."""
        add(refusing, key, Lost(_A), nonce=f"twice {self.conflict}")

        assert len(refusing.read(key)) == 2

    def test_j9_a_read_only_store_can_be_read(self, url: str, journal: Journal, key: WorkflowKey) -> None:
        """What is written is refused as long as it lasts."""
        reader = SqlJournal(f"{url}{'&' if '?' in url else '?'}{self.read_only}", journal.namespace)

        assert len(reader.read(key)) == 1
        for ask in (lambda: add(reader, key, Lost(_A)), lambda: reader.due(limit=1, claim_ms=1)):
            journal.rest(key, in_ms=0)
            with pytest.raises(JournalUnavailableError, match=r"read.only|READ ONLY"):
                ask()
        assert len(journal.read(key)) == 1
        reader.dispose()

    def test_j9_a_thread_waits_for_a_connection_only_so_long(
        self, url: str, monkeypatch: pytest.MonkeyPatch, key: WorkflowKey, namespace: str
    ) -> None:
        """Where more threads ask than there are connections, those that wait too long are told."""
        few = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.05}
        monkeypatch.setattr(sql_engine, "_SERVER", sql_engine._SERVER | few)
        journal = SqlJournal(url, namespace)
        has_it, may_go = threading.Event(), threading.Event()

        def hold(_: object) -> None:
            has_it.set()
            may_go.wait(LIMIT_S)

        with ThreadPoolExecutor(1) as pool:
            held = pool.submit(journal._database.read, hold)
            has_it.wait(LIMIT_S)
            with pytest.raises(JournalUnavailableError, match="cannot be used now: QueuePool"):
                journal.read(key)
            may_go.set()
            held.result(LIMIT_S)
        assert len(journal.read(key)) == 1
        journal.dispose()
