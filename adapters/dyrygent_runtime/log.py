"""What the fold of a journal comes across and the state need not remember.

That is when what is in flight was emitted, why attempts failed, and when somebody asked to stop.

A `Log` is a value, as a `State` is: it follows from the journal alone, and whoever folds further makes a new one that
shares what did not change. `Draft` is one fold's way from a log to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

from attrs import evolve, field, frozen

from dyrygent_core import (
    Attempt,
    Failed,
    Failure,
    Graph,
    Lost,
    Skipped,
    SkipRequested,
    State,
    Status,
    Succeeded,
    TimedOut,
)
from dyrygent_core.errors import AttemptLostError, UsageError, quoted
from dyrygent_core.ports import Entry
from dyrygent_core.sparse import SparseMap

__all__ = ["Draft", "Emission", "End", "Log", "slot_of", "text_of"]

_BITS: Final = 20
"""Enough for the number of a node, and for the index of an instance."""
_MOST_TEXT: Final = 1_000_000
"""Characters of failures told in full; of those beyond it the log keeps the beginning."""
_BEGINNING: Final = 100
_MOST_SHOWN: Final = 8

_Value = TypeVar("_Value")


@frozen
class Emission:
    """Which entry emitted an attempt, when that was, and how many others it emitted before."""

    position: int
    at_ms: int
    place: int = 0


@frozen
class End:
    """How the newest attempt that did not succeed ended, of a node or instance.

    `failure` is None if it skipped itself. `is_silent`: the engine does not know of its end, for it was lost, or given
    up after too long a time.
    """

    number: int
    failure: Failure | None = None
    is_silent: bool = False


@frozen
class Log:
    """What is remembered beside a state. The maps are by `slot_of`."""

    emitted: SparseMap[Emission] = field(factory=SparseMap[Emission])
    """Of the attempts in flight, and of no others."""
    ends: SparseMap[End] = field(factory=SparseMap[End])
    text: int = 0
    """How many characters the failures among the ends take."""
    ending_ms: int | None = None
    """When it was recorded that no ordinary node is to start any more in this round."""
    skips_ms: SparseMap[int] = field(factory=SparseMap[int])
    """When somebody asked in this round to skip a node, by its number."""


def slot_of(graph: Graph, attempt: Attempt) -> int:
    """Give where a log keeps what it knows of an attempt: one place for each node, and for each instance."""
    number = graph.numbers[attempt.node]
    return number if number not in graph.mapped else (number + 1) << _BITS | attempt.index


def text_of(failure: Failure | None) -> int:
    """Count the characters that a failure takes."""
    if failure is None:
        return 0
    return len(failure.message) + sum(len(arg) for arg in failure.args or () if isinstance(arg, str))


class Draft:
    """A log that is being carried on. Not a value: it lives within one fold."""

    def __init__(self, log: Log, graph: Graph) -> None:
        self._log = log
        self._graph = graph
        self._emitted: dict[int, Emission | None] = {}
        self._ends: dict[int, End | None] = {}
        self._skips_ms: dict[int, int] = {}
        self._text = log.text

    def note(self, entry: Entry, before: State, after: State, emitted: tuple[Attempt, ...]) -> None:
        """Write down what an entry leaves that changed the state."""
        observation = entry.observation
        if after.round != before.round:
            self._log = evolve(self._log, ending_ms=None, skips_ms=SparseMap[int]())
            self._skips_ms.clear()
        if after.is_ending and not before.is_ending:
            self._log = evolve(self._log, ending_ms=observation.at_ms)
        match observation:
            case Succeeded() | Failed() | TimedOut() | Lost() | Skipped():
                slot = slot_of(self._graph, observation.attempt)
                self._emitted[slot] = None
                self._end(slot, _end_of(observation, after))
            case SkipRequested(node=node, at_ms=at_ms):
                self._skips_ms[self._graph.numbers[node]] = at_ms
            case _:
                pass
        for place, attempt in enumerate(emitted):
            self._emitted[slot_of(self._graph, attempt)] = Emission(entry.position, observation.at_ms, place)

    def frozen(self) -> Log:
        """Return the log as far as it was carried on."""
        log, skips_ms = self._log, self._log.skips_ms
        if self._skips_ms:
            skips_ms = skips_ms.put_all(self._skips_ms.items())
        emitted, ends = _changed(log.emitted, self._emitted), _changed(log.ends, self._ends)
        return Log(emitted, ends, self._text, log.ending_ms, skips_ms)

    def _end(self, slot: int, end: End | None) -> None:
        known = self._ends[slot] if slot in self._ends else self._log.ends.get(slot)
        if known is None and end is None:
            return
        self._text -= text_of(None if known is None else known.failure)
        if end is not None and end.failure is not None:
            if self._text + text_of(end.failure) > _MOST_TEXT:
                end = evolve(end, failure=_beginning(end.failure))
            self._text += text_of(end.failure)
        self._ends[slot] = end


def _changed(kept: SparseMap[_Value], changes: Mapping[int, _Value | None]) -> SparseMap[_Value]:
    """Drop, and put; of what is put, each page of the map is copied once."""
    put: list[tuple[int, _Value]] = []
    for slot, value in changes.items():
        if value is None:
            kept = kept.drop(slot)
        else:
            put.append((slot, value))
    return kept.put_all(put) if put else kept


def _beginning(failure: Failure) -> Failure:
    if len(failure.message) <= _BEGINNING and failure.args is None:
        return failure
    return evolve(failure, message=failure.message[:_BEGINNING] + "…", args=None)


# What is remembered of an outcome


def _end_of(outcome: Succeeded | Failed | TimedOut | Lost | Skipped, state: State) -> End | None:
    """Say what an outcome that counted leaves to be told later; `state` is the one after it."""
    number = outcome.attempt.number
    match outcome:
        case Succeeded(attempt=attempt, branches=branches):
            if branches is None or not _is_refused(state, attempt):
                return None
            return End(number, _no_branches(state, attempt, branches))
        case Failed(failure=failure):
            return End(number, failure)
        case TimedOut(attempt=attempt):
            return End(number, _too_long(state, attempt), is_silent=True)
        case Lost(reason=reason):
            return End(number, Failure(AttemptLostError.__name__, reason, AttemptLostError.__module__), is_silent=True)
        case Skipped():
            return End(number)


def _is_refused(state: State, attempt: Attempt) -> bool:
    """Tell whether the branches that this attempt has just taken failed its node."""
    return state.graph.node(attempt.node).each is not None or state.status(attempt.node) is Status.FAILED


def _no_branches(state: State, attempt: Attempt, branches: tuple[str, ...]) -> Failure:
    """Say why an attempt that succeeded and took branches failed its node all the same."""
    if state.graph.node(attempt.node).each is not None:
        text = f"an instance of {quoted(attempt.node)} took branches; only an unmapped node can choose what goes on"
        return Failure(UsageError.__name__, text, UsageError.__module__)
    below = state.graph.dependents(attempt.node)
    wrong = next((name for name in branches if name not in below), "")
    known = ", ".join(map(quoted, below[:_MOST_SHOWN])) + (", …" if len(below) > _MOST_SHOWN else "")
    hint = f"take some of {known}" if below else "nothing does"
    text = f"node {quoted(attempt.node)} took the branch {quoted(wrong)}, which does not wait directly for it; {hint}"
    return Failure(UsageError.__name__, text, UsageError.__module__)


def _too_long(state: State, attempt: Attempt) -> Failure:
    limit_ms = state.graph.node(attempt.node).timeout_ms
    text = f"it ran for longer than its time-out of {limit_ms} ms" if limit_ms is not None else "it ran for too long"
    return Failure(TimeoutError.__name__, text, TimeoutError.__module__)
