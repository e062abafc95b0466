"""What the runtime knows of a workflow follows from its journal alone, with and without a snapshot."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from dyrygent_core import Attempt, Definition, Graph, Observation, Status, WorkflowState
from dyrygent_core.ports import Entry, WorkflowKey
from dyrygent_runtime.fold import Folded, attempt_id, emission_of, end_of, fold, sent_from
from dyrygent_runtime.listeners import NodeChanged, TurnTaken, WorkflowChanged, notifications
from dyrygent_runtime.log import slot_of, text_of
from dyrygent_runtime.snapshots import read_snapshot, snapshot_of
from property_tests.running import observed_graphs

Observed = tuple[Graph, tuple[Observation, ...]]
KEY = WorkflowKey("w", "incarnation")
MINE = "mine"


def entries_of(history: Sequence[Observation]) -> list[Entry]:
    """Give a journal in which every third entry is of one nonce."""
    nonces = (MINE if position % 3 == 0 else f"n{position}" for position in range(1, len(history) + 1))
    return [Entry(at, nonce, fact) for at, (nonce, fact) in enumerate(zip(nonces, history, strict=True), 1)]


def initial(graph: Graph) -> Folded:
    return Folded.initial(KEY, Definition(graph, engine_named=frozenset(list(graph.numbers)[::2])))


@given(observed_graphs(), st.data())
def test_a_snapshot_and_its_tail_are_the_whole_journal(observed: Observed, data: st.DataObject) -> None:
    """The fold of snapshot and tail is the fold of all: state, log, own steps, attempt ids, and hand-overs."""
    graph, history = observed
    entries = entries_of(history)
    cut = data.draw(st.integers(0, len(entries)))
    before, _ = fold(initial(graph), entries[:cut])

    again = read_snapshot(KEY, before.definition, snapshot_of(before))
    check_equal(again, before)

    whole, steps = fold(before, entries[cut:], MINE)
    resumed, resumed_steps = fold(again, entries[cut:], MINE)
    check_equal(resumed, whole)
    assert resumed_steps == steps


def check_equal(one: Folded, other: Folded) -> None:
    assert (one.key, one.definition, one.state, one.seen, one.log) == (
        other.key,
        other.definition,
        other.state,
        other.seen,
        other.log,
    )
    attempts = one.state.attempts_in_flight
    assert [attempt_id(one, it) for it in attempts] == [attempt_id(other, it) for it in attempts]
    for position in range(1, one.seen.position + 1):
        assert sent_from(one, position, 1) == sent_from(other, position, 1)


@given(observed_graphs(), st.data())
def test_folding_on_leaves_the_fold_before_as_it_was(observed: Observed, data: st.DataObject) -> None:
    """Threads may share a fold: whoever folds further changes nothing of it, however often and far."""
    graph, history = observed
    entries = entries_of(history)
    cut = data.draw(st.integers(0, len(entries)))
    before, _ = fold(initial(graph), entries[:cut])
    kept = snapshot_of(before)

    fold(before, entries[cut:])
    once, _ = fold(before, entries[cut:])

    assert snapshot_of(before) == kept
    check_equal(once, fold(initial(graph), entries)[0])


@given(observed_graphs())
def test_the_log_knows_what_is_in_flight_and_no_more(observed: Observed) -> None:
    """Of each attempt in flight it has the entry that emitted it, and its place there; of no other."""
    graph, history = observed
    folded = initial(graph)
    emitted: dict[Attempt, tuple[int, int, int]] = {}
    for entry in entries_of(history):
        folded, (step,) = fold(folded, [entry], entry.nonce)
        for place, attempt in enumerate(step.emitted):
            emitted[attempt] = (entry.position, entry.observation.at_ms, place)

    in_flight = folded.state.attempts_in_flight
    assert sorted(folded.log.emitted) == sorted(slot_of(graph, it) for it in in_flight)
    for attempt in in_flight:
        at = emission_of(folded, attempt)
        assert at is not None
        assert (at.position, at.at_ms, at.place) == emitted[attempt]
    assert folded.log.text == sum(text_of(end.failure) for _, end in folded.log.ends.items())


@given(observed_graphs(), st.data())
def test_what_was_handed_over_is_what_is_left_of_it(observed: Observed, data: st.DataObject) -> None:
    """Whoever goes on at an entry sends what it emitted from there on, less what has ended or is to be stopped."""
    graph, history = observed
    entries = entries_of(history)
    if not entries:
        return
    at = data.draw(st.integers(1, len(entries)))
    offset = data.draw(st.integers(0, 3))
    at_entry, _ = fold(initial(graph), entries[: at - 1])
    _, (step,) = fold(at_entry, [entries[at - 1]], entries[at - 1].nonce)
    now, _ = fold(initial(graph), entries)

    wanted = set(now.state.attempts_in_flight) - set(now.state.to_revoke)

    assert sent_from(now, at, offset) == [it for it in step.emitted[offset:] if it in wanted]
    for attempt in step.emitted:
        assert attempt not in wanted or end_of(now, attempt) is None


@given(observed_graphs())
def test_what_listeners_are_told_is_what_has_become_of_everything(observed: Observed) -> None:
    """Whoever hears all notifications knows every node's status and the whole's state, and hears no change twice."""
    graph, history = observed
    folded, steps = fold(initial(graph), [evolve(entry, nonce=MINE) for entry in entries_of(history)], MINE)
    statuses = dict.fromkeys(graph.numbers, Status.WAITING)
    attempts: set[tuple[str, Attempt | None]] = set()
    whole = WorkflowState.INITIAL
    for it in notifications(folded, steps):
        match it:
            case NodeChanged(node=node, status=status, attempt=attempt):
                assert statuses[node] is not status or (node, attempt) not in attempts
                statuses[node] = status
                attempts.add((node, attempt))
            case WorkflowChanged(state=whole):
                pass
            case TurnTaken():
                assert it.emitted == tuple(attempt for step in steps for attempt in step.emitted)

    assert statuses == dict(folded.state.statuses)
    assert whole is folded.state.workflow_state
