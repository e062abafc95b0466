"""The end of a workflow depends on its graph and on its outcomes, never on their order."""

from __future__ import annotations

from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    Failed,
    Graph,
    Mode,
    Node,
    Skipped,
    State,
    Status,
    Succeeded,
    advance,
)
from dyrygent_core.codec import Snapshot, decode_snapshot, encode_snapshot
from dyrygent_core.invariants import check_state
from dyrygent_testing import Model, Outcomes, final_statuses, graphs, joins, outcomes_for
from property_tests.running import chosen_by, first, last, run_to_the_end


def with_outcomes(drawn: st.SearchStrategy[Graph]) -> st.SearchStrategy[tuple[Graph, Outcomes]]:
    """Draw graphs, each with what its nodes come to."""
    return drawn.flatmap(lambda graph: st.tuples(st.just(graph), outcomes_for(graph)))


CONFLUENT: Final = graphs(modes=[Mode.RUN_INDEPENDENT])
"""Under `fail_fast` the order is the meaning."""


@given(with_outcomes(CONFLUENT), st.data())
def test_the_order_of_outcomes_does_not_matter(drawn: tuple[Graph, Outcomes], data: st.DataObject) -> None:
    """Any two causal orders give the same statuses, attempts and verdict: those of the pure model."""
    graph, outcomes = drawn
    one = run_to_the_end(graph, outcomes, chosen_by(data))
    other = run_to_the_end(graph, outcomes, last)

    assert one.state.statuses == other.state.statuses == final_statuses(graph, outcomes)
    assert sorted(one.emitted) == sorted(other.emitted)
    assert one.state.workflow_state is other.state.workflow_state


@given(with_outcomes(CONFLUENT))
@example((Graph([Node("a"), Node("b", ["a"], each="a")]), {"a": (Succeeded(Attempt("a"), sizes=(0,)),), "b": ()}))
def test_each_node_that_may_run_is_tried_until_it_is_final(drawn: tuple[Graph, Outcomes]) -> None:
    """The attempts emitted are those that the outcomes call for, each once, and no other."""
    graph, outcomes = drawn
    ending = run_to_the_end(graph, outcomes, first)

    never_ran = {node.id for node in graph.nodes} - {attempt.node for attempt in ending.emitted}
    expected = {
        outcome.attempt
        for node, its_outcomes in outcomes.items()
        if node not in never_ran
        for outcome in its_outcomes
        if outcome.attempt.index < (ending.state.width(node) or 1)
    }
    assert sorted(ending.emitted) == sorted(expected)
    for node in never_ran:
        status, width = ending.state.status(node), ending.state.width(node)
        is_decided_at_once = (status, width) in ((Status.SUCCEEDED, 0), (Status.FAILED, None))  # nothing, or no list
        assert status in (Status.SKIPPED, Status.UPSTREAM_FAILED) or (graph.node(node).each and is_decided_at_once)


@given(with_outcomes(graphs(min_nodes=2, limits=[1, 2, 3])), st.data())
def test_a_limit_is_kept(drawn: tuple[Graph, Outcomes], data: st.DataObject) -> None:
    """Never more attempts are in flight than may be, and of those held back the first in the order goes first."""
    graph, outcomes = drawn
    ending = run_to_the_end(graph, outcomes, chosen_by(data))
    state = State.initial(graph)
    for observation in ending.observed:
        before = [*state.held]
        state, emitted = advance(graph, state, [observation])
        assert state.in_flight <= (graph.max_in_flight or 0)
        of_old = [attempt for attempt in emitted if attempt in before]
        assert of_old == before[: len(of_old)] or graph.mode is Mode.FAIL_FAST
        assert not state.held or state.in_flight == graph.max_in_flight


@given(with_outcomes(graphs(min_nodes=2, limits=[None])))
def test_the_highest_priority_goes_first(drawn: tuple[Graph, Outcomes]) -> None:
    """What one observation emits is ordered by priority, then by number, then by instance."""
    graph, outcomes = drawn
    state = State.initial(graph)
    for observation in run_to_the_end(graph, outcomes, first).observed:
        state, emitted = advance(graph, state, [observation])
        order = [(-graph.node(it.node).priority, graph.numbers[it.node], it.index) for it in emitted]
        assert order == sorted(order)


@given(with_outcomes(graphs(policies=None, modes=[Mode.RUN_INDEPENDENT])))
def test_the_verdict_looks_at_all_nodes(drawn: tuple[Graph, Outcomes]) -> None:
    """The model, shown the same story, ends in the same workflow state."""
    graph, outcomes = drawn
    ending = run_to_the_end(graph, outcomes, first)
    model = Model(graph)
    for observation in ending.observed:
        model.observe(observation)

    assert ending.state.workflow_state is model.workflow_state
    assert ending.state.first_failed == next(
        (node.id for node in graph.nodes if model.statuses[node.id] is Status.FAILED and not node.allow_failure), None
    )


@given(joins(), st.data())
def test_more_dependencies_than_a_cell_can_count(graph: Graph, data: st.DataObject) -> None:
    """A node that waits for hundreds is decided as if they were few, whatever they come to, in whatever batches."""
    most, few = data.draw(st.permutations([Succeeded, Failed, Skipped]))[:2]
    others = data.draw(st.sets(st.sampled_from(graph.nodes), min_size=1, max_size=4))
    outcomes: Outcomes = {node.id: ((few if node in others else most)(Attempt(node.id)),) for node in graph.nodes}
    roots = [outcomes[graph.nodes[number].id][0] for number in graph.roots]
    random = data.draw(st.randoms(use_true_random=False))
    random.shuffle(roots)
    if data.draw(st.booleans()):  # what is remembered first must last through every carry
        roots.sort(key=lambda outcome: isinstance(outcome, most))
    cut = random.randrange(len(roots))

    state = State.initial(graph)
    for batch in ([Begin(), *roots[:cut]], roots[cut:], outcomes["join"], outcomes["end"]):
        state, _ = advance(graph, state, batch)
        for either in (state, advance(graph, state, [CancelRequested()])[0]):
            check_state(either)
            assert decode_snapshot(encode_snapshot(Snapshot(either)), graph).state == either

    assert state.statuses == final_statuses(graph, outcomes)
