"""A scene that somebody else directs: nothing ends by itself, and time passes only when it is told to.

So a rule machine can decide what happens next, over the real conductor, sweep and outbox. `heal` lets everything go on
by itself again, and well.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Final

from dyrygent_core import Attempt, Observation, Outcome, ResumeRequested, State, Workflow, advance
from dyrygent_core.invariants import check_state
from dyrygent_runtime import Settings
from dyrygent_testing.simulation.arguments import functions_of
from dyrygent_testing.simulation.engine import Order
from dyrygent_testing.simulation.faults import FaultKind, Faults
from dyrygent_testing.simulation.hearing import overheard
from dyrygent_testing.simulation.made_up import what_is_read
from dyrygent_testing.simulation.process import Process, Room
from dyrygent_testing.simulation.scene import Scene
from dyrygent_testing.simulation.tasks import Functions, Tasks
from dyrygent_testing.simulation.trace import ActKind, Trace

__all__ = ["Stage"]

_FOR_EVER_MS: Final = 1_000_000_000_000
_USUAL_MS: Final = 1_000
_BEAT_MS: Final = 20
"""Long enough for a message to arrive and to be picked up."""


class Stage(Scene):
    """One workflow, and the processes that run it."""

    def __init__(
        self,
        workflow: Workflow,
        *,
        functions: Functions | None,
        rooms: list[Room],
        settings: Settings,
    ) -> None:
        built = workflow.build()
        self.graph = built[0].graph
        self._tasks = Tasks(None, functions_of(functions, built[1], None), what_is_read(*built))
        self._length_now_ms = _USUAL_MS
        super().__init__(
            workflow,
            built,
            tasks=self._tasks,
            order=Order.FIFO,
            length_ms=lambda _: self._length_now_ms,
            rooms=rooms,
            faults=Faults(),
            requests=(),
            copies=1,
            journal=None,
            settings=settings,
            seed=0,
        )
        self._length_now_ms = _FOR_EVER_MS
        self._name = self._names[0]
        self._folded: tuple[int, State] = (0, State.initial(self.graph))
        self.let_pass(0)

    # What can be seen

    @property
    def state(self) -> State:
        """Where the workflow stands, by its journal."""
        count, state = self._folded
        if self.recorder.is_first(self._name):
            return state
        entries = self._store.read(self._store.definition(self._name).key)
        if len(entries) > count:
            state, _ = advance(self.graph, state, [entry.observation for entry in entries[count:]])
            self._folded = len(entries), state
            check_state(state)
        return state

    @property
    def running(self) -> tuple[Attempt, ...]:
        """What is being run, in processes that can go on."""
        return tuple(dict.fromkeys(attempt for process in self._able() for _, attempt in _running(process)))

    @property
    def working(self) -> Mapping[str, Process]:
        """The processes that can do something now, by name."""
        return {process.life.process: process for process in self._able()}

    def _able(self) -> list[Process]:
        now_ms = self._loop.now_ms
        return [it for it in self._workers() if it.is_alive and it.stopped_until_ms <= now_ms]

    # What can be made to happen

    def let_pass(self, ms: int) -> None:
        """Let time pass, and all happen that is due, and what follows at once."""
        with self._heard():
            self._loop.wait(ms + _BEAT_MS)

    def end(self, outcome: Outcome) -> None:
        """End a running attempt."""
        self._tasks.decide(outcome)
        process, name = next(
            (process, name) for process in self._able() for name in _running(process) if name[1] == outcome.attempt
        )
        with self._heard():
            assert process.worker is not None
            process.worker.end(name)
        self.let_pass(0)

    def ask(self, request: Observation) -> None:
        """Have somebody ask something of the workflow, until it is heard."""
        self._client.ask(self._name, 0, request)
        self.let_pass(0)

    def plan(self, place: str, kind: FaultKind, ms: int = 0) -> None:
        """Let something go wrong when a place is passed next."""
        self._fate.plan(place, kind, ms)

    def sweep(self, process: Process) -> None:
        """Have a process sweep now."""
        with self._heard():
            process.act(ActKind.SWEEP, process.sweep)
        self.let_pass(0)

    def leave(self) -> None:
        """Let it stand as it is; what was not yet said never will be, not even when the interpreter ends."""
        for process in self._workers():
            process.marks.forget()

    def heal(self) -> Trace:
        """Let nothing go wrong any more, every task end well and what is paused go on, to the end of all of it."""
        self._fate.strikes_no_more()
        if self.state.is_paused or not self._client.is_content:  # there may be a pause that is not heard yet
            self._client.ask(self._name, 0, ResumeRequested())
        self._client.heard_ms = self._loop.now_ms  # from here on it may take no longer than it may
        self._length_now_ms = _USUAL_MS
        for process in self._workers():
            if process.is_alive:
                for name in _running(process):
                    process.later(_USUAL_MS, partial(_end, process, name))
        with self._heard():
            return self.play()

    @contextmanager
    def _heard(self) -> Generator[None]:
        with overheard(self.recorder.problems):
            yield


def _running(process: Process) -> list[tuple[str, Attempt]]:
    return [] if process.worker is None else process.worker.running


def _end(process: Process, name: tuple[str, Attempt]) -> None:
    if process.worker is not None and name in process.worker.running:
        process.worker.end(name)
