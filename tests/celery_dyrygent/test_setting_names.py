"""Settings in `app.conf`: found under any namespace, and refused where they would do nothing."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery

from celery_dyrygent import CeleryAdapter, worker
from celery_dyrygent.configuration import KEYS
from dyrygent_core import UsageError
from dyrygent_runtime import Settings
from dyrygent_runtime.journals import MemoryJournal

PACKAGE = Path(__file__).parents[2] / "adapters" / "celery_dyrygent"


def app_of(namespace: str | None = None, **settings: Any) -> Celery:
    """Make an app of these settings, written as in a module of settings."""
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.config_from_object(SimpleNamespace(**settings), namespace=namespace)
    return app


def test_settings_are_read_where_the_app_has_them() -> None:
    """Each key counts as it is written there."""
    journal, settings = MemoryJournal("other"), Settings(poll_ms=10)
    app = Celery("shop", set_as_current=False)
    app.conf.update(dyrygent_journal=journal, dyrygent_settings=settings)
    assert (CeleryAdapter(app).journal, CeleryAdapter(app).conductor.settings) == (journal, settings)

    by_name = app_of(dyrygent_journal="memory://", dyrygent_namespace="eu", dyrygent_settings={"poll_ms": 10})
    assert CeleryAdapter(by_name).journal.namespace == "eu"
    assert CeleryAdapter(by_name).conductor.settings == settings


@pytest.mark.parametrize("namespace", ["CELERY", "CELERY_"])
def test_a_namespace_stands_before_our_keys_too(namespace: str) -> None:
    """As before Celery's own: `CELERY_DYRYGENT_JOURNAL` in Django's settings is `dyrygent_journal`."""
    app = app_of(
        namespace,
        CELERY_DYRYGENT_JOURNAL="memory://",
        CELERY_DYRYGENT_NAMESPACE="eu",
        CELERY_TASK_DEFAULT_QUEUE="q",
        DYRYGENT_TEAM="somebody else's",
    )

    assert CeleryAdapter(app).journal.namespace == "eu"
    assert app.conf.task_default_queue == "q"


@pytest.mark.parametrize(
    ("namespace", "settings", "said"),
    [
        (None, {"dyrygent_journel": "memory://"}, r"no setting 'dyrygent_journel'; did you mean dyrygent_journal\?"),
        (None, {"dyrygent_x": 1}, r"no setting 'dyrygent_x'; there are dyrygent_journal, dyrygent_namespace, "),
        (None, {"DYRYGENT_JOURNAL": "memory://"}, r"'DYRYGENT_JOURNAL' is not read .* write dyrygent_journal$"),
        (
            "CELERY",
            {"CELERY_DYRYGENT_JOURNEL": "memory://"},
            r"no setting 'CELERY_DYRYGENT_JOURNEL'; did you mean CELERY_DYRYGENT_JOURNAL\?",
        ),
        ("CELERY", {"DYRYGENT_JOURNAL": "memory://"}, r"'DYRYGENT_JOURNAL' is not read .* CELERY_DYRYGENT_JOURNAL$"),
        ("CELERY", {"celery_dyrygent_journal": "x"}, r"is not read .* CELERY_DYRYGENT_JOURNAL$"),
        ("CELERY", {"CELERY_DYRYGENT_JOURNAL": 7}, "CELERY_DYRYGENT_JOURNAL must be a URL or a journal, not 7"),
        (None, {"dyrygent_namespace": ""}, "dyrygent_namespace must be a text that is not empty, not ''"),
        (None, {"dyrygent_pass_results": "no"}, "dyrygent_pass_results must be True or False, not 'no'"),
        (None, {"dyrygent_settings": 5}, "dyrygent_settings must be a dyrygent_runtime.Settings or a dict, not 5"),
        (
            None,
            {"dyrygent_settings": {"lease": 5}},
            r"dyrygent_settings has no waiting time 'lease'; did you mean lease_ms\?",
        ),
        (None, {"dyrygent_settings": {"lease_ms": 0}}, "dyrygent_settings cannot be {'lease_ms': 0}: 'lease_ms' must"),
        (None, {"dyrygent_settings": {"lease_ms": "5"}}, "dyrygent_settings cannot be {'lease_ms': '5'}"),
        ("CELERY", {}, "no result backend, .* set CELERY_DYRYGENT_JOURNAL = "),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(namespace: str | None, settings: dict[str, Any], said: str) -> None:
    """The message names the setting as its user has written it, and what to write."""
    with pytest.raises(UsageError, match=said):
        CeleryAdapter(app_of(namespace, **settings))


def test_a_worker_without_a_usable_setting_runs_its_other_tasks(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its boot step warns and sweeps nothing, so that one mistake stops no worker."""
    monkeypatch.setattr(worker, "_BOOT", [])
    parent = SimpleNamespace(app=app_of(dyrygent_journal=7), hostname="celery@here")
    step = worker.SweeperStep(parent)

    step.start(parent)
    step.stop(parent)

    (record,) = caplog.records
    assert (record.name, record.levelname) == ("dyrygent", "WARNING")
    assert record.getMessage() == (
        "this worker cannot run workflows: app.conf.dyrygent_journal must be a URL or a journal, not 7"
    )


def test_the_keys_are_those_that_are_read() -> None:
    """No key is read that is not known, and none is known that nobody reads."""
    code = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))

    assert set(re.findall(r'conf\.get\("(dyrygent_\w+)"', code)) == set(KEYS)
