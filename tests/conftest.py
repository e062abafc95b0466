"""Fixtures for all example tests: the services that they share, and that nothing is left running."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests import services


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Give this run a Redis database of its own, empty at first, flushed at the end."""
    with services.redis_database() as url:
        yield url


@pytest.fixture(scope="module", autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """See that no thread of a module goes on that would keep the interpreter from its end."""
    before = set(threading.enumerate())
    yield
    left = [it for it in threading.enumerate() if it not in before and _keeps_the_process(it)]
    assert left == []


def _keeps_the_process(thread: threading.Thread) -> bool:
    is_pooled = thread.name.startswith("ThreadPoolExecutor-")  # the interpreter tells those to end
    return not thread.daemon and not is_pooled
