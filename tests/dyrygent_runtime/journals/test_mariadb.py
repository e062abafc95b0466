"""The SQL journal on MariaDB or MySQL."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar

import pytest

from dyrygent_core import Attempt, Lost, Succeeded
from dyrygent_core.errors import JournalError, JournalUnavailableError
from dyrygent_core.ports import Journal, Seen, WorkflowKey
from dyrygent_runtime.journals.sql import SqlJournal
from dyrygent_testing import JournalSuite
from dyrygent_testing.journal_basis import LATER_MS, add, eventually, new_workflow
from tests import services
from tests.dyrygent_runtime.journals.server_rules import ServerRules
from tests.dyrygent_runtime.journals.sql_sabotage import Outsider, Wire

_A = Attempt("a")


class TestMysqlJournal(ServerRules, JournalSuite):
    """The suite, and the rules for several processes, for databases and for servers.

    What is read ends with a ROLLBACK, or it would hold up whoever alters a table.
    """

    round_trips: ClassVar[Mapping[str, int]] = {
        "append": 4,
        "append with results": 5,
        "read": 2,
        "definition": 2,
        "calls": 2,
        "results": 2,
        "mark": 3,
        "marks": 2,
        "due, nothing": 2,
        "due, claimed": 5,
        "rest": 2,
        "remind": 2,
        "annotations": 2,
        "renew_lease": 4,
        "leases": 2,
        "watch, there": 2,
        "list": 2,
    }
    read_only = "init_command=SET%20SESSION%20TRANSACTION%20READ%20ONLY"
    conflict = "1213"
    refusal = (
        """
        CREATE TRIGGER dyrygent_refusal BEFORE INSERT ON dyrygent_entries FOR EACH ROW BEGIN
            SET @code = CAST(SUBSTRING_INDEX(NEW.nonce, ' ', -1) AS UNSIGNED);
            SET @tries = IF(LEFT(NEW.nonce, 5) = 'twice', COALESCE(@tries, 0) + 1, @tries);
            IF LEFT(NEW.nonce, 6) = 'always' OR (LEFT(NEW.nonce, 5) = 'twice' AND @tries <= 2) THEN
                SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = @code, MESSAGE_TEXT = 'refused by the test';
            END IF;
        END
        """,
    )
    no_refusal = ("DROP TRIGGER dyrygent_refusal",)
    made_heavy = (
        "CREATE TABLE IF NOT EXISTS heavy (number INTEGER PRIMARY KEY AUTO_INCREMENT, text VARCHAR(9)) ENGINE=InnoDB",
        "INSERT INTO heavy (text) VALUES ('x')" + ", ('x')" * 500,
    )
    """InnoDB undoes the transaction that has written less."""

    @pytest.fixture
    def url(self, mysql_url: str) -> str:
        return mysql_url

    @pytest.fixture
    def make_journal(self, mysql_url: str) -> Callable[[str], Journal]:
        return lambda namespace: SqlJournal(mysql_url, namespace)

    @pytest.fixture
    def empty(self) -> Callable[[], AbstractContextManager[str]]:
        return lambda: services.sql_database(services.MYSQL)

    @pytest.mark.parametrize("code", ["1021", "1040", "1114", "1205", "1290", "1317", "1792", "1927", "2013"])
    def test_j9_what_may_pass_is_called_unavailable(self, refusing: Journal, key: WorkflowKey, code: str) -> None:
        """A full disk, a lock that was waited for too long, a connection that was killed: later it may be well."""
        assert isinstance(self.refused(refusing, key, code), JournalUnavailableError)

    @pytest.mark.parametrize("code", ["1142", "1146", "1366", "1406", "1644"])
    def test_j9_what_will_not_pass_is_an_error(self, refusing: Journal, key: WorkflowKey, code: str) -> None:
        """To wait does not help against a missing privilege."""
        assert not isinstance(self.refused(refusing, key, code), JournalUnavailableError)


@pytest.fixture
def journal(mysql_url: str) -> Iterator[SqlJournal]:
    journal = SqlJournal(mysql_url, f"own-{secrets.token_hex(6)}")
    yield journal
    journal.dispose()


@pytest.fixture
def outsider(mysql_url: str) -> Outsider:
    return Outsider(mysql_url)


@pytest.fixture
def key(journal: SqlJournal) -> Iterator[WorkflowKey]:
    key = journal.create(new_workflow(), nonce="begin", due_in_ms=LATER_MS).key
    yield key
    journal.delete(key)


@pytest.mark.parametrize(
    ("request_", "is_told", "is_written"),
    [(rb"INSERT INTO dyrygent_entries", False, True), (rb"FOR UPDATE", False, True), (rb"COMMIT\b", True, False)],
)
def test_j9_an_append_that_is_cut(
    mysql_url: str, journal: SqlJournal, key: WorkflowKey, request_: bytes, *, is_told: bool, is_written: bool
) -> None:
    """Before its COMMIT it is done again; after that its caller is told."""
    wire = Wire(mysql_url)
    behind = SqlJournal(wire.url, journal.namespace)
    behind.read(key)
    wire.cut_before(request_)
    try:
        behind.append(key, [Lost(_A)], seen=Seen(1, "begin"), nonce="n")
        assert not is_told
    except JournalUnavailableError:
        assert is_told

    assert [entry.nonce for entry in behind.read(key)] == ["begin", *(["n"] * is_written)]
    behind.dispose()
    wire.close()


def test_a_value_that_the_server_would_hang_up_on_is_refused(
    journal: SqlJournal, outsider: Outsider, key: WorkflowKey
) -> None:
    """The error says what to raise; nothing is written, and what fits is."""
    (limit,) = (int(value) for (value,) in outsider.run("SELECT @@max_allowed_packet"))
    if limit > 70 << 20:
        pytest.skip(f"max_allowed_packet is {limit}; that is a lot to send")

    too_long, fitting = bytes(limit // 2 - 100), bytes(limit // 2 - 2_000)
    with pytest.raises(JournalError, match=rf"max_allowed_packet at once, which is {limit}; raise") as refused:
        journal.append(key, [Succeeded(_A)], seen=Seen(), nonce="n", results={_A: too_long})
    assert not isinstance(refused.value, JournalUnavailableError)
    assert len(journal.read(key)) == 1

    journal.append(key, [Succeeded(_A)], seen=Seen(), nonce="n", results={_A: fitting})
    assert journal.results(key, [_A]) == {_A: fitting}


@contextmanager
def _guest(outsider: Outsider, options: str) -> Iterator[str]:
    """Make a user who may use the tables, and drop them at the end."""
    name = f"dyrygent_{secrets.token_hex(6)}"
    user = f"'{name}'@'%%'"
    outsider.run(f"CREATE USER {user} IDENTIFIED BY 'secret' {options}")
    try:
        outsider.run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {outsider.engine.url.database}.* TO {user}")
        yield outsider.engine.url.set(username=name, password="secret").render_as_string(hide_password=False)
    finally:
        outsider.run(f"DROP USER {user}")


def test_j9_a_server_with_too_many_connections_is_unavailable(
    journal: SqlJournal, outsider: Outsider, key: WorkflowKey
) -> None:
    """When one is closed the journal goes on, and needs no right to make tables."""
    with _guest(outsider, "WITH MAX_USER_CONNECTIONS 1") as url:
        guest = SqlJournal(url, journal.namespace)
        with (
            Outsider(url).holding("SELECT 1"),
            pytest.raises(JournalUnavailableError, match="max_user_connections"),
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


def test_the_settings_of_a_server_do_not_matter(mysql_url: str, journal: SqlJournal, key: WorkflowKey) -> None:
    """Whatever its time zone is, all tell the same time."""
    options = "init_command=SET%20time_zone%3D'%2B05:30'"
    other = SqlJournal(f"{mysql_url}?{options}", journal.namespace)

    before = journal.mark(key, [])
    assert before <= add(other, key, Lost(_A)).at_ms <= other.mark(key, []) <= journal.mark(key, [])
    assert len(journal.read(key)) == 2
    other.dispose()
