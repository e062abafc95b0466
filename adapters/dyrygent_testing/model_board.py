"""Where a workflow stands, as the slow model keeps it, and all that can be asked of it; `model` is what changes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from attrs import define, evolve, field

from dyrygent_core import Attempt, Graph, Node, Outcome, Status, Workflow, WorkflowState
from dyrygent_core.nodes import Role
from dyrygent_testing.model_ends import verdict
from dyrygent_testing.subjects import graph_of

__all__ = ["Board", "Instance", "Place"]

_ON_ITS_WAY: Final = (Status.READY, Status.SCHEDULED)


@define
class Instance:
    """One instance of a mapped node, or the only one of any other: READY, SCHEDULED or final."""

    number: int
    """That of its newest attempt."""
    status: Status = Status.READY
    outcomes: list[Outcome] = field(factory=list[Outcome])
    """What its attempts of this round came to."""
    due_ms: int | None = None
    """When it may be tried again, if it has to wait for that."""

    def copy(self) -> Instance:
        """Return another that stands the same."""
        return evolve(self, outcomes=list(self.outcomes))


@define
class Place:
    """Where one node stands."""

    node: Node
    status: Status = Status.WAITING
    number: int = 1
    """That of the first attempt in this round, of any instance."""
    instances: list[Instance] | None = None
    """None until the node may run."""
    sizes: tuple[int, ...] = ()
    branches: tuple[str, ...] | None = None
    is_to_skip: bool = False

    @property
    def is_ordinary(self) -> bool:
        """Whether it is none of the whole workflow."""
        return self.node.role is Role.NODE

    @property
    def is_on_its_way(self) -> bool:
        """Whether it may run, or is in flight; a node that waits for another round may have instances, too."""
        return self.status in _ON_ITS_WAY

    @property
    def newest_number(self) -> int:
        """The highest number that any of its attempts ever had."""
        return max([self.number, *(instance.number for instance in self.instances or ())])

    def attempt(self, index: int) -> Attempt:
        """Give the newest attempt of one instance; where there is none, the one that would be its first."""
        instances = self.instances or []
        number = instances[index].number if index < len(instances) else self.number
        return Attempt(self.node.id, index, number)

    def of_status(self, status: Status) -> Iterator[tuple[int, Instance]]:
        """Give the instances of one status with their indexes, if the node is on its way."""
        if self.is_on_its_way:
            yield from ((at, it) for at, it in enumerate(self.instances or ()) if it.status is status)

    def copy(self) -> Place:
        """Return another that stands the same."""
        instances = None if self.instances is None else [instance.copy() for instance in self.instances]
        return evolve(self, instances=instances)


class Board:
    """Where a whole workflow stands."""

    def __init__(self, workflow: Workflow | Graph) -> None:
        self.graph = graph = graph_of(workflow, type(self).__name__)
        self.places = {node.id: Place(node) for node in graph.nodes}
        self.round: int = 1
        self.begun_ms = 0
        self.has_begun = False
        self.is_cancelled = False
        self.is_past_deadline = False
        self.is_failing_fast = False
        self.is_paused = False
        self.is_work_over = False
        """Whether the ordinary nodes are final, and it was decided which of the others run."""

    @property
    def statuses(self) -> dict[str, Status]:
        """The status of every node by id, in topological order."""
        return {name: place.status for name, place in self.places.items()}

    @property
    def is_ending(self) -> bool:
        """Whether no ordinary node may start any more."""
        return self.is_cancelled or self.is_past_deadline or self.is_failing_fast

    @property
    def is_finished(self) -> bool:
        """Whether every node is final, and it has begun or was cancelled before."""
        if not self.has_begun and not self.is_cancelled:
            return False
        return all(it.status.is_final for it in reversed(self.places.values()))  # the last ones end last

    @property
    def workflow_state(self) -> WorkflowState:
        """What has become of the whole."""
        if not self.is_finished:
            return WorkflowState.RUNNING if self.has_begun else WorkflowState.INITIAL
        return self.come_to(self.places.values())

    @property
    def in_flight(self) -> tuple[Attempt, ...]:
        """The attempts without an outcome, in topological order, and by index."""
        return tuple(place.attempt(at) for place in self._on_their_way for at, _ in place.of_status(Status.SCHEDULED))

    def is_in_flight(self, attempt: Attempt) -> bool:
        """Say whether an attempt has no outcome yet."""
        place = self.places.get(attempt.node)
        its = () if place is None else place.of_status(Status.SCHEDULED)
        return any((at, it.number) == (attempt.index, attempt.number) for at, it in its)

    @property
    def delayed(self) -> tuple[tuple[Attempt, int], ...]:
        """The attempts that wait for their time, each with that time, in topological order, and by index."""
        return tuple(
            (place.attempt(at), instance.due_ms)
            for place in self._on_their_way
            for at, instance in place.of_status(Status.READY)
            if instance.due_ms is not None
        )

    @property
    def held(self) -> tuple[Attempt, ...]:
        """The attempts that may run but are held back: the highest priority first, then as `in_flight`."""
        places = sorted(self._on_their_way, key=lambda place: -place.node.priority)  # stable
        return tuple(
            place.attempt(at)
            for place in places
            for at, instance in place.of_status(Status.READY)
            if instance.due_ms is None
        )

    @property
    def _on_their_way(self) -> list[Place]:
        return [place for place in self.places.values() if place.status in _ON_ITS_WAY]

    @property
    def to_revoke(self) -> tuple[Attempt, ...]:
        """The attempts in flight that should be stopped."""
        unwanted = [place for place in self._on_their_way if self.is_unwanted(place)]
        return tuple(place.attempt(at) for place in unwanted for at, _ in place.of_status(Status.SCHEDULED))

    @property
    def first_failed(self) -> str | None:
        """The first node, in topological order, that FAILED although that was not allowed."""
        failed = (name for name, it in self.places.items() if it.status is Status.FAILED and not it.node.allow_failure)
        return next(failed, None)

    @property
    def first_failed_attempt(self) -> Attempt | None:
        """The attempt that failed that node, of its first failed instance; None if it had none."""
        place = None if self.first_failed is None else self.places[self.first_failed]
        if place is None or place.instances is None:
            return None
        return next(place.attempt(at) for at, it in enumerate(place.instances) if it.status is Status.FAILED)

    def width(self, name: str) -> int | None:
        """Say how many instances a mapped node has; None if it is not mapped, or has not started."""
        place = self.places[name]
        return None if place.node.each is None or place.instances is None else len(place.instances)

    def instance_statuses(self, name: str) -> tuple[Status, ...]:
        """Say what has become of each instance of a mapped node; `()` if it is not mapped, or has not started."""
        place = self.places[name]
        return () if place.node.each is None else tuple(instance.status for instance in place.instances or ())

    def come_to(self, places: Iterable[Place]) -> WorkflowState:
        """Say what these nodes, all of them final, have come to together."""
        if self.is_cancelled:
            return WorkflowState.CANCELLED
        if self.is_past_deadline:
            return WorkflowState.ERROR
        if self.is_failing_fast:
            return WorkflowState.FAILURE
        return verdict([place.node for place in places], self.statuses)

    def is_unwanted(self, place: Place) -> bool:
        """Say whether nobody wants to wait for what is in flight of this node."""
        return place.is_to_skip or (self.is_ending and place.is_ordinary)
