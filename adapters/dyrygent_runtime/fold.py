"""What a process knows of one workflow: the fold of the journal up to some entry.

A `Folded` is a value: threads share it without a lock, and whoever folds further makes a new one.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field, frozen

from dyrygent_core import Attempt, Definition, Failure, State, advance
from dyrygent_core.ports import Entry, Seen, WorkflowKey
from dyrygent_runtime.log import Draft, Emission, End, Log, slot_of

__all__ = [
    "Folded",
    "Step",
    "attempt_id",
    "emission_of",
    "end_of",
    "failure_in",
    "first_id",
    "fold",
    "is_in_flight",
    "sent_from",
]


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


@frozen
class Step:
    """One entry, what it emitted, and the state before and after it; the same object if it changed nothing."""

    entry: Entry
    emitted: tuple[Attempt, ...]
    before: State
    after: State

    @property
    def has_counted(self) -> bool:
        """Whether the entry changed anything."""
        return self.after is not self.before


def fold(folded: Folded, entries: Iterable[Entry], nonce: str | None = None) -> tuple[Folded, list[Step]]:
    """Fold entries, the next ones in order; give the steps of those with this nonce beside the result.

    What the others emit has owners, and is discarded.
    """
    graph = folded.definition.graph
    state, seen = folded.state, folded.seen
    draft = Draft(folded.log, graph)
    steps: list[Step] = []
    for entry in entries:
        before = state
        state, emitted = advance(graph, before, [entry.observation])
        if state is not before:
            draft.note(entry, before, state, emitted)
        seen = Seen(entry.position, entry.nonce)
        if entry.nonce == nonce:
            steps.append(Step(entry, emitted, before, state))
    return Folded(folded.key, folded.definition, state, seen, draft.frozen()), steps


# What the log knows of an attempt


def is_in_flight(folded: Folded, attempt: Attempt) -> bool:
    """Tell whether an attempt has been emitted and has not ended."""
    has_one = slot_of(folded.definition.graph, attempt) in folded.log.emitted
    return has_one and folded.state.attempt(attempt.node, attempt.index) == attempt


def emission_of(folded: Folded, attempt: Attempt) -> Emission | None:
    """Return when an attempt in flight was emitted."""
    return folded.log.emitted.get(slot_of(folded.definition.graph, attempt))


def end_of(folded: Folded, attempt: Attempt) -> End | None:
    """Return how an attempt ended that did not succeed, if it is the newest of its node or instance."""
    end = folded.log.ends.get(slot_of(folded.definition.graph, attempt))
    return end if end is not None and end.number == attempt.number else None


def failure_in(folded: Folded, attempt: Attempt) -> Failure | None:
    """Return why an attempt failed; None if it did not, or is not the newest."""
    end = end_of(folded, attempt)
    return None if end is None else end.failure


def sent_from(folded: Folded, position: int, offset: int) -> list[Attempt]:
    """Return what the entry at `position` emitted from the `offset`-th on, as far as it is still in flight.

    What is to be stopped is left out. In the order in which it was emitted.
    """
    stopped = set(folded.state.to_revoke)
    found: list[tuple[int, Attempt]] = []
    for attempt in folded.state.attempts_in_flight:
        at = emission_of(folded, attempt)
        if at is not None and at.position == position and at.place >= offset and attempt not in stopped:
            found.append((at.place, attempt))
    return [attempt for _, attempt in sorted(found)]


# Under which ids the engine knows it


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
