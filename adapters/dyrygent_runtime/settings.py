"""The waiting times of the runtime, with their defaults. They bound every promise of progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import Attribute, field, frozen
from attrs.validators import ge

from dyrygent_core import Graph, UsageError
from dyrygent_core.errors import quoted

__all__ = ["CHUNK", "MAX_NODES", "MAX_WORKFLOW_ID_CHARACTERS", "Settings", "check_time_outs"]

CHUNK: Final = 100
"""Attempts sent, and marked as sent, at a time; in a worker also what its owner sends before it hands over."""
MAX_NODES: Final = 100_000
"""Nodes of one workflow at run time."""
MAX_WORKFLOW_ID_CHARACTERS: Final = 155
"""What the task id column of Celery's database result backend holds (celery/backends/database/models.py)."""


_DAY_MS: Final = 86_400_000


def _or_none(least: int) -> Callable[[object, Attribute[int], int | None], None]:
    def check(settings: object, attribute: Attribute[int], value: int | None) -> None:
        if value is not None:
            ge(least)(settings, attribute, value)

    return check


@frozen(kw_only=True)
class Settings:
    """Waiting times, in milliseconds, and bounds."""

    sweep_interval_ms: int = field(default=5_000, validator=ge(1))
    """How long an unfinished workflow rests between two sweep turns."""
    poll_ms: int = field(default=1_000, validator=ge(1))
    """How often a sweeper asks the journal what is due; a retry may be late by this."""
    grace_ms: int = field(default=30_000, validator=ge(1))
    """After this long without a sign an attempt counts as never sent. Owners stop sending after half of it."""
    lease_ms: int = field(default=60_000, validator=ge(1))
    """How long a worker counts as alive after its last word; it renews its lease every third of it."""
    resend_after_ms: int | None = field(default=3_600_000, validator=_or_none(1))
    """When an attempt that was sent but never started is sent again, doubling each time; see `resending`.

    None for never: then every node must have a time-out, which counts from when it was sent.
    """
    max_resends: int = field(default=3, validator=ge(0))
    cancel_grace_ms: int = field(default=60_000, validator=ge(1))
    """How long attempts in flight may take to end once the workflow is cancelled."""
    max_revocations: int = field(default=3, validator=ge(0))
    snapshot_entries: int = field(default=1_000, validator=ge(1))
    """After how many entries of a journal a snapshot is kept; more where much is in flight, see `snapshots`."""
    retention_ms: int | None = field(default=7 * _DAY_MS, validator=_or_none(0))
    """How long a workflow is kept after its end; None for ever."""

    @property
    def renewal_ms(self) -> int:
        """How often a worker renews its lease; and for how long nobody is judged by silence after an outage."""
        return max(1, self.lease_ms // 3)

    @property
    def claim_ms(self) -> int:
        """How long a sweep turn has the workflow to itself: its sends stop at half of it."""
        return self.grace_ms

    @property
    def owner_ms(self) -> int:
        """How long whoever appended an entry may send what follows from it, from when the append was first sent."""
        return self.grace_ms // 2


def check_time_outs(settings: Settings, graph: Graph) -> None:
    """Raise `UsageError` if nothing is ever sent again, and a node has no time-out that would notice its loss."""
    if settings.resend_after_ms is not None:
        return
    endless = [node.id for node in graph.nodes if node.timeout_ms is None]
    if endless:
        others = f" (and {len(endless) - 1:,} more)" if len(endless) > 1 else ""
        message = (
            f"with resend_after_ms=None an attempt that the queue loses is noticed by its time-out alone, and node "
            f"{quoted(endless[0])}{others} has none; add timeout=…, or set resend_after_ms"
        )
        raise UsageError(message)
