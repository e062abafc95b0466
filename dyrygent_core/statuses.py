"""The statuses of a node and the states of a workflow.

A past participle never changes again within a round; the other three are on their way.
The integers are codes of `cells`, where 1 to 200 mean "waiting, so many edges left".
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Final

__all__ = ["FINAL_STATUSES", "Status", "WorkflowState"]

_LAST_OPEN: Final = 202
"""SCHEDULED, as a plain number: to look a member up takes longer than to compare with it."""


class Status(IntEnum):
    """What has become of one node."""

    WAITING = 0
    """Some of its edges are undecided."""
    READY = 201
    """It may run, but is held back: by `max_in_flight`, a pause or a retry delay."""
    SCHEDULED = _LAST_OPEN
    """An attempt of it, or of an instance of it, is in flight; marks beside the journal tell whether it was sent."""
    SUCCEEDED = 203
    FAILED = 204
    UPSTREAM_FAILED = 205
    """It never ran, since something that it needs failed."""
    CANCELLED = 206
    SKIPPED = 207
    """It never ran, or stopped itself, and that is no failure."""

    @property
    def is_final(self) -> bool:
        """Whether this status lasts until the end of the round."""
        return self > _LAST_OPEN


FINAL_STATUSES = frozenset(status for status in Status if status.is_final)


class WorkflowState(Enum):
    """What has become of a whole workflow; the first five names are the predecessor's."""

    INITIAL = "INITIAL"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    """Every node succeeded or was skipped, apart from failures that were allowed."""
    FAILURE = "FAILURE"
    ERROR = "ERROR"
    """The workflow itself broke: its deadline passed."""
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """Whether the workflow has ended."""
        return self not in (WorkflowState.INITIAL, WorkflowState.RUNNING)
