"""The transient of one call of `advance`: the state thawed, and what is to be emitted. Not a value.

Here is how a node is made final and what that does to others. Why it is, is decided in `advance` and `outcomes`;
what starts then, in `release`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import evolve

from dyrygent_core.bands import OpenBand
from dyrygent_core.cells import ALLOWED, DELAYED, Cells, cancel_waiting
from dyrygent_core.graph import Mode
from dyrygent_core.kernel import spread
from dyrygent_core.observations import Attempt
from dyrygent_core.sparse import SparseMap
from dyrygent_core.state import Side, State, make_state
from dyrygent_core.statuses import Status
from dyrygent_core.tries import FIRST_TRY, Tries

__all__ = ["Step"]

_READY: Final = int(Status.READY)
_SCHEDULED: Final = int(Status.SCHEDULED)


class Step:
    """One call of `advance`, in progress."""

    def __init__(self, state: State, *, writes: int = 1) -> None:
        self.old = state
        self.graph = state.graph
        self.cells = Cells(state.pages, state.graph.page_bits, writes=writes)
        self.writes = writes
        self.in_flight = state.in_flight
        side = state.side
        self.flags = side.flags
        self.blocks = side.blocks
        self.tries = side.tries
        self.due_ms = side.due_ms
        self.delayed = side.delayed
        self.held = side.held
        self.bands = side.bands
        self.sizes = side.sizes
        self.branches = side.branches
        self.open_bands: dict[int, OpenBand] = {}
        self.runnable: list[int] = []
        """Nodes that may run, their cells SCHEDULED already, until `release` has looked at them."""
        self.bands_to_go: set[int] = set()
        """Mapped nodes with instances that may run."""
        self.emitted: list[Attempt] = []
        self._taken: dict[int, frozenset[str]] = {}
        """Of `branches`, as sets, those that were asked for."""
        self.has_changed = False

    def freeze(self) -> State:
        """Give the state after the step; the old one itself if nothing changed."""
        if not self.has_changed:
            return self.old
        self.close_bands()
        return make_state(self.graph, self.cells.freeze(), self.in_flight, self._side())

    def close_bands(self) -> None:
        """Make the bands that were opened values again, and show in their nodes' cells whether they are in flight."""
        for node, band in self.open_bands.items():
            if band.left and self.cells.code(node) in (_READY, _SCHEDULED):
                self.cells.write(node, _SCHEDULED if band.in_flight else _READY)
            self.bands = self.bands.put(node, band.freeze())
        self.open_bands.clear()

    def _side(self) -> Side:
        old = self.old.side
        now = (self.flags, self.blocks, self.tries, self.due_ms, self.delayed, self.held, self.bands)
        was = (old.flags, old.blocks, old.tries, old.due_ms, old.delayed, old.held, old.bands)
        if all(map(_is, now, was)) and self.sizes is old.sizes and self.branches is old.branches:
            return old
        return Side(*now, self.sizes, self.branches)

    # What is asked of it on the way

    def band(self, node: int) -> OpenBand | None:
        """Open the band of a mapped node; None if it has not started."""
        opened = self.open_bands.get(node)
        if opened is None and (band := self.bands.get(node)) is not None:
            opened = self.open_bands[node] = OpenBand(band, writes=self.writes)
        return opened

    def tries_of(self, node: int, index: int = 0) -> Tries:
        """Give how often a node or instance was tried."""
        tries = self.tries.get(node, FIRST_TRY) if self.tries else FIRST_TRY
        band = self.open_bands.get(node) or self.bands.get(node) if self.bands or self.open_bands else None
        return tries if band is None else band.tries.get(index, tries)

    def attempt(self, node: int, index: int = 0) -> Attempt:
        """Give the newest attempt of a node or instance."""
        number = self.tries_of(node, index).number
        if number == 1 and not index:
            return self.graph.first_attempt(node)
        return Attempt(self.graph.nodes[node].id, index, number)

    def verdict_of(self, node: int, band: OpenBand) -> Status:
        """Say what a mapped node comes to whose instances are all final; one that was to be skipped never fails."""
        code = band.verdict
        return Status.SKIPPED if node in self.flags.skips and code is not Status.SUCCEEDED else code

    def is_on_its_way(self, node: int) -> bool:
        """Tell whether a node may run or is in flight."""
        return self.cells.code(node) in (_READY, _SCHEDULED, DELAYED)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is on its way."""
        return (
            not self.in_flight and self.held is None and not self.delayed and not self.runnable and not self.bands_to_go
        )

    # What is done to it

    def run(self, node: int) -> None:
        """Let a node run as soon as it is released."""
        self.cells.write(node, _SCHEDULED)
        self.runnable.append(node)

    def settle(self, node: int, code: int, edges: Iterable[tuple[int, int]] | None = None) -> None:
        """Make a node final, and every node that this decides; `edges` are its own, where they were read already."""
        if code == Status.FAILED and self.graph.nodes[node].allow_failure:
            code = ALLOWED
        self.cells.write(node, code)
        if code == Status.FAILED and self.graph.mode is Mode.FAIL_FAST and node not in self.graph.finalizers:
            if not self.flags.is_ending:
                self.end(is_failing_fast=True)
            return
        edges = self.edges(node) if edges is None else edges
        if code == Status.SUCCEEDED and node in self.branches:
            for edge in edges:
                self.decide((edge,), self.code_toward(node, edge[0]))
        else:
            self.decide(edges, code)

    def choose(self, node: int, branches: tuple[str, ...] | None) -> None:
        """Note which dependents a node took, or, with None, that it has not chosen."""
        self.branches = self.branches.drop(node) if branches is None else self.branches.put(node, branches)
        self._taken.pop(node, None)

    def edges(self, node: int) -> Iterable[tuple[int, int]]:
        """Give the nodes that wait for a node, each with the row of its edge."""
        return zip(self.graph.successors[node], self.graph.rows[node], strict=True)

    def can_take(self, branches: Iterable[str], edges: Iterable[tuple[int, int]]) -> bool:
        """Tell whether these are among the nodes at the other ends of a node's edges."""
        return {self.graph.numbers.get(name) for name in branches} <= {below for below, _ in edges}

    def code_toward(self, node: int, below: int) -> int:
        """Give as what a final node counts to one of its dependents."""
        if (branches := self.branches.get(node)) is None:
            return self.cells.code(node)
        taken = self._taken.get(node)
        if taken is None:
            taken = self._taken[node] = frozenset(branches)
        return Status.SUCCEEDED if self.graph.nodes[below].id in taken else Status.SKIPPED

    def decide(self, edges: Iterable[tuple[int, int]], code: int) -> None:
        """Decide edges out of a node with this final code, and what follows from that."""
        self.blocks = spread(self.graph, self.cells, self.blocks, edges, self.graph.rules.effects[code], self.runnable)

    def end(self, *, is_failing_fast: bool = False, is_cancelled: bool = False, is_past_deadline: bool = False) -> None:
        """Let no ordinary node start any more; what is in flight is left to its outcome."""
        flags = self.flags
        self.flags = evolve(
            flags,
            is_failing_fast=flags.is_failing_fast or is_failing_fast,
            is_cancelled=flags.is_cancelled or is_cancelled,
            is_past_deadline=flags.is_past_deadline or is_past_deadline,
            is_paused=flags.is_paused and is_failing_fast,
        )
        if flags.is_work_over:
            return
        for node in self.runnable:
            self.cells.write(node, _READY)
        self.runnable.clear()
        final = dict(self._stop_bands())
        self.cells.replace(cancel_waiting(self.cells.pages))
        for node, code in final.items():
            self.cells.write(node, code)
        self.held = None
        self.due_ms = SparseMap[int]()
        self.delayed = 0
        if not flags.has_begun:
            for node in self.graph.finalizers:
                if not self.cells.code(node):
                    self.cells.write(node, Status.CANCELLED)
            self.flags = evolve(self.flags, is_work_over=True)

    def _stop_bands(self) -> Iterable[tuple[int, int]]:
        """Cancel the instances that are not in flight; give what the nodes are now that had started."""
        self.bands_to_go.clear()
        for node in {*self.bands, *self.open_bands}:
            if not self.is_on_its_way(node) or (band := self.band(node)) is None:
                continue
            band.stop(Status.CANCELLED)
            if band.left:
                yield node, _SCHEDULED
            else:
                code = self.verdict_of(node, band)
                yield node, ALLOWED if code is Status.FAILED and self.graph.nodes[node].allow_failure else code

    @property
    def is_swift(self) -> bool:
        """Whether successes can be taken together: only edges hold nodes back, and all cells are in one page."""
        return self.graph.is_free and self.held is None and len(self.cells.pages) == 1 and not self.flags.is_paused

    @property
    def is_finished(self) -> bool:
        """Whether nothing can happen any more."""
        return self.flags.is_work_over and self.is_quiet


def _is(one: object, other: object) -> bool:
    return one is other
