"""A rule-based state machine over the core: `advance` and the slow model, step by step, side by side.

A failing run is shrunk to the shortest story that tells the two apart.
"""

from __future__ import annotations

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


class WorkflowMachine(RuleBasedStateMachine):
    """One workflow, to which anything may happen at any time.

    Subclass it, and override `graphs` to restrict what is drawn:

        class TestMine(WorkflowMachine.TestCase):
            settings = settings(stateful_step_count=30)
    """

    def __init__(self) -> None:
        super().__init__()
        self.observed: list[Observation] = []
        self.emitted: set[Attempt] = set()
        self.at_ms = 0

    @initialize(graph=graphs(min_nodes=1, max_nodes=6))
    def start(self, graph: Graph) -> None:
        """Draw a graph, and stand before its beginning."""
        self.graph = graph
        self.state = State.initial(graph)
        self.model = Model(graph)

    @rule()
    def begin(self) -> None:
        """Begin, perhaps again."""
        self.observe(Begin(at_ms=self.at_ms))

    @precondition(lambda self: bool(self.model.in_flight))
    @rule(data=st.data(), kind=st.sampled_from([Succeeded, Succeeded, Skipped, Lost]))
    def end(self, data: st.DataObject, kind: type[Succeeded | Skipped | Lost]) -> None:
        """Let an attempt in flight end well, or stop itself, or get lost."""
        self.observe(kind(data.draw(st.sampled_from(self.model.in_flight)), at_ms=self.at_ms))

    @precondition(lambda self: bool(self.model.in_flight))
    @rule(data=st.data(), is_final=st.booleans(), is_revoked=st.booleans())
    def fail(self, data: st.DataObject, *, is_final: bool, is_revoked: bool) -> None:
        """Let an attempt in flight fail."""
        attempt = data.draw(st.sampled_from(self.model.in_flight))
        self.observe(Failed(attempt, is_final=is_final, is_revoked=is_revoked, at_ms=self.at_ms))

    @precondition(lambda self: bool(self.model.delayed))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """Let a retry become due."""
        attempt, due_ms = data.draw(st.sampled_from(self.model.delayed))
        self.at_ms = max(self.at_ms, due_ms)
        self.observe(RetryDue(attempt, at_ms=self.at_ms))

    @precondition(lambda self: bool(self.observed))
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Observe again what was observed."""
        self.observe(data.draw(st.sampled_from(self.observed)))

    @rule(milliseconds=st.integers(0, 10_000))
    def wait(self, milliseconds: int) -> None:
        """Let time pass."""
        self.at_ms += milliseconds

    @precondition(lambda self: len(self.observed) > 3)
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
