"""The conditions and trigger rules, as tables. No logic lives here.

Theory
------
A node waits on its incoming edges. Each edge is decided once, when the node at its other end becomes final, and
then does one of four things to the waiting node:

    HOLD    count the edge down
    TAINT   count the edge down and set the node's one taint bit
    UPSTREAM_FAILED
            the node can never run; it is decided now
    RUN     the node can no longer be stopped from running; it is decided now

When the last edge is counted down, the node's rule says, from the taint bit alone, whether it runs or what it
becomes instead. That one counter and one bit are enough is no accident: a node is decided early only where the
answer can no longer change, so what it becomes is a function of *which* outcomes its dependencies had and never
of the order in which they arrived. To see it for one row: the effects of a row commute among themselves (counting
down commutes, setting a bit commutes), except that an early decision wins over them; and no row holds two
*different* early decisions. The property tests hold the whole table to it.

A rule that reads all edges alike and combines them with AND (`all_success`, `none_failed`, `all_failed`,
`all_done`) is only a shorthand for one condition on every edge. The OR-rules look at all edges together, so they
have rows of their own, and do not mix with conditions.

"Allowed" is a FAILED node marked `allow_failure`: it satisfies whoever only wants to go on.

The rows `ONE_SUCCESS` and `NONE_FAILED_MIN_ONE_SUCCESS` use the taint bit for what they must remember: the first,
that something failed; the second, that something succeeded.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, TypeAlias

from dyrygent_core.statuses import Status

__all__ = [
    "AND_RULES",
    "AT_ZERO",
    "EDGE_EFFECTS",
    "OUTCOME_COLUMNS",
    "ROWS",
    "RULES_VERSION",
    "TRIGGERS",
    "Condition",
    "Effect",
    "Row",
    "Trigger",
]

RULES_VERSION: Final = 1
"""Of these tables. Pinned in every definition: a change that would emit differently adds a version, see `versions`."""


class _Member(Enum):
    """A member is one object, so its address tells it from others; `Enum` hashes its name, in Python (enum.py)."""

    __hash__ = object.__hash__


class Condition(_Member):
    """What one edge asks of the dependency at its other end."""

    SUCCEEDED = "succeeded"
    NOT_FAILED = "not_failed"
    FAILED = "failed"
    SKIPPED = "skipped"
    DONE = "done"
    IF_SUCCEEDED = "if_succeeded"


class Trigger(_Member):
    """When a node may run, as a rule over all its edges."""

    ALL_SUCCESS = "all_success"
    NONE_FAILED = "none_failed"
    ALL_FAILED = "all_failed"
    ALL_DONE = "all_done"
    ONE_SUCCESS = "one_success"
    ONE_FAILED = "one_failed"
    NONE_FAILED_MIN_ONE_SUCCESS = "none_failed_min_one_success"


class Effect(Enum):
    """What a decided edge does to the node that waits on it."""

    HOLD = "hold"
    TAINT = "taint"
    UPSTREAM_FAILED = "upstream_failed"
    RUN = "run"


Row: TypeAlias = Condition | Trigger
"""An edge's row in `EDGE_EFFECTS`: its condition, or its node's OR-rule."""

AND_RULES: Final[Mapping[Trigger, Condition]] = {
    Trigger.ALL_SUCCESS: Condition.SUCCEEDED,
    Trigger.NONE_FAILED: Condition.NOT_FAILED,
    Trigger.ALL_FAILED: Condition.FAILED,
    Trigger.ALL_DONE: Condition.DONE,
}

OUTCOME_COLUMNS: Final = ("SUCCEEDED", "FAILED", "allowed FAILED", "UPSTREAM_FAILED", "CANCELLED", "SKIPPED")

ROWS: Final[tuple[Row, ...]] = (
    Condition.SUCCEEDED,
    Condition.NOT_FAILED,
    Condition.FAILED,
    Condition.SKIPPED,
    Condition.DONE,
    Trigger.ONE_SUCCESS,
    Trigger.ONE_FAILED,
    Trigger.NONE_FAILED_MIN_ONE_SUCCESS,
    Condition.IF_SUCCEEDED,
)
"""Every row, in the order of the numbers that stand for them in a graph, and in its fingerprint: a new one is last."""
TRIGGERS: Final = tuple(Trigger)

_H, _T, _U, _R = Effect.HOLD, Effect.TAINT, Effect.UPSTREAM_FAILED, Effect.RUN

# fmt: off
EDGE_EFFECTS: Final[Mapping[Row, tuple[Effect, ...]]] = {
    #                                    SUCCEEDED FAILED allowed UPSTREAM_FAILED CANCELLED SKIPPED
    Condition.SUCCEEDED:                 (_H,      _U,    _H,     _U,             _U,       _T),
    Condition.NOT_FAILED:                (_H,      _U,    _H,     _U,             _U,       _H),
    Condition.FAILED:                    (_T,      _H,    _H,     _H,             _U,       _T),
    Condition.SKIPPED:                   (_T,      _T,    _T,     _T,             _U,       _H),
    Condition.DONE:                      (_H,      _H,    _H,     _H,             _H,       _H),
    Condition.IF_SUCCEEDED:              (_H,      _T,    _T,     _T,             _U,       _T),
    Trigger.ONE_SUCCESS:                 (_R,      _T,    _R,     _T,             _T,       _H),
    Trigger.ONE_FAILED:                  (_H,      _R,    _R,     _R,             _R,       _H),
    Trigger.NONE_FAILED_MIN_ONE_SUCCESS: (_T,      _U,    _T,     _U,             _U,       _H),
}

AT_ZERO: Final[Mapping[Trigger, tuple[Status, Status]]] = {
    # (clean, tainted); SCHEDULED stands for "runs"
    Trigger.ALL_SUCCESS:                 (Status.SCHEDULED, Status.SKIPPED),
    Trigger.NONE_FAILED:                 (Status.SCHEDULED, Status.SKIPPED),
    Trigger.ALL_FAILED:                  (Status.SCHEDULED, Status.SKIPPED),
    Trigger.ALL_DONE:                    (Status.SCHEDULED, Status.SKIPPED),
    Trigger.ONE_SUCCESS:                 (Status.SKIPPED,   Status.UPSTREAM_FAILED),
    Trigger.ONE_FAILED:                  (Status.SKIPPED,   Status.SKIPPED),
    Trigger.NONE_FAILED_MIN_ONE_SUCCESS: (Status.SKIPPED,   Status.SCHEDULED),
}
# fmt: on
