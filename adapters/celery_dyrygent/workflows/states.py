"""The names of a workflow's states, as celery-dyrygent has them: plain text."""

from __future__ import annotations

from typing import Final

__all__ = ["WorkflowState"]


class WorkflowState:
    """What `workflow.state` is, and what handlers of `on_state_change` are given.

    The core's own `dyrygent_core.WorkflowState` is an enumeration with the same names.
    """

    INITIAL: Final = "INITIAL"
    """Not started."""
    RUNNING: Final = "RUNNING"
    SUCCESS: Final = "SUCCESS"
    """Every node succeeded, was skipped, or was allowed to fail."""
    FAILURE: Final = "FAILURE"
    """A node failed."""
    ERROR: Final = "ERROR"
    """The workflow itself broke: it took too long, or cannot be read."""
    CANCELLED: Final = "CANCELLED"
    """Somebody cancelled it. New: celery-dyrygent had no such thing."""
