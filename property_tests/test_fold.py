"""`advance` is the left fold of one observation at a time, and pure (DESIGN: the laws of `advance`)."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Graph,
    Lost,
    Node,
    Observation,
    Outcome,
    PauseRequested,
    RetryDue,
    SkipRequested,
    State,
    Succeeded,
    advance,
)
from dyrygent_core.invariants import check_state
from dyrygent_testing import Model, check_agreement
from property_tests.running import observed_graphs, states

Observed = tuple[Graph, tuple[Observation, ...]]


@given(observed_graphs(), st.data())
def test_a_batch_is_the_fold_of_its_parts(observed: Observed, data: st.DataObject) -> None:
    """Advancing by a + b is advancing by a, then by b, and the emissions are concatenated."""
    graph, history = observed
    cut = data.draw(st.integers(0, len(history)))
    initial = State.initial(graph)

    middle, before = advance(graph, initial, history[:cut])
    end, after = advance(graph, middle, history[cut:])

    assert advance(graph, initial, history) == (end, before + after)


@given(observed_graphs())
def test_every_step_agrees_with_the_model(observed: Observed) -> None:
    """After each observation the state is what the slow model says, emits what it says, and keeps its invariants."""
    graph, history = observed
    state, model = State.initial(graph), Model(graph)
    emitted: list[Attempt] = []

    for observation in history:
        before = state
        state, more = advance(graph, before, [observation])
        assert state is before or state != before
        assert more == model.observe(observation)
        check_agreement(state, model)
        check_state(state)
        emitted += more

    assert len(set(emitted)) == len(emitted)


@given(observed_graphs(), st.data())
def test_what_counted_once_never_counts_again(observed: Observed, data: st.DataObject) -> None:
    """A repeated outcome, retry or beginning changes nothing: the same object comes back, in later rounds too."""
    graph, history = observed
    passed = states(graph, history)
    counted = [
        observation
        for at, observation in enumerate(history)
        if passed[at + 1] is not passed[at] and isinstance(observation, Begin | RetryDue | Outcome)
    ]
    repeated = data.draw(st.lists(st.sampled_from(counted))) if counted else []

    state, emitted = advance(graph, passed[-1], repeated)

    assert state is passed[-1]
    assert emitted == ()


@given(observed_graphs(), st.sampled_from([CancelRequested(), DeadlinePassed(), PauseRequested(), SkipRequested("a")]))
def test_asking_twice_is_asking_once(observed: Observed, request: Observation) -> None:
    """A request that was just made changes nothing the second time."""
    graph, history = observed
    state, _ = advance(graph, states(graph, history)[-1], [request])

    assert advance(graph, state, [request]) == (state, ())
    assert advance(graph, state, [request])[0] is state


@given(observed_graphs())
def test_old_states_stay_as_they_were(observed: Observed) -> None:
    """Whatever a state became, it can be advanced again, with an equal result of equal hash."""
    graph, history = observed
    seen = [(state, state.statuses, state.delayed, hash(state)) for state in states(graph, history)]

    again = states(graph, history)

    for (state, statuses, delayed, its_hash), other in zip(seen, again, strict=True):
        assert (state.statuses, state.delayed, hash(state)) == (statuses, delayed, its_hash)
        assert state == other
        assert hash(state) == hash(other)


@given(observed_graphs(), st.data())
def test_the_first_outcome_of_an_attempt_wins(observed: Observed, data: st.DataObject) -> None:
    """`Lost` and `Succeeded` of one attempt: the second is as if it had never been."""
    graph, history = observed
    state = states(graph, history)[-1]
    if not state.attempts_in_flight:
        return
    attempt = data.draw(st.sampled_from(state.attempts_in_flight))
    one, other = data.draw(st.permutations([Lost(attempt), Succeeded(attempt)]))

    assert advance(graph, state, [one, other]) == advance(graph, state, [one])


WIDE: Final = Graph(Node(f"n{number}") for number in range(20_000))
BEGUN: Final = advance(WIDE, State.initial(WIDE), [Begin()])[0]


@pytest.mark.parametrize("history", [[], [Lost(Attempt("n0", 1))], [Succeeded(Attempt("n0", 0, 2)), Begin()]])
def test_nothing_that_counts_returns_the_state(history: list[Observation]) -> None:
    """A batch in which nothing counts gives back the very state."""
    state, emitted = advance(WIDE, BEGUN, history)

    assert state is BEGUN
    assert emitted == ()
