"""The functions as Dramatiq actors: `dramatiq dramatiq_app` serves them."""

from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from words import FUNCTIONS

from dramatiq_dyrygent import Dyrygent

REDIS = os.environ.get("PORTABLE_REDIS", "redis://localhost:6379/0")

broker = RedisBroker(url=REDIS)
broker.add_middleware(Dyrygent(journal=REDIS, namespace="portable-dramatiq"))
dramatiq.set_broker(broker)
for name, function in FUNCTIONS.items():
    dramatiq.actor(function, actor_name=name)
