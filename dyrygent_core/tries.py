"""How often a node, or an instance of a mapped node, was tried."""

from __future__ import annotations

from typing import Final

from attrs import frozen

__all__ = ["FIRST_TRY", "Tries"]


@frozen
class Tries:
    """The number of the newest attempt, and what became of those before it in this round."""

    number: int = 1
    failures: int = 0
    losses: int = 0


FIRST_TRY: Final = Tries()
