"""The app of the adapter suite: its tasks are the suite's functions, its configuration stands in the environment."""

from __future__ import annotations

import json
import os
from typing import Any

from celery import Celery

from celery_dyrygent import register_workflow_processor
from dyrygent_testing import QUICK, TASKS

__all__ = ["CONFIGURATION", "app", "make_app"]

CONFIGURATION = "DYRYGENT_TEST_SUITE_CONF"
"""The environment variable that holds a worker's configuration, as JSON."""


def make_app(configuration: dict[str, Any]) -> Celery:
    """Make an app that runs the suite's functions."""
    celery = Celery(configuration["dyrygent_namespace"], set_as_current=False)
    celery.conf.update(
        dyrygent_settings=QUICK,
        broker_connection_retry_on_startup=True,
        worker_hijack_root_logger=False,
        worker_log_color=False,
    )
    celery.conf.update(configuration)
    register_workflow_processor(celery)
    for name, function in TASKS.items():
        celery.task(name=name, shared=False)(function)
    return celery


if CONFIGURATION in os.environ:
    app = make_app(json.loads(os.environ[CONFIGURATION]))
