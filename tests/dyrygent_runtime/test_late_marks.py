"""Marks that come late: what that saves, and that nothing is sent twice for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from dyrygent_core import Attempt, Succeeded, Workflow, call
from dyrygent_core.errors import JournalUnavailableError
from dyrygent_core.ports import Mark, MarkKind, Marks, WorkflowKey
from dyrygent_runtime import Conductor, Settings
from dyrygent_runtime.faults import nothing
from dyrygent_runtime.journals import open_journal
from dyrygent_runtime.late_marks import LateMarks
from dyrygent_runtime.settings import CHUNK
from tests.dyrygent_runtime.conftest import World
from tests.dyrygent_runtime.counting import CountingJournal
from tests.dyrygent_runtime.shapes import chain

_A, _B = Attempt("a"), Attempt("b")


@define
class _Process:
    """A process whose marks are late until the test says that it is time."""

    world: World
    journal: CountingJournal = field(init=False)
    asked: list[tuple[int, Callable[[], None]]] = field(factory=list[Any])
    marks: LateMarks = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.journal = CountingJournal(self.world.journal)
        self.world.keep_in(self.journal)
        settings = self.world.settings
        journal: Any = self.journal
        self.marks = LateMarks(journal, settings, later=lambda in_ms, action: self.asked.append((in_ms, action)))
        self.world.engine.conductor = Conductor(
            journal,
            self.world.engine,
            settings=settings,
            clock=self.world.clock,
            reach=nothing,
            mark=self.marks.add,
        )

    def pass_time(self) -> None:
        """Do what was asked to be done later."""
        while self.asked:
            self.asked.pop(0)[1]()

    def stored(self, key: WorkflowKey) -> dict[str, int]:
        """Give how often each attempt is marked as sent."""
        marks = self.world.journal.marks(key, [_A, _B])
        self.journal.take()
        return {it.node: mark.sent for it, mark in marks.items()}


@pytest.fixture
def process(world: World) -> _Process:
    return _Process(world)


def test_a_quick_task_takes_the_mark_of_its_sending_along(world: World, process: _Process) -> None:
    """A hop of a chain in one process is two calls: what has begun, with what was sent before, and the append."""
    run = world.start(chain("a", "b", "c"))
    world.conductor.turn(run.key, [Succeeded(_A)], results={_A: b"1"})
    process.journal.take()

    process.marks.write_with(run.key, [Mark(MarkKind.STARTED, _B, "w", "boot")])
    world.conductor.turn(run.key, [Succeeded(_B)], results={_B: b"1"})
    assert process.journal.take() == {"mark": 1, "append": 1}

    now_ms = world.clock()
    assert world.journal.marks(run.key, [_B, Attempt("c")]) == {_B: Marks(1, now_ms, now_ms, "w", "boot")}


def test_what_nobody_takes_along_is_written_soon(world: World, process: _Process) -> None:
    """A quarter of a second later, together and once; what starts a workflow sends is marked at once."""
    run = world.start(chain("a", "b"))
    world.conductor.turn(run.key, [Succeeded(_A)], results={_A: b"1"})
    assert process.stored(run.key) == {"a": 1}

    assert [in_ms for in_ms, _ in process.asked] == [250]
    process.pass_time()
    assert process.journal.take() == {"mark": 1}
    assert process.stored(run.key) == {"a": 1, "b": 1}
    assert not len(process.marks)

    process.marks.add(run.key, [Mark(MarkKind.SENT, _B)])
    process.pass_time()
    assert process.stored(run.key) == {"a": 1, "b": 2}


def test_marks_are_late_by_an_eighth_of_the_grace_at_most() -> None:
    """Where the grace is short, so is the time that marks take, for the sweep sends what is not marked by then."""
    world = World(settings=Settings(grace_ms=400))
    process = _Process(world)
    run = world.start(chain("a", "b"))
    world.conductor.turn(run.key, [Succeeded(_A)], results={_A: b"1"})

    assert [in_ms for in_ms, _ in process.asked] == [50]


def test_a_whole_chunk_is_marked_at_once(world: World, process: _Process) -> None:
    """Of very many attempts no more wait than are sent at a time."""
    workflow = Workflow()
    first = workflow.add(call("first"), id="a")
    for at in range(2 * CHUNK + 10):
        workflow.add(call("task"), id=f"n{at}", after=first)
    run = world.start(workflow)
    process.journal.take()
    world.conductor.turn(run.key, [Succeeded(_A)])

    assert process.journal.take() == {"append": 1, "calls": 2, "mark": 2}
    assert len(process.marks) == 10
    process.pass_time()
    last = Attempt(f"n{2 * CHUNK + 9}")
    assert world.journal.marks(run.key, [last])[last].sent == 1


def test_a_process_that_dies_before_it_has_marked_leaves_the_sending_to_the_sweep(
    world: World, process: _Process
) -> None:
    """What never started is sent again after the grace, under the same id, and is marked at once then."""
    run = world.start(chain("a", "b"))
    world.conductor.turn(run.key, [Succeeded(_A)], results={_A: b"1"})
    first = world.engine.sent[-1].attempt_id
    world.engine.take()

    world.clock.advance(world.settings.grace_ms)
    world.sweep()
    assert world.engine.sent == []
    world.clock.advance(world.settings.sweep_interval_ms)
    world.sweep()

    assert [it.attempt_id for it in world.engine.sent] == [first]
    assert process.stored(run.key) == {"a": 1, "b": 1}
    world.clock.advance(world.settings.sweep_interval_ms)
    world.sweep()
    assert len(world.engine.sent) == 1


@pytest.mark.usefixtures("process")
def test_what_has_started_is_not_sent_again_though_its_sending_was_never_marked(world: World) -> None:
    """The mark of its start is never late, and tells enough."""
    run = world.start(chain("a", "b"))
    world.conductor.turn(run.key, [Succeeded(_A)], results={_A: b"1"})
    world.engine.take()
    world.journal.mark(run.key, [Mark(MarkKind.STARTED, _B, "w", "boot")])

    for _ in range(8):
        world.clock.advance(world.settings.sweep_interval_ms)
        world.sweep()

    assert world.engine.sent == []


def test_a_mark_that_comes_after_the_outcome_changes_nothing(world: World, process: _Process) -> None:
    """An attempt that has ended stays ended, whatever is marked of it then."""
    run = world.start(chain("a", "b", "c"))
    world.conductor.turn(run.key, [Succeeded(_A)], results={_A: b"1"})
    world.process().turn(run.key, [Succeeded(_B)], results={_B: b"1"})
    before = run.state
    process.pass_time()

    assert run.state == before
    world.engine.take()
    world.clock.advance(world.settings.sweep_interval_ms)
    world.sweep()
    assert world.engine.sent == []


class _Away(CountingJournal):
    def __init__(self, journal: Any) -> None:
        super().__init__(journal)
        self.is_away = False

    def mark(self, key: WorkflowKey, marks: Any) -> int:
        if self.is_away:
            raise JournalUnavailableError("away")
        return int(self._journal.mark(key, marks))


def test_marks_are_written_at_once_where_no_thread_can_be_started(world: World) -> None:
    """A process that is out of threads, or ends, is late with nothing, now or afterwards."""

    def refuse(_in_ms: int, _action: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    marks = LateMarks(world.journal, world.settings, later=refuse)
    key = world.start(chain("a", "b")).key
    for attempt in (_A, _B):
        marks.add(key, [Mark(MarkKind.SENT, attempt)])
        assert not len(marks)

    assert {it.node for it in world.journal.marks(key, [_A, _B])} == {"a", "b"}


def test_marks_that_the_journal_is_away_for_are_given_up(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """They are hints: nothing waits for them, the next ones are written, and the log says so."""
    journal: Any = _Away(world.journal)
    marks = LateMarks(journal, world.settings, later=lambda _, __: None)
    key = world.start(chain("a")).key
    others = [world.start(chain("a")).key for _ in range(3)]
    for each in (key, *others):
        marks.add(each, [Mark(MarkKind.SENT, _A)])
    journal.is_away = True
    marks.flush()
    assert caplog.text.count("marks not set, nor those after it: away") == 1  # each would wait for the journal as long
    assert not len(marks)

    marks.add(key, [Mark(MarkKind.SENT, _A)])
    with pytest.raises(JournalUnavailableError):
        marks.write_with(key, [Mark(MarkKind.STARTED, _A, "w", "boot")])
    journal.is_away = False
    marks.write_with(key, [Mark(MarkKind.STARTED, _A, "w", "boot")])
    assert world.journal.marks(key, [_A])[_A].sent == 1  # of its start, by a conductor that marks at once


def test_a_process_that_ends_in_order_writes_what_waits(tmp_path: Path) -> None:
    """However soon after the sending it ends."""
    url = f"sqlite:///{tmp_path}/journal.db"
    script = f"""
from dyrygent_core import Attempt
from dyrygent_core.ports import Mark, MarkKind
from dyrygent_runtime import Settings
from dyrygent_runtime.journals import open_journal
from dyrygent_runtime.journals import open_journal
from dyrygent_runtime.late_marks import LateMarks
from dyrygent_testing.journal_basis import new_workflow
journal = open_journal({url!r}, "tests")
key = journal.create(new_workflow(), nonce="n", due_in_ms=1_000_000).key
marks = LateMarks(journal, Settings(), later=lambda _, __: None)
marks.add(key, [Mark(MarkKind.SENT, Attempt("a"))])
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)  # a script of our own

    journal = open_journal(url, "tests")
    assert journal.marks(journal.definition("w").key, [_A])[_A].sent == 1
    journal.dispose()
