"""Every state of one small workflow, and every observation in each: the transitions are those of `advance`'s table.

`TRANSITIONS` is the table at the head of `advance`, as data. What is found by walking all states must be exactly it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

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
    RetryDue,
    RetryPolicy,
    Skipped,
    State,
    Status,
    Succeeded,
    advance,
)
from dyrygent_core.invariants import check_state
from dyrygent_testing import Model

W, R, S = Status.WAITING, Status.READY, Status.SCHEDULED

TRANSITIONS: Final = {
    # as its edges are decided, or it begins
    (W, "edges", Status.SCHEDULED),
    (W, "edges", Status.SKIPPED),
    (W, "edges", Status.UPSTREAM_FAILED),
    # by an outcome of its own
    (S, "Succeeded", Status.SUCCEEDED),
    (S, "Succeeded, ending", Status.SUCCEEDED),
    (S, "Skipped", Status.SKIPPED),
    (S, "Skipped, ending", Status.SKIPPED),
    (S, "Failed", Status.READY),
    (S, "Failed", Status.SCHEDULED),  # where its delay is nothing
    (S, "Failed", Status.FAILED),
    (S, "Failed, ending", Status.FAILED),
    (S, "Failed and revoked, ending", Status.CANCELLED),
    (S, "Lost", Status.SCHEDULED),
    (S, "Lost", Status.FAILED),
    (S, "Lost, ending", Status.CANCELLED),
    (R, "RetryDue", Status.SCHEDULED),
    # as the workflow is ended
    (W, "CancelRequested", Status.CANCELLED),
    (R, "CancelRequested", Status.CANCELLED),
    (W, "DeadlinePassed", Status.CANCELLED),
    (R, "DeadlinePassed", Status.CANCELLED),
}

GRAPH: Final = Graph(
    [
        Node("a", max_attempts=2, retry=RetryPolicy(1_000), max_losses=2),
        Node("b", ["a"], max_attempts=2),
    ]
)


def test_the_transitions_are_those_of_the_table() -> None:
    """From every reachable state, every observation does what a line of the table says, or nothing."""
    found: set[tuple[Status, str, Status]] = set()
    start = State.initial(GRAPH)
    seen = {start}
    todo: deque[tuple[State, Model]] = deque([(start, Model(GRAPH))])
    while todo:
        state, model = todo.popleft()
        for observation in _everything():
            after, emitted = advance(GRAPH, state, [observation])
            other = model.copy()
            assert emitted == other.observe(observation)
            assert after.statuses == other.statuses
            assert after.workflow_state is other.workflow_state
            check_state(after)
            found |= set(_changes(state, observation, after))
            if after not in seen:
                seen.add(after)
                todo.append((after, other))

    assert found == TRANSITIONS


def _everything() -> Iterator[Observation]:
    """Give everything that can be observed of the nodes' possible attempts."""
    yield from (Begin(), CancelRequested(), DeadlinePassed())
    for node in GRAPH.nodes:
        for number in range(1, 4):
            attempt = Attempt(node.id, 0, number)
            yield from (Succeeded(attempt), Skipped(attempt), Lost(attempt), RetryDue(attempt))
            yield from (Failed(attempt), Failed(attempt, is_final=True), Failed(attempt, is_revoked=True))


def _changes(before: State, observation: Observation, after: State) -> Iterator[tuple[Status, str, Status]]:
    attempt = getattr(observation, "attempt", None)
    for node in GRAPH.nodes:
        old, new = before.status(node.id), after.status(node.id)
        is_tried_again = old is new and before.attempt(node.id) != after.attempt(node.id)
        if old is not new or is_tried_again:
            is_own = attempt is not None and attempt.node == node.id
            is_request = isinstance(observation, CancelRequested | DeadlinePassed)
            yield old, _name(observation, before) if is_own or is_request else "edges", new


def _name(observation: Observation, before: State) -> str:
    name = type(observation).__name__
    if not before.is_ending or isinstance(observation, CancelRequested | DeadlinePassed):
        return name
    return f"{name}{' and revoked' * getattr(observation, 'is_revoked', False)}, ending"
