"""The actors of the tests, for any broker."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import dramatiq
from dramatiq import Broker
from dramatiq.middleware import SkipMessage
from redis import Redis

from dyrygent_core import SkipNode, Take
from dyrygent_testing.adapter_tasks import TASKS

__all__ = ["STARTS", "declare"]

REDIS_URL = os.environ.get("DYRYGENT_TEST_APP_REDIS", "redis://127.0.0.1:1/0")
STARTS: Final = "tests:starts"


def declare(broker: Broker, queue: str = "default") -> None:
    """Declare them all in one queue, and those of the adapter suite behind a prefix."""
    for function, options in _ACTORS.items():
        dramatiq.actor(broker=broker, queue_name=queue, **options)(function)
    for name, task in TASKS.items():
        dramatiq.actor(broker=broker, queue_name=queue, actor_name=f"suite.{name}")(task)


def add(x: int, y: int) -> int:
    return x + y


def pack(*args: object) -> list[object]:
    return list(args)


async def pair(x: object) -> list[object]:
    """An actor that needs the AsyncIO middleware."""
    return [x, x]


def boom(*_: object) -> None:
    message = "boom"
    raise ValueError(message)


def skip(*_: object) -> None:
    raise SkipNode("nothing to do")


def choose(*branches: str) -> Take:
    return Take("chosen", branches)


def stored(value: object) -> object:
    return value


def unwritable() -> object:
    return object()


def skip_message() -> None:
    raise SkipMessage("not today")


def leave() -> None:
    sys.exit(3)


def flaky(key: str, failures: int) -> int:
    """Fail so many times, then say how often it ran."""
    with Redis.from_url(REDIS_URL) as redis:
        runs = int(redis.incr(key))
    if runs <= failures:
        message = f"run {runs}"
        raise ValueError(message)
    return runs


def again(key: str) -> int:
    """Ask for another run at the first."""
    with Redis.from_url(REDIS_URL) as redis:
        runs = int(redis.incr(key))
    if runs == 1:
        raise dramatiq.Retry(delay=1)
    return runs


def overrun() -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        time.sleep(0.01)


def stale() -> None:
    """Never run: too old whenever a worker looks."""


def wait_for(key: str, *_: object) -> str:
    """Wait until a key exists; each start is counted."""
    with Redis.from_url(REDIS_URL) as redis:
        redis.rpush(STARTS, key)
        while not redis.exists(key):
            time.sleep(0.02)
    return key


def hold(key: str) -> None:
    """Say that it runs, and run for ever."""
    with Redis.from_url(REDIS_URL) as redis:
        redis.rpush(STARTS, key)
    while True:
        time.sleep(0.02)


def hold_until_told(key: str) -> str:
    """Run until the worker ends; at the second start, end at once."""
    with Redis.from_url(REDIS_URL) as redis:
        starts = int(redis.rpush(STARTS, key))
    while starts == 1:
        time.sleep(0.02)
    return key


def die_once(key: str) -> str:
    """Kill this process at the first run."""
    with Redis.from_url(REDIS_URL) as redis, contextlib.suppress(ProcessLookupError):
        if redis.incr(key) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
    return key


_ACTORS: Final[dict[Callable[..., Any], dict[str, Any]]] = {
    add: {},
    pack: {},
    pair: {},
    boom: {},
    skip: {},
    choose: {},
    stored: {},
    unwritable: {},
    skip_message: {},
    leave: {},
    flaky: {"max_retries": 2, "min_backoff": 1, "max_backoff": 1},
    again: {"min_backoff": 1},
    overrun: {"time_limit": 100},
    stale: {"max_age": 1},
    wait_for: {},
    hold: {},
    hold_until_told: {"notify_shutdown": True, "max_retries": 0},
    die_once: {},
}
