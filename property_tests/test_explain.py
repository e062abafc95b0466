"""Of every node, at every time, it can be said why it has or has not run, and what is said is true."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, Final

from attrs import evolve
from hypothesis import event, given
from hypothesis import strategies as st

from dyrygent_core import (
    Failed,
    Failure,
    Graph,
    Lost,
    Observation,
    Role,
    Skipped,
    SkipRequested,
    State,
    Status,
    Succeeded,
    TimedOut,
)
from dyrygent_core.errors import quoted
from dyrygent_core.explain import explain
from dyrygent_core.ports import Entry
from dyrygent_testing import graphs, histories, node_ids
from property_tests.running import FEWER, states

Observed = tuple[Graph, tuple[Observation, ...]]
_STATUS: Final = re.compile(" is ([A-Z_]+): ")


def observed_graphs(ids: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[Observed]:
    """Draw graphs, each with a history of it."""
    return graphs(ids=ids).flatmap(lambda graph: st.tuples(st.just(graph), histories(graph)))


def entries_of(history: tuple[Observation, ...]) -> tuple[Entry, ...]:
    """Give the journal with this history."""
    return tuple(Entry(at, str(at), observation) for at, observation in enumerate(history, 1))


def _is_one_line(text: str) -> bool:
    return text.isprintable() and text != ""


@given(observed_graphs())
def test_every_node_is_explained(observed: Observed) -> None:
    """One line, which begins with the node's name and its status."""
    graph, history = observed
    state = states(graph, history)[-1]
    for node, status in state.statuses.items():
        text = explain(graph, state, node)
        event(re.sub(r"'.*?'|\d+", "…", text)[:80])
        assert text.startswith(f"{quoted(node)} is {status.name}: ")
        assert _is_one_line(text)


@FEWER
@given(observed_graphs(node_ids()), st.data())
def test_no_id_and_no_reason_breaks_the_line(observed: Observed, data: st.DataObject) -> None:
    """Whatever users write: it stays one line of printable characters."""
    graph, history = observed
    worded = tuple(_worded(observation, data.draw(st.text(max_size=5))) for observation in history)
    state = states(graph, worded)[-1]
    for node, status in state.statuses.items():
        for text in (explain(graph, state, node), explain(graph, state, node, entries=entries_of(worded))):
            assert text.startswith(f"{quoted(node)} is {status.name}: ")
            assert _is_one_line(text)


def _worded(observation: Any, reason: str) -> Observation:
    worded: Observation = evolve(observation, reason=reason) if hasattr(observation, "reason") else observation
    return worded


@given(observed_graphs())
def test_the_failure_behind_is_real(observed: Observed) -> None:
    """What is UPSTREAM_FAILED names a dependency, and a node above that FAILED or was CANCELLED."""
    graph, history = observed
    state = states(graph, history)[-1]
    for node, status in state.statuses.items():
        if status is Status.UPSTREAM_FAILED:
            named = _named(explain(graph, state, node)) - {node}
            assert named & {edge.node for edge in graph.node(node).depends_on}
            roots = {name for name in named if state.status(name) in (Status.FAILED, Status.CANCELLED)}
            assert roots
            assert roots <= _above(graph, node)


def _named(text: str) -> set[str]:
    return set(re.findall("'(.*?)'", text))


def _above(graph: Graph, node: str) -> set[str]:
    seen: set[str] = set()
    todo = [node]
    while todo:
        above = {edge.node for edge in graph.node(todo.pop()).depends_on} - seen
        seen |= above
        todo += above
    return seen


@given(observed_graphs())
def test_waiting_nodes_name_what_they_wait_for(observed: Observed) -> None:
    """Dependencies that are not final, and no others; without any it is the beginning, or the whole workflow."""
    graph, history = observed
    state = states(graph, history)[-1]
    for node, status in state.statuses.items():
        if status is Status.WAITING:
            named = _named(explain(graph, state, node)) - {node}
            undecided = {edge.node for edge in graph.node(node).depends_on if not state.status(edge.node).is_final}
            assert named <= undecided
            assert len(named) == min(3, len(undecided))


@given(observed_graphs())
def test_a_history_makes_it_certain(observed: Observed) -> None:
    """With the journal there is no doubt left, except of a node that failed in an earlier round."""
    graph, history = observed
    state: State = states(graph, history)[-1]
    for node in state.statuses:
        text = explain(graph, state, node, entries=entries_of(history))
        assert " or was lost" not in text
        assert "history tells" not in text
        if graph.node(node).role is Role.NODE:
            assert "earlier round" not in text


@given(observed_graphs(), st.data())
def test_a_history_of_another_length_does_no_harm(observed: Observed, data: st.DataObject) -> None:
    """A longer one tells what the state's own does; one that does not lead to the state tells no more than the state.

    Where the state was the same before or after another pause, it cannot be known which of them holds.
    """
    graph, history = observed
    entries = entries_of(tuple(_numbered(fact, at) for at, fact in enumerate(history, 1)))
    passed = states(graph, [entry.observation for entry in entries])
    cut = data.draw(st.integers(0, len(history)))
    state = passed[cut]
    others = [entries[: data.draw(st.integers(0, cut))], entries[data.draw(st.integers(0, cut)) :]]
    is_decided = all(it is state for it in passed if it == state)
    for node in graph.numbers:
        known = explain(graph, state, node, entries=entries[:cut])
        longer = explain(graph, state, node, entries=entries)
        if is_decided:
            assert longer == known
            assert {explain(graph, state, node, entries=other) for other in others} <= {
                known,
                explain(graph, state, node),
            }
        elif "paused" not in known:
            assert longer == known


def _numbered(observation: Any, at: int) -> Observation:
    """Give an observation words of its own, by which it is known again."""
    if isinstance(observation, Failed):
        return evolve(observation, failure=Failure("Error", str(at)))
    numbered: Observation = evolve(observation, reason=str(at)) if hasattr(observation, "reason") else observation
    return numbered


@given(observed_graphs())
def test_what_the_state_alone_says_is_true(observed: Observed) -> None:
    """Whoever is said to have asked did ask, and what is said to have failed was not lost."""
    graph, history = observed
    passed = states(graph, history)
    counted = [fact for fact, (old, new) in zip(history, pairwise(passed), strict=True) if old is not new]
    for node in graph.numbers:
        text = explain(graph, passed[-1], node)
        if text.endswith("SKIPPED: somebody asked to skip it"):
            assert any(isinstance(fact, SkipRequested) and fact.node == node for fact in counted)
        if text.endswith("; the history tells which"):
            assert any(getattr(fact, "node", None) == node or _is_end(fact, node) for fact in counted)
        if re.search(r"FAILED: attempt \d+ failed,", text):
            last = [fact for fact in counted if _is_end(fact, node)][-1]
            assert not isinstance(last, Lost | Skipped)


def _is_end(fact: Observation, node: str) -> bool:
    return isinstance(fact, Succeeded | Failed | TimedOut | Lost | Skipped) and fact.attempt.node == node
