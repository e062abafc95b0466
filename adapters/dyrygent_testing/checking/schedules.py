"""What Hypothesis draws for one simulation of a given workflow, and how that is written as code.

A schedule shrinks to nothing: no node that fails, no order, one worker, no fault, no cancel. Whatever is left of one
that fails is needed for the failure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from attrs import field, frozen
from hypothesis import strategies as st

from dyrygent_core import (
    Attempt,
    CancelRequested,
    Failed,
    Graph,
    Lost,
    Node,
    Outcome,
    Role,
    Skipped,
    Succeeded,
    TimedOut,
)
from dyrygent_testing.checking.repeats import DONE, death_at
from dyrygent_testing.simulation import Fault, FaultKind, kinds_at
from dyrygent_testing.subjects import check_outcomes

__all__ = ["Schedule", "code_of", "mishaps", "schedules"]

_MOST_MISHAPS: Final = 2
_MOST_FAULTS: Final = 3
_HIGHEST_RANK: Final = 7
_PARTS: Final = ("worker", "message", "point", "journal", "engine")
_HELD: Final = "message.held"
_MOST_TRIES: Final = 10
_MOMENTS: Final = 24
"""Into how many parts the time of a run is cut, at the ends of which it may be cancelled."""

_DURATIONS_MS: Final = (None, 5_000, 100, 0)
"""The usual one, some times as long, a part of it, and none at all: whoever begins later may be done earlier."""

_LENGTHS_MS: Final[Mapping[FaultKind, tuple[int, ...]]] = {
    FaultKind.PAUSE: (1_000, 20_000, 100_000),
    FaultKind.STOP: (1_000, 20_000, 100_000),
    FaultKind.DELAY: (10_000, 100_000),
    FaultKind.DUPLICATE: (0, 10_000),
    FaultKind.UNAVAILABLE: (0, 20_000),
    FaultKind.STEP: (3_600_000, -3_600_000),
}
"""On either side of grace and lease, as they are by default."""


@frozen
class Schedule:
    """What one simulation is told beside what all of them are."""

    outcomes: Mapping[str, Sequence[Outcome]] = field(factory=dict[str, Sequence[Outcome]])
    order: tuple[str, ...] = ()
    durations: Mapping[str, int] = field(factory=dict[str, int])
    workers: int | None = None
    faults: tuple[Fault, ...] = ()
    cancelled_ms: int | None = None

    def arguments(self) -> dict[str, Any]:
        """Return what `simulate` is given, without what it takes for granted."""
        requests = [] if self.cancelled_ms is None else [(self.cancelled_ms, CancelRequested())]
        told = {
            "outcomes": self.outcomes,
            "order": [*self.order],
            "durations": self.durations,
            "workers": self.workers,
            "faults": [*self.faults],
            "requests": requests,
        }
        return {name: value for name, value in told.items() if value}


@st.composite
def schedules(
    draw: st.DrawFn,
    graph: Graph,
    outcomes: st.SearchStrategy[Mapping[str, Sequence[Outcome]]],
    hits: Mapping[str, int],
    *,
    kinds: Sequence[FaultKind],
    is_crowded: bool,
    is_timed: bool,
    length_ms: int,
) -> Schedule:
    """Draw a schedule.

    `hits`: how often each place is passed, so that faults strike. `is_crowded`, `is_timed`: whether the number of
    workers, and how long tasks take, is drawn too. `length_ms`: how long a run without faults takes.
    """
    nodes = [*graph.numbers]
    order = draw(_orders(nodes))
    comes_to = draw(outcomes)
    check_outcomes(comes_to, graph)
    moments = st.sampled_from([None] * 3 * _MOMENTS + [length_ms * at // _MOMENTS for at in range(_MOMENTS)])
    return Schedule(
        outcomes=comes_to,
        order=order,
        durations=draw(_durations(graph)) if is_timed else {},
        workers=draw(st.sampled_from([1, 1, 2, 3])) if is_crowded else None,
        faults=draw(_faults(hits, kinds)),
        cancelled_ms=draw(moments),
    )


def _orders(nodes: Sequence[str]) -> st.SearchStrategy[tuple[str, ...]]:
    """Draw a rank for each node, of which 0 is none, so that each shrinks to it alone, and give those of a rank."""
    ranks = st.lists(st.integers(0, _HIGHEST_RANK), min_size=len(nodes), max_size=len(nodes))
    return ranks.map(lambda its: tuple(node for rank, node in _by_rank(its, nodes) if rank))


def _by_rank(ranks: Sequence[int], nodes: Sequence[str]) -> Sequence[tuple[int, str]]:
    return sorted(zip(ranks, nodes, strict=True), key=lambda it: -it[0])


def _durations(graph: Graph) -> st.SearchStrategy[Mapping[str, int]]:
    """Draw that all take the usual time, or how long each takes: never so long that it times out, as `mishaps` do."""
    lengths = {
        node.id: [it for it in _DURATIONS_MS if it is None or node.timeout_ms is None or it < node.timeout_ms]
        for node in graph.nodes
    }
    drawn = st.fixed_dictionaries({node: st.sampled_from(its) for node, its in lengths.items()})
    told = drawn.map(lambda its: {node: it for node, it in its.items() if it is not None})
    return st.just(dict[str, int]()) | told


def _place(fault: Fault) -> tuple[str, int]:
    return fault.place, fault.hit


def _faults(hits: Mapping[str, int], kinds: Sequence[FaultKind]) -> st.SearchStrategy[tuple[Fault, ...]]:
    """Draw a part of the whole first: else most faults would strike one of the many calls of the journal."""
    passed = {**hits, _HELD: max(1, hits.get(_HELD, 0))}  # by a message when a worker has died, so not without faults
    places: dict[str, list[str]] = {part: [] for part in _PARTS}
    for place in passed:
        if set(kinds) & set(kinds_at(place)):
            places[place.partition(".")[0]].append(place)
    every = [its for its in places.values() if its]
    if not every:
        return st.just(())
    drawn = st.sampled_from(every).flatmap(st.sampled_from)
    faults = drawn.flatmap(lambda place: _faults_at(place, passed[place], kinds))
    if FaultKind.CRASH in kinds and DONE in passed:
        faults = _deaths(passed) | faults
    return st.lists(faults, max_size=_MOST_FAULTS, unique_by=_place).map(tuple)


def _deaths(hits: Mapping[str, int]) -> st.SearchStrategy[Fault]:
    """Draw the death that a user's task feels: it is done, nobody has heard of it, and so it is run again."""
    return st.sampled_from([death_at(hit) for hit in range(1, hits[DONE] + 1)])


def _faults_at(place: str, hits: int, kinds: Sequence[FaultKind]) -> st.SearchStrategy[Fault]:
    every = [kind for kind in kinds_at(place) if kind in kinds]
    drawn = st.tuples(st.sampled_from(range(1, hits + 1)), st.sampled_from(every))
    return drawn.flatmap(lambda it: st.sampled_from(_lengths(place, *it)))


def _lengths(place: str, hit: int, kind: FaultKind) -> Sequence[Fault]:
    return [Fault(place, hit, kind, ms) for ms in _LENGTHS_MS.get(kind, (0,))]


def mishaps(graph: Graph) -> st.SearchStrategy[Mapping[str, Sequence[Outcome]]]:
    """Draw a few nodes that do not succeed, and how."""
    every = [its for node in graph.nodes for its in _mishaps_of(node)]
    if not every:
        return st.just({})
    drawn = st.lists(st.sampled_from(every), max_size=_MOST_MISHAPS, unique_by=lambda its: its[0].attempt.node)
    return drawn.map(lambda them: {its[0].attempt.node: its for its in them})


def _mishaps_of(node: Node) -> Iterator[Sequence[Outcome]]:
    first = Attempt(node.id)
    yield [Failed(first)]
    if node.max_attempts > 1:
        yield tuple(
            Failed(Attempt(node.id, number=number)) for number in range(1, min(node.max_attempts, _MOST_TRIES) + 1)
        )
    yield [TimedOut(first)]
    yield [Lost(first)]
    if node.role is Role.NODE:
        yield [Skipped(first)]


# As code


def code_of(value: Any) -> str:
    """Write what a schedule is made of as the code that makes it."""
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return f"{{{', '.join(f'{key!r}: {code_of(it)}' for key, it in items)}}}"
    if isinstance(value, list | tuple):
        its = [code_of(it) for it in cast("Sequence[Any]", value)]
        text = ", ".join(its)
        return f"[{text}]" if isinstance(value, list) else f"({text}{',' if len(its) == 1 else ''})"
    return _code_of_fact(value)


def _code_of_fact(value: Any) -> str:
    match value:
        case Fault(place=place, hit=hit, kind=kind, ms=ms):
            return f"Fault({place!r}, {hit}, {kind.value!r}{f', {ms}' if ms else ''})"
        case Attempt(node=node, index=index, number=number):
            return f"Attempt({node!r}{f', {index}' if index else ''}{f', number={number}' if number > 1 else ''})"
        case Succeeded() | Failed() | TimedOut() | Lost() | Skipped():
            return f"{type(value).__name__}({code_of(value.attempt)}{_beside(value)})"
        case CancelRequested():
            return "CancelRequested()"
        case _:
            return repr(value)


def _beside(outcome: Outcome) -> str:
    """Write what an outcome says beside its attempt, where that is not what it says as a rule."""
    plain = type(outcome)(outcome.attempt)
    names = ("sizes", "branches", "is_final", "is_revoked", "reason", "failure")
    told = [(name, getattr(outcome, name)) for name in names if hasattr(outcome, name)]
    return "".join(f", {name}={value!r}" for name, value in told if value != getattr(plain, name))
