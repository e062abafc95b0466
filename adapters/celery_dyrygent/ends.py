"""The end of a workflow as a result backend of Celery would tell it, read from the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import states

from celery_dyrygent.backend import as_result
from dyrygent_core import WorkflowState
from dyrygent_core.ports import WorkflowKey
from dyrygent_runtime.finish import outcome_of

if TYPE_CHECKING:
    from celery_dyrygent.adapter import CeleryAdapter

__all__ = ["end_of"]


def end_of(adapter: CeleryAdapter, key: WorkflowKey) -> dict[str, Any]:
    """Give the `status` of a workflow, STARTED while it runs, and its `result`, an exception if it did not succeed."""
    folded = adapter.conductor.refresh(key)
    meta = {"task_id": key.id, "status": states.STARTED, "result": None, "traceback": None, "children": []}
    if not folded.state.is_finished:
        return meta
    outcome = outcome_of(adapter.journal, adapter.values, folded, {})
    result, state = as_result(outcome)
    if outcome.state is not WorkflowState.SUCCESS:
        result = adapter.app.backend.exception_to_python(result)
    return {**meta, "status": state, "result": result}
