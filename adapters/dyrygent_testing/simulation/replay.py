"""A history, told again entry by entry: what each emitted, which outcome counted, and where everything stood.

It is told twice, by `advance` and by the slow model, and both have to say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from attrs import frozen

from dyrygent_core import Attempt, History, Observation, Outcome, SkipRequested, State, Status, advance
from dyrygent_core.errors import InvariantError
from dyrygent_core.invariants import check_state
from dyrygent_core.ports import Entry
from dyrygent_testing.agreement import check_agreement
from dyrygent_testing.model import Model

__all__ = ["Replay", "Step"]


@frozen
class Step:
    """One entry, and what it made of the workflow."""

    entry: Entry
    before: State
    state: State
    emitted: tuple[Attempt, ...]
    counted: Outcome | None
    """The outcome that it is, if that ended an attempt in flight."""


@frozen
class Replay:
    """The whole of one history."""

    history: History
    steps: tuple[Step, ...]
    disagreements: tuple[str, ...]
    """What `advance` and the model do not see alike."""
    emitted_at: Mapping[Attempt, int]
    """Which entry emitted an attempt first."""
    counted_at: Mapping[Attempt, int]
    """Which entry ended an attempt."""

    @classmethod
    def of(cls, history: History) -> Replay:
        """Tell a history again."""
        disagreements: list[str] = []
        steps = tuple(_steps(history, disagreements))
        emitted_at: dict[Attempt, int] = {}
        counted_at: dict[Attempt, int] = {}
        for step in steps:
            for attempt in step.emitted:
                emitted_at.setdefault(attempt, step.entry.position)
            if step.counted is not None:
                counted_at.setdefault(step.counted.attempt, step.entry.position)
        return cls(history, steps, tuple(disagreements), emitted_at, counted_at)

    @property
    def id(self) -> str:
        """The workflow's id."""
        return self.history.id

    @property
    def state(self) -> State:
        """Where everything stood in the end."""
        return self.state_at(len(self.steps))

    def state_at(self, position: int) -> State:
        """Return where everything stood after an entry."""
        return self.steps[position - 1].state if position else State.initial(self.history.definition.graph)

    def outcome_of(self, attempt: Attempt) -> Outcome | None:
        """Return the outcome that counted."""
        at = self.counted_at.get(attempt)
        return None if at is None else self.steps[at - 1].counted


def _steps(history: History, disagreements: list[str]) -> Iterator[Step]:
    """Compare state and model after every step in what it has changed, and after the last in everything."""
    graph = history.definition.graph
    state, model = State.initial(graph), Model(graph)
    last = len(history.entries)
    for entry in history.entries:
        before, fact = state, entry.observation
        statuses = model.statuses
        counted = fact if isinstance(fact, Outcome) and model.is_in_flight(fact.attempt) else None
        expected = model.observe(fact)
        state, emitted = advance(graph, before, [fact])
        if emitted != expected:
            disagreements.append(f"{_where(history, entry)} emits {emitted}, in the model {expected}")
        try:
            is_last = entry.position == last
            check_state(state, since=None if is_last else before)
            check_agreement(state, model, nodes=None if is_last else _changed(statuses, model, fact))
        except (InvariantError, AssertionError) as problem:
            disagreements.append(f"after {_where(history, entry)}: {problem}")
        yield Step(entry, before, state, emitted, counted)


def _changed(before: Mapping[str, Status], model: Model, fact: Observation) -> list[str]:
    """Give the nodes that have another status now, or whose attempt, or which itself, this is about."""
    names = [name for name, place in model.places.items() if place.status is not before[name]]
    about = fact.node if isinstance(fact, SkipRequested) else getattr(fact, "attempt", _NONE).node
    return [*names, about] if about in model.places and about not in names else names


_NONE: Final = Attempt("")


def _where(history: History, entry: Entry) -> str:
    return f"{history.id}:{entry.position} {entry.observation!r}"
