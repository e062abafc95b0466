"""From a URL to a journal. The store's client library is imported only when its journal is wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from dyrygent_core import UsageError
from dyrygent_core.ports import Journal
from dyrygent_runtime.journals.memory import MemoryJournal

__all__ = ["open_journal"]

_REDIS: Final = ("redis", "rediss", "unix", "redis+socket")
_SQL: Final = ("sqlite",)


def open_journal(url: str, namespace: str = "dyrygent") -> Journal:
    """Return the journal at a URL: `memory://`, `redis://…`, `rediss://…`, `unix://…`, `sqlite:///…`.

    Celery's spellings `db+sqlite:///…` and `redis+socket://…` are understood. Nothing is connected yet.

    Raises `UsageError`, naming the URL without its password, for any other, and where the extra is not installed.
    """
    url = url.removeprefix("db+")
    scheme = url.partition("://")[0]
    dialect = scheme.partition("+")[0]
    if scheme == "memory":
        return MemoryJournal(namespace)
    if scheme in _REDIS:
        return _installed("redis", _open_redis, url.replace("redis+socket://", "unix://"), namespace)
    if dialect in _SQL:
        return _installed("sql", _open_sql, url, namespace)
    message = (
        f"no journal can be kept at {_without_password(url)!r}; use redis://…, rediss://…, unix://… or sqlite:///…"
    )
    raise UsageError(message)


def _installed(extra: str, opener: Callable[[str, str], Journal], url: str, namespace: str) -> Journal:
    try:
        return opener(url, namespace)
    except ImportError as missing:
        message = (
            f"the journal at {_without_password(url)!r} needs the extra {extra!r}: pip install 'dyrygent[{extra}]' "
            f"({missing})"
        )
        raise UsageError(message) from missing


def _open_redis(url: str, namespace: str) -> Journal:
    from dyrygent_runtime.journals.redis_journal import RedisJournal  # noqa: PLC0415  # an extra

    return RedisJournal(url, namespace)


def _open_sql(url: str, namespace: str) -> Journal:
    from dyrygent_runtime.journals.sql import SqlJournal  # noqa: PLC0415  # an extra

    return SqlJournal(url, namespace)


def _without_password(url: str) -> str:
    password = urlsplit(url).password
    return url.replace(f":{password}@", ":***@") if password else url
