"""What a process knows of one workflow: the fold of the journal up to some entry.

A `Folded` is a value: threads share it without a lock, and whoever folds further makes a new one. Only its `Log`
grows in place. That is safe because everything in it follows from the journal alone: two threads that fold the
same entries write the same lines.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import evolve, field, frozen

from dyrygent_core import (
    Attempt,
    Definition,
    Failed,
    Failure,
    Lost,
    Skipped,
    SkipRequested,
    State,
    Status,
    Succeeded,
    TimedOut,
    advance,
)
from dyrygent_core.errors import AttemptLostError, UsageError, quoted
from dyrygent_core.ports import Entry, Seen, WorkflowKey

__all__ = ["Emission", "Folded", "Log", "attempt_id", "first_id", "fold"]


_MOST_SHOWN: Final = 8


@frozen
class Emission:
    """Which entry emitted an attempt, and when that was."""

    position: int
    at_ms: int


@frozen(eq=False)
class Log:
    """What the fold came across and the state need not remember."""

    emitted: dict[Attempt, Emission] = field(factory=dict[Attempt, Emission])
    """Of the attempts in flight."""
    failures: dict[Attempt, Failure] = field(factory=dict[Attempt, Failure])
    """Why attempts failed, the newest of each node or instance."""
    silent: set[Attempt] = field(factory=set[Attempt])
    """Those of them whose end the engine does not know: lost, or given up after too long a time."""
    skipped: set[Attempt] = field(factory=set[Attempt])
    """The attempts that stopped themselves."""
    ending_ms: dict[int, int] = field(factory=dict[int, int])
    """When it was recorded that no ordinary node is to start any more, by round."""
    skips_ms: dict[tuple[int, str], int] = field(factory=dict[tuple[int, str], int])
    """When somebody asked to skip a node, by round and node."""
    rounds: dict[int, int] = field(factory=dict[int, int])
    """Which entries began another round, and which."""


@frozen(eq=False)
class Folded:
    """One workflow as of the entry `seen`."""

    key: WorkflowKey
    definition: Definition
    state: State
    seen: Seen = field(factory=Seen)
    log: Log = field(factory=Log)

    @classmethod
    def initial(cls, key: WorkflowKey, definition: Definition) -> Folded:
        """Return the workflow before its first entry."""
        return cls(key, definition, State.initial(definition.graph))

    def __repr__(self) -> str:
        return f"<Folded {self.key.id!r} at {self.seen.position}: {self.state!r}>"


def fold(folded: Folded, entries: Iterable[Entry]) -> tuple[Folded, list[tuple[Entry, tuple[Attempt, ...]]]]:
    """Fold entries, the next ones in order; give what each of them emitted beside the result."""
    state, seen, log = folded.state, folded.seen, folded.log
    emissions: list[tuple[Entry, tuple[Attempt, ...]]] = []
    for entry in entries:
        before = state
        state, emitted = advance(folded.definition.graph, state, [entry.observation])
        if state is not before:
            _note(log, entry, state)
            if state.round != before.round:
                log.rounds[entry.position] = state.round
            if state.is_ending and not before.is_ending:
                log.ending_ms[state.round] = entry.observation.at_ms
            for attempt in emitted:
                log.emitted[attempt] = Emission(entry.position, entry.observation.at_ms)
        seen = Seen(entry.position, entry.nonce)
        emissions.append((entry, emitted))
    return evolve(folded, state=state, seen=seen), emissions


def _note(log: Log, entry: Entry, state: State) -> None:
    """Write down what an observation that counted leaves in the log."""
    match entry.observation:
        case Succeeded(attempt=attempt, branches=branches):
            if branches is not None and _is_refused(state, attempt):
                log.failures[attempt] = _no_branches(state, attempt, branches)
        case Failed(attempt=attempt, failure=failure):
            log.failures[attempt] = failure
        case TimedOut(attempt=attempt):
            log.failures[attempt] = _too_long(state, attempt)
            log.silent.add(attempt)
        case Lost(attempt=attempt, reason=reason):
            log.failures[attempt] = Failure(AttemptLostError.__name__, reason, AttemptLostError.__module__)
            log.silent.add(attempt)
        case Skipped(attempt=attempt):
            log.skipped.add(attempt)
        case SkipRequested(node=node, at_ms=at_ms):
            log.skips_ms[state.round, node] = at_ms
            return
        case _:
            return
    log.emitted.pop(attempt, None)
    if attempt.number > 1:
        log.failures.pop(evolve(attempt, number=attempt.number - 1), None)


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


def attempt_id(folded: Folded, attempt: Attempt) -> str:
    """Return the id under which the engine runs an attempt, at most 155 characters.

    The first attempt of a node whose id is the engine's runs under that id; every other, and all instances of a
    mapped node, under `<incarnation>.<node number>.<index>.<attempt number>`.
    """
    if attempt.number == 1 and _is_engine_named(folded, attempt):
        return attempt.node
    number = folded.definition.graph.number(attempt.node)
    return f"{folded.key.incarnation}.{number}.{attempt.index}.{attempt.number}"


def first_id(folded: Folded, attempt: Attempt) -> str | None:
    """Return the id of the engine's that this attempt's outcome is to be seen under besides its own, if any."""
    return attempt.node if attempt.number > 1 and _is_engine_named(folded, attempt) else None


def _is_engine_named(folded: Folded, attempt: Attempt) -> bool:
    definition = folded.definition
    return attempt.node in definition.engine_named and definition.graph.node(attempt.node).each is None
