"""The app of the comparison with native Celery: the worker imports it, and so does who starts the canvases."""

from __future__ import annotations

import os
from typing import Any, Final

from celery import Celery

from celery_dyrygent import register_workflow_processor

__all__ = ["add", "app", "total"]

_URL: Final = os.environ["NATIVE_BENCHMARK_REDIS"]
"""Broker, result backend and journal in one, as small installations have it."""

app: Any = Celery("native", broker=_URL, backend=_URL)
app.conf.update(broker_connection_retry_on_startup=True, result_expires=3_600)
register_workflow_processor(app)


@app.task
def add(x: int, y: int) -> int:
    """Do next to nothing, so that what is measured is the way from one task to the next."""
    return x + y


@app.task
def total(numbers: list[int]) -> int:
    """Take a whole header's results."""
    return sum(numbers)
