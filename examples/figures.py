"""Where the time of a finished workflow went: figures from its journal.

A node is *ready* when the last node that it waits for has ended, or, if it waits for none, when the workflow began.
It cannot start before a worker is free for it too, so two waits are told: from when it was ready, and from when it was
ready and a worker was free. The second is what the engine and the library add. Which worker took a node is not
recorded, so it is assumed to be the one that had been free for longest, which can only make the wait longer.
Times are the journal's, in whole milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush

from attrs import field, frozen

from dyrygent_core import Ran
from dyrygent_runtime import Run

__all__ = ["Figures", "Waits", "figures_of", "measure"]


@frozen
class Waits:
    """How long nodes waited, in milliseconds; None for no nodes."""

    nodes: int
    median_ms: int | None = None
    p99_ms: int | None = None
    most_ms: int | None = None

    @classmethod
    def of(cls, waits_ms: Sequence[int]) -> Waits:
        """Sum up; a percentile is the smallest value that so many do not exceed."""
        if not waits_ms:
            return cls(0)
        ordered = sorted(waits_ms)
        return cls(len(ordered), _percentile(ordered, 50), _percentile(ordered, 99), ordered[-1])


@frozen
class Figures:
    """The times of one workflow."""

    wall_ms: int
    """From the first entry of the journal to the last."""
    work_ms: int
    """All nodes' run times together."""
    critical_ms: int
    """The run times along the longest path: no number of workers is faster."""
    slowest: tuple[tuple[str, int], ...]
    waits: Waits
    """From the end of the last dependency to the start, of the nodes that have dependencies."""
    free_waits: Waits
    """As `waits`, but from when a worker was free too."""
    runs: Mapping[str, Ran] = field(repr=False)

    @property
    def parallelism(self) -> float:
        """How many nodes ran at a time, on average."""
        return self.work_ms / self.wall_ms if self.wall_ms else 0.0


def figures_of(run: Run, deps: Mapping[str, Sequence[str]], workers: int) -> Figures:
    """Read a finished run's journal."""
    entries = run.history()
    begun_ms, ended_ms = entries[0].observation.at_ms, entries[-1].observation.at_ms
    return measure(run.timeline(), deps, workers, begun_ms, ended_ms)


def measure(
    runs: Mapping[str, Ran], deps: Mapping[str, Sequence[str]], workers: int, begun_ms: int, ended_ms: int
) -> Figures:
    """Compute the figures. `deps`: for each node those that it waits for, in topological order."""
    ready_ms = {node: max((_end_ms(runs[it]) for it in deps[node] if it in runs), default=begun_ms) for node in runs}
    free_ms = _free_ms(runs, workers, begun_ms)
    waits = {node: max(0, ran.started_ms - ready_ms[node]) for node, ran in runs.items() if deps[node]}
    free_waits = [max(0, min(wait, runs[node].started_ms - free_ms[node])) for node, wait in waits.items()]
    return Figures(
        wall_ms=ended_ms - begun_ms,
        work_ms=sum(ran.duration_ms for ran in runs.values()),
        critical_ms=_critical_ms(runs, deps),
        slowest=tuple(sorted(((node, ran.duration_ms) for node, ran in runs.items()), key=_slowest_first)[:5]),
        waits=Waits.of(tuple(waits.values())),
        free_waits=Waits.of(free_waits),
        runs=runs,
    )


def _free_ms(runs: Mapping[str, Ran], workers: int, begun_ms: int) -> dict[str, int]:
    """Say since when the worker that took each node had been free."""
    free = [begun_ms] * workers
    busy: list[int] = []
    taken: dict[str, int] = {}
    for node, ran in sorted(runs.items(), key=lambda item: item[1].started_ms):
        while busy and (busy[0] <= ran.started_ms or not free):
            heappush(free, heappop(busy))
        taken[node] = heappop(free)
        heappush(busy, _end_ms(ran))
    return taken


def _end_ms(ran: Ran) -> int:
    return ran.started_ms + ran.duration_ms


def _slowest_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _critical_ms(runs: Mapping[str, Ran], deps: Mapping[str, Sequence[str]]) -> int:
    longest: dict[str, int] = {}
    for node, above in deps.items():
        own = runs[node].duration_ms if node in runs else 0
        longest[node] = own + max((longest[it] for it in above), default=0)
    return max(longest.values(), default=0)


def _percentile(ordered: Sequence[int], percent: int) -> int:
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
