"""`advance`: the one place where it is decided what runs next.

It is the left fold of one observation at a time, and reads as the transitions of a node:

    WAITING   --last edge decided-->  SCHEDULED | SKIPPED | UPSTREAM_FAILED      (tables in `rules`)
    SCHEDULED --Succeeded-->          SUCCEEDED
    SCHEDULED --Skipped-->            SKIPPED
    SCHEDULED --Failed-->             READY until its retry is due, or FAILED    (CANCELLED when ending and revoked)
    SCHEDULED --Lost-->               SCHEDULED, next attempt, or FAILED         (CANCELLED when ending)
    READY     --RetryDue-->           SCHEDULED
    WAITING, READY --CancelRequested, DeadlinePassed-->  CANCELLED

Everything else is ignored: an observation may be late, repeated, or about an attempt that never was.
No clock, no chance, no I/O: retry delays are counted from the time that the journal stamped on the observation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, assert_never

from attrs import evolve

from dyrygent_core import cells
from dyrygent_core.errors import UsageError
from dyrygent_core.graph import Graph, OnLoss
from dyrygent_core.observations import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Failed,
    Lost,
    Observation,
    Outcome,
    RetryDue,
    Skipped,
    Succeeded,
)
from dyrygent_core.rules import AT_ZERO, EDGE_EFFECTS, OUTCOME_COLUMNS, Effect
from dyrygent_core.state import FIRST_TRY, State, Tries
from dyrygent_core.statuses import Status

__all__ = ["advance"]

_COLUMN: Final = {Status[name]: column for column, name in enumerate(OUTCOME_COLUMNS) if name in Status.__members__}
_ALLOWED_FAILED: Final = OUTCOME_COLUMNS.index("allowed FAILED")


def advance(graph: Graph, state: State, observations: Iterable[Observation]) -> tuple[State, tuple[Attempt, ...]]:
    """Fold observations into a state; return the new state and the attempts to schedule.

    Pure: equal arguments give equal results, and `state` stays as it was. The attempts are in the order of the
    observations that caused them, and within one in topological order; each is emitted once ever.
    An observation that is late, repeated or impossible is ignored; if all are, `state` itself is returned.
    Cost: O(edges out of the nodes that became final), whatever the size of the graph.

    Raises `UsageError` if `state` belongs to another graph.
    """
    if state.graph is not graph and state.graph != graph:
        message = f"this state belongs to {state.graph!r}, not to {graph!r}"
        raise UsageError(message)
    step = _Step(state)
    emitted: list[Attempt] = []
    for observation in observations:
        step.observe(observation)
        emitted += step.release()
    return step.freeze(), tuple(emitted)


class _Step:
    """The transient of one call of `advance`: thawed cells, owned side maps, and what is to be emitted."""

    def __init__(self, state: State) -> None:
        self.old = state
        self.graph = state.graph
        self.sparse = state.sparse
        self.in_flight = state.in_flight
        self.tries: Mapping[int, Tries] = state.sparse.tries
        self.due_ms: Mapping[int, int] = state.sparse.due_ms
        self.cells = cells.Cells(state.pages, state.graph.page_bits, state.sparse.blocks)
        self._owned: tuple[dict[int, Tries], dict[int, int]] | None = None
        self.runnable: list[int] = []
        self.has_changed = False

    def observe(self, observation: Observation) -> None:
        match observation:
            case Begin():
                self._begin(observation)
            case Succeeded() | Failed() | Lost() | Skipped():
                self._outcome(observation)
            case RetryDue(attempt):
                self._retry_due(attempt)
            case CancelRequested():
                if not self.sparse.is_cancelled:
                    self._end(is_cancelled=True, is_past_deadline=self.sparse.is_past_deadline)
            case DeadlinePassed():
                if self.sparse.has_begun and not self.sparse.is_past_deadline:  # it counts from `Begin`
                    self._end(is_cancelled=self.sparse.is_cancelled, is_past_deadline=True)
            case _:
                assert_never(observation)

    def release(self) -> list[Attempt]:
        """Put what may run in flight, in topological order, and give its attempts."""
        self.runnable.sort()
        released = [self._attempt(node) for node in self.runnable]
        self.in_flight += len(released)
        self.runnable.clear()
        return released

    def freeze(self) -> State:
        if not self.has_changed:
            return self.old
        pages, blocks = self.cells.freeze()
        sparse = self.sparse
        if self._owned is not None or blocks is not sparse.blocks:
            sparse = evolve(sparse, blocks=blocks, tries=self.tries, due_ms=self.due_ms)
        return State(self.graph, pages, sparse, self.in_flight)

    # Transitions of the whole

    def _begin(self, begin: Begin) -> None:
        if self.sparse.has_begun or self.sparse.is_ending:
            return
        self.has_changed = True
        self.sparse = evolve(self.sparse, has_begun=True, begun_ms=begin.at_ms)
        for root in self.graph.roots:
            self._run(root)

    def _end(self, *, is_cancelled: bool, is_past_deadline: bool) -> None:
        """Let nothing new start; whatever is in flight is left to its outcome."""
        if self._is_finished():
            return
        self.has_changed = True
        self.sparse = evolve(self.sparse, is_cancelled=is_cancelled, is_past_deadline=is_past_deadline)
        self.cells.replace(cells.cancel_waiting(self.cells.snapshot()))
        self._own_maps()[1].clear()

    def _is_finished(self) -> bool:
        return (self.sparse.has_begun or self.sparse.is_ending) and not self.in_flight and not self.due_ms

    # Transitions of one node

    def _outcome(self, outcome: Outcome) -> None:
        node = self._node_of(outcome.attempt, Status.SCHEDULED)
        if node is None:
            return
        self.has_changed = True
        self.in_flight -= 1
        match outcome:
            case Succeeded():
                self._settle(node, Status.SUCCEEDED)
            case Skipped():
                self._settle(node, Status.SKIPPED)
            case Failed():
                self._failed(node, outcome)
            case Lost():
                self._lost(node)
            case _:
                assert_never(outcome)

    def _failed(self, node: int, failed: Failed) -> None:
        tries = self.tries.get(node, FIRST_TRY)
        policy = self.graph.nodes[node]
        if self.sparse.is_ending:
            self._settle(node, Status.CANCELLED if failed.is_revoked else Status.FAILED)
        elif failed.is_final or tries.failures + 1 >= policy.max_attempts:
            self._settle(node, Status.FAILED)
        else:
            self._own_maps()[0][node] = Tries(tries.number + 1, tries.losses)
            delay_ms = policy.retry.delay_after_ms(tries.failures + 1)
            if delay_ms:
                self.cells.settle(node, Status.READY)
                self._own_maps()[1][node] = failed.at_ms + delay_ms
            else:
                self._run(node)

    def _lost(self, node: int) -> None:
        tries = self.tries.get(node, FIRST_TRY)
        policy = self.graph.nodes[node]
        if self.sparse.is_ending:
            self._settle(node, Status.CANCELLED)
        elif policy.on_loss is OnLoss.FAIL or tries.losses + 1 >= policy.max_losses:
            self._settle(node, Status.FAILED)
        else:
            self._own_maps()[0][node] = Tries(tries.number + 1, tries.losses + 1)
            self._run(node)

    def _retry_due(self, attempt: Attempt) -> None:
        node = self._node_of(attempt, Status.READY)
        if node is None:
            return
        self.has_changed = True
        del self._own_maps()[1][node]
        self._run(node)

    def _own_maps(self) -> tuple[dict[int, Tries], dict[int, int]]:
        """Give the side maps to write to: copied once in a step, and only if it writes."""
        if self._owned is None:
            self._owned = dict(self.tries), dict(self.due_ms)
            self.tries = self._owned[0]
            self.due_ms = self._owned[1]
        return self._owned

    def _run(self, node: int) -> None:
        self.cells.settle(node, Status.SCHEDULED)
        self.runnable.append(node)

    def _settle(self, node: int, status: Status) -> None:
        """Make a node final, and every node that this decides, along the edges; each edge is seen once."""
        self.cells.settle(node, status)
        decided = [(node, status)]
        while decided:
            above, outcome = decided.pop()
            column = _COLUMN[outcome]
            if outcome is Status.FAILED and self.graph.nodes[above].allow_failure:
                column = _ALLOWED_FAILED
            for below, row in zip(self.graph.successors[above], self.graph.rows[above], strict=True):
                if not self.cells.is_waiting(below):
                    continue
                verdict = self._decide(below, EDGE_EFFECTS[row][column])
                if verdict is Status.SCHEDULED:
                    self._run(below)
                elif verdict is not None:
                    self.cells.settle(below, verdict)
                    decided.append((below, verdict))

    def _decide(self, node: int, effect: Effect) -> Status | None:
        """Apply one decided edge to the node that waits on it; None while others are undecided."""
        match effect:
            case Effect.RUN:
                return Status.SCHEDULED
            case Effect.UPSTREAM_FAILED:
                return Status.UPSTREAM_FAILED
            case Effect.TAINT:
                self.cells.taint(node)
            case Effect.HOLD:
                pass
            case _:
                assert_never(effect)
        if not self.cells.count_down(node):
            return None
        return AT_ZERO[self.graph.nodes[node].trigger][self.cells.is_tainted(node)]

    def _node_of(self, attempt: Attempt, status: Status) -> int | None:
        """Give the number of the attempt's node if that very attempt is in `status`."""
        node = self.graph.numbers.get(attempt.node)
        if node is None or attempt.index or self.cells.code(node) != status:
            return None
        return node if attempt.number == self.tries.get(node, FIRST_TRY).number else None

    def _attempt(self, node: int) -> Attempt:
        return Attempt(self.graph.nodes[node].id, 0, self.tries.get(node, FIRST_TRY).number)
