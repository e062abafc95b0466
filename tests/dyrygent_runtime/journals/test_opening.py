"""From a URL to a journal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dyrygent_core import UsageError
from dyrygent_runtime.journals import MemoryJournal, open_journal
from dyrygent_runtime.journals.redis import RedisJournal
from dyrygent_runtime.journals.sql import SqlJournal


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory://", MemoryJournal),
        ("redis://localhost", RedisJournal),
        ("redis://:secret@localhost:6379/3", RedisJournal),
        ("rediss://localhost?ssl_cert_reqs=CERT_REQUIRED", RedisJournal),
        ("unix:///run/redis.sock?db=2", RedisJournal),
        ("redis+socket:///run/redis.sock?virtual_host=2", RedisJournal),
        ("sqlite:///nowhere/journal.db", SqlJournal),
        ("sqlite+pysqlite:///nowhere/journal.db", SqlJournal),
        ("db+sqlite:///nowhere/journal.db", SqlJournal),
        ("postgresql://user:secret@nowhere/db", SqlJournal),
        ("postgresql+psycopg://user:secret@nowhere/db?sslmode=require", SqlJournal),
        ("db+postgresql://user:secret@nowhere:5432/db", SqlJournal),
        ("mysql://user:secret@nowhere/db", SqlJournal),
        ("mariadb+pymysql://user:secret@nowhere/db?charset=utf8mb4", SqlJournal),
        ("db+mysql://user:secret@nowhere/db", SqlJournal),
    ],
)
def test_the_scheme_picks_the_journal(url: str, kind: type) -> None:
    """A URL opens the journal of its scheme, in the namespace given, without connecting to anything."""
    journal = open_journal(url, "mine")

    assert type(journal) is kind
    assert journal.namespace == "mine"
    assert "secret" not in repr(journal)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:secret@host:port/db",
        "postgresql+nonsense://user:secret@host/db",
        "postgresql+psycopg_async://user:secret@host/db",
        "postgres://user:secret@host/db",
        "db+mysql://user:secret@host",
        "mariadb://user:secret@host/",
        "oracle://user:secret@host/db",
        "amqp://user:secret@host//",
        "redis://:sec/ret:secret@host:port/x",
        "redis://:secret@host:notaport/0",
        "redis://host:notaport/0?password=secret",
        "secret@host",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true&token=secret",
        "sqlite://user:secret@",
        "",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    """What no journal can be kept at is refused, with what can, and without the password."""
    with pytest.raises(
        UsageError, match=r"no journal can be kept at .*use .*(sqlite|redis|postgresql|m\w+)://"
    ) as refused:
        open_journal(url)

    if "://" in url:
        assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "missing", "extra"),
    [
        ("postgresql://user:secret@host/db", "sqlalchemy", "postgresql"),
        ("postgresql+psycopg://user:secret@host/db", "psycopg", "postgresql"),
        ("mariadb+pymysql://user:secret@host/db", "pymysql", "mysql"),
        ("mysql://user:secret@host/db", "sqlalchemy", "mysql"),
        ("sqlite:///secret.db", "sqlalchemy", "sql"),
    ],
)
def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch, url: str, missing: str, extra: str) -> None:
    """Without SQLAlchemy, or the database's driver, the error says which extra brings them."""
    for module in list(sys.modules):
        if module.startswith("dyrygent_runtime.journals.sql"):
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(UsageError, match=rf"pip install 'dyrygent\[{extra}\]'.*{missing}"):
        open_journal(url)


def test_another_driver_that_is_missing_is_named_too() -> None:
    """No extra brings it, so the error names it, and how to do without."""
    with pytest.raises(UsageError, match=r"'postgresql\+pg8000' is not installed .*; use postgresql://"):
        open_journal("postgresql+pg8000://user:secret@host/db")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the client library the error says which extra brings it."""
    for module in list(sys.modules):
        if module.startswith("dyrygent_runtime.journals.redis"):
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "redis", None)

    with pytest.raises(UsageError, match=r"redis://\*\*\*@host.*pip install 'dyrygent\[redis\]'"):
        open_journal("redis://:secret@host")


def test_importing_the_runtime_imports_no_client_library(tmp_path: Path) -> None:
    """Who keeps workflows in memory needs neither library, and does not pay for loading them."""
    code = "import dyrygent_runtime.journals, sys; print(\
{'redis', 'sqlalchemy', 'psycopg', 'pymysql'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "set()"
