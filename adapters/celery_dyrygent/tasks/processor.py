"""`register_workflow_processor`: all that an app must call, at import of the module that defines it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from celery import Celery
from celery.exceptions import Ignore

from celery_dyrygent.adapter import PROCESSOR, adapter_of, name_processor
from celery_dyrygent.errbacks import ERRBACK, call_errback
from celery_dyrygent.logs import connect_logs
from celery_dyrygent.registered import register, unwrapped
from celery_dyrygent.signals import connect
from celery_dyrygent.worker import SweeperStep
from celery_dyrygent.workflows import Workflow
from dyrygent_core import UsageError
from dyrygent_core.errors import JournalUnavailableError, quoted
from dyrygent_core.ports import WorkflowKey

__all__ = ["register_workflow_processor", "workflow_processor"]

_FIXED: Final = {"bind": True, "ignore_result": False}
"""The result of a workflow is stored under the id of the task that starts it; who sent that may wait for it."""

_AGAIN: Final = {"autoretry_for": (JournalUnavailableError,), "retry_backoff": True, "max_retries": None}
"""A workflow that arrives while the journal is away is started later; starting it twice would be starting it once."""


def workflow_processor(self: Any, workflow_dict: Mapping[str, Any] | str, *place: Any) -> None:
    """Start a frozen workflow under this task's id; or, given an id and a place in its journal, send what follows.

    Starting is idempotent: a message that comes twice starts one workflow. When it is started this raises `Ignore`.
    Raises `UsageError` for a dict that cannot be started, and for callbacks behind the frozen signature.
    """
    if isinstance(workflow_dict, str):
        incarnation, position, offset = place
        adapter_of(self.app).conductor.go_on(WorkflowKey(workflow_dict, incarnation), position, offset)
        return
    _refuse_callbacks(self.request)
    workflow = Workflow.from_dict(workflow_dict)
    adapter_of(self.app).start(workflow.with_tasks_options(), id=self.request.id)
    message = "the workflow has been started, and its own end is the result"
    raise Ignore(message)  # so that Celery stores nothing in its place


def workflow_errback(
    self: Any, errback: Mapping[str, Any], request: Mapping[str, Any], failure: Mapping[str, Any]
) -> None:
    """Call one error callback that takes the failed task's request, exception and traceback."""
    call_errback(self, errback, request, failure)


def register_workflow_processor(app: Celery, **task_options: Any) -> Any:
    """Make an app run workflows: registers the task `workflow-processor`, the handlers and the worker's sweeper.

    Call it where the app is made, so that every process that has the app, the pool's too, has it registered.
    `task_options` are options of that task, such as `priority`, or another `name`; that it is bound and its result not
    ignored stays. Registering reads no configuration and never fails; calling it twice is calling it once. Returns
    the task.
    """
    app = unwrapped(app)
    connect()
    connect_logs()
    app.steps["worker"].add(SweeperStep)
    register(app)
    options: dict[str, Any] = {"name": PROCESSOR, "shared": False, **_AGAIN, **task_options, **_FIXED}
    name_processor(app, options["name"])
    task = app.task(**options)(workflow_processor)
    app.task(name=ERRBACK, bind=True, ignore_result=True, shared=False)(workflow_errback)
    Workflow.workflow_processor_task = task  # not by the setter, which would make the task now
    return task


def _refuse_callbacks(request: Any) -> None:
    """Refuse what Celery would run as soon as the workflow has been started, and not when it has ended."""
    if request.callbacks or request.chain or request.chord:
        message = (
            f"workflow {quoted(request.id)} was sent as a part of a canvas, which would go on before it has ended; "
            f"add what follows to the workflow itself, or as wf.finally_(…)"
        )
        raise UsageError(message)
