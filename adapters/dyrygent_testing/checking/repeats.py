"""Deaths by design: each node runs again once, after a worker that was done with it died before it could tell.

Left to chance, one node of many is never run again. Several deaths fit into one run where they are far apart, so that
all of `n` nodes take some √n runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from dyrygent_testing.simulation import Fault, FaultKind, Trace

__all__ = ["DONE", "apart", "death_at", "ends_of", "repeated"]

DONE: Final = "worker.ran"
"""Where a worker is done with an execution, and nobody has heard of it."""


def death_at(hit: int) -> Fault:
    """Return the death of whoever is the `hit`th to be done."""
    return Fault(DONE, hit, FaultKind.CRASH)


def ends_of(calm: Trace) -> Mapping[str, int]:
    """Give as the how many-th each node's first execution is done in a run without faults."""
    hits: dict[str, int] = {}
    for hit, held in enumerate(calm.held, 1):
        hits.setdefault(held.attempt.node, hit)
    return hits


def apart(hits: Iterable[int], count: int) -> tuple[Fault, ...]:
    """Plan as many deaths, far from each other. The first strikes where it is planned, others thereabouts."""
    every = sorted(hits)
    chosen = every[:: -(-len(every) // count)]
    return tuple(death_at(hit + before) for before, hit in enumerate(chosen))  # each death makes one execution more


def repeated(trace: Trace) -> Sequence[str]:
    """Give the nodes that a death made run again."""
    struck = [it.names for it in trace.struck if it.fault.place == DONE]
    return [attempt.node for names in struck for _, attempt in names]
