"""The journal folded one entry at a time: which entries counted, and what each of them did.

What follows from that for one node is told in `story`, for the time it all took in `critical_path`; here is also what
`explain` wants to know beyond the state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, cast

from attrs import field, frozen

from dyrygent_core import cells
from dyrygent_core.advance import advance
from dyrygent_core.checks import shown
from dyrygent_core.errors import UsageError
from dyrygent_core.graph import Graph
from dyrygent_core.observations import (
    Attempt,
    CancelRequested,
    Failed,
    Lost,
    Observation,
    Outcome,
    PauseRequested,
    ResumeRequested,
    Skipped,
    SkipRequested,
    Succeeded,
    TimedOut,
)
from dyrygent_core.ports import Entry
from dyrygent_core.state import State
from dyrygent_core.statuses import Status

__all__ = ["OUTCOMES", "UNKNOWN", "Ending", "Made", "Passed", "Past", "changed", "journal_of", "past_of", "replay"]

OUTCOMES: Final = (Succeeded, Failed, TimedOut, Lost, Skipped)
_IS_OTHER: Final = bytes([0] + [1] * 255)


@frozen
class Passed:
    """One entry, and the states before and after it."""

    entry: Entry
    before: State = field(repr=False)
    after: State = field(repr=False)
    emitted: tuple[Attempt, ...]

    @property
    def is_ignored(self) -> bool:
        """Whether the entry changed nothing."""
        return self.after is self.before

    @property
    def counted_outcome(self) -> Outcome | None:
        """The outcome that this entry is, if it counted."""
        fact = self.entry.observation
        return fact if isinstance(fact, OUTCOMES) and not self.is_ignored else None


def journal_of(entries: object) -> tuple[Entry, ...]:
    """Return the entries of a journal; raises `UsageError` for what is none, with what to write."""
    if not isinstance(entries, Iterable):
        hint = f"; write [{shown(entries)}]" if isinstance(entries, Entry) else ""
        message = f"entries must be a sequence of entries, not {shown(entries)}{hint}"
        raise UsageError(message)
    journal = tuple(cast("Iterable[object]", entries))
    for at, item in enumerate(journal, 1):
        if not isinstance(item, Entry):
            hint = f"; write Entry({at}, '', {shown(item)})" if _is_observation(item) else ""
            message = f"entries must be those of a journal, as run.entries() gives them, not {shown(item)}{hint}"
            raise UsageError(message)
        if not _is_observation(item.observation):
            message = f"an entry holds an observation, such as Succeeded(attempt), not {shown(item.observation)}"
            raise UsageError(message)
    return cast("tuple[Entry, ...]", journal)


def _is_observation(value: object) -> bool:
    return isinstance(value, Observation)


def replay(graph: Graph, entries: Iterable[Entry]) -> Iterator[Passed]:
    """Fold entries from the first on, and give what each of them did. Cost: that of `advance` for each entry."""
    before = State.initial(graph)
    for entry in entries:
        after, emitted = advance(graph, before, (entry.observation,))
        yield Passed(entry, before, after, emitted)
        before = after


def changed(passed: Passed) -> Iterator[tuple[int, Status, Status]]:
    """Give the nodes whose status an entry changed, ascending, each with the two statuses.

    Cost: O(out-edges of what became final), and about a nanosecond for each byte of the pages that were touched.
    """
    before, after = passed.before, passed.after
    for page, (old, new) in enumerate(zip(before.pages, after.pages, strict=True)):
        if old is new:
            continue
        differences = int.from_bytes(old, "big") ^ int.from_bytes(new, "big")
        marks = differences.to_bytes(len(old), "big").translate(_IS_OTHER)
        at = marks.find(1)
        while at >= 0:
            was, now = cells.status_of(old[at]), cells.status_of(new[at])
            if was is not now:
                yield (page << after.graph.page_bits) + at, was, now
            at = marks.find(1, at + 1)


# What `explain` wants to know


@frozen
class Ending:
    """Why no ordinary node could start any more: what was observed, and, under fail_fast, which node failed."""

    observation: Observation
    failed: str | None
    """None if none did."""


@frozen
class Made:
    """What gave a node the status that it has, why the work was ending then, and who had asked to skip the node."""

    observation: Observation
    ending: Ending | None
    request: SkipRequested | None


@frozen
class Past:
    """What the history tells beyond the state."""

    made: Mapping[int, Made]
    outcomes: Mapping[Attempt, Outcome]
    """How the attempts ended that were asked for."""
    cancel: CancelRequested | None
    pauses: tuple[PauseRequested, ...]
    """The pause that holds; several if it may be any of them."""


UNKNOWN: Final = Past({}, {}, None, ())
"""Nothing is known beyond the state."""


def past_of(state: State, entries: Iterable[Entry], nodes: Iterable[int], attempts: Iterable[Attempt]) -> Past:
    """Look up in the history how these nodes got the statuses that they have, and how these attempts ended.

    The history is read up to where it has led to `state`: what comes after that is none of its past. One that never
    leads there, since it is shorter or begins later, tells nothing. So one that is longer or shorter does no harm.
    There may be several such places, since a pause that is over leaves no trace in a state; between them there is
    nothing but pauses and what was ignored, so all that they may differ in is which pause holds.
    """
    graph = state.graph
    wanted = {graph.nodes[node].id: (node, state.status(graph.nodes[node].id)) for node in nodes}
    asked = frozenset(attempts)
    made: dict[int, Made] = {}
    outcomes: dict[Attempt, Outcome] = {}
    found = UNKNOWN
    marks = _Marks()
    for passed in replay(graph, entries):
        if passed.is_ignored:
            continue
        marks.note(passed)
        fact = passed.entry.observation
        if isinstance(fact, OUTCOMES) and fact.attempt in asked:
            outcomes[fact.attempt] = fact
        for name, (node, status) in wanted.items():
            if passed.after.status(name) is status and _is_new(passed, name):
                made[node] = Made(fact, marks.ending, marks.requests.get(name))
        if passed.after == state:
            found = Past(dict(made), dict(outcomes), marks.cancel, (*found.pauses, *marks.pause))
    return found


class _Marks:
    """What was asked of the whole workflow so far, and what ended its work. Not a value."""

    def __init__(self) -> None:
        self.ending: Ending | None = None
        self.requests: dict[str, SkipRequested] = {}
        self.pause: tuple[PauseRequested, ...] = ()
        self.cancel: CancelRequested | None = None

    def note(self, passed: Passed) -> None:
        """Take in one entry that counted."""
        was_ending = passed.before.is_ending
        if passed.after.round != passed.before.round:
            self.ending = self.cancel = None
            self.requests.clear()
            was_ending = False
        if passed.after.is_ending and not was_ending:
            self.ending = _ending(passed)
        match passed.entry.observation:
            case PauseRequested() as pause:
                self.pause = (pause,)
            case ResumeRequested():
                self.pause = ()
            case CancelRequested() as cancel:
                self.cancel = cancel
            case SkipRequested() as request:
                self.requests[request.node] = request
            case _:
                pass


def _is_new(passed: Passed, name: str) -> bool:
    """Tell whether an entry gave a node its status, be it the one that it had in the round before."""
    before, after = passed.before, passed.after
    if before.status(name) is not after.status(name):
        return True
    return before.round != after.round and before.attempt(name) != after.attempt(name)


def _ending(passed: Passed) -> Ending:
    graph, after = passed.after.graph, passed.after
    failed = [number for number, _, now in changed(passed) if now is Status.FAILED]
    # What has no list to map over fails again in the very entry that asks for a rerun.
    failed += [number for number in after.find(Status.FAILED) if number in graph.mapped]
    causes = (number for number in failed if number < graph.finalizers.start and not graph.nodes[number].allow_failure)
    return Ending(passed.entry.observation, next((graph.nodes[number].id for number in causes), None))
