"""The SQL journal on PostgreSQL."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from typing import ClassVar

import psycopg
import pytest
from sqlalchemy import Connection, select

from dyrygent_core import Attempt, Lost
from dyrygent_core.errors import JournalUnavailableError
from dyrygent_core.ports import Journal, Query, Seen, WorkflowKey
from dyrygent_runtime.journals.sql import SqlJournal
from dyrygent_runtime.journals.sql.listener import channel_of
from dyrygent_runtime.journals.sql.tables import WORKFLOWS
from dyrygent_testing import JournalSuite
from dyrygent_testing.journal_basis import LATER_MS, LIMIT_S, add, at_once, eventually, new_workflow
from tests import services
from tests.dyrygent_runtime.journals.process_rules import forked, join
from tests.dyrygent_runtime.journals.server_rules import ServerRules
from tests.dyrygent_runtime.journals.sql_sabotage import Outsider, Wire

_A = Attempt("a")


class TestPostgresqlJournal(ServerRules, JournalSuite):
    """The suite, and the rules for several processes, for databases and for servers."""

    round_trips: ClassVar[Mapping[str, int]] = {
        "append": 1,
        "append with results": 1,
        "read": 1,
        "definition": 1,
        "calls": 1,
        "results": 1,
        "mark": 1,
        "marks": 1,
        "due, nothing": 1,
        "due, claimed": 1,
        "rest": 1,
        "remind": 1,
        "annotations": 1,
        "renew_lease": 5,
        "leases": 1,
        "watch, there": 1,
        "list": 1,
    }
    read_only = "options=-c%20default_transaction_read_only%3Don"
    conflict = "40001"
    refusal = (
        "CREATE SEQUENCE dyrygent_tries",
        """
        CREATE FUNCTION dyrygent_refuse() RETURNS trigger AS $$ BEGIN
            IF left(NEW.nonce, 6) = 'always' OR nextval('dyrygent_tries') <= 2 THEN
                RAISE EXCEPTION 'refused by the test' USING ERRCODE = split_part(NEW.nonce, ' ', 2);
            END IF;
            RETURN NEW;
        END $$ LANGUAGE plpgsql
        """,
        """
        CREATE TRIGGER dyrygent_refusal BEFORE INSERT ON dyrygent_entries FOR EACH ROW
        WHEN (split_part(NEW.nonce, ' ', 1) IN ('always', 'twice')) EXECUTE FUNCTION dyrygent_refuse()
        """,
    )
    no_refusal = ("DROP FUNCTION dyrygent_refuse() CASCADE", "DROP SEQUENCE dyrygent_tries")
    made_heavy = ("SET deadlock_timeout = '1h'",)
    """Who waits for so long before it looks for a deadlock is never the one that finds it."""

    @pytest.fixture
    def url(self, postgresql_url: str) -> str:
        return postgresql_url

    @pytest.fixture
    def make_journal(self, postgresql_url: str) -> Callable[[str], Journal]:
        return lambda namespace: SqlJournal(postgresql_url, namespace)

    @pytest.fixture
    def empty(self) -> Callable[[], AbstractContextManager[str]]:
        return lambda: services.sql_database(services.POSTGRESQL)

    @pytest.mark.parametrize("code", ["53100", "53200", "53300", "55P03", "57014", "58030", "25006", "57P01", "08006"])
    def test_j9_what_may_pass_is_called_unavailable(self, refusing: Journal, key: WorkflowKey, code: str) -> None:
        """A full disk, a lock that was waited for too long, a server that is shutting down: later it may be well."""
        assert isinstance(self.refused(refusing, key, code), JournalUnavailableError)

    @pytest.mark.parametrize("code", ["22P02", "42501", "42P01", "54000", "P0001"])
    def test_j9_what_will_not_pass_is_an_error(self, refusing: Journal, key: WorkflowKey, code: str) -> None:
        """To wait does not help against a missing privilege."""
        assert not isinstance(self.refused(refusing, key, code), JournalUnavailableError)


@pytest.fixture
def journal(postgresql_url: str) -> Iterator[SqlJournal]:
    journal = SqlJournal(postgresql_url, f"own-{secrets.token_hex(6)}")
    yield journal
    journal.dispose()


@pytest.fixture
def outsider(postgresql_url: str) -> Outsider:
    return Outsider(postgresql_url)


@pytest.fixture
def key(journal: SqlJournal) -> Iterator[WorkflowKey]:
    key = journal.create(new_workflow(), nonce="begin", due_in_ms=LATER_MS).key
    yield key
    journal.delete(key)


# Appends in one statement


@pytest.mark.parametrize(("is_after", "is_written"), [(False, False), (True, True)])
def test_j9_an_append_that_is_cut(
    postgresql_url: str, journal: SqlJournal, key: WorkflowKey, *, is_after: bool, is_written: bool
) -> None:
    """It is not done again, since it may have happened; whoever reads finds out."""
    wire = Wire(postgresql_url)
    behind = SqlJournal(wire.url, journal.namespace)
    behind.read(key)
    (wire.cut_after if is_after else wire.cut_before)(b"")

    with pytest.raises(JournalUnavailableError):
        behind.append(key, [Lost(_A)], seen=Seen(1, "begin"), nonce="n")

    assert [entry.nonce for entry in behind.read(key)] == ["begin", *(["n"] * is_written)]
    behind.dispose()
    wire.close()


def test_j2_an_append_that_waited_for_others_tells_what_they_wrote(
    journal: SqlJournal, outsider: Outsider, key: WorkflowKey
) -> None:
    """Entries that were committed after its statement began are told of, with those from before."""
    add(journal, key, Lost(_A), nonce="before")
    number = outsider.run(f"SELECT number FROM dyrygent_workflows WHERE incarnation = '{key.incarnation}'")[0][0]  # noqa: S608
    theirs = (
        f"UPDATE dyrygent_workflows SET length = length + 2 WHERE number = {number}",  # noqa: S608
        f"""
        INSERT INTO dyrygent_entries SELECT workflow, position + 2, 'theirs', at_ms, observation
        FROM dyrygent_entries WHERE workflow = {number}
        """,  # noqa: S608
    )
    with outsider.holding(*theirs) as holder:

        def append_or_commit(turn: int) -> list[int]:
            if turn:
                eventually(outsider.waiting)
                holder.commit()
                return []
            appended = journal.append(key, [Lost(_A)], seen=Seen(1, "begin"), nonce="ours")
            assert not appended.has_diverged
            return [*(entry.position for entry in appended.missed), appended.first]

        assert at_once(2, append_or_commit)[0] == [2, 3, 4, 5]

    assert [entry.nonce for entry in journal.read(key)] == ["begin", "before", "theirs", "theirs", "ours"]


def test_an_append_needs_no_table_of_results_where_there_are_none(journal: SqlJournal, key: WorkflowKey) -> None:
    """An append without observations takes no position."""
    assert journal.append(key, [], seen=Seen(1, "begin"), nonce="n").first == 2
    assert len(journal.read(key)) == 1


# Waiting


def test_all_that_wait_in_a_process_share_one_connection(
    postgresql_url: str, journal: SqlJournal, outsider: Outsider
) -> None:
    """Twelve threads wait for twelve workflows, one connection listens, and each is woken by its own."""
    keys = [journal.create(new_workflow(f"w{it}"), nonce="n", due_in_ms=LATER_MS).key for it in range(12)]
    other = SqlJournal(postgresql_url, journal.namespace)

    def wait_or_append(number: int) -> bool:
        if number < 12:
            return journal.watch(keys[number], after=1, timeout_ms=int(LIMIT_S * 1000))
        eventually(lambda: len(_listening(outsider)) == 1)
        for key in keys:
            add(other, key, Lost(_A))
        return True

    assert at_once(13, wait_or_append) == [True] * 13
    other.dispose()


def test_who_is_called_does_not_ask(postgresql_url: str, journal: SqlJournal, key: WorkflowKey) -> None:
    """While nothing happens, waiting costs a question every five seconds; an append ends it at once."""
    wire = Wire(postgresql_url)
    behind = SqlJournal(wire.url, journal.namespace)
    listener = behind._listener
    assert listener is not None

    def wait_or_append(number: int) -> bool:
        if not number:
            return behind.watch(key, after=1, timeout_ms=int(LIMIT_S * 1000))
        eventually(lambda: listener._mine.listening)
        eventually(partial(_is_quiet, wire))
        add(journal, key, Lost(_A))
        return True

    assert at_once(2, wait_or_append) == [True, True]
    behind.dispose()
    wire.close()


def _is_quiet(wire: Wire) -> bool:
    """Tell whether nothing is asked for a moment, in which one that nobody calls asks at least once."""
    before = wire.round_trips
    threading.Event().wait(0.7)
    return wire.round_trips == before


def test_nobody_is_called_in_vain(postgresql_url: str, journal: SqlJournal, key: WorkflowKey) -> None:
    """An append calls only where somebody waits, since transactions that call are committed one after the other."""
    with closing(psycopg.connect(postgresql_url, autocommit=True)) as ear:
        ear.execute(f'LISTEN "{channel_of(journal.namespace, key)}"')
        add(journal, key, Lost(_A))
        assert not list(ear.notifies(timeout=0.05))

        def wait_or_append(number: int) -> bool:
            if not number:
                return journal.watch(key, after=2, timeout_ms=int(LIMIT_S * 1000))
            eventually(lambda: journal._database.read(partial(_watched_ms, key)))
            add(journal, key, Lost(_A))
            return True

        assert at_once(2, wait_or_append) == [True, True]
        assert len(list(ear.notifies(timeout=LIMIT_S, stop_after=1))) == 1


def _watched_ms(key: WorkflowKey, connection: Connection) -> int | None:
    statement = select(WORKFLOWS.c.watched_ms).where(WORKFLOWS.c.incarnation == key.incarnation)
    return connection.execute(statement).scalar_one()


def test_who_waits_goes_on_when_the_listener_is_cut(journal: SqlJournal, outsider: Outsider, key: WorkflowKey) -> None:
    """Then the database is asked again and again, as where nobody listens; the next to wait listens anew."""

    def wait_or_kill(number: int) -> bool:
        if not number:
            return journal.watch(key, after=1, timeout_ms=int(LIMIT_S * 1000))
        for listener in eventually(partial(_listening, outsider)):
            outsider.kill(listener)
        add(journal, key, Lost(_A))
        return True

    assert at_once(2, wait_or_kill) == [True, True]
    assert not journal.watch(key, after=2, timeout_ms=1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # that is the subject
def test_j9_a_forked_process_listens_for_itself(
    postgresql_url: str, journal: SqlJournal, outsider: Outsider, key: WorkflowKey
) -> None:
    """A child of a process that listens hears what it waits for, and what it closes is its own."""
    other = SqlJournal(postgresql_url, journal.namespace)

    def child() -> None:
        eventually(lambda: _listening(outsider) == [])  # the parent's has gone, or this would tell nothing
        assert not journal.watch(key, after=2, timeout_ms=200)
        assert len(_listening(outsider)) == 1
        journal.dispose()
        assert not journal.watch(key, after=2, timeout_ms=1)
        journal.dispose()

    def wait_or_fork(number: int) -> bool:
        if not number:
            return journal.watch(key, after=1, timeout_ms=int(LIMIT_S * 1000))
        eventually(partial(_listening, outsider))
        pid = forked(child)
        add(other, key, Lost(_A))
        journal.dispose()  # the parent's
        return join([pid]) == [0]

    assert at_once(2, wait_or_fork) == [True, True]
    other.dispose()


def test_nobody_listens_for_nobody(
    journal: SqlJournal, outsider: Outsider, key: WorkflowKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When nobody has waited for a while the connection is closed; `dispose` closes it at once."""
    monkeypatch.setattr("dyrygent_runtime.journals.sql.listener._IDLE_S", 0.01)
    assert not journal.watch(key, after=1, timeout_ms=200)
    eventually(lambda: not _listening(outsider))

    monkeypatch.setattr("dyrygent_runtime.journals.sql.listener._IDLE_S", LIMIT_S)
    assert not journal.watch(key, after=1, timeout_ms=200)
    assert _listening(outsider)
    journal.dispose()
    eventually(lambda: not _listening(outsider))


def _listening(outsider: Outsider) -> list[int]:
    found = outsider.run(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%%LISTEN %%'"
        " AND pid <> pg_backend_pid()"
    )
    return [int(pid) for (pid,) in found]


# The server


@contextmanager
def _guest(outsider: Outsider, options: str) -> Iterator[str]:
    """Make a user who may use the tables, and drop them at the end."""
    name = f"dyrygent_test_{secrets.token_hex(6)}"
    outsider.run(f"CREATE ROLE {name} LOGIN PASSWORD 'secret' {options}")
    try:
        outsider.run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}")
        outsider.run(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {name}")
        yield outsider.engine.url.set(username=name, password="secret").render_as_string(hide_password=False)
    finally:
        outsider.run(f"DROP OWNED BY {name}")
        outsider.run(f"DROP ROLE {name}")


def test_j9_a_server_with_too_many_connections_is_unavailable(
    journal: SqlJournal, outsider: Outsider, key: WorkflowKey
) -> None:
    """When one is closed the journal goes on."""
    with _guest(outsider, "CONNECTION LIMIT 1") as url:
        guest = SqlJournal(url, journal.namespace)
        with (
            Outsider(url).holding("SELECT 1"),
            pytest.raises(JournalUnavailableError, match="too many connections"),
        ):
            add(guest, key, Lost(_A))
        assert eventually(lambda: _is_appended(guest, key))
        guest.dispose()


def _is_appended(journal: Journal, key: WorkflowKey) -> bool:
    try:
        add(journal, key, Lost(_A))
    except JournalUnavailableError:
        return False
    return True


def test_tables_need_no_more_than_to_be_used(journal: SqlJournal, outsider: Outsider, key: WorkflowKey) -> None:
    """Who uses a journal whose tables are there needs no right to make any."""
    with _guest(outsider, "") as url:
        guest = SqlJournal(url, journal.namespace)
        assert add(guest, key, Lost(_A)).first == 2
        assert [it.key for it in guest.list(Query(), limit=9).items] == [key]
        guest.dispose()


def test_the_settings_of_a_server_do_not_matter(postgresql_url: str, journal: SqlJournal, key: WorkflowKey) -> None:
    """Neither its time zone nor its isolation changes what the journal does."""
    options = "-c%20timezone%3DAsia/Kolkata%20-c%20default_transaction_isolation%3Dserializable"
    other = SqlJournal(f"{postgresql_url}?options={options}", journal.namespace)

    before = journal.mark(key, [])
    assert before <= add(other, key, Lost(_A)).at_ms <= other.mark(key, []) <= journal.mark(key, [])
    assert other._database.read(_isolation) == "read committed"
    other.dispose()


def _isolation(connection: Connection) -> object:
    return connection.exec_driver_sql("SHOW transaction_isolation").scalar()
