"""What a turn need not read, for it has just written it, or was told it with its append."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import evolve, field, frozen

from dyrygent_core import Attempt

__all__ = ["NOTHING", "AtHand"]


@frozen
class AtHand:
    """Results by attempt, and calls by node number."""

    results: Mapping[Attempt, bytes] = field(factory=dict[Attempt, bytes], repr=False)
    calls: Mapping[int, bytes] = field(factory=dict[int, bytes], repr=False)

    def having(self, results: Mapping[Attempt, bytes]) -> AtHand:
        """Return the same with these results."""
        return evolve(self, results=results)


NOTHING: Final = AtHand()
