"""The waiting times of the runtime, with their defaults. They bound every promise of progress."""

from __future__ import annotations

from typing import Final

from attrs import field, frozen
from attrs.validators import ge

__all__ = ["CHUNK", "MAX_NODES", "MAX_WORKFLOW_ID_CHARACTERS", "Settings"]

CHUNK: Final = 100
"""Attempts sent, and marked as sent, at a time; in a worker also what its owner sends before it hands over."""
MAX_NODES: Final = 100_000
"""Nodes of one workflow at run time."""
MAX_WORKFLOW_ID_CHARACTERS: Final = 155
"""What the task id column of Celery's database result backend holds (celery/backends/database/models.py)."""


@frozen(kw_only=True)
class Settings:
    """Waiting times, in milliseconds."""

    sweep_interval_ms: int = field(default=5_000, validator=ge(1))
    """How long an unfinished workflow rests between two sweep turns."""
    poll_ms: int = field(default=1_000, validator=ge(1))
    """How often a sweeper asks the journal what is due; a retry may be late by this."""
    grace_ms: int = field(default=30_000, validator=ge(1))
    """After this long without a sign an attempt counts as never sent. Owners stop sending after half of it."""
    lease_ms: int = field(default=60_000, validator=ge(1))
    """How long a worker counts as alive after its last word; it renews its lease every third of it."""
    resend_after_ms: int = field(default=3_600_000, validator=ge(1))
    """When an attempt that was sent but never started is sent again, doubling each time."""
    max_resends: int = field(default=3, validator=ge(0))
    cancel_grace_ms: int = field(default=60_000, validator=ge(1))
    """How long attempts in flight may take to end once the workflow is cancelled."""
    max_revocations: int = field(default=3, validator=ge(0))

    @property
    def claim_ms(self) -> int:
        """How long a sweep turn has the workflow to itself: its sends stop at half the grace."""
        return self.grace_ms
