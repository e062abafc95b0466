"""A rule-based state machine over the core: `advance` and the slow model, step by step, side by side.

A failing run is shrunk to the shortest story that tells the two apart.
"""

from __future__ import annotations

from itertools import groupby
from typing import Final

from attrs import evolve
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Graph,
    Observation,
    PauseRequested,
    RerunRequested,
    ResumeRequested,
    RetryDue,
    SkipRequested,
    State,
    WorkflowState,
    advance,
)
from dyrygent_core.invariants import check_state
from dyrygent_testing.agreement import check_agreement
from dyrygent_testing.history_strategies import endings_of, strays_for, successes_of
from dyrygent_testing.model import Model
from dyrygent_testing.strategies import graphs

__all__ = ["CoreMachine"]


_BEFORE_REQUESTS: Final = 8
"""Observations before anybody asks for the end, or there is little to end."""


class CoreMachine(RuleBasedStateMachine):
    """One workflow, to which anything may happen at any time.

    Graphs are drawn; override `start` to give it one. With pytest: `TestCore = CoreMachine.TestCase`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.observed: list[Observation] = []
        self.emitted: list[Attempt] = []
        self.at_ms = 0
        self.repeats = 1

    @initialize(graph=graphs(min_nodes=1, max_nodes=6))
    def start(self, graph: Graph) -> None:
        """Draw a graph, and stand before its beginning."""
        self.graph = graph
        self.state = State.initial(graph)
        self.model = Model(graph)
        self.strays = strays_for(graph)

    @precondition(lambda self: not self.model.has_begun)
    @rule()
    def begin(self) -> None:
        """Begin; again, it is `repeat` that does."""
        self.observe(Begin())

    @precondition(lambda self: bool(self.model.in_flight))
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        """Let an attempt in flight succeed."""
        attempt = data.draw(st.sampled_from(self.model.in_flight))
        self.observe(data.draw(successes_of(self.graph, attempt)))

    @precondition(lambda self: bool(self.model.in_flight))
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """Let an attempt in flight end in any way."""
        attempt = data.draw(st.sampled_from(self.model.in_flight))
        self.observe(data.draw(endings_of(self.graph, attempt)))

    @rule(waited_ms=st.integers(1, 10_000))
    def wait(self, waited_ms: int) -> None:
        """Let time pass, which alone changes nothing."""
        self.at_ms += waited_ms

    @precondition(lambda self: bool(self.model.delayed))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """Let a retry become due."""
        attempt, due_ms = data.draw(st.sampled_from(self.model.delayed))
        self.at_ms = max(self.at_ms, due_ms)
        self.observe(RetryDue(attempt))

    @precondition(lambda self: len(self.observed) > 2 * self.repeats)  # or little else happens
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Observe again what was observed."""
        self.repeats += 1
        self.observe(data.draw(st.sampled_from(self.observed)))

    @rule(data=st.data())
    def stray(self, data: st.DataObject) -> None:
        """Observe what as a rule nobody waits for."""
        self.observe(data.draw(self.strays))

    @precondition(lambda self: not self.model.is_paused)
    @rule()
    def pause(self) -> None:
        """Let nothing start until `resume`."""
        self.observe(PauseRequested())

    @precondition(lambda self: self.model.is_paused)
    @rule()
    def resume(self) -> None:
        """Let go on what was paused."""
        self.observe(ResumeRequested())

    @precondition(lambda self: not self.model.is_finished)
    @rule(data=st.data())
    def skip(self, data: st.DataObject) -> None:
        """Go on without some node."""
        self.observe(SkipRequested(data.draw(st.sampled_from([*self.graph.numbers, "nobody"]))))

    @precondition(lambda self: len(self.observed) >= _BEFORE_REQUESTS and not self.model.is_cancelled)
    @rule(request=st.sampled_from([CancelRequested(), DeadlinePassed()]))
    def stop(self, request: CancelRequested | DeadlinePassed) -> None:
        """Ask for the end, or run out of time."""
        self.observe(request)

    @precondition(lambda self: self.model.is_finished and self.model.workflow_state is not WorkflowState.SUCCESS)
    @rule(data=st.data())
    def rerun(self, data: st.DataObject) -> None:
        """Ask for another round, of some nodes or of those that went wrong."""
        names = st.lists(st.sampled_from([*self.graph.numbers]), max_size=3)
        self.observe(RerunRequested(data.draw(names)))

    def observe(self, observation: Observation) -> None:
        """Show one observation to both, and compare what comes back."""
        observation = evolve(observation, at_ms=self.at_ms)
        old = self.state
        self.state, emitted = advance(self.graph, old, [observation])
        assert emitted == self.model.observe(observation)
        assert not set(self.emitted) & set(emitted), "an attempt was emitted twice"
        assert self.state is old or self.state != old, "nothing changed, but the state is another object"
        self.emitted += emitted
        self.observed.append(observation)

    @invariant()
    def agrees_with_the_model(self) -> None:
        """Compare all that can be asked of the state."""
        check_agreement(self.state, self.model)

    @invariant()
    def can_be(self) -> None:
        """Check the state's invariants."""
        check_state(self.state)

    def teardown(self) -> None:
        """Fold the story again, all at once and in runs of one kind: it must come to the same."""
        if not hasattr(self, "graph"):
            return
        runs = [list(run) for _, run in groupby(self.observed, type)]
        for batches in ([self.observed], runs):
            state, emitted = State.initial(self.graph), list[Attempt]()
            for batch in batches:
                state, more = advance(self.graph, state, batch)
                emitted += more
            assert state == self.state
            assert emitted == self.emitted
