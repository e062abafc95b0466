"""Snapshots: who keeps one and when, who uses it, and that everything goes on without one."""

from __future__ import annotations

import logging
import zlib
from typing import Any

import pytest
from attrs import evolve

from dyrygent_core import (
    Attempt,
    CancelRequested,
    Definition,
    Failed,
    Failure,
    Graph,
    Lost,
    Node,
    Skipped,
    SkipRequested,
    Succeeded,
    Workflow,
    call,
)
from dyrygent_core.errors import JournalUnavailableError, UnsupportedVersionError
from dyrygent_core.observations import Begin
from dyrygent_core.ports import Appended, Entry, Seen, StoredSnapshot, WorkflowKey
from dyrygent_runtime import Conductor, Run, Settings
from dyrygent_runtime.faults import nothing
from dyrygent_runtime.fold import Folded, end_of, fold
from dyrygent_runtime.journals import MemoryJournal
from dyrygent_runtime.snapshots import interval, read_snapshot, snapshot_of
from tests.dyrygent_runtime.conftest import World
from tests.dyrygent_runtime.counting import CountingJournal
from tests.dyrygent_runtime.shapes import fan

EVERY = 10


@pytest.fixture
def world() -> World:
    world = World(settings=Settings(snapshot_entries=EVERY))
    world.keep_in(CountingJournal(world.journal))
    return world


def begin(world: World, leaves: int = 60) -> Run:
    """Start a fan whose root is done: the journal has two entries, and each leaf adds one."""
    run = world.start(fan(leaves))
    world.conductor.turn(run.key, [Succeeded(Attempt("root"))])
    world.engine.take()
    return run


def end(world: World, run: Run, first: int, last: int) -> None:
    """Let leaves end, each reported by a worker of its own, of which there are three."""
    workers = [world.process() for _ in range(3)]
    for number in range(first, last):
        workers[number % 3].turn(run.key, [Succeeded(Attempt(f"leaf-{number}"))])


def kept(world: World, run: Run) -> StoredSnapshot | None:
    return world.journal.definition(run.id).snapshot


def counts(world: World) -> dict[str, int]:
    taken: dict[str, int] = world.journal.take()  # type: ignore[attr-defined]
    return taken


# Who keeps one


def test_the_turn_at_each_multiple_keeps_one(world: World) -> None:
    """Of many processes each multiple of the interval is one's: no snapshot is kept twice."""
    run = begin(world)
    counts(world)

    end(world, run, 0, 58)

    assert counts(world)["keep_snapshot"] == 6
    snapshot = kept(world, run)
    assert snapshot is not None
    assert snapshot.seen.position == 60


def test_a_batch_that_passes_a_multiple_keeps_one(world: World) -> None:
    """One append of many entries keeps one snapshot, of all of them."""
    run = begin(world)

    world.conductor.turn(run.key, [Succeeded(Attempt(f"leaf-{number}")) for number in range(30)])

    snapshot = kept(world, run)
    assert snapshot is not None
    assert snapshot.seen.position == 32


def test_it_is_kept_after_all_is_sent(world: World) -> None:
    """A turn sends and marks first, and keeps its snapshot last."""
    workflow = Workflow()
    before = workflow.add(call("n"), id="n0")
    for number in range(1, 12):
        before = workflow.add(call("n"), id=f"n{number}", after=before)
    run = world.start(workflow)
    for number in range(8):
        world.conductor.turn(run.key, [Succeeded(Attempt(f"n{number}"))])
    counts(world)

    world.conductor.turn(run.key, [Succeeded(Attempt("n8"))])

    assert list(counts(world)) == ["append", "mark", "keep_snapshot"]


def test_one_that_was_missed_is_made_up_for(world: World) -> None:
    """If whoever should have kept one did not, the first turn that has much to catch up with does."""
    run = begin(world)
    seen = world.conductor.refresh(run.key).seen
    for number in range(25):  # by processes that die at once
        world.journal.append(run.key, [Succeeded(Attempt(f"leaf-{number}"))], seen=seen, nonce=f"dead-{number}")
    assert kept(world, run) is None

    world.process().refresh(run.key)
    assert kept(world, run) is None
    world.clock.advance(world.settings.sweep_interval_ms)
    world.sweep()

    snapshot = kept(world, run)
    assert snapshot is not None
    assert snapshot.seen.position == 27


def test_where_much_is_in_flight_fewer_are_kept() -> None:
    """A snapshot costs something for each attempt in flight, so the interval doubles until it is a tenth of them."""
    graph = Graph([Node(f"n{number}") for number in range(10_001)])
    folded = Folded.initial(WorkflowKey("w", "i"), Definition(graph))
    assert interval(folded, 100) == 100

    folded, _ = fold(folded, [Entry(1, "", Begin())])

    assert interval(folded, 100) == 1_600
    assert interval(folded, 2_000) == 2_000


class RefusingJournal(MemoryJournal):
    """A journal that keeps no snapshots."""

    def keep_snapshot(self, *_: object) -> None:
        raise JournalUnavailableError("disk full")


def test_one_that_cannot_be_kept_is_done_without(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The turn goes on as if nothing had been, and says so in the log."""
    world.keep_in(RefusingJournal(clock=world.clock))
    run = begin(world)

    end(world, run, 0, 60)

    assert run.state.is_finished
    assert kept(world, run) is None
    assert [it.levelno for it in caplog.records if "is not kept: disk full" in it.getMessage()] == [logging.WARNING] * 6


# Who uses it


class ListeningJournal(CountingJournal):
    """A process's way to a journal: it notes the positions of the entries that come back."""

    def __init__(self, journal: Any) -> None:
        super().__init__(journal)
        self.given: list[int] = []

    def read(self, key: WorkflowKey, *, after: int = 0) -> tuple[Entry, ...]:
        entries: tuple[Entry, ...] = self.__getattr__("read")(key, after=after)
        self.given += [it.position for it in entries]
        return entries

    def append(self, *args: Any, **options: Any) -> Appended:
        appended: Appended = self.__getattr__("append")(*args, **options)
        self.given += [it.position for it in appended.missed]
        return appended


def listening(world: World) -> tuple[Conductor, ListeningJournal]:
    journal = ListeningJournal(world.journal)
    return Conductor(journal, world.engine, settings=world.settings, clock=world.clock, reach=nothing), journal


def test_a_cold_process_reads_the_tail_only(world: World) -> None:
    """It reads the definition with the snapshot, and then its last entry and what came after that."""
    run = begin(world)
    end(world, run, 0, 40)
    process, journal = listening(world)

    folded = process.refresh(run.key)

    assert folded.state == run.state
    assert journal.given == [40, 41, 42]
    assert journal.take() == {"definition": 1, "read": 1}


def test_the_append_of_a_cold_process_brings_the_tail_only(world: World) -> None:
    """It has seen what is in the snapshot, so it is told what it missed since then."""
    run = begin(world)
    end(world, run, 0, 40)
    process, journal = listening(world)

    folded = process.turn(run.key, [Succeeded(Attempt("leaf-40"))])

    assert folded.state == run.state
    assert journal.given == [41, 42]
    assert journal.take() == {"definition": 1, "append": 1}


def test_what_is_handed_over_is_found_behind_a_snapshot(world: World) -> None:
    """A processor turn that starts from a later snapshot sends exactly what the entry emitted and is still to be."""
    world.engine.takes_over = True
    run = world.start(fan(150))
    world.engine.take()
    world.conductor.turn(run.key, [Succeeded(Attempt("root"))], send_limit=100)
    world.engine.take()
    end(world, run, 90, 110)
    assert kept(world, run) is not None

    world.process().go_on(run.key, 2, 100)

    assert world.engine.take() == [f"leaf-{number}" for number in range(110, 150)]


@pytest.mark.parametrize("what", ["nonsense", "cut", "newer", "another graph", "another entry"])
def test_one_that_cannot_be_used_is_replayed(world: World, what: str, caplog: pytest.LogCaptureFixture) -> None:
    """The journal is folded from its first entry instead, with the same result, and the log says why."""
    run = begin(world)
    end(world, run, 0, 28)
    good = kept(world, run)
    assert good is not None
    expected = run.state
    replace_snapshot(world, run, broken(what, good))

    folded = world.process().refresh(run.key)

    assert (folded.state, folded.seen.position) == (expected, 30)
    (line,) = [it.getMessage() for it in caplog.records if "its snapshot is not used" in it.getMessage()]
    assert line.isprintable()


def broken(what: str, good: StoredSnapshot) -> StoredSnapshot:
    match what:
        case "nonsense":
            data = b"\x00nonsense"
        case "cut":
            data = good.data[:-7]
        case "newer":
            data = zlib.compress(zlib.decompress(good.data).replace(b'"v":1', b'"v":2', 1))
        case "another graph":
            graph = Graph([Node("other")])
            other, _ = fold(Folded.initial(WorkflowKey("x", "y"), Definition(graph)), [Entry(1, "n", Begin())])
            data = snapshot_of(evolve(other, seen=good.seen)).data
        case _:
            return evolve(good, seen=Seen(good.seen.position, "another"))
    return evolve(good, data=data)


def replace_snapshot(world: World, run: Run, snapshot: StoredSnapshot) -> None:
    world.journal._records[run.id].snapshot = snapshot


def test_one_of_a_journal_that_lost_its_end_is_replayed(world: World) -> None:
    """A snapshot that is ahead of a store which forgot what it held last changes nothing: the journal is the truth."""
    run = begin(world)
    end(world, run, 0, 28)
    del world.journal._records[run.id].lines[15:]

    cold = world.process()
    assert cold.refresh(run.key).seen.position == 15
    other = world.process()
    folded = other.turn(run.key, [Succeeded(Attempt("leaf-13"))])

    assert folded.seen.position == 16
    assert folded.state == cold.refresh(run.key).state


# What is in it


def folded_with(*facts: Any, nodes: tuple[Node, ...] = (Node("a"), Node("b"), Node("c", ["a"]))) -> Folded:
    graph = Graph(nodes)
    entries = [Entry(position, f"n{position}", fact) for position, fact in enumerate([Begin(at_ms=5), *facts], 1)]
    return fold(Folded.initial(WorkflowKey("w", "i"), Definition(graph)), entries)[0]


def test_reasons_and_times_survive() -> None:
    """Why attempts failed, which were silent or skipped themselves, and when it was asked to stop: all comes back."""
    before = folded_with(
        Failed(Attempt("a"), Failure("ValueError", "é\n", "builtins", (1, None, "x", 0.5)), at_ms=7),
        SkipRequested("b", at_ms=8),
        Lost(Attempt("b"), "gone", at_ms=9),
        CancelRequested(at_ms=10),
        nodes=(Node("a"), Node("b"), Node("c"), Node("d")),
    )

    again = read_snapshot(before.key, before.definition, snapshot_of(before))

    assert again.log == before.log
    assert again.log.ending_ms == 10
    assert again.log.skips_ms.get(1) == 8
    end_of_a = end_of(again, Attempt("a"))
    assert end_of_a is not None
    assert end_of_a.failure == Failure("ValueError", "é\n", "builtins", (1, None, "x", 0.5))


def test_who_skipped_itself_is_known() -> None:
    """An attempt that skipped itself has an end without a failure."""
    folded = folded_with(Skipped(Attempt("a")))

    end_of_a = end_of(folded, Attempt("a"))
    assert end_of_a is not None
    assert (end_of_a.failure, end_of_a.is_silent) == (None, False)
    assert end_of(folded, Attempt("b")) is None


def test_of_very_many_failures_the_later_ones_are_told_in_short() -> None:
    """What is remembered of failures is bounded: a million characters in full, and the beginnings of the rest."""
    nodes = tuple(Node(f"n{number}") for number in range(200))
    long = Failure("ValueError", "x" * 10_000, "builtins", ("y" * 5_000,))
    facts = [Failed(Attempt(node.id), long) for node in nodes]

    folded = folded_with(*facts, nodes=nodes)

    assert 1_000_000 - 15_000 < folded.log.text <= 1_000_000 + 200 * 101
    first, last = (end_of(folded, Attempt(node.id)) for node in (nodes[0], nodes[-1]))
    assert first is not None
    assert last is not None
    assert first.failure == long
    assert last.failure == Failure("ValueError", "x" * 100 + "…", "builtins")
    assert len(snapshot_of(folded).data) < 50_000


def test_a_retry_that_succeeds_takes_its_failure_back() -> None:
    """Nothing is remembered of attempts that a later one has made good, so the log does not grow with retries."""
    failed = folded_with(Failed(Attempt("a"), Failure("Boom", "x" * 50)), nodes=(Node("a", max_attempts=2),))
    assert failed.log.text == 50

    again, _ = fold(failed, [Entry(3, "n", Succeeded(Attempt("a", 0, 2)))])

    assert again.log.text == 0
    assert not again.log.ends


def test_no_release_wrote_this() -> None:
    """What is no snapshot at all is refused as that, whatever it is."""
    folded = folded_with()
    stored = snapshot_of(folded)
    for text in (b"[]", b"{}", b'{"v":1}', b'{"v":1,"state":7,"emitted":0}', b"\xff"):
        with pytest.raises(UnsupportedVersionError):
            read_snapshot(folded.key, folded.definition, evolve(stored, data=zlib.compress(text)))
