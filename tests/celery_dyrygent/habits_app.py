"""An app that uses what Celery users are used to: signals, logs of tasks, events. Imported by tests and workers."""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery, signals
from celery.utils.log import get_task_logger
from redis import Redis

from celery_dyrygent import register_workflow_processor

REDIS_URL = os.environ.get("DYRYGENT_TEST_APP_REDIS", "redis://127.0.0.1:1/0")
FIRED = "tests:fired"
MAY_END = "tests:habits-may-end"

app = Celery("habits", broker=REDIS_URL, backend=REDIS_URL, set_as_current=False)
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_default_queue="habits",
    worker_send_task_events=True,
    worker_task_log_format="%(levelname)s %(task_name)s [%(workflow)s/%(node)s#%(attempt)s] %(message)s",
    worker_log_format="%(levelname)s [%(workflow)s/%(node)s] %(message)s",
)
register_workflow_processor(app)
logger = get_task_logger(__name__)


@app.task(name="habits.talk")
def talk(word: str) -> str:
    logger.info("I say %s", word)
    return word


@app.task(name="habits.wait")
def wait(*_: object) -> None:
    with Redis.from_url(REDIS_URL) as redis:
        while not redis.exists(MAY_END):
            time.sleep(0.02)


def _note(name: str, task_id: str) -> None:
    with Redis.from_url(REDIS_URL) as redis:
        redis.rpush(FIRED, f"{name} {task_id}")


@signals.task_prerun.connect
def _prerun(task_id: str = "", **_: Any) -> None:
    _note("prerun", task_id)


@signals.task_success.connect
def _success(sender: Any = None, **_: Any) -> None:
    _note("success", sender.request.id)


@signals.task_postrun.connect
def _postrun(task_id: str = "", **_: Any) -> None:
    _note("postrun", task_id)
