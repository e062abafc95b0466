"""The actor of the comparison with native Dramatiq: the worker imports it, and so does who starts the pipelines."""

from __future__ import annotations

import os
from typing import Any, Final

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from dramatiq_dyrygent import DramatiqAdapter

__all__ = ["adapter", "add", "broker"]

_URL: Final = os.environ["DRAMATIQ_BENCHMARK_REDIS"]
"""Broker, results and journal in one, as small installations have it."""

broker: Any = RedisBroker(url=_URL)
broker.add_middleware(Results(backend=RedisBackend(url=_URL), store_results=True))
dramatiq.set_broker(broker)
adapter = DramatiqAdapter(broker)


@dramatiq.actor
def add(x: int, y: int) -> int:
    """Do next to nothing, so that what is measured is the way from one message to the next."""
    return x + y
