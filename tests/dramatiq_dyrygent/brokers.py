"""Brokers of the tests, each with a queue, a namespace and a journal of its own; the same in every process."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from typing import Any

import attrs
from attrs import frozen
from dramatiq import Broker
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import dq_name, xq_name
from dramatiq.middleware import AsyncIO
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from redis import Redis

from dramatiq_dyrygent import Dyrygent
from dyrygent_runtime import Settings

__all__ = ["QUICK", "Place", "broker_of", "place_on"]

QUICK = Settings(poll_ms=50, sweep_interval_ms=200, grace_ms=3_000, lease_ms=3_000, cancel_grace_ms=1_000)
"""The waiting times of the tests' workers."""


@frozen
class Place:
    """Where one test's workflows run."""

    kind: str
    """`redis` or `rabbitmq`."""
    url: str
    redis_url: str
    """For the journal, and for what the actors write."""
    queue: str
    has_results: bool = False
    lease_ms: int = QUICK.lease_ms


def broker_of(place: Place) -> Broker:
    """Make a broker of this place, with our middleware, and the place's results where it has any."""
    broker: Any
    settings = attrs.evolve(QUICK, lease_ms=place.lease_ms)
    if place.kind == "redis":
        broker = RedisBroker(url=place.url, namespace=place.queue)
    else:
        broker = RabbitmqBroker(url=_as_pika_spells_it(place.url), confirm_delivery=True)
    broker.add_middleware(AsyncIO())
    broker.add_middleware(Dyrygent(journal=place.redis_url, namespace=place.queue, settings=settings))
    if place.has_results:
        backend = RedisBackend(url=place.redis_url, namespace=f"{place.queue}-results")
        broker.add_middleware(Results(backend=backend, store_results=True))
    return broker


@contextlib.contextmanager
def place_on(kind: str, url: str, redis_url: str, **more: Any) -> Iterator[Place]:
    """Give a place of its own, and leave nothing of it behind."""
    place = Place(kind, url, redis_url, f"dyrygent_test_dramatiq_{secrets.token_hex(4)}", **more)
    try:
        yield place
    finally:
        if kind == "redis":
            with Redis.from_url(url) as redis:
                for key in redis.scan_iter(f"{place.queue}*"):
                    redis.delete(key)
        else:
            broker = RabbitmqBroker(url=_as_pika_spells_it(url))
            for name in (place.queue, dq_name(place.queue), xq_name(place.queue)):
                broker.channel.queue_delete(name)
            broker.close()


def _as_pika_spells_it(url: str) -> str:
    """Translate the name of the virtual host "/", which kombu reads from `//`."""
    return f"{url[:-1]}%2F" if url.endswith("//") else url
