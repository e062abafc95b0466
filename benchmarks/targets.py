"""What the measurements are held against. They are ratios wherever a ratio can be had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["EXPONENT", "P99_US_AT_A_MILLION", "RATIOS", "STATE_BYTES", "mark"]

RATIOS: Final[Mapping[tuple[str, str, int], float]] = {
    ("layered", "kernel, one outcome a step", 10_000): 2.5,
    ("layered", "kernel, one outcome a step", 100_000): 3.0,
    ("layered", "kernel, one outcome a step", 1_000_000): 4.0,
    ("layered", "observations, one a step", 100_000): 5.0,
    ("layered", "kernel, in batches", 100_000): 1.5,
    ("layered", "kernel, in batches, five rules", 100_000): 3.0,
}
"""By shape, contender and size: at most so many times graphlib."""
EXPONENT: Final = 0.10
"""The growth exponent of ours from 10,000 to 1,000,000 nodes, layered, less that of graphlib."""
STATE_BYTES: Final = 1.1
"""Of a node."""
P99_US_AT_A_MILLION: Final = 60.0
"""Of one step, CPU time, layered."""


def mark(value: float, target: float | None) -> str:
    """Say what is to be said of a figure beside its target; nothing if it has none."""
    if target is None:
        return ""
    return f"{'pass' if value <= target else 'SHORT'} (at most {target:g})"
