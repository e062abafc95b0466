"""Where a SQL journal may be kept: from a URL to one that SQLAlchemy can use, or to an error that tells the repair.

Nothing is connected here. Which extra a missing driver comes with, `opening` says.
"""

from __future__ import annotations

from enum import Enum
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from attrs import field, frozen
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from dyrygent_core import UsageError

__all__ = ["Address", "Kind", "address_of"]


class Kind(Enum):
    """What the databases differ in, as far as this journal cares; MariaDB is a MYSQL."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    MYSQL = "mysql"


@frozen
class Address:
    """A database that can hold a journal."""

    url: URL = field(repr=False)
    kind: Kind

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database; None for a server, and for a file that is named by a URI of its own."""
        if self.kind is not Kind.SQLITE or not self.url.database or self.url.database.startswith("file:"):
            return None
        return Path(self.url.database).absolute()

    @property
    def can_listen(self) -> bool:
        """Whether the driver hears what PostgreSQL notifies of, and stops listening after a given time."""
        if self.url.get_driver_name() != "psycopg":
            return False
        major, minor = version("psycopg").split(".")[:2]
        return (int(major), int(minor)) >= _FIRST_PSYCOPG_THAT_STOPS_LISTENING


_KINDS: Final = {
    "sqlite": Kind.SQLITE,
    "postgresql": Kind.POSTGRESQL,
    "mysql": Kind.MYSQL,
    "mariadb": Kind.MYSQL,
}
_OWN_DRIVERS: Final = {"postgresql": "psycopg", "mysql": "pymysql", "mariadb": "pymysql"}
"""What the extras bring. A URL that names no driver means this one, or SQLAlchemy's own choice where it is missing."""
_FIRST_PSYCOPG_THAT_STOPS_LISTENING: Final = (3, 2)
_SUPPORTED: Final = "sqlite:///path, postgresql://user:password@host/database or mysql://user:password@host/database"


def address_of(text: str) -> Address:
    """Read a URL.

    Raises `UsageError` for what cannot hold a journal, and `ImportError` where the driver of the extra is missing.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # its text may hold the password
        message = f"this is not a database's URL as SQLAlchemy writes them; use {_SUPPORTED}"
        raise UsageError(message) from None
    kind = _KINDS.get(url.get_backend_name())
    if kind is None:
        message = f"no journal can be kept in {url.get_backend_name()}; use {_SUPPORTED}"
        raise UsageError(message)
    url = _with_driver(url)
    _check_driver(url)
    _check_database(url, kind)
    return Address(url, kind)


def _with_driver(url: URL) -> URL:
    """Name the driver of the extra, unless the URL names another."""
    driver = _OWN_DRIVERS.get(url.drivername)
    if driver is None or find_spec(driver) is None:
        return url
    return url.set(drivername=f"{url.drivername}+{driver}")


def _check_driver(url: URL) -> None:
    backend = url.get_backend_name()
    try:
        dialect = url.get_dialect()
    except ArgumentError:
        message = f"SQLAlchemy knows no driver {url.drivername!r}; use {_example(backend)}"
        raise UsageError(message) from None
    if dialect.is_async:
        message = f"the driver {url.drivername!r} works under asyncio only; use {_example(backend)}"
        raise UsageError(message)
    try:
        dialect.import_dbapi()
    except ImportError as missing:
        if url.get_driver_name() in _OWN_DRIVERS.values() or "+" not in url.drivername:
            raise
        message = f"the driver {url.drivername!r} is not installed ({missing}); use {_example(backend)}"
        raise UsageError(message) from None


def _check_database(url: URL, kind: Kind) -> None:
    if kind is Kind.SQLITE and (url.database in {None, "", ":memory:"} or url.query.get("mode") == "memory"):
        message = "each connection to SQLite's memory would see another journal; use memory:// or sqlite:///path"
        raise UsageError(message)
    if kind is Kind.MYSQL and not url.database:
        message = f"it does not say which database of the server; use {_example(url.get_backend_name())}"
        raise UsageError(message)


def _example(backend: str) -> str:
    return "sqlite:///path" if backend == "sqlite" else f"{backend}://user:password@host/database"
