"""What `Workflow.apply_async` returns where the app is eager: the workflow has been run, so it has its end in it."""

from __future__ import annotations

from typing import Any

from celery import states
from celery.exceptions import TimeoutError as CeleryTimeoutError

from celery_dyrygent.adapter import CeleryAdapter
from celery_dyrygent.ends import end_of
from celery_dyrygent.results import WorkflowResult
from dyrygent_runtime import Run

__all__ = ["EagerWorkflowResult"]


class EagerWorkflowResult(WorkflowResult):
    """As Celery's `EagerResult`, of a whole workflow: no result backend is asked, all is read from the journal.

    A workflow that was paused, or waits for another process, is STARTED; then `get` waits.
    """

    def __init__(self, run: Run, adapter: CeleryAdapter) -> None:
        super().__init__(run.id, app=adapter.app)
        self.__dict__["run"] = run  # the same as by the id, in the adapter's own journal
        self._adapter = adapter

    def get(self, timeout: float | None = None, propagate: bool = True, **_: Any) -> Any:
        """Return the workflow's result, or raise what its first failed node has raised."""
        try:
            self.run.wait(timeout)
        except TimeoutError as problem:
            raise CeleryTimeoutError(str(problem)) from None
        if propagate:
            self.maybe_throw()
        return self.result

    wait = get

    @property
    def state(self) -> str:
        """Celery's name for the workflow's state: STARTED while it has not ended."""
        return str(self._get_task_meta()["status"])

    status = state

    def _get_task_meta(self) -> dict[str, Any]:
        """Give what a result backend would: everything else that an `AsyncResult` tells is read from it."""
        known: dict[str, Any] | None = self.__dict__["_cache"]
        meta = known or end_of(self._adapter, self.run.key)
        if meta["status"] in states.READY_STATES:
            self._cache = meta
        return meta
