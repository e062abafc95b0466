"""A snapshot is as good as the journal before it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dyrygent_core import Graph, Observation, State, advance
from dyrygent_core.codec import Snapshot, decode_snapshot, encode_snapshot
from dyrygent_core.codec.snapshots import Emission
from dyrygent_core.errors import UnsupportedVersionError
from dyrygent_core.invariants import check_state
from dyrygent_testing import graphs, histories, node_ids
from property_tests.running import observed_graphs

Observed = tuple[Graph, tuple[Observation, ...]]


@given(observed_graphs(), st.data())
def test_going_on_from_a_snapshot_is_going_on(observed: Observed, data: st.DataObject) -> None:
    """The fold of snapshot and tail is the fold of all: equal states, equal emissions at every position."""
    graph, history = observed
    cut = data.draw(st.integers(0, len(history)))
    state, _ = advance(graph, State.initial(graph), history[:cut])

    again = decode_snapshot(encode_snapshot(Snapshot(state, cut)), graph).state

    assert again == state
    assert (again.held, again.delayed, again.in_flight) == (state.held, state.delayed, state.in_flight)
    check_state(again)
    for observation in history[cut:]:
        state, emitted = advance(graph, state, [observation])
        again, emitted_again = advance(graph, again, [observation])
        assert (again, emitted_again) == (state, emitted)


@given(
    graphs(ids=node_ids(), max_nodes=4).flatmap(lambda graph: st.tuples(st.just(graph), histories(graph, max_size=12))),
    st.integers(0, 2**53),
)
def test_snapshots_come_back(observed: Observed, at_ms: int) -> None:
    """With all that stands in them, under any ids, and written again they are the same bytes."""
    graph, history = observed
    state, _ = advance(graph, State.initial(graph), history)
    emitted = {attempt: Emission(at, at_ms) for at, attempt in enumerate(state.attempts_in_flight, start=1)}
    snapshot = Snapshot(state, len(history), "nonce \n", emitted)
    written = encode_snapshot(snapshot)

    assert decode_snapshot(written, graph) == snapshot
    assert encode_snapshot(decode_snapshot(written, graph)) == written


@given(observed_graphs(), st.data())
def test_what_was_altered_is_refused(observed: Observed, data: st.DataObject) -> None:
    """One byte changed, or the rest cut off, and nothing is read at all."""
    graph, history = observed
    written = encode_snapshot(Snapshot(advance(graph, State.initial(graph), history)[0]))
    at = data.draw(st.integers(0, len(written) - 1))
    altered = data.draw(st.sampled_from([written[:at], written[:at] + bytes([written[at] ^ 1]) + written[at + 1 :]]))

    try:
        decode_snapshot(altered, graph)
    except UnsupportedVersionError:
        return
    raise AssertionError(altered)


@given(graphs(max_nodes=5), graphs(max_nodes=5))
def test_a_snapshot_belongs_to_its_graph(one: Graph, other: Graph) -> None:
    """Read with another graph it is refused, unless the two differ in policies only."""
    written = encode_snapshot(Snapshot(State.initial(one)))
    if one.fingerprint == other.fingerprint:
        assert [(node.id, node.depends_on) for node in one.nodes] == [
            (node.id, node.depends_on) for node in other.nodes
        ]
        return
    try:
        decode_snapshot(written, other)
    except UnsupportedVersionError as problem:
        assert "is of graph" in str(problem)  # noqa: PT017  # an assertion on both ways
        return
    raise AssertionError(written)
