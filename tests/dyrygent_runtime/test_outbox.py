"""Outcomes that cannot be recorded now: kept, tried again in order, bounded, and never dropped without a word."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pytest

from dyrygent_core import Attempt, Observation, Status, Succeeded, Workflow, WorkflowState, call
from dyrygent_core.errors import JournalUnavailableError
from dyrygent_core.ports import Appended, Seen, WorkflowKey
from dyrygent_runtime import Run
from dyrygent_runtime.journals import MemoryJournal
from dyrygent_runtime.outbox import Outbox
from tests.dyrygent_runtime.conftest import World
from tests.dyrygent_runtime.shapes import chain, fan

LIMIT_S: Final = 30.0


class AwayJournal(MemoryJournal):
    """A journal that can be away: from then on appends do not arrive, or arrive and are not answered.

    `refused`: a workflow whose appends it never takes.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        super().__init__("tests", clock=clock)
        self.is_away = False
        self.writes_all_the_same = False
        self.refused: str | None = None
        self.tried = threading.Semaphore(0)
        self.tried_by: list[int] = []

    def append(
        self,
        key: WorkflowKey,
        observations: Sequence[Observation],
        *,
        seen: Seen,
        nonce: str,
        results: Mapping[Attempt, bytes] | None = None,
        calls: Sequence[int] = (),
    ) -> Appended:
        appended = None
        is_refused = self.is_away or key.id == self.refused
        if not is_refused or self.writes_all_the_same:
            appended = super().append(key, observations, seen=seen, nonce=nonce, results=results, calls=calls)
        if is_refused or appended is None:
            self.tried.release()
            self.tried_by.append(threading.get_ident())
            raise JournalUnavailableError("away")
        return appended

    def read(self, key: WorkflowKey, *, after: int = 0) -> Any:
        if self.is_away:
            raise JournalUnavailableError("away")
        return super().read(key, after=after)


@pytest.fixture
def journal(world: World) -> AwayJournal:
    journal = AwayJournal(world.clock)
    world.keep_in(journal)
    return journal


def positions(run: Run) -> list[str]:
    facts = (entry.observation for entry in run.history()[1:])
    return [fact.attempt.node for fact in facts if isinstance(fact, Succeeded)]


def test_what_cannot_be_recorded_is_recorded_later(world: World, journal: AwayJournal) -> None:
    """The outcome waits in the process; when the journal is back it is recorded, and what follows is sent."""
    run = world.start(chain("a", "b"))
    world.engine.take()
    outbox = Outbox(world.conductor)
    journal.is_away = True

    assert not outbox.report(run.key, [Succeeded(Attempt("a"))], {Attempt("a"): b"1"})
    assert len(outbox) == 1
    journal.is_away = False

    assert outbox.drain(LIMIT_S)
    assert positions(run) == ["a"]
    assert world.engine.take() == ["b"]
    assert outbox.report(run.key, [Succeeded(Attempt("b"))], {Attempt("b"): b"1"})
    assert len(outbox) == 0


def test_what_was_recorded_unanswered_is_not_recorded_again(world: World, journal: AwayJournal) -> None:
    """The next try finds the nonce of the first one, and owns what is there."""
    run = world.start(chain("a", "b"))
    world.engine.take()
    outbox = Outbox(world.conductor)
    journal.is_away, journal.writes_all_the_same = True, True

    outbox.report(run.key, [Succeeded(Attempt("a"))], {Attempt("a"): b"1"})
    journal.writes_all_the_same = False
    journal.is_away = False

    assert outbox.drain(LIMIT_S)
    nonces = {entry.nonce for entry in run.history()[1:]}
    assert len(nonces) == 1  # the try and its repetition in the same turn, both before it was away
    assert world.engine.take() == ["b"]


def test_the_order_is_kept(world: World, journal: AwayJournal) -> None:
    """While something waits, what is reported after it waits behind it, and nobody waits for the journal again."""
    run = world.start(fan(20))
    outbox = Outbox(world.conductor)
    journal.is_away = True
    nodes = ["root", *(f"leaf-{number}" for number in range(20))]

    outbox.report(run.key, [Succeeded(Attempt(nodes[0]))])
    here = threading.get_ident()
    tries = journal.tried_by.count(here)
    for node in nodes[1:]:
        assert not outbox.report(run.key, [Succeeded(Attempt(node))])
    assert len(outbox) == 21
    assert journal.tried_by.count(here) == tries > 0
    journal.is_away = False

    assert outbox.drain(LIMIT_S)
    assert positions(run) == nodes
    assert run.workflow_state is WorkflowState.SUCCESS


def test_one_workflow_does_not_hold_up_another(world: World, journal: AwayJournal) -> None:
    """Where the store refuses one workflow again and again, the others are recorded all the same."""
    stuck, free = world.start(chain("a", "b")), world.start(chain("a", "b"))
    outbox = Outbox(world.conductor)
    journal.refused = stuck.id

    outbox.report(stuck.key, [Succeeded(Attempt("a"))], {Attempt("a"): b"1"})
    outbox.report(free.key, [Succeeded(Attempt("a"))], {Attempt("a"): b"1"})
    for _ in range(100):
        if free.status("a") is Status.SUCCEEDED:
            break
        assert journal.tried.acquire(timeout=LIMIT_S)

    assert free.status("a") is Status.SUCCEEDED
    assert stuck.status("a") is Status.SCHEDULED
    journal.refused = None
    assert outbox.drain(LIMIT_S)
    assert stuck.status("a") is Status.SUCCEEDED


def test_what_there_is_no_room_for_is_dropped_aloud(
    world: World, journal: AwayJournal, caplog: pytest.LogCaptureFixture
) -> None:
    """Beyond its bound the outbox drops what is new, says so, and counts it; the sweep has the attempt run again."""
    run = world.start(fan(3))
    world.conductor.turn(run.key, [Succeeded(Attempt("root"))])
    world.engine.take()
    outbox = Outbox(world.conductor, most_bytes=10_000)
    journal.is_away = True

    outbox.report(run.key, [Succeeded(Attempt("leaf-0"))], {Attempt("leaf-0"): b"x" * 100_000})  # one is always kept
    outbox.report(run.key, [Succeeded(Attempt("leaf-1"))], {Attempt("leaf-1"): b"x"})
    outbox.report(run.key, [Succeeded(Attempt("leaf-2"))])
    assert (len(outbox), outbox.dropped) == (1, 2)
    lines = [it.getMessage() for it in caplog.records if it.levelno == logging.ERROR]
    assert len(lines) == 2
    assert all(run.id in line and "1 outcomes are dropped" in line for line in lines)
    journal.is_away = False

    assert outbox.drain(LIMIT_S)
    assert positions(run) == ["root", "leaf-0"]
    assert outbox.report(run.key, [Succeeded(Attempt("leaf-1"))], {Attempt("leaf-1"): b"x"})


def test_what_waited_for_too_long_is_sent_by_the_sweep(world: World, journal: AwayJournal) -> None:
    """The owner's time counts from the first try, wherever its entry was meanwhile."""
    run = world.start(chain("a", "b"))
    world.engine.take()
    outbox = Outbox(world.conductor)
    journal.is_away = True
    outbox.report(run.key, [Succeeded(Attempt("a"))], {Attempt("a"): b"1"})

    world.clock.advance(world.settings.grace_ms // 2 + 1)
    journal.is_away = False
    assert outbox.drain(LIMIT_S)
    assert positions(run) == ["a"]
    assert world.engine.take() == []

    world.clock.advance(world.settings.grace_ms + 1)
    world.sweep()
    assert world.engine.take() == ["b"]


def test_what_is_left_for_later_is_taken_by_the_thread(world: World) -> None:
    """Whoever must not wait leaves the whole turn to the outbox; it has the owner's full time."""
    run = world.start(chain("a", "b"))
    world.engine.take()
    outbox = Outbox(world.conductor)

    outbox.later(run.key, [Succeeded(Attempt("a"))])

    assert outbox.drain(LIMIT_S)
    assert positions(run) == ["a"]


def test_a_deleted_workflow_is_dropped_with_a_word(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """An outcome of a workflow that is gone has come too late."""
    run = world.start(chain("a", "b"))
    world.journal.delete(run.key)
    outbox = Outbox(world.conductor)

    assert outbox.report(run.key, [Succeeded(Attempt("a"))])
    assert "has come too late" in caplog.text


def test_a_turn_that_can_never_succeed_stops_no_other(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A defect in one turn is logged with its traceback, and the next turns go on."""
    run = world.start(chain("a", "b"))
    outbox = Outbox(world.conductor)

    outbox.later(run.key, [42])  # type: ignore[list-item]
    outbox.later(run.key, [Succeeded(Attempt("a"))])

    assert outbox.drain(LIMIT_S)
    assert positions(run) == ["a"]
    assert "the turn of an outcome failed" in caplog.text


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_begins_with_an_empty_outbox(world: World, journal: AwayJournal) -> None:
    """What the parent waits to record is the parent's."""
    run = world.start(chain("a", "b"))
    outbox = Outbox(world.conductor)
    journal.is_away = True
    outbox.report(run.key, [Succeeded(Attempt("a"))])

    child = os.fork()
    if not child:
        os._exit(len(outbox))
    _, status = os.waitpid(child, 0)
    journal.is_away = False

    assert os.waitstatus_to_exitcode(status) == 0
    assert outbox.drain(LIMIT_S)


def test_a_wait_that_is_too_short_says_so(world: World, journal: AwayJournal) -> None:
    """Whoever is about to end asks whether all is recorded, and is told the truth."""
    workflow = Workflow()
    workflow.add(call("a"), id="a")
    run = world.start(workflow)
    outbox = Outbox(world.conductor)
    journal.is_away = True
    outbox.report(run.key, [Succeeded(Attempt("a"))])

    assert not outbox.drain(0)
    journal.is_away = False
    assert outbox.drain(LIMIT_S)
