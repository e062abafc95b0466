"""What a process knows of one workflow: the fold of the journal up to some entry.

A `Folded` is a value: threads share it without a lock, and whoever folds further makes a new one. Only its `Log`
grows in place. That is safe because everything in it follows from the journal alone: two threads that fold the
same entries write the same lines.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve, field, frozen

from dyrygent_core import (
    Attempt,
    CancelRequested,
    DeadlinePassed,
    Definition,
    Failed,
    Failure,
    Lost,
    Skipped,
    State,
    Succeeded,
    advance,
)
from dyrygent_core.errors import AttemptLostError
from dyrygent_core.ports import Entry, Seen, WorkflowKey

__all__ = ["Emission", "Folded", "Log", "attempt_id", "fold"]


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
    failures: dict[str, Failure] = field(factory=dict[str, Failure])
    """The newest failure of each node."""
    ending_ms: list[int] = field(factory=list[int])
    """When a cancel or the deadline was recorded: the first entry counts."""


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
            _note(log, entry, emitted)
        seen = Seen(entry.position, entry.nonce)
        emissions.append((entry, emitted))
    return evolve(folded, state=state, seen=seen), emissions


def _note(log: Log, entry: Entry, emitted: tuple[Attempt, ...]) -> None:
    match entry.observation:
        case Failed(attempt=attempt, failure=failure):
            log.failures[attempt.node] = failure
            log.emitted.pop(attempt, None)
        case Lost(attempt=attempt, reason=reason):
            log.failures[attempt.node] = Failure(AttemptLostError.__name__, reason, AttemptLostError.__module__)
            log.emitted.pop(attempt, None)
        case Succeeded(attempt=attempt) | Skipped(attempt=attempt):
            log.emitted.pop(attempt, None)
        case CancelRequested(at_ms=at_ms) | DeadlinePassed(at_ms=at_ms):
            log.ending_ms.append(at_ms)
        case _:
            pass
    for attempt in emitted:
        log.emitted[attempt] = Emission(entry.position, entry.observation.at_ms)


def attempt_id(folded: Folded, attempt: Attempt) -> str:
    """Return the id under which the engine runs an attempt, at most 155 characters.

    The first attempt of a node whose id is the engine's runs under that id; every other under
    `<incarnation>.<node number>.<index>.<attempt number>`.
    """
    if attempt.number == 1 and attempt.node in folded.definition.engine_named:
        return attempt.node
    number = folded.definition.graph.number(attempt.node)
    return f"{folded.key.incarnation}.{number}.{attempt.index}.{attempt.number}"
