"""Arbitrary workflows, steered at any moment on real engines, stand where the model stands."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager

from hypothesis import settings

from dyrygent_testing import QUICK, TASKS, AdapterEngine, AdapterMachine
from local_dyrygent import LocalAdapter
from tests.celery_dyrygent.suite_app import make_app
from tests.celery_dyrygent.suite_engine import ThreadedEngine


class LocalMachine(AdapterMachine):
    """On threads."""

    @contextmanager
    def make_engine(self) -> Iterator[AdapterEngine]:
        with LocalAdapter(TASKS, workers=2, settings=QUICK) as adapter:
            yield AdapterEngine(adapter)


class CeleryMachine(AdapterMachine):
    """On Celery's embedded worker."""

    @contextmanager
    def make_engine(self) -> Iterator[AdapterEngine]:
        name = f"machine-{secrets.token_hex(4)}"
        configuration = {
            "broker_url": "memory://",
            "broker_transport_options": {"polling_interval": 0.01},
            "result_backend": "cache+memory://",
            "dyrygent_journal": "memory://",
            "dyrygent_namespace": name,
            "task_default_queue": name,
        }
        with closing(ThreadedEngine(make_app(configuration))) as engine:
            yield engine


TestLocal = LocalMachine.TestCase
TestLocal.settings = settings(max_examples=max(20, settings().max_examples // 5), stateful_step_count=12, deadline=None)
TestCelery = CeleryMachine.TestCase
TestCelery.settings = settings(max_examples=max(4, settings().max_examples // 40), stateful_step_count=8, deadline=None)
