"""The immutable memory of one workflow: where each node stands.

A state is made by `State.initial` and `advance` only, and says nothing that the journal does not.
It can be compared, hashed, kept and advanced again; two successive states share what did not change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from attrs import field, frozen

from dyrygent_core import cells
from dyrygent_core.graph import Graph
from dyrygent_core.observations import Attempt
from dyrygent_core.statuses import Status, WorkflowState

__all__ = ["State", "Tries"]


@frozen
class Tries:
    """How often a node was tried: the number of its newest attempt, and how many were lost."""

    number: int = 1
    losses: int = 0

    @property
    def failures(self) -> int:
        """Attempts before this one that failed rather than got lost."""
        return self.number - 1 - self.losses


FIRST_TRY: Final = Tries()


@frozen
class Sparse:
    """What few nodes have: kept in small maps beside the cells, and the flags of the whole workflow."""

    has_begun: bool = False
    is_cancelled: bool = False
    is_past_deadline: bool = False
    begun_ms: int = 0
    blocks: Mapping[int, int] = field(factory=dict[int, int])
    tries: Mapping[int, Tries] = field(factory=dict[int, Tries])
    """Retried nodes only."""
    due_ms: Mapping[int, int] = field(factory=dict[int, int])
    """When the next attempt of a delayed node is due."""

    @property
    def is_ending(self) -> bool:
        """Whether nothing new may start: after a cancel, or past the deadline."""
        return self.is_cancelled or self.is_past_deadline


@frozen(eq=False, repr=False)
class State:
    """Where every node of one workflow stands."""

    graph: Graph
    pages: cells.Pages
    sparse: Sparse
    in_flight: int
    """How many attempts are in flight."""

    @classmethod
    def initial(cls, graph: Graph) -> State:
        """Return the state before anything was observed."""
        return cls(graph, graph.initial_pages, Sparse(blocks=graph.initial_blocks), 0)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, State):
            return NotImplemented
        return (self.pages, self.sparse, self.graph) == (other.pages, other.sparse, other.graph)

    def __hash__(self) -> int:
        return hash(self.pages)

    def __repr__(self) -> str:
        counts = ", ".join(f"{number} {status.name}" for status, number in self.counts.items() if number)
        return f"<State {self.workflow_state.name}: {counts or 'no nodes'}>"

    def status(self, node_id: str) -> Status:
        """Return what has become of one node; raises `UnknownNodeError`."""
        return cells.cell_at(self.pages, self.graph.page_bits, self.graph.number(node_id))

    @property
    def statuses(self) -> dict[str, Status]:
        """The status of every node by id, in topological order. Cost: O(nodes)."""
        return dict(zip(self.graph.numbers, cells.iter_cells(self.pages), strict=True))

    @property
    def counts(self) -> dict[Status, int]:
        """How many nodes have each status. Cost: about a nanosecond a node and status."""
        return {status: cells.count(self.pages, status) for status in Status}

    @property
    def is_finished(self) -> bool:
        """Whether nothing can happen any more: in an acyclic graph that is when nothing is on its way."""
        return (self.sparse.has_begun or self.sparse.is_ending) and not self.in_flight and not self.sparse.due_ms

    @property
    def workflow_state(self) -> WorkflowState:
        """What has become of the whole. Cost: O(nodes) once it is finished, else O(1)."""
        if not self.is_finished:
            return WorkflowState.RUNNING if self.sparse.has_begun else WorkflowState.INITIAL
        if self.sparse.is_cancelled:  # a cancel is final, whether the deadline passed before or after it
            return WorkflowState.CANCELLED
        if self.sparse.is_past_deadline:
            return WorkflowState.ERROR
        if cells.count(self.pages, Status.UPSTREAM_FAILED) or self.first_failed is not None:
            return WorkflowState.FAILURE
        return WorkflowState.SUCCESS

    @property
    def first_failed(self) -> str | None:
        """The FAILED node of lowest topological number whose failure was not allowed, or None."""
        nodes = (self.graph.nodes[number] for number in self.find(Status.FAILED))
        return next((node.id for node in nodes if not node.allow_failure), None)

    def find(self, status: Status) -> Iterator[int]:
        """Give the numbers of the nodes of one status (not WAITING), ascending."""
        return cells.find_all(self.pages, self.graph.page_bits, status)

    def attempt(self, node_id: str) -> Attempt:
        """Return a node's newest attempt: the one in flight or due, or the one that decided its status.

        For a node that was never tried it is the attempt that would be its first.
        """
        number = self.graph.number(node_id)
        return Attempt(node_id, 0, self.sparse.tries.get(number, FIRST_TRY).number)

    @property
    def attempts_in_flight(self) -> tuple[Attempt, ...]:
        """The attempts that have no outcome yet, in topological order."""
        return tuple(self.attempt(self.graph.nodes[number].id) for number in self.find(Status.SCHEDULED))

    @property
    def to_revoke(self) -> tuple[Attempt, ...]:
        """The attempts in flight that should be stopped: all of them, once the workflow is ending."""
        return self.attempts_in_flight if self.sparse.is_ending else ()

    @property
    def delayed(self) -> tuple[tuple[Attempt, int], ...]:
        """The retries that wait for their time, each with that time (milliseconds since the epoch)."""
        return tuple(
            (self.attempt(self.graph.nodes[number].id), due_ms) for number, due_ms in sorted(self.sparse.due_ms.items())
        )
