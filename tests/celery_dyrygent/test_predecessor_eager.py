"""Signals of an eager app: all in one process, so their order is certain."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery, chain

from celery_dyrygent import register_workflow_processor, registered
from celery_dyrygent.workflows import Workflow
from celery_dyrygent.workflows.signals import WorkflowSignalMixin


def test_the_signals_of_one_process_come_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The beginning, each turn with what it sent before how far it is, and the end after the final state."""
    monkeypatch.setattr(registered, "_REGISTERED", [])
    monkeypatch.setattr(Workflow, "workflow_processor_task", None)
    monkeypatch.setattr(WorkflowSignalMixin, "hooks", {name: [] for name in Workflow.hooks})
    app = Celery("eager", broker="memory://", set_as_current=False)
    app.conf.task_always_eager = True
    register_workflow_processor(app)
    told: list[tuple[str, Any, str, int]] = []
    for name in Workflow.hooks:
        Workflow.connect(name)(
            lambda workflow, payload, name=name: told.append(
                (name, getattr(payload, "done", payload), workflow.state, len(workflow.finished))
            )
        )

    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    wf = Workflow()
    wf.add_celery_canvas(chain(add.s(1, 2), add.s(3)))

    assert (wf.apply_async().get(), wf.state, wf.stats["ticks"]) == (6, "SUCCESS", 3)
    assert told == [
        ("on_state_change", "RUNNING", "RUNNING", 0),
        ("after_active_tick", None, "RUNNING", 0),
        ("after_turn", 0, "RUNNING", 0),
        ("after_active_tick", None, "RUNNING", 1),
        ("after_turn", 1, "RUNNING", 1),
        ("after_turn", 2, "SUCCESS", 2),
        ("on_state_change", "SUCCESS", "SUCCESS", 2),
        ("on_finish", None, "SUCCESS", 2),
    ]
