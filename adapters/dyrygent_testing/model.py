"""A slow, obvious model of the core: what must become of a workflow, written from the rules' meaning.

It shares no code with `advance` and reads none of its tables. Rules are plain predicates over the statuses of a
node's dependencies, and after every observation all nodes are looked at again until nothing changes any more.
`final_statuses` needs no order of events at all; `Model` takes observations one by one, as `advance` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Final, assert_never

from attrs import frozen

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    Condition,
    DeadlinePassed,
    Failed,
    Graph,
    Lost,
    Node,
    Observation,
    OnLoss,
    Outcome,
    RetryDue,
    Skipped,
    Status,
    Succeeded,
    Trigger,
    WorkflowState,
)

__all__ = ["Model", "Outcomes", "fate", "final_statuses", "result_of"]

Outcomes = Mapping[str, tuple[Outcome, ...]]
"""For each node, what its attempts 1, 2, 3, … come to if they are run: the last of them ends the node."""


def result_of(node: Node, outcomes: Sequence[Outcome]) -> Status | None:
    """Return what a node that is run becomes after these outcomes of its attempts; None if it is tried again."""
    last = outcomes[-1]
    match last:
        case Succeeded():
            return Status.SUCCEEDED
        case Skipped():
            return Status.SKIPPED
        case Failed():
            failures = sum(isinstance(outcome, Failed) for outcome in outcomes)
            return Status.FAILED if last.is_final or failures >= node.max_attempts else None
        case Lost():
            losses = sum(isinstance(outcome, Lost) for outcome in outcomes)
            return Status.FAILED if node.on_loss is OnLoss.FAIL or losses >= node.max_losses else None
        case _:
            assert_never(last)


def final_statuses(graph: Graph, outcomes: Outcomes) -> dict[str, Status]:
    """Return the status that every node ends with, if nobody interferes; by id, in topological order."""
    known: dict[str, Status] = {}
    while len(known) < len(graph):
        for node in graph.nodes:
            if node.id in known or any(edge.node not in known for edge in node.depends_on):
                continue
            verdict = fate(graph, node, known)
            result = result_of(node, outcomes[node.id]) if verdict is Status.SCHEDULED else verdict
            assert result is not None, f"{outcomes[node.id]} does not end {node!r}"
            known[node.id] = result
    return {node.id: known[node.id] for node in graph.nodes}


def fate(graph: Graph, node: Node, final: Mapping[str, Status]) -> Status | None:
    """Return what a node's dependencies make of it: SCHEDULED if it runs, None while that is open.

    `final` has the statuses of those dependencies that are final.
    """
    dependencies = [
        _Dependency(
            wants=edge.condition or _SHORTHANDS.get(node.trigger),
            status=final.get(edge.node),
            is_allowed=graph.node(edge.node).allow_failure,
        )
        for edge in node.depends_on
    ]
    return _OR_RULES.get(node.trigger, _all_hold)(dependencies)


# Rules


@frozen
class _Dependency:
    """One edge: what it wants, and what became of the node at its other end; None if that is not final."""

    wants: Condition | None
    status: Status | None
    is_allowed: bool

    @property
    def is_open(self) -> bool:
        return self.status is None

    @property
    def is_good(self) -> bool:
        """Whether it succeeded, or failed and that is allowed."""
        return self.status is Status.SUCCEEDED or (self.status is Status.FAILED and self.is_allowed)

    @property
    def is_bad(self) -> bool:
        """Whether something went wrong there, or before it, that nobody allowed."""
        return (self.status is Status.FAILED and not self.is_allowed) or self.status in (
            Status.UPSTREAM_FAILED,
            Status.CANCELLED,
        )

    @property
    def is_failed(self) -> bool:
        """Whether something went wrong there or before it, allowed or not."""
        return self.status in (Status.FAILED, Status.UPSTREAM_FAILED, Status.CANCELLED)


def _all_hold(dependencies: Sequence[_Dependency]) -> Status | None:
    """Run when every edge has what it wants; fail with the first that spoils it; else be skipped, at the end."""
    if any(_spoils(each) for each in dependencies):
        return Status.UPSTREAM_FAILED
    if any(each.is_open for each in dependencies):
        return None
    return Status.SCHEDULED if all(_holds(each) for each in dependencies) else Status.SKIPPED


def _spoils(each: _Dependency) -> bool:
    match each.wants:
        case Condition.SUCCEEDED | Condition.NOT_FAILED:
            return each.is_bad
        case Condition.FAILED | Condition.SKIPPED:
            return each.status is Status.CANCELLED
        case _:
            return False


def _holds(each: _Dependency) -> bool:
    match each.wants:
        case Condition.SUCCEEDED:
            return each.is_good
        case Condition.NOT_FAILED:
            return each.is_good or each.status is Status.SKIPPED
        case Condition.FAILED:
            return each.status in (Status.FAILED, Status.UPSTREAM_FAILED)
        case Condition.SKIPPED:
            return each.status is Status.SKIPPED
        case _:
            return True


def _one_success(dependencies: Sequence[_Dependency]) -> Status | None:
    """Run at the first success; without any, fail if something failed."""
    if any(each.is_good for each in dependencies):
        return Status.SCHEDULED
    if any(each.is_open for each in dependencies):
        return None
    return Status.UPSTREAM_FAILED if any(each.is_bad for each in dependencies) else Status.SKIPPED


def _one_failed(dependencies: Sequence[_Dependency]) -> Status | None:
    """Run at the first failure; without any, be skipped."""
    if any(each.is_failed for each in dependencies):
        return Status.SCHEDULED
    return None if any(each.is_open for each in dependencies) else Status.SKIPPED


def _none_failed_min_one_success(dependencies: Sequence[_Dependency]) -> Status | None:
    """Fail at the first failure; run at the end if something succeeded."""
    if any(each.is_bad for each in dependencies):
        return Status.UPSTREAM_FAILED
    if any(each.is_open for each in dependencies):
        return None
    return Status.SCHEDULED if any(each.is_good for each in dependencies) else Status.SKIPPED


_SHORTHANDS: Final = {
    Trigger.ALL_SUCCESS: Condition.SUCCEEDED,
    Trigger.NONE_FAILED: Condition.NOT_FAILED,
    Trigger.ALL_FAILED: Condition.FAILED,
    Trigger.ALL_DONE: Condition.DONE,
}
_OR_RULES: Final[Mapping[Trigger, Callable[[Sequence[_Dependency]], Status | None]]] = {
    Trigger.ONE_SUCCESS: _one_success,
    Trigger.ONE_FAILED: _one_failed,
    Trigger.NONE_FAILED_MIN_ONE_SUCCESS: _none_failed_min_one_success,
}


# Step by step


class Model:
    """One workflow, observed step by step. Not a value: `observe` changes it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.statuses = dict.fromkeys((node.id for node in graph.nodes), Status.WAITING)
        self.outcomes: dict[str, list[Outcome]] = {node.id: [] for node in graph.nodes}
        """The outcomes that counted, by node."""
        self.due_ms: dict[str, int] = {}
        self.has_begun = False
        self.is_cancelled = False
        self.is_past_deadline = False

    def copy(self) -> Model:
        """Return a model that stands where this one does, and goes its own way."""
        other = copy(self)
        other.statuses = dict(self.statuses)
        other.outcomes = {node: list(outcomes) for node, outcomes in self.outcomes.items()}
        other.due_ms = dict(self.due_ms)
        return other

    def observe(self, observation: Observation) -> tuple[Attempt, ...]:
        """Take one observation; return the attempts to schedule, in topological order."""
        before = set(self.in_flight)
        match observation:
            case Begin():
                self.has_begun = self.has_begun or not self.is_cancelled
            case Succeeded() | Failed() | Lost() | Skipped():
                if observation.attempt in before:
                    before.remove(observation.attempt)
                    self._end(observation)
            case RetryDue(attempt=attempt):
                if attempt in dict(self.delayed):
                    del self.due_ms[attempt.node]
                    self.statuses[attempt.node] = Status.SCHEDULED
            case CancelRequested():
                if not self.is_finished:
                    self.is_cancelled = True
            case DeadlinePassed():
                if self.has_begun and not self.is_finished:
                    self.is_past_deadline = True
            case _:
                assert_never(observation)
        self._look_around()
        return tuple(attempt for attempt in self.in_flight if attempt not in before)

    @property
    def is_ending(self) -> bool:
        """Whether nothing new may start."""
        return self.is_cancelled or self.is_past_deadline

    @property
    def is_finished(self) -> bool:
        """Whether every node is final, and it has begun or was cancelled before."""
        return (self.has_begun or self.is_cancelled) and all(status.is_final for status in self.statuses.values())

    @property
    def workflow_state(self) -> WorkflowState:
        """What has become of the whole."""
        if not self.is_finished:
            return WorkflowState.RUNNING if self.has_begun else WorkflowState.INITIAL
        if self.is_ending:
            return WorkflowState.CANCELLED if self.is_cancelled else WorkflowState.ERROR
        is_well = all(
            status in (Status.SUCCEEDED, Status.SKIPPED)
            or (status is Status.FAILED and self.graph.node(node).allow_failure)
            for node, status in self.statuses.items()
        )
        return WorkflowState.SUCCESS if is_well else WorkflowState.FAILURE

    @property
    def in_flight(self) -> tuple[Attempt, ...]:
        """The attempts without an outcome, in topological order."""
        return tuple(self._newest(node) for node, status in self.statuses.items() if status is Status.SCHEDULED)

    @property
    def delayed(self) -> tuple[tuple[Attempt, int], ...]:
        """The retries that wait for their time, each with that time."""
        return tuple((self._newest(node), self.due_ms[node]) for node in self.statuses if node in self.due_ms)

    def _newest(self, node: str) -> Attempt:
        return Attempt(node, 0, len(self.outcomes[node]) + 1)

    def _end(self, outcome: Outcome) -> None:
        """Let an attempt end, and decide whether its node goes on."""
        node = self.graph.node(outcome.attempt.node)
        self.outcomes[node.id].append(outcome)
        result = result_of(node, self.outcomes[node.id])
        if self.is_ending and (isinstance(outcome, Lost) or (isinstance(outcome, Failed) and outcome.is_revoked)):
            result = Status.CANCELLED
        elif self.is_ending and result is None:
            result = Status.FAILED
        delay_ms = 0
        if result is None and isinstance(outcome, Failed):
            failures = sum(isinstance(each, Failed) for each in self.outcomes[node.id])
            delay_ms = _delay_ms(node, failures)
        if delay_ms:
            self.due_ms[node.id] = outcome.at_ms + delay_ms
        self.statuses[node.id] = result or (Status.READY if delay_ms else Status.SCHEDULED)

    def _look_around(self) -> None:
        """Decide every waiting node that can be decided, until there is none."""
        if self.is_ending:
            self.due_ms.clear()
            held = [node for node, status in self.statuses.items() if status in (Status.WAITING, Status.READY)]
            self.statuses.update(dict.fromkeys(held, Status.CANCELLED))
        has_changed = self.has_begun
        while has_changed:
            has_changed = False
            final = {name: status for name, status in self.statuses.items() if status.is_final}
            for node in self.graph.nodes:
                verdict = fate(self.graph, node, final) if self.statuses[node.id] is Status.WAITING else None
                if verdict is not None:
                    self.statuses[node.id] = verdict
                    has_changed = True


def _delay_ms(node: Node, failures: int) -> int:
    """Multiply the first delay by the factor for every failure after the first, up to the longest."""
    delay: float = node.retry.delay_ms
    for _ in range(failures - 1):
        delay = int(delay * node.retry.factor)
    return int(min(delay, node.retry.max_delay_ms))
