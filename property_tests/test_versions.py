"""Whatever tables a version of the rules has, every way through the core follows them alike."""

from __future__ import annotations

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from dyrygent_core import (
    Attempt,
    Begin,
    Definition,
    Failed,
    Graph,
    Node,
    Observation,
    Skipped,
    State,
    Status,
    Succeeded,
    Trigger,
    advance,
)
from dyrygent_core.codec import Snapshot, decode_definition, decode_snapshot, encode_definition, encode_snapshot
from dyrygent_core.invariants import check_state
from dyrygent_core.rules import AND_RULES, OUTCOME_COLUMNS, ROWS, RULES_VERSION, Effect
from dyrygent_core.versions import Rules
from dyrygent_testing import graphs

EARLY: Final = ([], [Effect.UPSTREAM_FAILED], [Effect.RUN])
"""What a row may decide early: one thing at most, or the order of its outcomes would matter."""
ROW: Final = st.sampled_from(EARLY).flatmap(
    lambda early: st.tuples(*[st.sampled_from([Effect.HOLD, Effect.TAINT, *early])] * len(OUTCOME_COLUMNS))
)
LAST: Final = st.sampled_from([Status.SCHEDULED, Status.SKIPPED, Status.UPSTREAM_FAILED])
RULES: Final = st.builds(
    Rules,
    st.just(RULES_VERSION + 1),
    st.fixed_dictionaries(dict.fromkeys(ROWS, ROW)),
    st.fixed_dictionaries(
        {it: st.tuples(st.just(Status.SCHEDULED) if it in AND_RULES else LAST, LAST) for it in Trigger}
    ),
)
OUTCOMES: Final = st.sampled_from([Succeeded, Succeeded, Failed, Skipped])
GRAPHS: Final = graphs(policies=None, paths=())


def under(graph: Graph, rules: Rules) -> Graph:
    """Give the same graph, following these rules."""
    return Graph(
        graph.nodes, max_in_flight=graph.max_in_flight, mode=graph.mode, deadline_ms=graph.deadline_ms, rules=rules
    )


@given(GRAPHS, RULES, st.data())
def test_every_way_through_the_core_follows_the_tables(graph: Graph, rules: Rules, data: st.DataObject) -> None:
    """One by one and all at once, from a snapshot, and as the invariants recount it; and every node ends."""
    graph = under(graph, rules)
    state, facts = State.initial(graph), list[Observation]()
    todo: list[Observation] = [Begin()]
    while todo:
        facts.append(todo[0])
        state, _ = advance(graph, state, todo)
        check_state(state)
        assert decode_snapshot(encode_snapshot(Snapshot(state)), graph).state == state
        attempts = state.attempts_in_flight
        todo = [data.draw(OUTCOMES)(data.draw(st.sampled_from(attempts)))] if attempts else []

    assert state.is_finished
    assert advance(graph, State.initial(graph), facts)[0] == state


@given(RULES)
def test_a_definition_is_read_under_the_rules_that_it_names(rules: Rules) -> None:
    """Of those that the reader knows, and they are taken as they are."""
    graph = Graph([Node("a"), Node("b", ["a"])], rules=rules)

    read = decode_definition(encode_definition(Definition(graph)), {rules.version: rules}).graph

    assert read.rules is rules
    assert read == graph
    assert advance(read, State.initial(read), [Begin(), Succeeded(Attempt("a"))]) == advance(
        graph, State.initial(graph), [Begin(), Succeeded(Attempt("a"))]
    )
