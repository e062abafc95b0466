"""Nothing stays pending for ever, and a cancel is final."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dyrygent_core import (
    Attempt,
    CancelRequested,
    DeadlinePassed,
    Graph,
    Observation,
    RerunRequested,
    Role,
    State,
    Status,
    WorkflowState,
    advance,
)
from dyrygent_core.invariants import check_state
from dyrygent_testing import graphs, histories
from property_tests.running import drained, observed_graphs, states

Observed = tuple[Graph, tuple[Observation, ...]]


@given(observed_graphs())
def test_an_unfinished_workflow_waits_for_something(observed: Observed) -> None:
    """Until it is finished, something is in flight or delayed, or it is paused or has not begun; then all is final."""
    for state in states(*observed):
        if state.is_finished:
            assert (state.attempts_in_flight, state.delayed, state.held, state.is_paused) == ((), (), (), False)
            assert all(status.is_final for status in state.statuses.values())
            assert state.workflow_state.is_final
        else:
            has_begun = state.workflow_state is not WorkflowState.INITIAL
            assert not has_begun or state.is_paused or state.attempts_in_flight or state.delayed


@given(observed_graphs(), st.data())
def test_every_workflow_ends(observed: Observed, data: st.DataObject) -> None:
    """From wherever it is, once begun, it ends when its attempts do: every node final, one state for the whole."""
    state = states(*observed)[-1]
    if state.workflow_state is WorkflowState.INITIAL:
        return
    end = drained(state, data).state

    assert end.is_finished
    assert all(status.is_final for status in end.statuses.values())
    assert end.round == state.round
    check_state(end)


@given(observed_graphs(), st.data())
def test_a_final_status_stays(observed: Observed, data: st.DataObject) -> None:
    """Within a round, no later observation changes what has become of a node, nor a workflow that is finished."""
    passed = states(*observed)
    early, late = sorted(data.draw(st.lists(st.integers(0, len(passed) - 1), min_size=2, max_size=2)))
    if passed[early].round != passed[late].round:
        return

    final = {node: status for node, status in passed[early].statuses.items() if status.is_final}
    assert final.items() <= passed[late].statuses.items()
    if passed[early].is_finished:
        assert passed[late] is passed[early]


@given(observed_graphs(), st.data())
def test_cancel_is_final(observed: Observed, data: st.DataObject) -> None:
    """From any unfinished state a cancel leads to CANCELLED; only finalizers are emitted after it, whatever happens."""
    graph, history = observed
    state = states(graph, history)[-1]
    if state.is_finished:
        return
    is_work_over = _is_work_over(state)

    state, emitted = advance(graph, state, [CancelRequested()])
    ordinary = [it for it in state.attempts_in_flight if graph.node(it.node).role is Role.NODE]
    assert is_work_over or list(state.to_revoke) == ordinary
    for observation in data.draw(histories(graph)):
        if not isinstance(observation, RerunRequested):
            state, more = advance(graph, state, [observation])
            emitted += more
    end = drained(state, data)

    assert {graph.node(attempt.node).role for attempt in emitted + end.emitted} <= {
        Role.FINALLY,
        *([Role.ON_ERROR, Role.ON_SUCCESS] if is_work_over else []),
    }
    assert end.state.workflow_state is WorkflowState.CANCELLED
    check_state(end.state)


@given(observed_graphs(), st.data())
def test_a_deadline_ends_in_error(observed: Observed, data: st.DataObject) -> None:
    """Past its deadline a workflow at work starts only finalizers, and is an ERROR in the end, if nobody cancels it."""
    graph, history = observed
    state = states(graph, history)[-1]
    if state.workflow_state is not WorkflowState.RUNNING or _is_work_over(state):
        assert advance(graph, state, [DeadlinePassed(state.round)])[0] is state
        return

    is_cancelled = state.is_cancelled
    state, emitted = advance(graph, state, [DeadlinePassed(state.round)])
    end = drained(state, data)

    roles = {graph.node(attempt.node).role for attempt in emitted + end.emitted}
    assert roles <= ({Role.FINALLY} if is_cancelled else {Role.FINALLY, Role.ON_ERROR})
    assert end.state.workflow_state is (WorkflowState.CANCELLED if is_cancelled else WorkflowState.ERROR)


@given(graphs())
def test_a_cancel_before_the_beginning_ends_at_once(graph: Graph) -> None:
    """What has not begun and is cancelled is CANCELLED, and cannot begin."""
    state, emitted = advance(graph, State.initial(graph), [CancelRequested()])

    assert emitted == ()
    assert state.workflow_state is WorkflowState.CANCELLED


@given(observed_graphs(), st.data())
def test_finalizers_run_once_a_round(observed: Observed, data: st.DataObject) -> None:
    """They begin when every ordinary node is final, end before the round does, and go with what became of it."""
    graph, history = observed
    drawn = [*history, *drained_after(graph, history, data)]
    passed = states(graph, drawn)
    begun: dict[tuple[int, str], Attempt] = {}
    for before, after, observation in zip(passed[:-1], passed[1:], drawn, strict=True):
        for attempt in advance(graph, before, [observation])[1]:
            if graph.node(attempt.node).role is not Role.NODE:
                assert _is_work_over(after)
                begun.setdefault((after.round, attempt.node), attempt)
    end = passed[-1]
    if not end.is_finished:  # it never began
        return

    for number in graph.finalizers:
        node = graph.nodes[number]
        has_run = (end.round, node.id) in begun
        was_cancelled_before = end.status(node.id) is Status.CANCELLED
        assert has_run or was_cancelled_before or end.status(node.id) is Status.SKIPPED
        is_first_of_round = not has_run or all(
            begun[end.round, node.id].number > attempt.number
            for (its_round, name), attempt in begun.items()
            if name == node.id and its_round < end.round
        )
        assert is_first_of_round


def drained_after(graph: Graph, history: tuple[Observation, ...], data: st.DataObject) -> tuple[Observation, ...]:
    """Give what brings a workflow to its end after a history."""
    state = states(graph, history)[-1]
    return () if state.workflow_state is WorkflowState.INITIAL else drained(state, data).observed


def _is_work_over(state: State) -> bool:
    ordinary = state.graph.nodes[: state.graph.finalizers.start]
    has_begun = state.workflow_state is not WorkflowState.INITIAL
    return has_begun and all(state.status(node.id).is_final for node in ordinary)
