"""The immutable memory of one workflow: where each node stands.

A state is made by `State.initial`, `advance` and a snapshot only, and says nothing that the journal does not.
It can be compared, hashed, kept and advanced again; two successive states share what did not change.
Everything that a user may ask about it is here or, where it takes a sentence to answer, in `explain`.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Any, Final, NoReturn, cast

from attrs import evolve, field, frozen

from dyrygent_core import cells, heap
from dyrygent_core.bands import Band
from dyrygent_core.graph import Graph
from dyrygent_core.observations import Attempt
from dyrygent_core.sparse import SparseMap
from dyrygent_core.statuses import Status, WorkflowState
from dyrygent_core.tries import FIRST_TRY, Tries

__all__ = ["Progress", "State"]


@frozen
class Flags:
    """What is true of the whole workflow."""

    round: int = 1
    has_begun: bool = False
    is_cancelled: bool = False
    is_past_deadline: bool = False
    is_failing_fast: bool = False
    is_paused: bool = False
    is_work_over: bool = False
    """Whether every ordinary node is final, so that the time of the others has come."""
    begun_ms: int = 0
    """When the round began."""
    skips: SparseMap[bool] = field(factory=SparseMap[bool])
    """The nodes that were to be skipped while they were in flight."""

    @property
    def is_ending(self) -> bool:
        """Whether no ordinary node may start any more."""
        return self.is_cancelled or self.is_past_deadline or self.is_failing_fast


@frozen
class Side:
    """What few nodes have, kept beside the cells, and the flags of the whole workflow."""

    flags: Flags = Flags()
    blocks: SparseMap[int] = field(factory=SparseMap[int], eq=False)
    """Of nodes with many dependencies, what their cells cannot count; it follows from the statuses above them."""
    tries: SparseMap[Tries] = field(factory=SparseMap[Tries])
    """Of those nodes that were tried more than once; of a mapped node, what its instances begin with."""
    due_ms: SparseMap[int] = field(factory=SparseMap[int])
    """When the next attempt of a delayed node is due."""
    delayed: int = 0
    """How many nodes and instances are delayed."""
    held: heap.Heap = field(default=None, eq=False)
    """The ranks of the nodes that may run, but are held back."""
    bands: SparseMap[Band] = field(factory=SparseMap[Band])
    """The instances of the mapped nodes that have started."""
    sizes: SparseMap[tuple[int, ...]] = field(factory=SparseMap[tuple[int, ...]])
    """How long the lists are that others map over."""
    branches: SparseMap[tuple[str, ...]] = field(factory=SparseMap[tuple[str, ...]])
    """What those nodes took that chose among their dependents."""


class _Fields:
    """The fields of a state, while it is made."""

    __slots__ = ("graph", "in_flight", "pages", "side")

    graph: Graph
    pages: cells.Pages
    in_flight: int
    """How many attempts are in flight."""
    side: Side


def make_state(graph: Graph, pages: cells.Pages, in_flight: int, side: Side) -> State:
    """Make a state: at a third of what a frozen attrs class costs, which would be the dearest part of a step."""
    state = _Fields()
    state.graph = graph
    state.pages = pages
    state.in_flight = in_flight
    state.side = side
    state.__class__ = State  # from here on nobody can write to it
    return state  # type: ignore[return-value]


class State(_Fields):
    """Where every node of one workflow stands. Immutable; compare, hash and keep it as you like."""

    __slots__ = ()

    def __init__(self) -> None:
        message = "a state is made by State.initial(graph) and advance(…)"
        raise TypeError(message)

    @classmethod
    def initial(cls, graph: Graph) -> State:
        """Return the state before anything was observed."""
        return make_state(graph, graph.initial_pages, 0, Side(blocks=graph.initial_blocks))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        message = f"a state is immutable: cannot set {name!r}"
        raise AttributeError(message)

    def __delattr__(self, name: str) -> NoReturn:
        message = f"a state is immutable: cannot delete {name!r}"
        raise AttributeError(message)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, State):
            return NotImplemented
        return (self.pages, self.side, self.graph) == (other.pages, other.side, other.graph)

    def __hash__(self) -> int:
        return hash(self.pages)

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled with the queue as a plain list: nested as it is, a long one is too deep for pickle."""
        held = sorted(heap.iter_keys(self.side.held))
        return _unpickled, (self.graph, self.pages, self.in_flight, evolve(self.side, held=None), held)

    def __copy__(self) -> State:
        return self

    def __deepcopy__(self, _: object) -> State:
        return self

    def __repr__(self) -> str:
        counts = ", ".join(f"{number} {status.name}" for status, number in self.counts.items() if number)
        return f"<State {self.workflow_state.name}: {counts or 'no nodes'}>"

    # One node

    def status(self, node_id: str) -> Status:
        """Return what has become of one node; raises `UnknownNodeError`."""
        return cells.status_of(cells.code_at(self.pages, self.graph.page_bits, self.graph.number(node_id)))

    def attempt(self, node_id: str, index: int = 0) -> Attempt:
        """Return the newest attempt of a node or instance: the one in flight or due, or the one that decided it.

        For what was never tried it is the attempt that would be its first. Raises `UnknownNodeError`.
        """
        number = self.graph.number(node_id)
        return Attempt(node_id, index, tries_of(self.side, number, index).number)

    def width(self, node_id: str) -> int | None:
        """Return how many instances a mapped node has; None for one that has not started, or is not mapped."""
        band = self.side.bands.get(self.graph.number(node_id))
        return None if band is None else band.width

    def instance_statuses(self, node_id: str) -> tuple[Status, ...]:
        """Return what has become of each instance of a mapped node; `()` for one without any."""
        band = self.side.bands.get(self.graph.number(node_id))
        return () if band is None else tuple(cells.iter_statuses(band.pages))

    def sizes(self, node_id: str) -> tuple[int, ...]:
        """Return how long the lists in a node's result are, for each of `Graph.measured_paths`."""
        return self.side.sizes.get(self.graph.number(node_id), ())

    def branches(self, node_id: str) -> tuple[str, ...] | None:
        """Return the dependents that a node took; None if it did not choose."""
        return self.side.branches.get(self.graph.number(node_id))

    # All nodes

    @property
    def statuses(self) -> Mapping[str, Status]:
        """The status of every node by id, in topological order; looked up when asked for."""
        return StatusView(self)

    @property
    def counts(self) -> dict[Status, int]:
        """How many nodes have each status. Cost: about a nanosecond a node and status."""
        return {status: cells.count(self.pages, status) for status in Status}

    @property
    def progress(self) -> Progress:
        """How far the workflow is. Cost: as `counts`."""
        counts = self.counts
        done = sum(number for status, number in counts.items() if status.is_final)
        return Progress(done, len(self.graph), counts[Status.SCHEDULED], counts[Status.FAILED])

    def find(self, status: Status) -> Iterator[int]:
        """Give the numbers of the nodes of one status (not WAITING), ascending."""
        return cells.find_all(self.pages, self.graph.page_bits, status)

    # The whole

    @property
    def round(self) -> int:
        """Which round this is, from 1; every rerun opens another."""
        return self.side.flags.round

    @property
    def begun_ms(self) -> int:
        """When this round began (milliseconds since the epoch); 0 before it did."""
        return self.side.flags.begun_ms

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody cancelled this round."""
        return self.side.flags.is_cancelled

    @property
    def is_paused(self) -> bool:
        """Whether nothing may start until it is resumed."""
        return self.side.flags.is_paused

    @property
    def is_ending(self) -> bool:
        """Whether no ordinary node may start any more: cancelled, past the deadline, or failing fast."""
        return self.side.flags.is_ending

    @property
    def is_finished(self) -> bool:
        """Whether nothing can happen any more, but for a rerun."""
        return self.side.flags.is_work_over and is_quiet(self.in_flight, self.side)

    @property
    def workflow_state(self) -> WorkflowState:
        """What has become of the whole. Cost: O(nodes) once it is finished, else O(1)."""
        if not self.is_finished:
            return WorkflowState.RUNNING if self.side.flags.has_begun else WorkflowState.INITIAL
        return verdict(self.side.flags, self.pages)

    @property
    def first_failed(self) -> str | None:
        """The FAILED node of lowest number whose failure was not allowed, or None."""
        failed = cells.find_code(self.pages, self.graph.page_bits, Status.FAILED)
        return next((self.graph.nodes[number].id for number in failed), None)

    @property
    def first_failed_attempt(self) -> Attempt | None:
        """The attempt that failed that node: of a mapped one, that of its first failed instance.

        None if nothing failed, or if that node failed without an attempt, for want of a list to map over.
        """
        node = self.first_failed
        if node is None:
            return None
        number = self.graph.numbers[node]
        if number not in self.graph.mapped:
            return self.attempt(node)
        band = self.side.bands.get(number)
        return None if band is None else self.attempt(node, band.find(Status.FAILED)[0])

    # Attempts

    @property
    def attempts_in_flight(self) -> tuple[Attempt, ...]:
        """The attempts that have no outcome yet, by number and index."""
        scheduled = self.find(Status.SCHEDULED)
        if not self.side.bands and not self.side.tries:  # then each is the first of its node
            return tuple(map(self.graph.first_attempt, scheduled))
        return tuple(it for number in scheduled for it in self._of_node(number, int(Status.SCHEDULED)))

    @property
    def to_revoke(self) -> tuple[Attempt, ...]:
        """The attempts in flight that should be stopped: all of ordinary nodes when ending, and of nodes to skip."""
        flags = self.side.flags
        if flags.is_ending and not flags.is_work_over:
            return self.attempts_in_flight
        if not flags.skips:
            return ()
        return tuple(it for it in self.attempts_in_flight if self.graph.numbers[it.node] in flags.skips)

    @property
    def held(self) -> tuple[Attempt, ...]:
        """The attempts that may run but are held back, by a limit, a pause or the beginning; in order of release."""
        graph = self.graph
        ranks = sorted(set(heap.iter_keys(self.side.held)))
        numbers = ranks if graph.ranked is None else [graph.ranked[rank] for rank in ranks]
        return tuple(it for number in numbers for it in self._of_node(number, int(Status.READY)))

    @property
    def delayed(self) -> tuple[tuple[Attempt, int], ...]:
        """The retries that wait for their time, each with that time (milliseconds since the epoch)."""
        if not self.side.delayed:
            return ()
        due = [(number, 0, due_ms) for number, due_ms in self.side.due_ms.items()]
        due += [(number, at, due_ms) for number, band in self.side.bands.items() for at, due_ms in band.due_ms.items()]
        return tuple((self.attempt(self.graph.nodes[number].id, at), due_ms) for number, at, due_ms in sorted(due))

    def _of_node(self, number: int, code: int) -> Iterator[Attempt]:
        """Give the attempts of one node whose cell, or whose instances' cells, have this code."""
        node = self.graph.nodes[number].id
        band = self.side.bands.get(number) if self.graph.mapped else None
        if band is not None:
            yield from (self.attempt(node, index) for index in cells.find_code(band.pages, band.bits, code))
        elif cells.code_at(self.pages, self.graph.page_bits, number) == code:
            yield self.attempt(node)


def _unpickled(graph: Graph, pages: cells.Pages, in_flight: int, side: Side, held: list[int]) -> State:
    return make_state(graph, pages, in_flight, evolve(side, held=heap.of_sorted(held)))


@frozen
class Progress:
    """How far a workflow is, in nodes."""

    done: int
    """Those that are final."""
    total: int
    running: int
    """Those with an attempt in flight."""
    failed: int


class StatusView(Mapping[str, Status]):  # noqa: PLW1641  # like any mapping, it has no hash
    """The statuses of one state by node id, looked up when they are asked for."""

    __slots__ = ("_state",)

    def __init__(self, state: State) -> None:
        self._state = state

    def __getitem__(self, node_id: str) -> Status:
        """Return one status; raises `UnknownNodeError`, which is a `KeyError` to whoever expects one."""
        return self._state.status(node_id)

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._state.graph.numbers

    def __iter__(self) -> Iterator[str]:
        return iter(self._state.graph.numbers)

    def __len__(self) -> int:
        return len(self._state.graph)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, StatusView) and other._state.graph == self._state.graph:
            return list(self._all()) == list(other._all())
        return NotImplemented if not isinstance(other, Mapping) else self._by_id() == other

    def __repr__(self) -> str:
        return repr(self._by_id())

    def items(self) -> ItemsView[str, Status]:
        """Return all at once, at a third of the cost of asking one by one."""
        return self._by_id().items()

    def values(self) -> ValuesView[Status]:
        """Return all statuses, in topological order."""
        return cast("ValuesView[Status]", dict(enumerate(self._all())).values())

    def _by_id(self) -> dict[str, Status]:
        return dict(zip(self._state.graph.numbers, self._all(), strict=True))

    def _all(self) -> Iterator[Status]:
        return cells.iter_statuses(self._state.pages)


_FAILURES: Final = (Status.FAILED, Status.UPSTREAM_FAILED, Status.CANCELLED)
"""CANCELLED too: a rerun of some nodes leaves others as the earlier round ended them."""


def verdict(flags: Flags, pages: Any) -> WorkflowState:
    """Say what has become of a workflow all of whose nodes are final, or of its ordinary ones. Cost: O(nodes)."""
    if flags.is_cancelled:  # a cancel is final, whether the deadline passed before or after it
        return WorkflowState.CANCELLED
    if flags.is_past_deadline:
        return WorkflowState.ERROR
    if any(code in page for page in pages for code in _FAILURES):
        return WorkflowState.FAILURE
    return WorkflowState.SUCCESS


def is_quiet(in_flight: int, side: Side) -> bool:
    """Tell whether nothing is on its way: in an acyclic graph nothing can happen then by itself."""
    return not in_flight and side.held is None and not side.delayed


def tries_of(side: Side, number: int, index: int) -> Tries:
    """Return how often a node or instance was tried."""
    tries = side.tries.get(number, FIRST_TRY)
    band = side.bands.get(number)
    return tries if band is None else band.tries.get(index, tries)
