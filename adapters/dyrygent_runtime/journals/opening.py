"""From a URL to a journal. The store's client library is imported only when its journal is wanted."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from dyrygent_core import UsageError
from dyrygent_core.ports import Journal
from dyrygent_runtime.journals.memory import MemoryJournal

__all__ = ["open_journal"]

_REDIS: Final = ("redis", "rediss", "unix", "redis+socket", "redis+cluster", "rediss+cluster")
_SQL: Final = {"sqlite": "sql", "postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
"""Databases, each with the extra that brings its driver."""
_SUPPORTED: Final = (
    "memory://, redis://…, rediss://…, unix://…, redis+cluster://…, "
    "sqlite:///…, postgresql://…, mysql://… or mariadb://…"
)


def open_journal(url: str, namespace: str = "dyrygent") -> Journal:
    """Return the journal at a URL: `memory://`, `redis://…`, `rediss://…`, `unix://…`, or that of a database.

    Databases are written as SQLAlchemy does: `sqlite:///…`, `postgresql://…`, `mysql://…`, `mariadb://…`.
    Celery's spellings of a result backend are understood: `db+sqlite:///…`, `redis+socket://…?virtual_host=1`,
    `?ssl_cert_reqs=CERT_REQUIRED`. Nothing is connected yet. Each `memory://` is a journal of its own.

    Raises `UsageError`, naming the URL without its password, for any other, and where the extra is not installed.
    """
    address = url.removeprefix("db+")
    scheme = address.partition("://")[0]
    if scheme == "memory":
        return MemoryJournal(namespace)
    if scheme in _REDIS:
        return _opened(url, "redis", _open_redis, _as_redis_spells_it(address), namespace)
    if extra := _SQL.get(scheme.partition("+")[0]):
        return _opened(url, extra, _open_sql, address, namespace)
    message = f"no journal can be kept at {_without_password(url)!r}; use {_SUPPORTED}"
    raise UsageError(message)


def _opened(url: str, extra: str, opener: Callable[[str, str], Journal], address: str, namespace: str) -> Journal:
    try:
        return opener(address, namespace)
    except ImportError as missing:
        message = (
            f"the journal at {_without_password(url)!r} needs the extra {extra!r}: pip install 'dyrygent[{extra}]' "
            f"({missing})"
        )
        raise UsageError(message) from missing
    except UsageError as problem:
        message = f"no journal can be kept at {_without_password(url)!r}: {problem}"
        raise UsageError(message) from None


def _open_redis(url: str, namespace: str) -> Journal:
    from dyrygent_runtime.journals.redis import RedisJournal  # noqa: PLC0415  # an extra

    return RedisJournal(url, namespace)


def _open_sql(url: str, namespace: str) -> Journal:
    from dyrygent_runtime.journals.sql import SqlJournal  # noqa: PLC0415  # an extra

    return SqlJournal(url, namespace)


def _as_redis_spells_it(url: str) -> str:
    """Translate what Celery and kombu write in another way than the client library."""
    url = re.sub(r"^redis\+socket://", "unix://", url)
    url = re.sub(r"(?<=[?&])virtual_host=", "db=", url)
    return re.sub(r"(?<=[?&]ssl_cert_reqs=)(?:CERT_)?(\w+)", lambda found: found[1].lower(), url)


def _without_password(url: str) -> str:
    """Hide all that stands before a host, however badly it is written, and what options say is secret."""
    url = re.sub(r"://.*@", "://***@", url, flags=re.DOTALL)
    return re.sub(r"(?i)(?<=[?&])([^=&]*(?:pass|pwd|secret|token)[^=&]*=)[^&]*", r"\1***", url)
