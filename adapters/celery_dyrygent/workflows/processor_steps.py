"""The steps of the predecessor's processor, which polled the result backend: asking is kept, acting is refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from celery_dyrygent.celery.inspect import ResultState, get_task_state
from celery_dyrygent.workflows.node import WorkflowNode
from dyrygent_core import UsageError
from dyrygent_core.errors import quoted

__all__ = ["ProcessorSteps"]


class ProcessorSteps:
    """Names of the predecessor's that nobody needs to call here; each says what to do instead."""

    def get_tasks_state(self, task_ids: Iterable[str]) -> dict[str, ResultState]:
        """Ask the result backend what has become of tasks."""
        return {task_id: get_task_state(task_id) for task_id in task_ids}

    def are_scheduled(self, nodes_to_run: Iterable[WorkflowNode]) -> dict[str, str]:
        """Return those of the nodes of which the result backend knows something, with Celery's name for their state."""
        found = self.get_tasks_state(node.id for node in nodes_to_run)
        return {task_id: it.task_state for task_id, it in found.items() if it.was_published()}

    def schedule_node_exec(self, node: WorkflowNode) -> NoReturn:
        """Refuse: what runs is decided by the graph and the journal."""
        _refuse("schedule_node_exec", f"add {quoted(node.id)} with the dependencies that it has, or use run.rerun")

    def reschedule_node_exec(self, node: WorkflowNode) -> NoReturn:
        """Refuse: what is lost is sent again by itself."""
        _refuse(
            "reschedule_node_exec", f"what becomes of {quoted(node.id)} is seen to; use run.rerun after its failure"
        )

    def set_state(self, state: str) -> NoReturn:
        """Refuse: the state follows from the journal."""
        _refuse("set_state", f"a workflow comes to {state} by what its nodes do, or by run.cancel")

    def update_pending(self) -> NoReturn:
        """Refuse: workers report what ends."""
        _refuse("update_pending", "tick() looks into the result backend at once")

    def check_consecutive_fails(self) -> NoReturn:
        """Refuse: failures of old releases of Celery that were none are not worked around any more."""
        _refuse("check_consecutive_fails", "a failure is final at once")


def _refuse(what: str, instead: str) -> NoReturn:
    message = f"{what} was a step of celery-dyrygent's processor, which is not there any more; {instead}"
    raise UsageError(message)
