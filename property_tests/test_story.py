"""A node's story, and the critical path: what the journal tells is what the states were."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from dyrygent_core import Graph, Observation, Ran, Role, State, Status, Succeeded
from dyrygent_core.critical_path import PathStep, critical_path
from dyrygent_core.ports import Entry
from dyrygent_core.story import story
from dyrygent_testing import graphs, histories, node_ids
from property_tests.running import FEWER, observed_graphs, states

Observed = tuple[Graph, tuple[Observation, ...]]
_BECAME: Final = re.compile(" -> ([A-Z_]+)")
_ON_ITS_WAY: Final = (Status.READY, Status.SCHEDULED)


def entries_of(history: Sequence[Observation]) -> tuple[Entry, ...]:
    """Give the journal with this history."""
    return tuple(Entry(at, str(at), observation) for at, observation in enumerate(history, 1))


@given(observed_graphs())
def test_a_story_tells_every_turn_of_a_node(observed: Observed) -> None:
    """Each change of its status has a line at its position, in order; what changed nothing is told as ignored."""
    graph, history = observed
    passed = states(graph, history)
    for node in graph.numbers:
        told = {int(line[1:].split()[0]): line for line in story(graph, entries_of(history), node)}
        assert list(told) == sorted(told)
        for position, (before, after) in enumerate(pairwise(passed), 1):
            line = told.get(position, "")
            assert (": ignored, " in line) is (bool(line) and after is before)
            if before.status(node) is not after.status(node):
                became = _BECAME.search(line)
                assert became is not None
                assert became[1] == after.status(node).name


@given(observed_graphs())
def test_a_story_leaves_out_nothing_about_its_node(observed: Observed) -> None:
    """Every observation of the node or of the whole workflow is told, counted or not."""
    graph, history = observed
    for node in graph.numbers:
        about = {
            position
            for position, fact in enumerate(history, 1)
            if getattr(fact, "node", getattr(getattr(fact, "attempt", None), "node", node)) == node
        }
        assert about <= {int(line[1:].split()[0]) for line in story(graph, entries_of(history), node)}


@FEWER
@given(graphs(ids=node_ids()).flatmap(lambda graph: st.tuples(st.just(graph), histories(graph))))
def test_no_id_breaks_the_line(observed: Observed) -> None:
    """Whatever ids contain, a line of a story is one line."""
    graph, history = observed
    for node in graph.numbers:
        assert all(line.isprintable() for line in story(graph, entries_of(history), node))


# The critical path


@given(observed_graphs())
def test_a_path_divides_the_time(observed: Observed) -> None:
    """Each step takes up where the one before it ended, and its parts are all of its time."""
    graph, history = observed
    now_ms = _last_ms(graph, history)
    state = states(graph, history)[-1]
    for node in (None, *graph.numbers):
        path = critical_path(graph, entries_of(history), node)
        assert node is None or not path or state.status(node) is path[-1].status is not Status.WAITING
        for before, after in pairwise(path):
            assert before.ended_ms == after.ready_ms
            assert _is_before(graph, before, after)
        for step in path:
            end_ms = now_ms if step.ended_ms is None else step.ended_ms
            assert step.held_ms + step.queued_ms + step.ran_ms == end_ms - step.ready_ms
            assert min(step.held_ms, step.queued_ms, step.ran_ms) >= 0
            assert (step.started_ms is None) is (step.attempts == 0)


def _last_ms(graph: Graph, history: Sequence[Observation]) -> int:
    """Give the time of the last entry that counted."""
    passed = pairwise(states(graph, history))
    counted = [fact.at_ms for fact, (before, after) in zip(history, passed, strict=True) if before is not after]
    return counted[-1] if counted else 0


def _is_before(graph: Graph, before: PathStep, after: PathStep) -> bool:
    node = graph.node(after.node)
    if node.role is not Role.NODE:
        return graph.node(before.node).role is Role.NODE
    return before.node in {edge.node for edge in node.depends_on}


@given(observed_graphs())
def test_a_path_begins_and_ends_where_it_should(observed: Observed) -> None:
    """It ends with a node that is on its way; once none is, with one than which none that ran ended later."""
    graph, history = observed
    passed = states(graph, history)
    state = passed[-1]
    path = critical_path(graph, entries_of(history))
    on_its_way = [node for node, status in state.statuses.items() if status in _ON_ITS_WAY]
    if on_its_way:
        assert path[-1].node in on_its_way
        assert path[-1].ended_ms is None
    elif path:
        assert state.statuses[path[-1].node] is path[-1].status
        assert path[-1].attempts
        assert path[-1].ended_ms is not None
    if state.round == 1 and path and not _was_asked_to_skip(passed, history, path[0].node):
        assert path[0].ready_ms == state.begun_ms


def _was_asked_to_skip(passed: Sequence[State], history: Sequence[Observation], node: str) -> bool:
    """Tell whether a node was skipped before it could start, so that its path begins with that."""
    return any(
        getattr(fact, "node", None) == node and before is not after
        for fact, (before, after) in zip(history, pairwise(passed), strict=True)
    )


@given(graphs(min_nodes=1, roles=[Role.NODE], limits=[None]), st.data())
def test_what_workers_tell_is_counted(graph: Graph, data: st.DataObject) -> None:
    """Running is what the worker says, in so far as the attempt was in flight; the rest was queued."""
    history = data.draw(histories(graph, requests=()))
    ran = Ran(0, data.draw(st.integers(0, 30_000)), "w")
    told = tuple(
        Succeeded(fact.attempt, ran, sizes=fact.sizes, branches=fact.branches, at_ms=fact.at_ms)
        if isinstance(fact, Succeeded)
        else fact
        for fact in history
    )
    for node in graph.numbers:
        with_ran = critical_path(graph, entries_of(told), node)
        without = critical_path(graph, entries_of(history), node)
        assert [step.node for step in with_ran] == [step.node for step in without]
        for more, less in zip(with_ran, without, strict=True):
            assert more.ran_ms + more.queued_ms == less.ran_ms
            assert less.queued_ms == 0
