"""Deployments: one app, with other pools, brokers, result backends and journals, each with queues of its own."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from celery import Celery

from celery_dyrygent import CeleryAdapter
from dyrygent_runtime import Settings
from tests import services
from tests.celery_dyrygent.conftest import Workers

__all__ = ["QUICK", "Deployed", "Deployment", "deployed"]

QUICK = Settings(poll_ms=100, sweep_interval_ms=300, grace_ms=3_000, lease_ms=5_000, cancel_grace_ms=1_000)
"""The waiting times of the test app's workers."""


@frozen
class Deployment:
    """What somebody runs Celery with. The journal is taken from the result backend where none is named."""

    name: str
    options: tuple[str, ...]
    """Of the worker."""
    broker: str = "redis"
    backend: str | None = "redis"
    journal: str | None = None
    configuration: Mapping[str, Any] = {}

    def __str__(self) -> str:
        return self.name


@frozen
class Deployed:
    """A deployment that is there: its app in this process, and its workers."""

    what: Deployment
    app: Celery
    adapter: CeleryAdapter
    workers: Workers


@contextlib.contextmanager
def deployed(what: Deployment, redis_url: str, folder: Path) -> Iterator[Deployed]:
    """Make the app, without a worker as yet; kill the workers that were started, and remove the queues."""
    name = f"tests-{secrets.token_hex(4)}"
    with contextlib.ExitStack() as cleanup:
        stores = {"redis": redis_url, "sqlite": f"sqlite:///{folder / 'store.db'}", "amqp": None, "postgresql": None}
        if "amqp" in (what.broker, what.backend):
            stores["amqp"] = services.AMQP.require()
        if "postgresql" in (what.backend, what.journal):
            url = cleanup.enter_context(services.sql_database(services.POSTGRESQL))
            stores["postgresql"] = url.replace("postgresql://", "postgresql+psycopg://")
        backend = None if what.backend is None else stores[what.backend]
        journal = None if what.journal is None else stores[what.journal]
        configuration = {
            "broker_url": stores[what.broker],
            "result_backend": f"db+{backend}" if what.backend in ("sqlite", "postgresql") else backend,
            "dyrygent_journal": journal,
            "dyrygent_namespace": name,
            "task_default_queue": name,
            **what.configuration,
        }
        app = Celery(name, set_as_current=False)
        app.conf.update(configuration, dyrygent_settings=QUICK)
        environment = {"DYRYGENT_TEST_APP_CONF": json.dumps(configuration)}
        workers = Workers(redis_url, folder / "log", environment=environment)
        if what.broker == "amqp":
            cleanup.callback(_remove, app, name)
        cleanup.callback(app.close)
        cleanup.callback(workers.kill)
        adapter = CeleryAdapter(app)
        cleanup.callback(adapter.journal.dispose)
        yield Deployed(what, app, adapter, workers)


def _remove(app: Celery, name: str) -> None:
    with app.connection_for_write() as connection, connection.channel() as channel:
        channel.queue_delete(name)
        channel.exchange_delete(name)
