"""One simulation put together: processes, engine, store, client and fate around one loop, and the trace of it all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Final, TypeAlias

from attrs import evolve

from dyrygent_core import Attempt, Call, Definition, History, Node, Observation, State, Workflow, advance
from dyrygent_core.errors import UnknownWorkflowError
from dyrygent_core.ports import Journal, WorkflowKey
from dyrygent_runtime import Settings
from dyrygent_runtime.journals import MemoryJournal
from dyrygent_testing.simulation.agenda import Agenda
from dyrygent_testing.simulation.client import Client, asked
from dyrygent_testing.simulation.engine import Engine, Ordering
from dyrygent_testing.simulation.fate import Fate
from dyrygent_testing.simulation.faults import Faults
from dyrygent_testing.simulation.gate import Gate
from dyrygent_testing.simulation.idle import MOST_EVENTS, Idleness, waits_ms
from dyrygent_testing.simulation.loop import Loop
from dyrygent_testing.simulation.names import ids_of
from dyrygent_testing.simulation.process import Process, Room, World
from dyrygent_testing.simulation.record import Recorder
from dyrygent_testing.simulation.tasks import Tasks
from dyrygent_testing.simulation.trace import ActKind, Life, Named, Trace

__all__ = ["MakeJournal", "Scene"]

MakeJournal: TypeAlias = Callable[[Callable[[], int]], Journal]
"""Gives a journal that holds nothing, over the store's clock, which is virtual: milliseconds since the epoch."""

_EPOCH_MS: Final = 1_700_000_000_000
_RESTART_MS: Final = 3_000
_CLIENT: Final = "client"
_GLANCE: Final = 256
"""Events between two looks at whether anything still happens."""
_AGE_MS: Final = 1_000 * 365 * 86_400_000
"""Sweepers look for workflows that ended so long ago: they find none, since the trace tells of all."""


class Scene:
    """Everything of one simulation."""

    def __init__(
        self,
        workflow: Workflow,
        built: tuple[Definition, tuple[Call, ...]],
        *,
        tasks: Tasks,
        order: Ordering,
        length_ms: Callable[[Attempt], int],
        rooms: Sequence[Room],
        faults: Faults,
        requests: Sequence[tuple[int, Observation]],
        copies: int,
        journal: MakeJournal | None,
        settings: Settings,
        seed: int,
    ) -> None:
        self._seed, self._faults, self._settings = seed, faults, settings
        self._loop = Loop()
        self.recorder = Recorder(self._loop)
        self._store = (journal or _memory)(self._store_ms)
        self._agenda = Agenda(self._store_ms)
        self._closed: tuple[int, bool] | None = None
        """After how many changes it was last looked whether all workflows are closed, and what was seen."""
        self._fate = Fate(faults, settings, Random(f"{seed} faults"))
        self._engine = Engine(self._loop, order, Random(f"{seed} order"), self._workers)
        self._gate = Gate(self._loop, self._fate, self.recorder, self._engine.flush)
        self._world = World(
            self._loop,
            self._gate,
            self.recorder,
            self._engine,
            self._store,
            self._agenda,
            settings if settings.retention_ms is None else evolve(settings, retention_ms=_AGE_MS),
            tasks,
            length_ms,
        )
        self._rooms: dict[str, Room | None] = {f"w{number}": room for number, room in enumerate(rooms, 1)}
        self._rooms[_CLIENT] = None
        self._processes: dict[str, Process] = {}
        for name in self._rooms:
            self._boot(Life(name, 1))
        self._client = Client(self._world, workflow, lambda: self._processes[_CLIENT])
        self._idleness = Idleness(
            self._world, self._fate, self._client, self._processes.values, self._unfinished, self._store_ms
        )
        self._names = tuple(f"simulated-{number}" for number in range(1, copies + 1))
        self._definition, self._calls = built
        self.ids = ids_of(workflow, *built)
        self._patience_ms = _patience_ms(settings, self._definition.graph.nodes, length_ms)
        for name in self._names:
            self._client.start(name)
            for at_ms, request in asked(requests, faults.heal_ms):
                self._client.ask(name, at_ms, request)

    def play(self) -> Trace:
        """Let everything happen, and return it; raises `UsageError` for a workflow that the product refuses."""
        for number in range(MOST_EVENTS):
            if self._has_settled():
                break
            if number % _GLANCE == 0:
                if self._is_stuck():
                    break
                self._idleness.skip()
            self._loop.step()
            if self._client.refused is not None:
                raise self._client.refused
        else:
            self._idleness.check_length()
        return self._trace()

    # What is going on

    def _store_ms(self) -> int:
        return _EPOCH_MS + self._loop.now_ms + self._gate.step_ms

    def _workers(self) -> list[Process]:
        return [it for it in self._processes.values() if it.worker is not None]

    def _boot(self, life: Life) -> None:
        self._processes[life.process] = Process(self._world, life, self._rooms[life.process], self._bury)

    def _bury(self, process: Process) -> None:
        """Start a process anew in a while: it knows nothing of the one that died."""
        life = process.life
        self._loop.later(_RESTART_MS, lambda: self._boot(Life(life.process, life.boot + 1)))

    def _has_settled(self) -> bool:
        if not (self._client.is_content and self._engine.is_empty and self._are_closed()):
            return False
        return all(process.is_alive and process.is_idle for process in self._processes.values())

    def _are_closed(self) -> bool:
        changes = self._agenda.changes
        if self._closed is None or self._closed[0] != changes:
            self._closed = changes, not any(map(self._is_open, self._names))
        return self._closed[1]

    def _is_open(self, name: str) -> bool:
        try:
            return self._store.definition(name).is_open
        except UnknownWorkflowError:
            return True

    def _is_stuck(self) -> bool:
        """Tell whether nothing has happened for so long that nothing more will."""
        last_ms = max(self._idleness.since_ms, self._idleness.expected_ms) + self._gate.jumped_ms
        return self._loop.now_ms > last_ms + self._patience_ms

    def _unfinished(self) -> list[tuple[WorkflowKey, State]]:
        histories = (it for it in self._histories() if self._is_open(it.id))
        return [(self._store.definition(it.id).key, self._state(it)) for it in histories]

    # What is left of it

    def _trace(self) -> Trace:
        """Ask every process what it believes, and tell all; nothing goes on after that."""
        self._fate.strikes_no_more()
        keys = [self._store.definition(name).key for name in self._started]
        for process in self._workers():
            if process.is_alive:
                process.act(ActKind.REQUEST, partial(self._look, process, keys))
        trace = self.told()
        for process in self._processes.values():
            process.marks.forget()
        return trace

    def told(self) -> Trace:
        """Tell all that has happened so far, and change nothing."""
        recorder, has_settled, ended_ms = self.recorder, self._has_settled(), self._loop.now_ms
        histories = self._histories()
        return Trace(
            seed=self._seed,
            faults=self._faults,
            settings=self._settings,
            histories=histories,
            states=tuple(map(self._state, histories)),
            unclosed=tuple(it.id for it in histories if self._is_open(it.id)),
            results={named: value for it in histories for named, value in self._results(it.id).items()},
            acts=tuple(recorder.acts),
            sent=tuple(recorder.sent),
            executed=tuple(recorder.executed),
            struck=tuple(recorder.struck),
            held=tuple(recorder.held),
            published=tuple(recorder.published),
            wrote=tuple(recorder.wrote),
            views=tuple(recorder.views),
            problems=tuple(recorder.problems),
            hits=dict(self._fate.hits),
            has_settled=has_settled,
            ended_ms=ended_ms,
            heard_ms=self._client.heard_ms,
            ids=self.ids,
        )

    def _histories(self) -> tuple[History, ...]:
        return tuple(map(self._history, self._started))

    @property
    def _started(self) -> list[str]:
        return [name for name in self._names if not self.recorder.is_first(name)]

    def _look(self, process: Process, keys: Sequence[WorkflowKey]) -> None:
        """Have a process say once more what it believes."""
        for key in keys:
            self.recorder.view(process.life, process.conductor.refresh(key))

    def _history(self, name: str) -> History:
        entries = self._store.read(self._store.definition(name).key)
        return History(name, self._shared_definition(), entries, dict(enumerate(self._calls)))

    def _state(self, history: History) -> State:
        graph = history.definition.graph
        return advance(graph, State.initial(graph), [entry.observation for entry in history])[0]

    def _results(self, name: str) -> dict[Named, bytes]:
        told = {attempt for it in self.recorder.wrote if it.workflow == name for attempt in it.results}
        found = self._store.results(self._store.definition(name).key, sorted(told))
        return {(name, attempt): value for attempt, value in found.items()}

    def _shared_definition(self) -> Definition:
        """Give the definition as the processes have decoded it if it is the same: to compare it costs nothing then."""
        return next((it for it in self._world.definitions.values() if it == self._definition), self._definition)


def _memory(clock: Callable[[], int]) -> Journal:
    return MemoryJournal("simulated", clock=clock)


def _patience_ms(settings: Settings, nodes: Sequence[Node], length_ms: Callable[[Attempt], int]) -> int:
    """Give the longest time in which nothing may happen although something will."""
    policies_ms = [it for node in nodes for it in (node.retry.max_delay_ms, node.timeout_ms or 0)]
    lengths_ms = [length_ms(Attempt(node.id)) for node in nodes]
    resend_ms = (settings.resend_after_ms or 0) << settings.max_resends
    return 4 * resend_ms + 4 * waits_ms(settings) + max([0, *policies_ms, *lengths_ms])
