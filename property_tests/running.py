"""How these tests run a workflow: every attempt comes to what was drawn for it, in an order that was drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from attrs import frozen
from hypothesis import settings
from hypothesis import strategies as st

from dyrygent_core import Attempt, Begin, Graph, Observation, Outcome, ResumeRequested, RetryDue, State, advance
from dyrygent_testing import Outcomes, graphs, histories, outcomes_of

FEWER: Final = settings(max_examples=max(20, settings().max_examples // 3))
"""For examples that take long to draw."""

Choose = Callable[[Sequence[Attempt]], Attempt]


@frozen
class Ending:
    """A workflow that ran to its end: what was observed, what was emitted, and where it stands."""

    state: State
    observed: tuple[Observation, ...]
    emitted: tuple[Attempt, ...]


def run_to_the_end(graph: Graph, outcomes: Outcomes, choose: Choose) -> Ending:
    """Begin, then let one attempt after another end, or come due, until the workflow is finished."""
    state, emitted = advance(graph, State.initial(graph), [Begin()])
    observed: list[Observation] = [Begin()]
    while not state.is_finished:
        delayed = {attempt for attempt, _ in state.delayed}
        attempt = choose([*state.attempts_in_flight, *sorted(delayed)])
        observed.append(RetryDue(attempt) if attempt in delayed else outcome_of(attempt, outcomes))
        state, more = advance(graph, state, observed[-1:])
        emitted += more
    return Ending(state, tuple(observed), emitted)


def outcome_of(attempt: Attempt, outcomes: Outcomes) -> Outcome:
    """Find what was drawn for one attempt, of an instance too."""
    return next(outcome for outcome in outcomes[attempt.node] if outcome.attempt == attempt)


def drained(state: State, data: st.DataObject) -> Ending:
    """Let a workflow that has begun go on to its end, each attempt coming to anything that it may come to."""
    observed: list[Observation] = []
    emitted: tuple[Attempt, ...] = ()
    while not state.is_finished:
        delayed = {attempt for attempt, _ in state.delayed}
        waiting = [*state.attempts_in_flight, *sorted(delayed)]
        if (state.is_paused and data.draw(st.booleans())) or not waiting:
            observed.append(ResumeRequested())
        else:
            attempt = data.draw(st.sampled_from(waiting))
            observed.append(RetryDue(attempt) if attempt in delayed else data.draw(outcomes_of(state.graph, attempt)))
        state, more = advance(state.graph, state, observed[-1:])
        emitted += more
    return Ending(state, tuple(observed), emitted)


def first(attempts: Sequence[Attempt]) -> Attempt:
    """Choose the first of all."""
    return attempts[0]


def last(attempts: Sequence[Attempt]) -> Attempt:
    """Choose the last of all."""
    return attempts[-1]


def chosen_by(data: st.DataObject) -> Choose:
    """Choose as Hypothesis draws."""
    return lambda attempts: data.draw(st.sampled_from(attempts))


def observed_graphs() -> st.SearchStrategy[tuple[Graph, tuple[Observation, ...]]]:
    """Draw graphs, each with a history of it."""
    return graphs().flatmap(lambda graph: st.tuples(st.just(graph), histories(graph)))


def states(graph: Graph, history: Sequence[Observation]) -> list[State]:
    """Give the state before a history and after each of its observations."""
    passed = [State.initial(graph)]
    for observation in history:
        passed.append(advance(graph, passed[-1], [observation])[0])
    return passed
