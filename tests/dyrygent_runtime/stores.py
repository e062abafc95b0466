"""One store, an engine played by hand, and as many processes over them as a test wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Final

import pytest
from attrs import define, field

from dyrygent_core import Failed, Failure, Observation, Succeeded, Workflow, call
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.ports import Journal
from dyrygent_runtime import Conductor, Run, Settings, start
from dyrygent_runtime.faults import nothing
from dyrygent_runtime.journals import MemoryJournal, open_journal
from tests.dyrygent_runtime.engine import ManualEngine

STORES: Final = ("memory", "sqlite", "redis")
_PROCESSES: Final = 3


@contextmanager
def opened(request: pytest.FixtureRequest, folder: Path) -> Iterator[Store]:
    """Open the store that a fixture with the params `STORES` is asked for, and close it at the end."""
    if request.param == "memory":
        journals: list[Journal] = [MemoryJournal("tests")]
    else:
        url = f"sqlite:///{folder}/journal.db" if request.param == "sqlite" else request.getfixturevalue("redis_url")
        journals = [open_journal(url, folder.name) for _ in range(_PROCESSES)]
    turns = cycle(journals)
    yield Store(lambda: next(turns), request.param)
    for journal in journals:
        journal.dispose()


@define
class Store:
    """A store that lasts for the test."""

    open: Callable[[], Journal]
    """Give a journal as one of the processes has it."""
    kind: str = "memory"
    engine: ManualEngine = field(factory=ManualEngine)
    settings: Settings = field(factory=Settings)

    def __attrs_post_init__(self) -> None:
        self.engine.conductor = self.process()

    @property
    def journal(self) -> Journal:
        return self.engine.conductor.journal

    def process(self) -> Conductor:
        """Give the conductor of another process: it has seen nothing yet."""
        return Conductor(self.open(), self.engine, settings=self.settings, reach=nothing)

    def start(self, workflow: Workflow, **options: object) -> Run:
        return start(self.engine, workflow, **options)  # type: ignore[arg-type]

    def elsewhere(self, run: Run) -> Run:
        """Give the handle that another process has on a run."""
        return Run(self.process(), run.key)

    def observe(self, run: Run, *observations: Observation, value: object = None) -> None:
        """Record what another process has seen; `value` is what those that succeeded returned."""
        data = JSON_VALUES.encode(value)
        results = {it.attempt: data for it in observations if isinstance(it, Succeeded)}
        self.process().turn(run.key, observations, results=results)

    def succeed(self, run: Run, *nodes: str, value: object = None) -> None:
        state = run.state
        for node in nodes:
            self.observe(run, Succeeded(state.attempt(node)), value=value)

    def fail(self, run: Run, node: str, text: str = "boom") -> None:
        self.observe(run, Failed(run.state.attempt(node), Failure("Boom", text)))


def of_calls(*nodes: str, name: str = "") -> Workflow:
    """Build a workflow of nodes that wait for nothing."""
    workflow = Workflow(name)
    for node in nodes:
        workflow.add(call("work"), id=node)
    return workflow


def chained(*nodes: str, name: str = "") -> Workflow:
    """Build a chain in which each node has the result of the one before it."""
    workflow = Workflow(name)
    last = workflow.add(call("work"), id=nodes[0])
    for node in nodes[1:]:
        last = workflow.add(call("work", last.result), id=node)
    return workflow
