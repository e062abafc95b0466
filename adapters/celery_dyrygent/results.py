"""What `Workflow.apply_async` returns: Celery's own `AsyncResult`, under the workflow's id."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import Any

from celery import states
from celery.exceptions import TaskRevokedError
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult

from celery_dyrygent.adapter import adapter_of
from celery_dyrygent.backend import has_backend
from celery_dyrygent.control import cancel
from dyrygent_core import WorkflowState
from dyrygent_runtime import Run

__all__ = ["WorkflowResult"]


class WorkflowResult(AsyncResult):
    """The result of a whole workflow; `run` tells more about it.

    `get` returns the canvas's result, a list for a group; if the workflow failed it raises the exception of the
    node that failed first. `revoke` cancels the workflow through its journal. Where the app keeps no results,
    `get` reads them from the journal.
    """

    @cached_property
    def run(self) -> Run:
        """The handle on the workflow; raises `UnknownWorkflowError` if the journal does not hold it."""
        adapter = adapter_of(self.app)
        return Run(adapter.conductor, adapter.journal.definition(self.id).key)

    def get(self, timeout: float | None = None, propagate: bool = True, **kwargs: Any) -> Any:
        """Wait until the workflow has ended and return its result, as `AsyncResult.get` does."""
        if has_backend(self.app):
            return super().get(timeout=timeout, propagate=propagate, **kwargs)
        try:
            state = self.run.wait(timeout)
        except TimeoutError as problem:
            raise CeleryTimeoutError(str(problem)) from None
        if state is WorkflowState.CANCELLED and propagate:
            raise TaskRevokedError(self.id)
        return self.run.result() if propagate or state is WorkflowState.SUCCESS else None

    wait = get

    def revoke(
        self,
        connection: Any = None,
        terminate: bool = False,
        signal: str | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Cancel the workflow: nothing that was not sent starts after this; what was sent is revoked if possible.

        `terminate` and `signal` are for the processes that run its tasks, see `celery_dyrygent.control`. `wait` waits
        until the workflow has ended, or for `timeout` seconds. The `connection` is the app's own in any case.
        """
        cancel(adapter_of(self.app), self.run, "revoked", terminate=signal or "SIGTERM" if terminate else None)
        if wait:
            with suppress(TimeoutError):
                self.run.wait(timeout)

    @property
    def state(self) -> str:
        """Celery's name for the workflow's state: STARTED while it runs."""
        if has_backend(self.app):
            stored = super().state
            return states.STARTED if stored == states.PENDING and self.run.workflow_state.name == "RUNNING" else stored
        return _STATES[self.run.workflow_state]

    status = state


_STATES = {
    WorkflowState.INITIAL: states.PENDING,
    WorkflowState.RUNNING: states.STARTED,
    WorkflowState.SUCCESS: states.SUCCESS,
    WorkflowState.FAILURE: states.FAILURE,
    WorkflowState.ERROR: states.FAILURE,
    WorkflowState.CANCELLED: states.REVOKED,
}
