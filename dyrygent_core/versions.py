"""The versions of the rules, side by side: a workflow follows to its end the one that it was started under.

A version is one value, which a graph takes when it is made. The engine asks the graph (`graph.rules`) and never
compares numbers, so two versions run in one process without knowing of each other, and a step costs what it cost.
Today versions may differ in their tables. The first release in which something else would be decided otherwise (what
a rerun resets, say, or how a delay is counted) moves that into a field of `Rules`, with a value for each version: what
is not a field here is the same for all of them, and the golden files hold it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import Factory, field, frozen

from dyrygent_core.cells import ALLOWED
from dyrygent_core.rules import (
    AND_RULES,
    AT_ZERO,
    EDGE_EFFECTS,
    OUTCOME_COLUMNS,
    ROWS,
    RULES_VERSION,
    TRIGGERS,
    Condition,
    Effect,
    Row,
    Trigger,
)
from dyrygent_core.statuses import Status

__all__ = ["KNOWN_RULES", "NEWEST_RULES", "Rules"]

_CODE_OF_EFFECT: Final = {
    Effect.HOLD: int(Status.WAITING),
    Effect.TAINT: 1,
    Effect.UPSTREAM_FAILED: int(Status.UPSTREAM_FAILED),
    Effect.RUN: int(Status.SCHEDULED),
}
_COLUMN_OF_CODE: Final = {
    code: OUTCOME_COLUMNS.index(name)
    for code, name in {ALLOWED: "allowed FAILED", **{int(it): it.name for it in Status if it.is_final}}.items()
}


def _effects(rules: Rules) -> Mapping[int, bytes]:
    return {
        code: bytes(_CODE_OF_EFFECT[rules.edge_effects[row][column]] for row in ROWS)
        for code, column in _COLUMN_OF_CODE.items()
    }


def _last_codes(rules: Rules) -> tuple[bytes, bytes]:
    clean, tainted = (bytes(rules.at_zero[trigger][taint] for trigger in TRIGGERS) for taint in (False, True))
    return clean, tainted


def _easy_rows(rules: Rules) -> bytes:
    on_success = rules.effects[Status.SUCCEEDED]
    return bytes(place for place, row in enumerate(ROWS) if isinstance(row, Condition) and not on_success[place])


@frozen(repr=False)
class Rules:
    """One version of the rules: its tables, and the same once more as bytes that the hot loops look up by number.

    Two with one number are equal: a version, once released, never changes.
    """

    version: int
    edge_effects: Mapping[Row, tuple[Effect, ...]] = field(eq=False)
    """As `rules.EDGE_EFFECTS`."""
    at_zero: Mapping[Trigger, tuple[Status, Status]] = field(eq=False)
    """As `rules.AT_ZERO`."""
    effects: Mapping[int, bytes] = field(init=False, eq=False, default=Factory(_effects, takes_self=True))
    """For each final code, by row: 0 holds, 1 taints, and any other is the code that the waiting node gets at once."""
    last_codes: tuple[bytes, bytes] = field(init=False, eq=False, default=Factory(_last_codes, takes_self=True))
    """Clean and tainted, by rule: the code that a node gets whose last edge was decided."""
    easy_rows: bytes = field(init=False, eq=False, default=Factory(_easy_rows, takes_self=True))
    """The conditions, as places in `rules.ROWS`, along which a success only counts down."""

    def __attrs_post_init__(self) -> None:
        """Hold it to what no version may decide otherwise: a node that waits for nothing runs."""
        assert all(self.at_zero[trigger][False] is Status.SCHEDULED for trigger in AND_RULES)

    def __repr__(self) -> str:
        return f"<Rules {self.version}>"


NEWEST_RULES: Final = Rules(RULES_VERSION, EDGE_EFFECTS, AT_ZERO)
"""What a new workflow follows."""
KNOWN_RULES: Final[Mapping[int, Rules]] = {NEWEST_RULES.version: NEWEST_RULES}
"""Every version that this release follows, by its number; none is ever taken out."""
