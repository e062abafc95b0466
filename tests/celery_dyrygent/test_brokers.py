"""A broker that refuses a message: with publisher confirms it is heard, without them it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from kombu import Queue

from dyrygent_core import Attempt, Workflow
from tests.celery_dyrygent.deployments import Deployment, deployed
from tests.celery_dyrygent.test_pools import CONFIRMED
from tests.celery_dyrygent.test_worker import task

FULL_AFTER_ONE = {"x-max-length": 1, "x-overflow": "reject-publish"}


@pytest.mark.parametrize(
    ("configuration", "believed"), [(CONFIRMED, set()), ({}, {"a", "b", "c"})], ids=["confirmed", "not confirmed"]
)
def test_what_rabbitmq_refuses(
    configuration: dict[str, object], believed: set[str], redis_url: str, tmp_path: Path
) -> None:
    """With confirms nothing is taken for sent, so the sweep sends it after the grace time; without, all of it is."""
    what = Deployment("full", (), broker="amqp", backend=None, journal="redis", configuration=configuration)
    with deployed(what, redis_url, tmp_path) as here:
        here.app.conf.task_queues = [Queue(here.app.conf.task_default_queue, queue_arguments=FULL_AFTER_ONE)]
        workflow = Workflow()
        for name in "abc":
            workflow.add(task("pack"), id=name)

        run = here.adapter.start(workflow)

        marks = here.adapter.journal.marks(run.key, [Attempt(name) for name in "abc"])
        assert {attempt.node for attempt, mark in marks.items() if mark.sent} == believed
