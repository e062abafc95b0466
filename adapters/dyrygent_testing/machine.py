"""A rule-based state machine over the core: `advance` and the slow model, step by step, side by side.

A failing run is shrunk to the shortest story that tells the two apart.
"""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Failed,
    Graph,
    Lost,
    Observation,
    RetryDue,
    Skipped,
    State,
    Succeeded,
    advance,
)
from dyrygent_core.invariants import check_state
from dyrygent_testing.model import Model
from dyrygent_testing.strategies import graphs

__all__ = ["WorkflowMachine"]


_FAILURES: Final = ("plain", "plain", "plain", "final", "revoked")
_BEFORE_REQUESTS: Final = 8
"""Observations before anybody asks for the end, or there is little to end."""


class WorkflowMachine(RuleBasedStateMachine):
    """One workflow, to which anything may happen at any time.

    With pytest: `TestWorkflow = WorkflowMachine.TestCase`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.observed: list[Observation] = []
        self.emitted: set[Attempt] = set()
        self.at_ms = 0
        self.repeats = 1

    @initialize(graph=graphs(min_nodes=1, max_nodes=6))
    def start(self, graph: Graph) -> None:
        """Draw a graph, and stand before its beginning."""
        self.graph = graph
        self.state = State.initial(graph)
        self.model = Model(graph)

    @precondition(lambda self: not self.model.has_begun)
    @rule()
    def begin(self) -> None:
        """Begin; again, it is `repeat` that does."""
        self.observe(Begin(at_ms=self.at_ms))

    @precondition(lambda self: bool(self.model.in_flight))
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        """Let an attempt in flight succeed."""
        self.observe(Succeeded(data.draw(st.sampled_from(self.model.in_flight)), at_ms=self.at_ms))

    @precondition(lambda self: bool(self.model.in_flight))
    @rule(data=st.data(), kind=st.sampled_from([Skipped, Lost]))
    def stop(self, data: st.DataObject, kind: type[Skipped | Lost]) -> None:
        """Let an attempt in flight stop itself, or get lost."""
        self.observe(kind(data.draw(st.sampled_from(self.model.in_flight)), at_ms=self.at_ms))

    @precondition(lambda self: bool(self.model.in_flight))
    @rule(data=st.data(), kind=st.sampled_from(_FAILURES), waited_ms=st.integers(0, 10_000))
    def fail(self, data: st.DataObject, kind: str, waited_ms: int) -> None:
        """Let an attempt in flight fail, some time later."""
        self.at_ms += waited_ms
        attempt = data.draw(st.sampled_from(self.model.in_flight))
        self.observe(Failed(attempt, is_final=kind == "final", is_revoked=kind == "revoked", at_ms=self.at_ms))

    @precondition(lambda self: bool(self.model.delayed))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """Let a retry become due."""
        attempt, due_ms = data.draw(st.sampled_from(self.model.delayed))
        self.at_ms = max(self.at_ms, due_ms)
        self.observe(RetryDue(attempt, at_ms=self.at_ms))

    @precondition(lambda self: len(self.observed) > 2 * self.repeats)  # or little else happens
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Observe again what was observed."""
        self.repeats += 1
        self.observe(data.draw(st.sampled_from(self.observed)))

    @rule(data=st.data(), index=st.integers(0, 1), number=st.integers(1, 4))
    def stray(self, data: st.DataObject, index: int, number: int) -> None:
        """Observe an outcome of any attempt, which as a rule nobody waits for."""
        node = data.draw(st.sampled_from([*self.model.statuses, "nobody"]))
        self.observe(Succeeded(Attempt(node, index, number), at_ms=self.at_ms))

    @precondition(lambda self: len(self.observed) >= _BEFORE_REQUESTS and not self.model.is_cancelled)
    @rule(request=st.sampled_from([CancelRequested(), DeadlinePassed()]))
    def request(self, request: CancelRequested | DeadlinePassed) -> None:
        """Ask for the end, or run out of time."""
        self.observe(request)

    def observe(self, observation: Observation) -> None:
        """Show one observation to both, and compare what comes back."""
        old = self.state
        self.state, emitted = advance(self.graph, old, [observation])
        assert emitted == self.model.observe(observation)
        assert not self.emitted & set(emitted), "an attempt was emitted twice"
        self.emitted |= set(emitted)
        self.observed.append(observation)

    @invariant()
    def agrees_with_the_model(self) -> None:
        """Compare all that can be asked of the state."""
        assert self.state.statuses == self.model.statuses
        assert self.state.workflow_state is self.model.workflow_state
        assert self.state.attempts_in_flight == self.model.in_flight
        assert self.state.delayed == self.model.delayed
        assert self.state.to_revoke == (self.model.in_flight if self.model.is_ending else ())

    @invariant()
    def can_be(self) -> None:
        """Check the state's invariants."""
        check_state(self.state)
