"""The functions as Celery tasks: `celery -A celery_app worker` serves them."""

from __future__ import annotations

import os

from celery import Celery
from words import FUNCTIONS

from celery_dyrygent import register_workflow_processor

REDIS = os.environ.get("PORTABLE_REDIS", "redis://localhost:6379/0")

app = Celery("portable", broker=REDIS, backend=REDIS)
app.conf.broker_connection_retry_on_startup = True
register_workflow_processor(app)
for name, function in FUNCTIONS.items():
    app.task(function, name=name)
