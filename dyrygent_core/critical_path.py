"""`critical_path`: the chain of nodes each of which could start only when the one before it had ended.

It is read from the journal, for the newest round. Each step takes up where the one before it ended, so the steps
divide the time from the beginning to the end among the nodes of the chain: held back, queued, running.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

from attrs import define, frozen

from dyrygent_core.graph import Graph
from dyrygent_core.nodes import Role
from dyrygent_core.observations import Attempt, Lost, Outcome
from dyrygent_core.past import Passed, changed, journal_of, replay
from dyrygent_core.ports import Entry
from dyrygent_core.state import State
from dyrygent_core.statuses import Status

__all__ = ["PathStep", "critical_path"]

_ON_ITS_WAY: Final = (Status.READY, Status.SCHEDULED)


@frozen
class PathStep:
    """One node on a critical path; of a mapped node, its slowest instance. All times are the journal's.

    From `ready_ms` to `ended_ms`, or for one that has not ended to the last entry, it was held back, queued or running.
    """

    node: str
    index: int
    """The instance of a mapped node; 0 for others."""
    status: Status
    """The node's."""
    attempts: int
    """How many attempts of it were put in flight in this round."""
    ready_ms: int
    """When it could start: when the last that it waited for had ended."""
    started_ms: int | None
    """When its first attempt started on a worker, or was put in flight where no worker told; None if none was."""
    ended_ms: int | None
    """When it was final; None if it is not."""
    held_ms: int
    """How long it could have run, but was held back: by a limit, a pause, or a retry delay."""
    queued_ms: int
    """How long its attempts were in flight without running, so far as workers told: on the way there and back."""
    ran_ms: int
    """How long its attempts ran; of one whose worker did not tell, all the time that it was in flight."""


def critical_path(graph: Graph, entries: Iterable[Entry], node_id: str | None = None) -> tuple[PathStep, ...]:
    """Give the critical path of the newest round so far, its first node first.

    It leads to the node `node_id`, by default to the one that has been on its way for longest; once nothing is, to
    the one that ended last of those that were put in flight. Before each step stands the dependency that ended last:
    when that was final, the node could start, or was final itself. Empty if the node still waits.
    Cost: that of folding the entries, and O(nodes + edges).

    Raises `UnknownNodeError`, and `UsageError` for what is no entry.

    >>> from dyrygent_core import Begin, Node, Succeeded
    >>> graph = Graph([Node("a"), Node("b"), Node("c", ["a", "b"])])
    >>> ends = [Succeeded(Attempt("a"), at_ms=5), Succeeded(Attempt("b"), at_ms=9), Succeeded(Attempt("c"), at_ms=20)]
    >>> entries = [Entry(at, "", fact) for at, fact in enumerate([Begin(), *ends], 1)]
    >>> [(step.node, step.ready_ms, step.ended_ms) for step in critical_path(graph, entries)]
    [('b', 0, 9), ('c', 9, 20)]
    """
    wanted = None if node_id is None else graph.number(node_id)
    record = _Record(graph)
    for passed in replay(graph, journal_of(entries)):
        record.note(passed)
    last = record.last() if wanted is None else wanted
    return () if last is None else tuple(record.step(number) for number in reversed(record.chain_to(last)))


@define
class _Times:
    """What happened to one node or instance so far. Not a value."""

    since_ms: int
    attempts: int = 0
    started_ms: int | None = None
    held_ms: int = 0
    queued_ms: int = 0
    ran_ms: int = 0
    is_in_flight: bool = False

    def emit(self, at_ms: int) -> None:
        """Be put in flight."""
        self.held_ms += at_ms - self.since_ms
        self.since_ms = at_ms
        self.attempts += 1
        self.is_in_flight = True

    def end(self, outcome: Outcome) -> None:
        """Be in flight no more."""
        ran = None if isinstance(outcome, Lost) else outcome.ran
        flown_ms = outcome.at_ms - self.since_ms
        ran_ms = flown_ms if ran is None else min(ran.duration_ms, flown_ms)
        if self.started_ms is None:
            self.started_ms = self.since_ms if ran is None else ran.started_ms
        self.ran_ms += ran_ms
        self.queued_ms += flown_ms - ran_ms
        self.since_ms = outcome.at_ms
        self.is_in_flight = False


@frozen
class _At:
    """When something was: at which entry, and the journal's time there."""

    position: int
    at_ms: int


class _Record:
    """The newest round so far. Not a value."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.state = State.initial(graph)
        self.now = _At(0, 0)
        self.clear()

    def clear(self) -> None:
        """Begin another round."""
        self.ready: dict[int, _At] = {}
        self.ended: dict[int, _At] = {}
        self.times: dict[tuple[int, int], _Times] = {}
        self.slowest: dict[int, int] = {}
        """The instance of each mapped node that ended last."""

    def note(self, passed: Passed) -> None:
        """Take in one entry."""
        if passed.is_ignored:
            return
        if passed.after.round != passed.before.round:
            self.clear()
        self.state = passed.after
        self.now = _At(passed.entry.position, passed.entry.observation.at_ms)
        if (outcome := passed.counted_outcome) is not None:
            self._end(outcome)
        for number, was, status in changed(passed):
            if was not in _ON_ITS_WAY and status is not Status.WAITING:
                self.ready[number] = self.now
            if status.is_final:
                self.ended[number] = self.now
        for attempt in passed.emitted:
            self._emit(attempt)

    def _end(self, outcome: Outcome) -> None:
        number = self.graph.number(outcome.attempt.node)
        self.slowest[number] = outcome.attempt.index
        self.times[number, outcome.attempt.index].end(outcome)

    def _emit(self, attempt: Attempt) -> None:
        number = self.graph.number(attempt.node)
        key = (number, attempt.index)
        if key not in self.times:
            self.times[key] = _Times(self.ready[number].at_ms)
        self.times[key].emit(self.now.at_ms)

    # What follows from it

    def last(self) -> int | None:
        """Give the node that has been on its way for longest; if nothing is, the one that ran and ended last."""
        on_its_way = sorted(chain.from_iterable(map(self.state.find, _ON_ITS_WAY)))
        if on_its_way:
            return min(on_its_way, key=lambda number: self.ready[number].position)
        ran = sorted({number for number, _ in self.times})
        return max(ran, key=lambda number: self.ended[number].position, default=None)

    def chain_to(self, last: int) -> Sequence[int]:
        """Give the nodes that lead to this one, the last first."""
        chained: list[int] = []
        number: int | None = last if last in self.ready else None
        while number is not None:
            chained.append(number)
            number = self._before(number)
        return chained

    def _before(self, number: int) -> int | None:
        """Give the lowest node whose end let this one start, or decided it."""
        node = self.graph.nodes[number]
        ready = self.ready[number]
        above: Iterable[int] = (self.graph.numbers[edge.node] for edge in node.depends_on)
        if node.role is not Role.NODE:
            above = range(self.graph.finalizers.start)
        ended = self.ended
        return min((it for it in above if it in ended and ended[it].position == ready.position), default=None)

    def step(self, number: int) -> PathStep:
        """Give one step of the path."""
        node = self.graph.nodes[number].id
        ready, ended = self.ready[number], self.ended.get(number)
        index = self._index(number, node) if number in self.graph.mapped else 0
        times = self.times.get((number, index)) or _Times(ready.at_ms)
        rest_ms = (self.now if ended is None else ended).at_ms - times.since_ms
        is_in_flight = times.is_in_flight
        return PathStep(
            node,
            index,
            self.state.status(node),
            times.attempts,
            ready.at_ms,
            times.since_ms if times.started_ms is None and is_in_flight else times.started_ms,
            None if ended is None else ended.at_ms,
            times.held_ms + (0 if is_in_flight else rest_ms),
            times.queued_ms,
            times.ran_ms + (rest_ms if is_in_flight else 0),
        )

    def _index(self, number: int, node: str) -> int:
        """Give the slowest instance of a mapped node: the one that ended last, or the first that has not ended."""
        if number in self.ended:
            return self.slowest.get(number, 0)
        statuses = self.state.instance_statuses(node)
        return next(statuses.index(status) for status in reversed(_ON_ITS_WAY) if status in statuses)
