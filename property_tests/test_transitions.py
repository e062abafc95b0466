"""Every state of one small workflow, and every observation in each: the transitions are those of `advance`'s table.

`TRANSITIONS` is the table at the head of `advance`, as data. What is found by walking all states of two rounds must
be exactly it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

import pytest

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Failed,
    Graph,
    Lost,
    Node,
    Observation,
    PauseRequested,
    RerunRequested,
    ResumeRequested,
    RetryDue,
    RetryPolicy,
    Skipped,
    SkipRequested,
    State,
    Status,
    Succeeded,
    TimedOut,
    advance,
)
from dyrygent_core.invariants import check_state
from dyrygent_testing import Model

W, R, S = Status.WAITING, Status.READY, Status.SCHEDULED
FINAL: Final = (Status.SUCCEEDED, Status.FAILED, Status.SKIPPED, Status.UPSTREAM_FAILED, Status.CANCELLED)

TRANSITIONS: Final = {
    # as its edges are decided, or it begins; or as what held it back ends
    (W, "edges", Status.SCHEDULED),
    (W, "edges", Status.READY),
    (W, "edges", Status.SKIPPED),
    (W, "edges", Status.UPSTREAM_FAILED),
    (R, "released", Status.SCHEDULED),
    # by an outcome of its own
    (S, "Succeeded", Status.SUCCEEDED),
    (S, "Skipped", Status.SKIPPED),
    *((S, failed, after) for failed in ("Failed", "TimedOut") for after in (Status.READY, S, Status.FAILED)),
    (S, "Lost", Status.SCHEDULED),
    (S, "Lost", Status.READY),  # where a pause or a limit holds it back
    (S, "Lost", Status.FAILED),
    (R, "RetryDue", Status.SCHEDULED),
    # the same where no ordinary node may start any more
    (S, "Succeeded, ending", Status.SUCCEEDED),
    (S, "Skipped, ending", Status.SKIPPED),
    (S, "Failed, ending", Status.FAILED),
    (S, "Failed and revoked, ending", Status.CANCELLED),
    (S, "TimedOut, ending", Status.FAILED),
    (S, "Lost, ending", Status.CANCELLED),
    # and where it was to be skipped
    (S, "Succeeded, to skip", Status.SUCCEEDED),
    *((S, f"{end}, to skip", Status.SKIPPED) for end in ("Skipped", "Failed", "TimedOut", "Lost")),
    # as somebody, or the time, asks
    *((old, ends, Status.CANCELLED) for old in (W, R) for ends in ("CancelRequested", "DeadlinePassed")),
    *((old, "SkipRequested", Status.SKIPPED) for old in (W, R)),
    # in another round: it waits, or its edges decide it at once
    *((old, "RerunRequested", W) for old in FINAL if old is not Status.SUCCEEDED),
    *((old, "RerunRequested", S) for old in FINAL if old is not Status.UPSTREAM_FAILED),
    *((old, "RerunRequested", Status.UPSTREAM_FAILED) for old in FINAL if old is not Status.FAILED),
    *((old, "RerunRequested", Status.SKIPPED) for old in (Status.CANCELLED, Status.SKIPPED, Status.SUCCEEDED)),
}
"""Where a node's status stays but it is tried again, the attempt is another."""

GRAPH: Final = Graph(
    [
        Node("a", max_attempts=2, retry=RetryPolicy(1_000), max_losses=2),
        Node("b", ["a"], max_attempts=2),
    ],
)
LIMITED: Final = Graph([Node("a", max_losses=2), Node("b", trigger="all_done")], max_in_flight=1)
FAST: Final = Graph([Node("a", max_losses=1), Node("b", max_losses=1), Node("c", ["a"])], mode="fail_fast")
AFTERWARDS: Final = Graph(
    [Node("a", max_losses=1), Node("f", role="on_error", max_losses=1), Node("g", role="finally", max_losses=1)]
)
MOST_STATES: Final = 20_000


@pytest.mark.parametrize("graph", [LIMITED, FAST, AFTERWARDS], ids=["limited", "fail_fast", "finalizers"])
def test_every_state_of_other_workflows(graph: Graph) -> None:
    """Limits, finalizers and failing fast lead to no state and no transition that the model does not know."""
    _walk(graph, most_rounds=1)


def test_the_transitions_are_those_of_the_table() -> None:
    """From every reachable state, every observation does what a line of the table says, or nothing."""
    assert _walk(GRAPH, most_rounds=2) == TRANSITIONS


def _walk(graph: Graph, *, most_rounds: int) -> set[tuple[Status, str, Status]]:
    """Give the transitions found from any state that can be reached, each compared with the model's."""
    found: set[tuple[Status, str, Status]] = set()
    start = State.initial(graph)
    seen = {_key(start)}
    todo: deque[tuple[State, Model]] = deque([(start, Model(graph))])
    observations = list(_everything(graph))
    while todo:
        state, model = todo.popleft()
        for observation in observations:
            after, emitted = advance(graph, state, [observation])
            if after is state:
                continue
            other = model.copy()
            assert emitted == other.observe(observation)
            assert dict(after.statuses) == other.statuses
            assert after.workflow_state is other.workflow_state
            check_state(after)
            found |= set(_changes(state, observation, after))
            if after.round <= most_rounds and _key(after) not in seen:
                seen.add(_key(after))
                todo.append((after, other))
        assert len(seen) < MOST_STATES
    return found


def _key(state: State) -> object:
    """Give what tells states apart, with a hash of all of it: that of a state looks at the pages only."""
    return state.pages, state.side


def _everything(graph: Graph) -> Iterator[Observation]:
    """Give everything that can be observed of the nodes' possible attempts."""
    yield from (Begin(), CancelRequested(), DeadlinePassed(), PauseRequested(), ResumeRequested(), RerunRequested())
    for node in graph.nodes:
        yield SkipRequested(node.id)
        yield RerunRequested((node.id,))
        for number in range(1, 5):
            attempt = Attempt(node.id, 0, number)
            yield from (Succeeded(attempt), Skipped(attempt), Lost(attempt), RetryDue(attempt), TimedOut(attempt))
            yield from (Failed(attempt), Failed(attempt, is_final=True), Failed(attempt, is_revoked=True))


def _changes(before: State, observation: Observation, after: State) -> Iterator[tuple[Status, str, Status]]:
    attempt = getattr(observation, "attempt", None)
    for node in before.graph.nodes:
        old, new = before.status(node.id), after.status(node.id)
        is_tried_again = old is new and before.attempt(node.id) != after.attempt(node.id)
        if old is not new or is_tried_again:
            is_own = attempt is not None and attempt.node == node.id
            is_skip = isinstance(observation, SkipRequested) and observation.node == node.id
            is_request = isinstance(observation, CancelRequested | DeadlinePassed | RerunRequested) and old is not S
            by_others = "released" if old is R else "edges"
            yield old, _name(observation, before, node.id) if is_own or is_request or is_skip else by_others, new


def _name(observation: Observation, before: State, node: str) -> str:
    name = type(observation).__name__
    if not hasattr(observation, "attempt") or isinstance(observation, RetryDue):
        return name
    if before.graph.numbers[node] in before.side.flags.skips:
        return f"{name}, to skip"
    if before.is_ending:
        return f"{name}{' and revoked' * getattr(observation, 'is_revoked', False)}, ending"
    return name
