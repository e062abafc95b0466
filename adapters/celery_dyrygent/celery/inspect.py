"""Looking into canvases and results, as celery-dyrygent does it.

Nothing of ours needs this: canvases are read by `canvas`, and ends of tasks come from signals and the sweep.
"""

from __future__ import annotations

from typing import Any, ClassVar

from celery import states
from celery.result import AsyncResult

__all__ = ["ResultState", "get_chain_tasks", "get_chord_tasks", "get_group_tasks", "get_task_state"]


def get_chain_tasks(chain_instance: Any) -> Any:
    """Return the steps of a chain."""
    return chain_instance.tasks


def get_chord_tasks(chord_instance: Any) -> tuple[Any, Any]:
    """Return a chord's body, and the tasks of its header."""
    return chord_instance.body, chord_instance.tasks


def get_group_tasks(group_instance: Any) -> Any:
    """Return the members of a group."""
    return group_instance.tasks


def get_task_state(task_id: str) -> ResultState:
    """Ask the result backend what has become of a task, now."""
    return ResultState(AsyncResult(task_id))


class ResultState:
    """What the result backend said of one task when it was asked.

    The states FAILED_RETRYING and RESCHEDULE were for failures of old releases of Celery that were none. They are not
    found here any more: a failure is final.
    """

    INIT: ClassVar = 0
    RUNNING: ClassVar = 1
    DONE: ClassVar = 2
    RESCHEDULE: ClassVar = 3
    FAILED_RETRYING: ClassVar = 4

    def __init__(self, celery_result: Any) -> None:
        self.result = celery_result
        self.task_state: str = celery_result.state
        self.value: Any = celery_result.result
        self.success: bool = self.task_state == states.SUCCESS
        self.done: bool = self.task_state in states.READY_STATES
        is_unknown = self.task_state == states.PENDING
        self.state: int = self.DONE if self.done else self.INIT if is_unknown else self.RUNNING

    def is_successful(self) -> bool:
        """Tell whether it succeeded."""
        return self.success

    def is_done(self) -> bool:
        """Tell whether it has ended."""
        return self.done

    def is_final(self) -> bool:
        """Tell whether that is its last word."""
        return self.done

    def was_published(self) -> bool:
        """Tell whether a worker is known to have it, or to have had it."""
        return self.state != self.INIT

    def needs_reschedule(self) -> bool:
        """Tell whether it has to be sent again, which the sweep would do."""
        return False
