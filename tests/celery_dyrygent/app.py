"""The app of the tests, imported by the test process and by the workers that it starts.

Where its Redis is stands in the environment, and so does what a deployment configures otherwise (`deployments`). Each
task writes a line of its own into a list there when it starts.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from typing import Any

import billiard
from celery import Celery, Task, chain, group, signature
from celery.exceptions import Ignore, Reject
from redis import Redis

from celery_dyrygent import register_workflow_processor
from dyrygent_core import SkipNode, Take
from dyrygent_runtime import Settings

REDIS_URL = os.environ.get("DYRYGENT_TEST_APP_REDIS", "redis://127.0.0.1:1/0")
STARTS = "tests:starts"

app = Celery("tests", broker=REDIS_URL, backend=REDIS_URL)
app.conf.update(
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
    dyrygent_settings=Settings(
        poll_ms=100, sweep_interval_ms=300, grace_ms=3_000, lease_ms=5_000, cancel_grace_ms=1_000
    ),
)
app.conf.update(json.loads(os.environ.get("DYRYGENT_TEST_APP_CONF", "{}")))
if "DYRYGENT_TEST_APP_IS_PLAIN" not in os.environ:
    register_workflow_processor(app)


class Counted(Task):
    """A task whose starts are counted."""

    abstract = True

    def before_start(self, *_: object) -> None:
        with Redis.from_url(REDIS_URL) as redis:
            redis.rpush(STARTS, self.name.rpartition(".")[2])


def task(**options: object) -> object:
    return app.task(base=Counted, **options)


@task()
def add(x: int, y: int) -> int:
    return x + y


@task()
def pack(*args: object) -> list[object]:
    return list(args)


@task()
def boom(*_: object) -> None:
    message = "boom"
    raise ValueError(message)


@task()
def wait_for(key: str, *_: object) -> str:
    """Wait until a key exists."""
    with Redis.from_url(REDIS_URL) as redis:
        while not redis.exists(key):
            time.sleep(0.05)
    return key


@task()
def die_once(key: str) -> str:
    """Kill the pool process the first time."""
    with Redis.from_url(REDIS_URL) as redis:
        if redis.incr(key) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
    return key


@task(bind=True, max_retries=3)
def retried(self: Task, x: int) -> int:
    if self.request.retries < 2:
        raise self.retry(countdown=0.05)
    return x


@task()
def ignored() -> None:
    message = "nothing to do"
    raise Ignore(message)


@task()
def rejected() -> None:
    message = "no"
    raise Reject(message, requeue=False)


@task(soft_time_limit=0.5, time_limit=1)
def overruns() -> None:
    while True:
        with contextlib.suppress(BaseException):  # deaf to the soft limit
            time.sleep(10)


@task()
def unwritable() -> object:
    return object()


@task()
def spread(count: int) -> list[int]:
    return list(range(count))


@task()
def choose(value: object, branches: list[str]) -> Take:
    return Take(value, branches)


@task()
def even(x: int) -> int:
    if x % 2:
        message = f"{x} is odd"
        raise SkipNode(message)
    return x


@task()
def fail_until(key: str, *_: object) -> str:
    """Fail until a key exists."""
    with Redis.from_url(REDIS_URL) as redis:
        if not redis.exists(key):
            raise ValueError(key)
    return key


@task()
def note(key: str, value: object) -> object:
    """Leave a trace under a key."""
    with Redis.from_url(REDIS_URL) as redis:
        redis.set(key, repr(value))
    return value


@task()
def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@task()
def keep(value: object, key: str) -> None:
    """Leave a value under a key."""
    with Redis.from_url(REDIS_URL) as redis:
        redis.rpush(key, json.dumps(value))


@task()
def starts_others(key: str) -> str:
    """Start a task and a chain that have nothing to do with it."""
    keep.delay(1, key)
    chain(add.s(1, 2), add.s(3), keep.s(key)).delay()
    return "own"


@app.task()
def told_new(request: Any, exc: BaseException, traceback: str | None, key: str) -> None:
    """An error callback of the new style: leaves what it was given under a key."""
    given = {"id": request.id, "task": request.task, "args": request.args}
    given |= {"type": type(exc).__name__, "message": str(exc), "traceback": traceback}
    with Redis.from_url(REDIS_URL) as redis:
        redis.rpush(key, json.dumps(given))


@app.task()
def told_old(task_id: str, key: str = "tests:told") -> None:
    """One of the old style: looks the failure up."""
    found = app.AsyncResult(task_id)
    with Redis.from_url(REDIS_URL) as redis:
        redis.rpush(key, json.dumps({"id": task_id, "state": found.state, "type": type(found.result).__name__}))


@task(bind=True)
def forwards(self: Task) -> None:
    """Send a task with the headers of its own, as for a trace, and fail when that has ended."""
    sent = add.apply_async((1, 2), headers=self.request.headers)
    assert sent.get(disable_sync_subtasks=False) == 3
    raise ValueError("the one that forwards")


@task(bind=True, max_retries=3)
def retries_and_waits(self: Task, key: str) -> None:
    """Retry at once; the second time tell that it runs, and wait for a key."""
    if not self.request.retries:
        raise self.retry(countdown=0)
    with Redis.from_url(REDIS_URL) as redis:
        redis.set(f"{key}-runs", 1)
    wait_for(key)


@task(bind=True)
def become(self: Task, replacement: dict[str, Any], *args: object) -> None:
    """Replace itself by a signature, which gets the arguments."""
    raise self.replace(signature(replacement, app=self.app).clone(args))


@task(bind=True)
def fan_out(self: Task, numbers: list[int], x: int) -> None:
    """Replace itself by a group, one addition for each number."""
    raise self.replace(group(add.s(number, x) for number in numbers))


EFFECTS = "tests:effects"


@task()
def step(name: str, *_: object) -> str:
    """Leave a line when it starts and one when it ends, in the order in which Redis sees them."""
    with Redis.from_url(REDIS_URL) as redis:
        redis.rpush(EFFECTS, f"start {name}")
        time.sleep(0.1)
        redis.rpush(EFFECTS, f"end {name}")
    return name


@task()
def leave(*_: object) -> None:
    """Leave the process, as a script does."""
    sys.exit(3)


@task()
def start_method() -> str:
    """Tell how this pool process came to be."""
    return str(billiard.get_start_method())


for _early in (wait_for, die_once, leave):  # the same with late acknowledgement, under `late_…`
    task(name=_early.name.replace("app.", "app.late_"), acks_late=True)(_early.run)
