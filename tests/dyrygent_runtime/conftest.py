"""A conductor over a memory journal and an engine played by hand; the store's clock is the test's."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, field

from dyrygent_core import Failed, Failure, Observation, Succeeded, Workflow
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.ports import Due
from dyrygent_runtime import Conductor, Run, Settings, start, sweep_workflow
from dyrygent_runtime.faults import nothing
from dyrygent_runtime.journals import MemoryJournal
from tests.dyrygent_runtime.engine import ManualEngine


@define
class Clock:
    """The store's time and the process's, moved by the test."""

    now_ms: int = 1_000_000

    def monotonic_ms(self) -> int:
        return self.now_ms

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, milliseconds: int) -> None:
        self.now_ms += milliseconds


@define
class World:
    """One journal, one engine, and as many conductors over them as the test wants processes."""

    clock: Clock = field(factory=Clock)
    settings: Settings = field(factory=Settings)
    engine: ManualEngine = field(factory=ManualEngine)
    journal: MemoryJournal = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.keep_in(MemoryJournal(namespace="tests", clock=self.clock))

    def keep_in(self, journal: Any) -> None:
        """Use this journal from now on; it has the world's clock."""
        self.journal = journal
        self.engine.conductor = self.process()

    @property
    def conductor(self) -> Conductor:
        return self.engine.conductor

    def process(self) -> Conductor:
        """Give the conductor of another process: it has seen nothing yet."""
        return Conductor(self.journal, self.engine, settings=self.settings, clock=self.clock, reach=nothing)

    def start(self, workflow: Workflow, **options: str) -> Run:
        return start(self.engine, workflow, **options)

    def observe(self, run: Run, *observations: Observation) -> None:
        self.conductor.turn(run.key, observations)

    def succeed(self, run: Run, *nodes: str, value: object = None) -> None:
        """Report that the newest attempts of these nodes succeeded, all with this value."""
        state = run.state
        for node in nodes:
            attempt = state.attempt(node)
            data = {attempt: JSON_VALUES.encode(value)}
            self.conductor.turn(run.key, [Succeeded(attempt)], results=data)

    def fail(self, run: Run, node: str, text: str = "boom") -> None:
        self.observe(run, Failed(run.state.attempt(node), Failure("Boom", text)))

    def sweep(self) -> int:
        """Sweep what is due now, by another process; give how many workflows that was."""
        claimed = self.journal.due(limit=100, claim_ms=self.settings.claim_ms)
        for due in claimed:
            sweep_workflow(self.process(), Due(due.key, due.at_ms))
        return len(claimed)


@pytest.fixture
def world() -> World:
    return World()
