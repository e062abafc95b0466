"""The folds that a process has at hand, bounded by what they weigh.

A fold that is not here is read again from the journal, so nothing is lost with one that is dropped. The lock guards
the order of use alone: the folds themselves are values, which threads share as they are.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final

from attrs import define, field

from dyrygent_core.ports import WorkflowKey
from dyrygent_runtime.fold import Folded
from dyrygent_runtime.forks import reset_after_fork
from dyrygent_runtime.routes import Route

__all__ = ["MOST_WEIGHT", "FoldCache", "weight_of"]

MOST_WEIGHT: Final = 200_000
"""In nodes of a graph, each of which takes about half a kilobyte: 100 MB. A workflow that weighs more is kept alone."""
_PER_WORKFLOW: Final = 200
"""What a workflow takes besides; so at most 1,000 are kept."""
_ATTEMPTS_PER_NODE: Final = 2
_CHARACTERS_PER_NODE: Final = 500


def weight_of(folded: Folded) -> int:
    """Return about how much a fold takes, in nodes: its graph, what is in flight, and what its failures say."""
    log = folded.log
    attempts = len(log.emitted) + len(log.ends)
    return (
        len(folded.definition.graph) + _PER_WORKFLOW + attempts // _ATTEMPTS_PER_NODE + log.text // _CHARACTERS_PER_NODE
    )


@define
class _Kept:
    """A fold, and what was learned of its calls."""

    folded: Folded
    weight: int
    routes: dict[int, Route] = field(factory=dict[int, Route])


class FoldCache:
    """Keeps the folds that were used last. Threads may share it, and a forked child begins with what its parent has.

    An engine that forks for every task so need not read every workflow anew in each of them.
    """

    def __init__(self, most_weight: int = MOST_WEIGHT) -> None:
        self._most_weight = most_weight
        self._reset()
        reset_after_fork(self._inherit)

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def weight(self) -> int:
        """What all that is kept weighs."""
        return self._weight

    def get(self, key: WorkflowKey) -> Folded | None:
        """Return the newest fold of a workflow that is kept."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            self._kept.move_to_end(key)
            return kept.folded

    def put(self, folded: Folded) -> None:
        """Keep a fold unless a newer one is there, and drop what was not used for longest until all fits."""
        with self._lock:
            kept = self._kept.get(folded.key)
            if kept is not None and kept.folded.seen.position > folded.seen.position:
                return
            weight = weight_of(folded)
            self._weight += weight - (0 if kept is None else kept.weight)
            self._kept[folded.key] = _Kept(folded, weight, {} if kept is None else kept.routes)
            self._kept.move_to_end(folded.key)
            while self._weight > self._most_weight and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._weight -= oldest.weight

    def drop(self, key: WorkflowKey) -> None:
        """Forget a workflow."""
        with self._lock:
            kept = self._kept.pop(key, None)
            self._weight -= 0 if kept is None else kept.weight

    def routes(self, key: WorkflowKey, numbers: Iterable[int]) -> dict[int, Route]:
        """Return where the calls of these nodes go, as far as it was learned."""
        with self._lock:
            kept = self._kept.get(key)
            known = {} if kept is None else kept.routes
            return {number: known[number] for number in numbers if number in known}

    def learn(self, key: WorkflowKey, routes: Mapping[int, Route]) -> None:
        """Remember where calls go, for as long as the workflow is kept."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                kept.routes.update(routes)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[WorkflowKey, _Kept] = OrderedDict()
        self._weight = 0

    def _inherit(self) -> None:
        """Go on in a forked child: another thread of the parent may have been half-way through a change."""
        if self._lock.locked():
            self._reset()
