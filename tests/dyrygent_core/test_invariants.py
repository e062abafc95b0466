"""`check_state`: a state that cannot be is told from one that can. Those that can are in the property tests."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    Failed,
    Graph,
    Node,
    Observation,
    PauseRequested,
    RerunRequested,
    RetryPolicy,
    Role,
    Skipped,
    State,
    Status,
    Succeeded,
    advance,
)
from dyrygent_core import heap as heaps
from dyrygent_core.bands import Band
from dyrygent_core.cells import ALLOWED, DELAYED
from dyrygent_core.errors import InvariantError
from dyrygent_core.invariants import check_state
from dyrygent_core.sparse import SparseMap
from dyrygent_core.state import make_state
from dyrygent_core.tries import Tries


def after(graph: Graph, *observations: Observation) -> State:
    """Give the state after these observations."""
    return advance(graph, State.initial(graph), observations)[0]


GRAPH = Graph(
    [
        Node("a", max_attempts=2, retry=RetryPolicy(1_000)),
        Node("b"),
        Node("c", ["a", "b"]),
        Node("d", ["b", "a"], trigger="one_failed"),
    ]
)
INITIAL = State.initial(GRAPH)
BEGUN = after(GRAPH, Begin())
SKIPPED_B = after(GRAPH, Begin(), Skipped(Attempt("b")))
RETRIED = after(GRAPH, Begin(), Failed(Attempt("a")))
CANCELLED = after(GRAPH, CancelRequested())
FINISHED = after(GRAPH, Begin(), *(Succeeded(Attempt(node)) for node in "abc"))
PAUSED = after(GRAPH, PauseRequested(), Begin())

LIMITED = after(Graph([Node("a"), Node("b", priority=1)], max_in_flight=1), Begin())
WIDE = after(Graph([*map(Node, map(str, range(150))), Node("z", map(str, range(150)))]), Begin())
ROLES = Graph([Node("a"), Node("f", role=Role.FINALLY), Node("g", role=Role.FINALLY)])
FINALIZING = after(ROLES, Begin(), Succeeded(Attempt("a")))
ROLES_BEGUN = after(ROLES, Begin())

MAPPING = Graph(
    [Node("a"), Node("m", ["a"], each="a", max_attempts=2, retry=RetryPolicy(1_000), max_losses=1), Node("z", ["m"])]
)
MAPPED = after(MAPPING, Begin(), Succeeded(Attempt("a"), sizes=(3,)))
MAPPED_RETRY = advance(MAPPING, MAPPED, [Failed(Attempt("m", 1))])[0]
MAPPED_END = advance(MAPPING, MAPPED, [Succeeded(Attempt("m", at)) for at in range(3)])[0]
MAPPED_AGAIN = advance(
    MAPPING,
    MAPPED,
    [
        Succeeded(Attempt("m", 0)),
        Failed(Attempt("m", 1), is_final=True),
        Skipped(Attempt("m", 2)),
        RerunRequested(("a",)),
    ],
)[0]


def changed(state: State, **changes: Any) -> State:
    """Make a state that cannot be: other cells or counts, other flags, or something else beside the cells."""
    pages = (bytes(changes.pop("cells")),) if "cells" in changes else state.pages
    in_flight = changes.pop("in_flight", state.in_flight)
    own = {name: changes.pop(name) for name in list(changes) if hasattr(state.side.flags, name)}
    return make_state(
        state.graph, pages, in_flight, evolve(state.side, **changes, flags=evolve(state.side.flags, **own))
    )


def with_band(state: State, **fields: Any) -> State:
    """Make a state whose mapped node m has other instances."""
    band = state.side.bands.get(1)
    assert band is not None
    return changed(state, bands=state.side.bands.put(1, evolve(band, **fields)))


@pytest.mark.parametrize(
    "state",
    [
        INITIAL,
        BEGUN,
        SKIPPED_B,
        RETRIED,
        CANCELLED,
        FINISHED,
        PAUSED,
        LIMITED,
        WIDE,
        FINALIZING,
        ROLES_BEGUN,
        MAPPED,
        MAPPED_RETRY,
        MAPPED_END,
        MAPPED_AGAIN,
        after(GRAPH, Begin(), CancelRequested()),
        after(Graph([]), Begin()),
        after(Graph([Node("a", allow_failure=True), Node("b", ["a"])]), Begin(), Failed(Attempt("a"))),
    ],
    ids=repr,
)
def test_what_advance_makes_can_be(state: State) -> None:
    """Nothing is raised."""
    check_state(state)


S, OK, FAILED, STOPPED, READY = Status.SCHEDULED, Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.READY
NONE = SparseMap[Any]()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (changed(BEGUN, cells=[S, S, 2]), "3 cells for 4 nodes"),
        # counts
        (changed(BEGUN, in_flight=3), "2 attempts are SCHEDULED, but 3 are counted"),
        (changed(RETRIED, due_ms=NONE), "1 nodes are delayed, but 0 have a due time"),
        (changed(RETRIED, delayed=2), "1 nodes and instances are delayed, but 2 are counted"),
        (changed(MAPPED_RETRY, delayed=0), "1 nodes and instances are delayed, but 0 are counted"),
        # the queue
        (changed(LIMITED, held=None), "1 nodes are held, but 0 are in the queue"),
        (changed(BEGUN, held=heaps.of_sorted([0])), "0 nodes are held, but 1 are in the queue"),
        (changed(PAUSED, is_paused=False), "node 'a' is held, but nothing holds it"),
        # the whole
        (changed(FINISHED, cells=[OK, OK, OK, 1]), "it is finished, but not every node is final"),
        (changed(BEGUN, is_work_over=True), "its ordinary nodes are said to be final, but are not"),
        (changed(FINISHED, is_work_over=False), "every ordinary node is final, but that is not noted"),
        (changed(BEGUN, is_cancelled=True), "it is ending, but a node still waits, or waits for its retry"),
        (changed(RETRIED, is_failing_fast=True), "it is ending, but a node still waits, or waits for its retry"),
        (changed(BEGUN, cells=[S, S, STOPPED, 2]), "a node is CANCELLED, but nothing has ended the workflow"),
        (changed(CANCELLED, is_past_deadline=True), "its deadline passed before it began"),
        (changed(FINISHED, is_paused=True), "it is finished, but paused"),
        # the nodes of the whole workflow
        (changed(FINALIZING, cells=[OK, S, 0], in_flight=1), "node 'g' waits, though every ordinary node is final"),
        (
            changed(ROLES_BEGUN, cells=[S, S, 0], in_flight=2),
            "node 'f' is SCHEDULED before every ordinary node is final",
        ),
        # counters
        (
            changed(BEGUN, cells=[S, S, 1, 2]),
            "node 'c' has 2 undecided edges and taint False, but 1 and False are kept",
        ),
        (
            changed(BEGUN, cells=[S, S, 102, 2]),
            "node 'c' has 2 undecided edges and taint False, but 2 and True are kept",
        ),
        (
            changed(SKIPPED_B, cells=[S, Status.SKIPPED, 1, 1]),
            "node 'c' has 1 undecided edges and taint True, but 1 and False are kept",
        ),
        (changed(WIDE, blocks=NONE), "node 'z' has 150 undecided edges and taint False, but 50 and False are kept"),
        # what the edges say
        (changed(INITIAL, has_begun=True), "node 'a' waits, though its edges make it SCHEDULED"),
        (
            changed(BEGUN, cells=[S, FAILED, 1, 1], in_flight=1),
            "node 'c' waits, though its edges make it UPSTREAM_FAILED",
        ),
        (changed(BEGUN, cells=[S, S, 205, 2]), "node 'c' is UPSTREAM_FAILED, though no edge says so"),
        (changed(BEGUN, cells=[S, S, OK, 2]), "node 'c' is SUCCEEDED, though its edges do not let it run"),
        (changed(BEGUN, cells=[S, ALLOWED, 1, S]), "node 'b' is FAILED, but whether that is allowed is kept wrong"),
        # tries
        (changed(BEGUN, tries=NONE.put(2, Tries(2))), "node 'c' is WAITING, but has been tried 2 times"),
        (changed(BEGUN, tries=NONE.put(0, Tries(4, 3))), "node 'a' goes on after 3 failures and 0 losses"),
        (changed(BEGUN, tries=NONE.put(0, Tries(4, 0, 3))), "node 'a' goes on after 0 failures and 3 losses"),
        (with_band(MAPPED, tries=NONE.put(1, Tries(2, 0, 1))), "node 'm' goes on after 0 failures and 1 losses"),
        # instances
        (with_band(MAPPED, pages=(bytes([S, S]),)), "2 attempts are SCHEDULED, but 3 are counted"),
        (with_band(MAPPED_END, pages=(bytes([OK, OK]),)), "node 'm' has 2 instances instead of 3"),
        (with_band(MAPPED, left=2), "node 'm' has 3 instances left, but 2 are counted"),
        (with_band(MAPPED, in_flight=2), "node 'm' has 3 instances left, but 3 are counted"),
        (with_band(MAPPED_RETRY, due_ms=NONE.put(2, 1_000)), "node 'm' has delayed instances without a due time"),
        (
            changed(MAPPED_END, cells=[OK, READY, 1], is_work_over=False, in_flight=0),
            "node 'm' is READY, but every instance is final",
        ),
        (changed(MAPPED, cells=[OK, READY, 1]), "node 'm' is READY with 3 instances in flight"),
        (
            with_band(MAPPED_END, pages=(bytes([OK, OK, DELAYED]),), left=1, due_ms=NONE.put(2, 1)),
            "node 'm' is SUCCEEDED, but 1 instances are not final",
        ),
    ],
)
def test_what_cannot_be_is_named(state: State, message: str) -> None:
    """The message has the node and the values."""
    with pytest.raises(InvariantError) as caught:
        check_state(state)

    assert str(caught.value) == f"this state cannot be: {message}"


def test_what_stays_in_a_rerun_may_contradict_what_is_repeated() -> None:
    """A node keeps its success although a dependency has failed since."""
    graph = Graph([Node("a"), Node("b", ["a"]), Node("c", ["a"])])
    first: list[Observation] = [Begin(), *(Succeeded(Attempt(node)) for node in "ab"), Failed(Attempt("c"))]

    check_state(after(graph, *first, RerunRequested(("a",)), Failed(Attempt("a", 0, 2))))


def test_a_band_has_pages() -> None:
    """A mapped node with more instances than one page holds is checked over all of them."""
    state = after(MAPPING, Begin(), Succeeded(Attempt("a"), sizes=(20_000,)))
    check_state(state)

    band = state.side.bands.get(1)
    assert isinstance(band, Band)
    assert len(band.pages) > 1
    with pytest.raises(InvariantError, match="19999 attempts are SCHEDULED, but 20000 are counted"):
        check_state(with_band(state, pages=(bytes([OK]) + band.pages[0][1:], *band.pages[1:])))
