"""Nothing stays pending for ever, and a cancel is final."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dyrygent_core import (
    Attempt,
    CancelRequested,
    DeadlinePassed,
    Failed,
    Graph,
    Lost,
    Observation,
    Skipped,
    State,
    Succeeded,
    WorkflowState,
    advance,
)
from dyrygent_core.invariants import check_state
from dyrygent_testing import graphs, histories
from property_tests.running import observed_graphs, states

Observed = tuple[Graph, tuple[Observation, ...]]


@given(observed_graphs())
def test_an_unfinished_workflow_waits_for_something(observed: Observed) -> None:
    """Until it is finished, something is in flight or delayed, or it has not begun; then every node is final."""
    for state in states(*observed):
        is_on_its_way = bool(state.attempts_in_flight or state.delayed)
        if state.is_finished:
            assert not is_on_its_way
            assert all(status.is_final for status in state.statuses.values())
            assert state.workflow_state.is_final
        else:
            assert is_on_its_way or state.workflow_state is WorkflowState.INITIAL


@given(observed_graphs(), st.data())
def test_a_final_status_stays(observed: Observed, data: st.DataObject) -> None:
    """No later observation changes what has become of a node, nor a workflow that is finished."""
    passed = states(*observed)
    early, late = sorted(data.draw(st.lists(st.integers(0, len(passed) - 1), min_size=2, max_size=2)))

    final = {node: status for node, status in passed[early].statuses.items() if status.is_final}
    assert final.items() <= passed[late].statuses.items()
    if passed[early].is_finished:
        assert passed[late] is passed[early]


@given(observed_graphs(), st.data())
def test_cancel_is_final(observed: Observed, data: st.DataObject) -> None:
    """From any unfinished state a cancel leads to CANCELLED, and nothing is emitted after it, whatever happens."""
    graph, history = observed
    state = states(graph, history)[-1]
    if state.is_finished:
        return

    state, emitted = advance(graph, state, [CancelRequested()])
    assert state.to_revoke == state.attempts_in_flight
    later = data.draw(histories(graph))
    state, more = advance(graph, state, later)
    state, rest = advance(graph, state, [data.draw(_ends(attempt)) for attempt in state.to_revoke])

    assert emitted + more + rest == ()
    assert state.workflow_state is WorkflowState.CANCELLED
    check_state(state)


@given(graphs(min_nodes=1).flatmap(lambda graph: st.tuples(st.just(graph), histories(graph, requests=()))), st.data())
def test_a_deadline_ends_in_error(observed: Observed, data: st.DataObject) -> None:
    """Past its deadline a running workflow starts nothing more, and is an ERROR when what is in flight has ended."""
    graph, history = observed
    state = states(graph, history)[-1]
    if state.workflow_state is not WorkflowState.RUNNING:
        assert advance(graph, state, [DeadlinePassed()]) == (state, ())
        return

    state, emitted = advance(graph, state, [DeadlinePassed()])
    state, more = advance(graph, state, [data.draw(_ends(attempt)) for attempt in state.to_revoke])

    assert emitted + more == ()
    assert state.workflow_state is WorkflowState.ERROR


def _ends(attempt: Attempt) -> st.SearchStrategy[Observation]:
    ends: list[Observation] = [
        Succeeded(attempt),
        Failed(attempt),
        Failed(attempt, is_revoked=True),
        Lost(attempt),
        Skipped(attempt),
    ]
    return st.sampled_from(ends)


@given(graphs())
def test_a_cancel_before_the_beginning_ends_at_once(graph: Graph) -> None:
    """What has not begun and is cancelled is CANCELLED, and cannot begin."""
    state, emitted = advance(graph, State.initial(graph), [CancelRequested()])

    assert emitted == ()
    assert state.workflow_state is WorkflowState.CANCELLED
