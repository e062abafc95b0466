"""Named fault points: places of a turn where a test may make the process die.

Each is one call of a function that does nothing. `kill_from_environment` gives one that reads
`DYRYGENT_FAULT=after_append:3` and kills the process, unasked, when that point is reached for the third time.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from enum import Enum
from typing import TypeAlias

from dyrygent_core import UsageError

__all__ = ["FaultPoint", "Reach", "kill_from_environment", "nothing"]


class FaultPoint(Enum):
    """The boundaries of a turn, in the order in which it passes them, and then those of a sweep."""

    BEFORE_CREATE = "before_create"
    AFTER_CREATE = "after_create"
    BEFORE_APPEND = "before_append"
    BEFORE_READ_BACK = "before_read_back"
    """The reply to an append was lost."""
    AFTER_APPEND = "after_append"
    BEFORE_TAKE_BACK = "before_take_back"
    BEFORE_HAND_OVER = "before_hand_over"
    AFTER_HAND_OVER = "after_hand_over"
    BEFORE_SEND = "before_send"
    AFTER_SEND = "after_send"
    AFTER_MARK = "after_mark"
    BEFORE_NOTIFY = "before_notify"
    BEFORE_PUBLISH = "before_publish"
    AFTER_PUBLISH = "after_publish"
    BEFORE_CLOSE = "before_close"
    AFTER_CLOSE = "after_close"
    BEFORE_SNAPSHOT = "before_snapshot"
    AFTER_SNAPSHOT = "after_snapshot"
    SWEEP_CLAIMED = "sweep_claimed"
    SWEEP_BEFORE_REVOKE = "sweep_before_revoke"
    SWEEP_AFTER_REVOKE = "sweep_after_revoke"
    SWEEP_BEFORE_REST = "sweep_before_rest"
    SWEEP_BEFORE_PURGE = "sweep_before_purge"


Reach: TypeAlias = Callable[[FaultPoint], None]


def nothing(_: FaultPoint) -> None:
    """Go on: what a fault point does outside tests."""


def kill_from_environment() -> Reach:
    """Return what `DYRYGENT_FAULT` asks for: `nothing`, or a kill at the given hit of the given point.

    Raises `UsageError` for a point that does not exist.
    """
    asked = os.environ.get("DYRYGENT_FAULT")
    if not asked:
        return nothing
    name, _, times = asked.partition(":")
    try:
        point, hit = FaultPoint(name), int(times or 1)
    except ValueError:
        known = ", ".join(each.value for each in FaultPoint)
        message = f"DYRYGENT_FAULT={asked!r} is not of the form point:hit with a point out of {known}"
        raise UsageError(message) from None
    hits: Counter[FaultPoint] = Counter()

    def reach(here: FaultPoint) -> None:
        hits[here] += 1
        if here is point and hits[here] == hit:
            os.kill(os.getpid(), signal.SIGKILL)

    return reach
