"""A rule machine over a user's own workflow: the real conductor, sweep and outbox, and Hypothesis decides what happens.

A failing run is shrunk to the fewest steps; with them is printed what the steps came to.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, cast

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import Invariant, RuleBasedStateMachine, precondition, rule

from dyrygent_core import (
    Attempt,
    CancelRequested,
    Failed,
    Failure,
    Graph,
    Lost,
    Observation,
    Outcome,
    PauseRequested,
    RerunRequested,
    ResumeRequested,
    Skipped,
    SkipRequested,
    State,
    Status,
    Succeeded,
    UsageError,
    Workflow,
    WorkflowState,
)
from dyrygent_runtime import Settings
from dyrygent_runtime.faults import FaultPoint
from dyrygent_testing.checking.verdicts import wrong_with
from dyrygent_testing.node_names import named_in
from dyrygent_testing.simulation import FaultKind, Trace, Workers
from dyrygent_testing.simulation.faults import point
from dyrygent_testing.simulation.process import Room
from dyrygent_testing.simulation.stage import Stage
from dyrygent_testing.simulation.tasks import Functions
from dyrygent_testing.subjects import check_kind, check_workflow_kind

__all__ = ["WorkflowMachine"]

_WAITS_MS: Final = (1_000, 5_000, 30_000, 60_000, 120_000)
"""Nothing much, and beyond each wait that matters by default: sweep, grace, lease."""
_DEATHS: Final = (
    *("worker.ran", "worker.recorded", "worker.started", "journal.append", "engine.dispatch", "message.sent"),
    *map(point, FaultPoint),
)
_MISHAPS: Final = (
    ("journal.append", FaultKind.LOST_REPLY),
    ("journal.append", FaultKind.UNAVAILABLE),
    ("engine.dispatch", FaultKind.UNAVAILABLE),
    ("engine.dispatch", FaultKind.LOST_REPLY),
    ("message.sent", FaultKind.DUPLICATE),
    ("message.sent", FaultKind.LOSE),
)
_BEFORE_THE_END: Final = 2
"""Executions that have begun before anybody cancels, or there is little to cancel."""


class WorkflowMachine(RuleBasedStateMachine):
    """Your workflow, to which anything may happen that happens in production, in any order.

    Subclass it, set `workflow` or override `make_workflow`, and add invariants and rules of your own. With pytest:
    `TestOrder = OrderMachine.TestCase`.

    An attempt runs until a rule ends it, and time passes only by `advance_time`. When the steps are over, nothing goes
    wrong any more, every attempt succeeds, what is paused is resumed: then the workflow has to end, with every promise
    kept and every invariant holding.
    """

    workflow: ClassVar[Workflow | None] = None
    functions: ClassVar[Functions | None] = None
    """Your tasks by target name, as `simulate` takes them. One is called when a rule lets its attempt finish."""
    workers: ClassVar[Workers] = Workers(2, slots=2, prefetch=1)
    waiting_times: ClassVar[Settings] = Settings(poll_ms=2_000, resend_after_ms=600_000)

    def __init__(self) -> None:
        super().__init__()
        check_kind("workers", self.workers, Workers, "Workers, such as Workers(2)")
        check_kind("waiting_times", self.waiting_times, Settings, "Settings of dyrygent_runtime")
        rooms = [Room(self.workers.slots, self.workers.prefetch, self.workers.send_limit)] * self.workers.count
        workflow, functions = self.make_workflow(), self.make_functions()
        check_workflow_kind(workflow)
        self._stage = Stage(workflow, functions=functions, rooms=rooms, settings=self.waiting_times)

    def make_workflow(self) -> Workflow:
        """Return the workflow; by default it is the class's own. Called for every run."""
        if self.workflow is None:
            name = type(self).__name__
            message = f"{name} has no workflow; write `workflow = …` in the class, or override make_workflow"
            raise UsageError(message)
        return self.workflow

    def make_functions(self) -> Functions | None:
        """Return your tasks; by default those of the class. Override it if they keep something: every run asks."""
        return self.functions

    # What one sees

    @property
    def graph(self) -> Graph:
        """The workflow's graph."""
        return self._stage.graph

    @property
    def state(self) -> State:
        """Where the workflow stands, by its journal."""
        return self._stage.state

    @property
    def statuses(self) -> Mapping[str, Status]:
        """Where each node stands."""
        return self.state.statuses

    @property
    def running(self) -> tuple[Attempt, ...]:
        """What is being run now."""
        return self._stage.running

    @property
    def trace(self) -> Trace:
        """All that has happened so far. Cost: that of folding the journal."""
        return self._stage.told()

    def count(self, node: str) -> int:
        """Count the executions of a node that have begun, of a canvas's by name. Raises `UnknownNodeError`."""
        node = self._stage.ids.get(node, node)
        self.graph.number(node)
        return sum(it.attempt.node == node for it in self._stage.recorder.executed)

    def ran(self, node: str) -> bool:
        """Tell whether any execution of a node has begun."""
        return self.count(node) > 0

    # What one does, in rules of one's own

    def end(self, outcome: Outcome) -> None:
        """End an attempt that runs; raises `UsageError` for one that does not."""
        check_kind("the outcome", outcome, Outcome, "an outcome, such as Succeeded(attempt)")
        if outcome.attempt not in self.running:
            message = f"{outcome.attempt} does not run, so it cannot end; self.running has those that do"
            raise UsageError(message)
        self._stage.end(outcome)

    def ask(self, request: Observation) -> None:
        """Ask something of the workflow, as a user would; raises `UsageError` for what is no observation."""
        check_kind("the request", request, Observation, "an observation, such as CancelRequested()")
        self._stage.ask(request)

    # Executions

    @precondition(lambda self: bool(self.running))
    @rule(attempt=st.runner().flatmap(lambda self: st.sampled_from(self.running)))
    def finish(self, attempt: Attempt) -> None:
        """Let an attempt succeed, or do what its function does."""
        self.end(Succeeded(attempt))

    @precondition(lambda self: bool(self.running))
    @rule(attempt=st.runner().flatmap(lambda self: st.sampled_from(self.running)))
    def fail(self, attempt: Attempt) -> None:
        """Let an attempt fail."""
        self.end(Failed(attempt, Failure("Failure", "a rule said so")))

    @precondition(lambda self: bool(self.running))
    @rule(attempt=st.runner().flatmap(lambda self: st.sampled_from(self.running)))
    def skip(self, attempt: Attempt) -> None:
        """Let an attempt skip itself."""
        self.end(Skipped(attempt, "a rule said so"))

    @precondition(lambda self: bool(self.running))
    @rule(attempt=st.runner().flatmap(lambda self: st.sampled_from(self.running)))
    def lose(self, attempt: Attempt) -> None:
        """Let an attempt kill its worker."""
        self.end(Lost(attempt))

    # Requests

    @precondition(lambda self: len(self._stage.recorder.executed) >= _BEFORE_THE_END and not self.state.is_finished)
    @rule()
    def cancel(self) -> None:
        """Ask for the end."""
        self.ask(CancelRequested())

    @precondition(lambda self: not (self.state.is_paused or self.state.is_finished))
    @rule()
    def pause(self) -> None:
        """Let nothing more start."""
        self.ask(PauseRequested())

    @precondition(lambda self: self.state.is_paused)
    @rule()
    def resume(self) -> None:
        """Let go on what is paused."""
        self.ask(ResumeRequested())

    @precondition(lambda self: self.state.is_finished and self.state.workflow_state is not WorkflowState.SUCCESS)
    @rule()
    def rerun(self) -> None:
        """Ask for another round."""
        self.ask(RerunRequested())

    @precondition(lambda self: bool(self._undecided()))
    @rule(node=st.runner().flatmap(lambda self: st.sampled_from(self._undecided())))
    def go_without(self, node: str) -> None:
        """Ask to go on without a node."""
        self.ask(SkipRequested(node))

    def _undecided(self) -> Sequence[str]:
        return [node for node, status in self.statuses.items() if not status.is_final]

    # Faults and time

    @rule(place=st.sampled_from(_DEATHS))
    def crash(self, place: str) -> None:
        """Let the process die that comes to this place next."""
        self._stage.plan(place, FaultKind.CRASH)

    @rule(fault=st.sampled_from(_MISHAPS))
    def go_wrong(self, fault: tuple[str, FaultKind]) -> None:
        """Let something go wrong at this place, next time."""
        self._stage.plan(*fault)

    @precondition(lambda self: bool(self._stage.working))
    @rule(process=st.runner().flatmap(lambda self: st.sampled_from([*self._stage.working])))
    def sweep(self, process: str) -> None:
        """Let a process look for what is due."""
        self._stage.sweep(self._stage.working[process])

    @rule(ms=st.sampled_from(_WAITS_MS))
    def advance_time(self, ms: int) -> None:
        """Let time pass, and what is due happen."""
        self._stage.let_pass(ms)

    # The end

    def teardown(self) -> None:
        """Heal, and let it come to its end: every promise is kept then, and every invariant holds."""
        if sys.exc_info()[0] is not None:
            note(f"\n{self.trace}")
            self._stage.leave()
            return
        trace = self._stage.heal()
        broken = list(wrong_with(trace))
        if broken:
            told = named_in("\n".join(f"  {line}" for line in broken), trace.ids)
            message = f"the workflow breaks a promise\n{told}\n\n{trace}"
            raise AssertionError(message)
        try:
            self._check_once_more()
        except BaseException:
            note(f"\nat the end:\n{trace}")
            raise

    def _check_once_more(self) -> None:
        """Check all invariants, of the end. Hypothesis has them in a list, older releases in a method."""
        found: Any = self.invariants
        for each in cast("list[Invariant]", found() if callable(found) else found):
            if all(holds(self) for holds in each.preconditions):
                each.function(self)
