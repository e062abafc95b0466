"""The Django project of the examples: shared tasks, settings of Django, a real worker."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from attrs import frozen

_PROJECT: Final = Path(__file__).parents[2] / "examples" / "django_project"
_LIMIT_S: Final = 60.0
_PLACE: Final = """
import django
django.setup()
from django.db import transaction
from celery_dyrygent.results import WorkflowResult
from orders.models import Order
from orders.placing import fulfil, place
from shop import celery_app

def outcome(order):
    try:
        found = WorkflowResult(f"order-{order.pk}", app=celery_app).get(timeout=30)
    except Exception as problem:
        found = f"{type(problem).__name__}: {problem}"
    order.refresh_from_db()
    return found, order.price, order.state

tea, gold = place("tea"), place("gold")
print(outcome(tea))
print(outcome(gold))
fulfil(tea.pk)
try:
    with transaction.atomic():
        place("coffee")
        raise ZeroDivisionError
except ZeroDivisionError:
    print(Order.objects.count())
"""


@frozen
class Project:
    """The project with a database and a Redis of its own."""

    environment: dict[str, str]

    def run(self, *words: str) -> str:
        """Run Python in it; give what it prints."""
        command = [sys.executable, "-W", "ignore", *words]
        done = subprocess.run(
            command, cwd=_PROJECT, env=self.environment, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def project(redis_url: str, tmp_path: Path) -> Iterator[Project]:
    environment = {
        **os.environ,
        "SHOP_REDIS": redis_url,
        "SHOP_DATABASE": str(tmp_path / "shop.db"),
        "DJANGO_SETTINGS_MODULE": "shop.settings",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    project = Project(environment)
    project.run("manage.py", "migrate", "--verbosity", "0")
    log = tmp_path / "log"
    command = [sys.executable, "-W", "ignore", "-m", "celery", "-A", "shop", "worker", "-c", "2", "-l", "INFO"]
    with log.open("wb") as output:
        worker = subprocess.Popen(
            command, cwd=_PROJECT, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        end = time.monotonic() + _LIMIT_S
        while " ready." not in log.read_text(errors="replace"):
            if worker.poll() is not None or time.monotonic() > end:
                pytest.fail(f"the worker is not ready:\n{log.read_text(errors='replace')}", pytrace=False)
            time.sleep(0.02)
        yield project
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def test_an_order_is_fulfilled_when_it_is_committed(project: Project) -> None:
    """Shared tasks run as nodes, settings are Django's, one order is one workflow, and a rollback starts nothing."""
    lines = project.run("-c", _PLACE).splitlines()

    assert lines == ["('1: 4 taken', 4, 'paid')", "(\"KeyError: 'gold'\", None, 'failed')", "2"]
    listed = json.loads(project.run("-m", "celery", "-A", "shop", "workflow", "list", "--json"))
    assert {it["id"]: it["state"] for it in listed["workflows"]} == {"order-1": "SUCCESS", "order-2": "FAILURE"}
    why = project.run("-m", "celery", "-A", "shop", "workflow", "explain", "order-2", "charge")
    assert why == "'charge' is UPSTREAM_FAILED: it needs the success of 'price', which FAILED (\"KeyError: 'gold'\")\n"
