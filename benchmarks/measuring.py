"""How a time becomes a figure: CPU time of one thread, garbage collection off, and always beside a reference.

On a shared machine the same code takes twice the time a minute later, so absolute times are worth little. A sample
of ours is divided by the mean of the samples of the reference right before and right after it; of such ratios the
median is the figure, and the least and greatest are its spread.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator
from contextlib import contextmanager
from statistics import median
from time import thread_time
from typing import Final

from attrs import frozen

__all__ = ["ROUNDS_AT_A_MILLION", "Ratio", "paired", "quiet", "rounds_for", "seconds"]

ROUNDS_AT_A_MILLION: Final = 3
_MILLION: Final = 1_000_000

Sampler = Callable[[], float]
"""Prepares, runs once, and gives the seconds that the run took."""


@frozen
class Ratio:
    """Ours to the reference."""

    median: float
    least: float
    greatest: float
    rounds: int
    seconds: float
    """The least that ours took."""
    reference_seconds: float
    """The least that the reference took."""


def rounds_for(size: int, wanted: int) -> int:
    """Return how many pairs to measure: at a million nodes one takes many seconds, so fewer, and the report says so."""
    return min(wanted, ROUNDS_AT_A_MILLION) if size >= _MILLION else wanted


def paired(reference: Sampler, ours: Sampler, rounds: int) -> Ratio:
    """Measure reference, ours, reference, ours, …, reference; the first of each is thrown away."""
    reference()
    ours()
    before = reference()
    ratios: list[float] = []
    times: list[float] = []
    references = [before]
    for _ in range(rounds):
        taken = ours()
        after = reference()
        ratios.append(2 * taken / (before + after))
        times.append(taken)
        references.append(after)
        before = after
    return Ratio(median(ratios), min(ratios), max(ratios), rounds, min(times), min(references))


def seconds(prepare: Callable[[], Callable[[], object]]) -> float:
    """Prepare, and time one run of what comes back."""
    run = prepare()
    with quiet():
        start = thread_time()
        run()
        return thread_time() - start


@contextmanager
def quiet() -> Generator[None]:
    """Keep the garbage collector out, after it has had its turn."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
