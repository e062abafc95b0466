"""A user's module of workers and functions; where its Redis is, its process's parent says."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final, NoReturn

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry as Reconnect
from rq import Retry, SimpleWorker, SpawnWorker
from rq_adapter import ReportingMixin, RQAdapter, WorkflowWorker

from dyrygent_core import SkipNode, Take
from dyrygent_runtime import Settings
from dyrygent_runtime.journals import open_journal

URL: Final = "DYRYGENT_TEST_RQ_URL"

QUICK: Final = Settings(poll_ms=50, sweep_interval_ms=200, grace_ms=2_000, lease_ms=3_000, cancel_grace_ms=30_000)
"""As the suite's, which would take pytest along; but a cancel is not to be over by its grace."""
_PAUSE_S: Final = 0.01
_LONGEST_S: Final = 60.0


def make_adapter(url: str) -> RQAdapter:
    """Return an adapter that gives up at once where it cannot connect."""
    return RQAdapter(Redis.from_url(url, retry=Reconnect(NoBackoff(), 0)), open_journal(url), settings=QUICK)


class Forking(WorkflowWorker):
    """What is called by the command line."""

    adapter = make_adapter(os.environ.get(URL, "redis://nowhere"))


class Spawning(ReportingMixin, SpawnWorker):
    """Whose work-horses import this module."""

    adapter = Forking.adapter


class Simple(ReportingMixin, SimpleWorker):
    """Which runs jobs in its own process."""

    adapter = Forking.adapter


def double(number: int) -> int:
    return 2 * number


def choose(value: str, branch: str) -> Take:
    return Take(value, branches=[branch])


def skip(reason: str) -> NoReturn:
    raise SkipNode(reason)


def unwritable() -> object:
    return object()


def hold(place: str) -> int:
    """Return how many have run here; the first waits until something is open."""
    number = _count(place)
    end = time.monotonic() + _LONGEST_S
    while number == 1 and not Path(place, "open").exists() and time.monotonic() < end:
        time.sleep(_PAUSE_S)
    return number


def fail_twice(place: str) -> int:
    number = _count(place)
    if number <= 2:
        raise ValueError(f"not the {number}. time")
    return number


def ask_again(place: str) -> int | Retry:
    number = _count(place)
    return Retry(max=2) if number <= 2 else number


def never_enough() -> Retry:
    return Retry(max=1)


def _count(place: str) -> int:
    number = len(list(Path(place).iterdir())) + 1
    Path(place, f"run {number}").touch()
    return number
