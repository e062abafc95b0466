"""Real processes over a real store, killed at one fault point after the other, while others go on.

In CI those are some of the points; the nightly profile takes all, and more stores.
That no death at any boundary of any turn breaks a promise, the simulation shows; here it is SIGKILL, and time is real.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
import signal
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from attrs import define, field

from dyrygent_core import History, Status, WorkflowState
from dyrygent_core.codec import decode_definition
from dyrygent_core.errors import JournalUnavailableError
from dyrygent_core.ports import Journal, Query
from dyrygent_runtime import Run
from dyrygent_runtime.faults import FaultPoint
from dyrygent_runtime.journals import open_journal
from dyrygent_testing.simulation.replay import Replay
from tests.dyrygent_runtime.journals.killing import END, Place, Wish, serve, story
from tests.dyrygent_runtime.journals.redis_servers import started

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
DISTURBANCES: Final = 4
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

    def launch(self, point: FaultPoint | None, *, is_stopped: bool = False) -> BaseProcess:
        """Start a process that is to die at a point, or to stand still there; at None it lives."""
        context: Any = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([MODULE])
        name = None if point is None else point.value
        arguments = (self.url, self.namespace, str(self.place.folder), name)
        process: BaseProcess = context.Process(
            target=serve, args=arguments, kwargs={"is_stopped": is_stopped}, daemon=True
        )
        process.start()
        if not is_stopped:
            self.living[point] = process
        return process

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

    def begin(self, name: str, until: Callable[[], bool]) -> None:
        """Start a workflow, and wait for something."""
        self.open.setdefault(name, 0.0)
        while not until():
            assert time.monotonic() < self.end, self.told()
            self._bury()
            for it in list(self.open):
                self._see_to(it)
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
        try:
            items = {it.key.id: it for it in self.journal.list(Query(), limit=1_000).items}
        except JournalUnavailableError:
            return
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
@pytest.mark.parametrize("world", ["redis", *["postgresql"][:IS_NIGHTLY]], indirect=True)
def test_nothing_runs_twice_where_nobody_dies(world: World) -> None:
    """Where replies are lost and messages doubled, but nobody dies, only what was doubled ran twice."""
    world.points.clear()
    world.launch(None)

    world.run(workflows=AT_ONCE)

    _check_runs(world)


@pytest.mark.slow
@pytest.mark.parametrize("world", ["redis", *["postgresql"][:IS_NIGHTLY]], indirect=True)
def test_a_process_stands_still_beyond_its_grace(world: World) -> None:
    """What it was about to send the sweep of another sends; when it goes on it sends none of that, and works on."""
    world.points.clear()
    stopped = world.launch(FaultPoint.BEFORE_SEND, is_stopped=True)
    world.begin("stopped", lambda: _is_stopped(stopped))
    world.launch(None)

    world.run(workflows=1)
    assert stopped.pid is not None
    os.kill(stopped.pid, signal.SIGCONT)
    world.living.pop(None).kill()
    world.living[None] = stopped
    world.run(workflows=2)

    sent = Counter(tuple(about) for what, *about in world.place.said() if what == "sent")
    assert max(sent.values()) == 1
    for name in world.over:
        _check_journal(world.journal, name)


def _is_stopped(process: BaseProcess) -> bool:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.slow
@pytest.mark.parametrize("world", ["postgresql"], indirect=True)
def test_every_connection_is_cut_again_and_again(world: World) -> None:
    """A server that cuts everybody off in the midst of everything holds workflows up, and breaks none."""
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
    _check_disturbed(world, lambda: _executed(world.url, cut))


@pytest.mark.slow
def test_the_store_is_killed_again_and_again(tmp_path: Path) -> None:
    """A server that keeps what it has answered may die in the midst of everything, and be started again."""
    with started("--appendonly", "yes", "--appendfsync", "always") as server:
        place, journal = Place(tmp_path / "engine"), open_journal(server.url, "killed")
        place.make()
        world = World(server.url, place, journal, "killed")

        def kill() -> None:
            server.kill()
            server.start()

        try:
            _check_disturbed(world, kill)
        finally:
            world.stop()
            journal.dispose()


def _check_disturbed(world: World, disturb: Callable[[], None]) -> None:
    """Disturb whenever some more has ended, until two workflows are over."""
    world.points.clear()
    world.launch(None)
    for at in range(1, DISTURBANCES + 1):
        world.begin(f"disturbed-{at % 2}", lambda at=at: _ended(world) >= 4 * at)  # type: ignore[misc]
        disturb()

    world.run(workflows=2)

    for name in world.over:
        _check_journal(world.journal, name)


def _ended(world: World) -> int:
    return sum(what == "ended" for what, *_ in world.place.said())


def _executed(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement, [connection.info.backend_pid])


def _check_journal(journal: Journal, name: str) -> None:
    """I2, I4, I5: gap-free, each attempt emitted once and ended once, and at every entry what the model says."""
    stored = journal.definition(name)
    definition, entries = decode_definition(stored.definition), journal.read(stored.key)
    assert [entry.position for entry in entries] == list(range(1, len(entries) + 1))
    state = Run.from_id(name, journal).state
    replay = Replay.of(History(name, definition, entries))
    assert replay.disagreements == ()
    assert replay.state == state
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
