"""A graph seen from afar: its nodes by how far they are from the beginning, in few enough bands to be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from attrs import frozen

from dyrygent_core import Graph, State, Status
from dyrygent_core.cells import iter_statuses

__all__ = ["MOST_STAGES", "Stage", "Stages"]

MOST_STAGES: Final = 10


@frozen
class Stage:
    """The nodes at some depths: how many have each status. `label`: which depths, from 1, or `end` for the last."""

    label: str
    counts: Mapping[Status, int]

    @property
    def total(self) -> int:
        """How many nodes there are."""
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        """How many of them are final."""
        return sum(number for status, number in self.counts.items() if status.is_final)


class Stages:
    """The bands of one graph, found once: O(nodes + edges). Depth is the longest way from a node without dependencies.

    At most `MOST_STAGES` bands, each of as many depths; nodes of the whole workflow are a band of their own.
    """

    def __init__(self, graph: Graph) -> None:
        ordinary = graph.finalizers.start
        depths = [0] * len(graph)
        for number, below in enumerate(graph.successors):  # topological, so a depth is final when it is read
            deeper = depths[number] + 1
            for child in below:
                depths[child] = max(depths[child], deeper)
        depth = max(depths[:ordinary], default=-1) + 1
        bands = min(depth, MOST_STAGES)
        firsts = [-(-band * depth // bands) for band in range(bands)] + [depth]
        self._labels = [_label(first, after) for first, after in pairwise(firsts)]
        self._bands = [at * bands // depth for at in depths[:ordinary]] + [bands] * len(graph.finalizers)
        if graph.finalizers:
            self._labels.append("end")

    def of(self, state: State) -> tuple[Stage, ...]:
        """Count the statuses in each band. Cost: O(nodes)."""
        tally = Counter(zip(self._bands, map(int, iter_statuses(state.pages)), strict=True))
        counts: list[dict[Status, int]] = [{} for _ in self._labels]
        for (band, status), number in tally.items():
            counts[band][Status(status)] = number
        return tuple(Stage(label, found) for label, found in zip(self._labels, counts, strict=True))


def _label(first: int, after: int) -> str:
    return str(after) if after - first == 1 else f"{first + 1}-{after}"
