"""`register_workflow_processor`: all that an app must call, at import of the module that defines it."""

from __future__ import annotations

from typing import Any

from celery import Celery

from celery_dyrygent.adapter import PROCESSOR, adapter_of
from celery_dyrygent.logs import connect_logs
from celery_dyrygent.signals import connect
from celery_dyrygent.worker import SweeperStep
from dyrygent_core.ports import WorkflowKey

__all__ = ["register_workflow_processor", "registered_app"]

_REGISTERED: list[Celery] = []


def register_workflow_processor(app: Celery, **task_options: Any) -> Any:
    """Make an app run workflows: registers the task `workflow-processor`, the handlers and the worker's sweeper.

    Call it where the app is made, so that every process that has the app, the pool's too, has it registered.
    `task_options` are options of that task, such as `queue`. Registering reads no configuration and never fails;
    calling it twice is calling it once. Returns the task.
    """

    def process(workflow_id: str, incarnation: str, position: int, offset: int) -> None:
        """Send what one entry of a workflow's journal emitted, from an offset on."""
        adapter_of(app).conductor.go_on(WorkflowKey(workflow_id, incarnation), position, offset)

    connect()
    connect_logs()
    app.steps["worker"].add(SweeperStep)
    if app not in _REGISTERED:
        _REGISTERED.append(app)
    return app.task(name=PROCESSOR, ignore_result=True, shared=False, **task_options)(process)


def registered_app() -> Celery | None:
    """Return the app that was registered last in this process, or None."""
    return _REGISTERED[-1] if _REGISTERED else None
