"""Real processes over a real store, killed at one fault point after the other, while others go on.

In CI those are some of the points; the nightly profile takes all, and SQLite besides.
That no death at any boundary of any turn breaks a promise, the simulation shows; here it is SIGKILL, and time is real.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
import signal
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import define, field

from dyrygent_core import Status, WorkflowState
from dyrygent_core.codec import decode_definition
from dyrygent_core.ports import Journal, Query
from dyrygent_runtime import Run
from dyrygent_runtime.faults import FaultPoint
from dyrygent_runtime.journals import open_journal
from dyrygent_testing.simulation.replay import Replay
from dyrygent_testing.simulation.trace import History
from tests.dyrygent_runtime.journals.killing import END, Place, Wish, serve, story

IS_NIGHTLY: Final = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
POINTS: Final = (
    tuple(FaultPoint)
    if IS_NIGHTLY
    else (
        FaultPoint.AFTER_CREATE,
        FaultPoint.BEFORE_READ_BACK,
        FaultPoint.AFTER_APPEND,
        FaultPoint.AFTER_SEND,
        FaultPoint.AFTER_HAND_OVER,
        FaultPoint.BEFORE_CLOSE,
        FaultPoint.SWEEP_CLAIMED,
    )
)
AT_ONCE: Final = 4
"""Workflows that run side by side."""
FATED: Final = 4
"""Processes that are to die, beside one that is not."""
ASK_AGAIN_S: Final = 2.0
LIMIT_S: Final = 100.0
TOUCHED: Final = 1 + 3
"""What a death can touch: the attempt that its process runs, and the largest chunk that a turn sends."""
MODULE: Final = "tests.dyrygent_runtime.journals.killing"


@define
class World:
    """The processes, and what they work on."""

    url: str
    place: Place
    journal: Journal
    namespace: str
    points: list[FaultPoint] = field(factory=lambda: list(POINTS))
    """Where nobody has died yet, nor is fated to."""
    living: dict[FaultPoint | None, BaseProcess] = field(factory=dict)
    killed: list[FaultPoint] = field(factory=list)
    open: dict[str, float] = field(factory=dict)
    """The workflows that are not over, and when somebody last asked for them."""
    over: list[str] = field(factory=list)
    end: float = field(factory=lambda: time.monotonic() + LIMIT_S)

    def launch(self, point: FaultPoint | None) -> None:
        context: Any = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([MODULE])
        name = None if point is None else point.value
        arguments = (self.url, self.namespace, str(self.place.folder), name)
        self.living[point] = context.Process(target=serve, args=arguments, daemon=True)
        self.living[point].start()

    def run(self, workflows: int) -> None:
        """Keep some workflows going until so many are over, and nobody has to die any more."""
        while len(self.over) < workflows or self.open or self.points or len(self.living) > 1:
            assert time.monotonic() < self.end, self.told()
            self._bury()
            while self.points and len(self.living) <= FATED:
                self.launch(self.points.pop(0))
            is_enough = len(self.over) + len(self.open) >= workflows and len(self.living) == 1
            if len(self.open) < AT_ONCE and not is_enough:
                self.open[f"killed-{len(self.over) + len(self.open)}"] = 0.0
            for name in list(self.open):
                self._see_to(name)
            time.sleep(0.02)  # between two looks

    def _bury(self) -> None:
        for point, process in list(self.living.items()):
            if process.exitcode is None:
                continue
            assert point is not None, f"a process ended by itself with {process.exitcode}\n{self.told()}"
            assert process.exitcode == -signal.SIGKILL, f"at {point} a process ended with {process.exitcode}"
            self.killed.append(point)
            del self.living[point]

    def _see_to(self, name: str) -> None:
        """Ask for what a workflow still needs of whoever started it, now and then."""
        items = {it.key.id: it for it in self.journal.list(Query(), limit=1_000).items}
        state = items[name].state if name in items else None
        if state is WorkflowState.SUCCESS:
            del self.open[name]
            self.over.append(name)
        elif state in {None, WorkflowState.FAILURE} and time.monotonic() > self.open[name] + ASK_AGAIN_S:
            self.open[name] = time.monotonic()
            self.place.put(Wish(name, is_rerun=state is not None))

    def told(self) -> str:
        stories = [repr(Run.from_id(name, self.journal).state) for name in self.open]
        return f"left: {self.points}, living: {list(self.living)}, over: {self.over}, open: {self.open}\n" + "\n".join(
            [*stories, *(" ".join(words) for words in self.place.said()[-50:])]
        )

    def stop(self) -> None:
        for _ in self.living:
            self.place.put(END)
        for process in self.living.values():
            process.join(10)
            process.kill()
            process.join()


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    store, namespace = request.param, f"killed-{secrets.token_hex(6)}"
    url = f"sqlite:///{tmp_path}/journal.db" if store == "sqlite" else request.getfixturevalue(f"{store}_url")
    place, journal = Place(tmp_path / "engine"), open_journal(url, namespace)
    place.make()
    world = World(url, place, journal, namespace)
    yield world
    world.stop()
    for item in journal.list(Query(), limit=1_000).items:
        journal.delete(item.key)
    journal.dispose()


@pytest.mark.slow
@pytest.mark.parametrize("world", ["postgresql", "redis", *["sqlite"][:IS_NIGHTLY]], indirect=True)
def test_processes_are_killed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Every workflow ends as the model says, and only what a death or a doubled message touched ran again."""
    began = time.monotonic()
    world.launch(None)

    world.run(workflows=AT_ONCE)

    assert sorted(map(str, world.killed)) == sorted(map(str, POINTS))
    for name in world.over:
        _check_journal(world.journal, name)
    _check_runs(world)
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{len(world.killed)} kills, {len(world.over)} workflows in {time.monotonic() - began:.0f} s", end=" "
        )


@pytest.mark.slow
@pytest.mark.parametrize("world", ["postgresql", "redis"], indirect=True)
def test_nothing_runs_twice_where_nobody_dies(world: World) -> None:
    """Where replies are lost and messages doubled, but nobody dies, only what was doubled ran twice."""
    world.points.clear()
    world.launch(None)

    world.run(workflows=AT_ONCE)

    _check_runs(world)


def _check_journal(journal: Journal, name: str) -> None:
    """I2, I4, I5: gap-free, each attempt emitted once and ended once, and at every entry what the model says."""
    stored = journal.definition(name)
    definition, entries = decode_definition(stored.definition), journal.read(stored.key)
    assert [entry.position for entry in entries] == list(range(1, len(entries) + 1))
    state = Run.from_id(name, journal).state
    replay = Replay.of(History(stored.key, definition, (), entries, {}, state, stored.is_open))
    assert replay.disagreements == ()
    assert replay.steps[-1].state == state
    assert set(state.statuses.values()) == {Status.SUCCEEDED}
    emitted = Counter(attempt for step in replay.steps for attempt in step.emitted)
    ended = Counter(step.counted.attempt for step in replay.steps if step.counted is not None)
    assert set(emitted.values()) == set(ended.values()) == {1}
    assert not stored.is_open


def _check_runs(world: World) -> None:
    """I1, I3: nothing ran before what it waits for had ended; what ran again was doubled, or touched by a death."""
    definition, _ = story().build()
    above = {node.id: {edge.node for edge in node.depends_on} for node in definition.graph.nodes}
    starts, doubled = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    ended: set[tuple[str, str]] = set()
    for what, *about in world.place.said():
        if what == "ended":
            ended.add((about[0], about[1]))
        elif what == "doubled":
            doubled[tuple(about)] += 1
        elif what == "start":
            starts[tuple(about)] += 1
            missing = {node for node in above[about[1]] if (about[0], node) not in ended}
            assert not missing, f"{about} ran before {missing}"
    assert {(name, node.id) for name in world.over for node in definition.graph.nodes} <= ended
    extra = {attempt: count - 1 - doubled[attempt] for attempt, count in starts.items()}
    again = {attempt: count for attempt, count in extra.items() if count > 0}
    assert sum(again.values()) <= TOUCHED * len(world.killed), again
