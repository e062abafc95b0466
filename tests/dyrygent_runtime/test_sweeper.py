"""The sweeper: its rounds, the lease beside them, and what it deletes."""

from __future__ import annotations

import logging
import threading
from typing import Final

import pytest

from dyrygent_core import Attempt, Succeeded, Workflow, call
from dyrygent_core.errors import JournalUnavailableError
from dyrygent_core.ports import Due, Lease, Query
from dyrygent_runtime import Conductor, Run, Settings, Sweeper
from dyrygent_runtime.faults import FaultPoint, nothing
from dyrygent_runtime.holders import holders_of
from dyrygent_runtime.journals import MemoryJournal
from dyrygent_runtime.lease import LeaseKeeper
from tests.dyrygent_runtime.conftest import World
from tests.dyrygent_runtime.shapes import chain

LIMIT_S: Final = 30.0
MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
LEASE: Final = Lease("w", "boot")


def ended(world: World, times: int) -> list[Run]:
    """Start workflows of one node, and end them."""
    runs: list[Run] = []
    for _ in range(times):
        workflow = Workflow()
        workflow.add(call("a"), id="a")
        runs.append(world.start(workflow))
        world.observe(runs[-1], Succeeded(Attempt("a")))
    return runs


def left(world: World) -> int:
    return len(world.journal.list(Query(), limit=10_000).items)


# What it deletes


def test_what_ended_long_ago_is_deleted(world: World) -> None:
    """Workflows are kept for the retention time after their end; what is open is kept for ever."""
    sweeper = Sweeper(world.process())
    ended(world, 2)
    world.start(chain("a", "b"))
    world.clock.advance(7 * DAY_MS - 1)
    sweeper.round()
    assert left(world) == 3

    world.clock.advance(MINUTE_MS)
    sweeper.round()

    assert left(world) == 1


def test_it_looks_for_what_is_old_once_a_minute(world: World) -> None:
    """However often it sweeps; and it deletes so many at a time, and no more."""
    sweeper = Sweeper(world.process())
    ended(world, 501)
    world.clock.advance(8 * DAY_MS)
    sweeper.round()
    assert left(world) == 1
    world.clock.advance(MINUTE_MS - 1)
    sweeper.round()
    assert left(world) == 1

    world.clock.advance(1)
    sweeper.round()

    assert left(world) == 0


def test_nothing_is_deleted_where_that_is_asked_for() -> None:
    """Without a retention time workflows are kept for ever."""
    world = World(settings=Settings(retention_ms=None))
    ended(world, 1)
    world.clock.advance(1_000 * DAY_MS)

    Sweeper(world.process()).round()

    assert left(world) == 1


# What it claims


def test_claims_that_have_run_out_are_left_alone(world: World) -> None:
    """If the turns before took so long that others may have claimed the rest, it does not touch it."""
    for _ in range(3):
        world.start(chain("a", "b"))
    world.clock.advance(world.settings.sweep_interval_ms)
    swept: list[FaultPoint] = []

    def take_long(point: FaultPoint) -> None:
        if point is FaultPoint.SWEEP_CLAIMED:
            swept.append(point)
            world.clock.advance(world.settings.claim_ms)

    Sweeper(Conductor(world.journal, world.engine, settings=world.settings, clock=world.clock, reach=take_long)).round()

    assert len(swept) == 1
    assert world.sweep() == 2


class BrokenJournal(MemoryJournal):
    """A journal that is away when it is asked what is due, or when a lease is renewed."""

    is_away = False
    asked: threading.Semaphore
    renewed: threading.Semaphore

    def due(self, *, limit: int, claim_ms: int) -> tuple[Due, ...]:
        self.asked.release()
        if self.is_away:
            raise JournalUnavailableError("away")
        return super().due(limit=limit, claim_ms=claim_ms)

    def renew_lease(self, lease: Lease, *, ttl_ms: int) -> int:
        self.renewed.release()
        if self.is_away:
            raise JournalUnavailableError("away")
        return super().renew_lease(lease, ttl_ms=ttl_ms)


def broken(world: World) -> BrokenJournal:
    journal = BrokenJournal(clock=world.clock)
    journal.asked, journal.renewed = threading.Semaphore(0), threading.Semaphore(0)
    world.keep_in(journal)
    return journal


def test_a_journal_that_is_away_is_told_once_and_outlived(caplog: pytest.LogCaptureFixture) -> None:
    """The thread goes on asking, says once that the journal is away, and once that it is back."""
    world = World(settings=Settings(poll_ms=1))
    journal = broken(world)
    journal.is_away = True
    sweeper = Sweeper(world.conductor)
    sweeper.start()
    wait(journal.asked, 5)
    journal.is_away = False
    wait(journal.asked, 5)
    sweeper.stop()

    assert [it.levelno for it in caplog.records] == [logging.ERROR, logging.WARNING]


def wait(passed: threading.Semaphore, times: int) -> None:
    """Wait until something happens so many times more."""
    while passed.acquire(blocking=False):
        pass
    for _ in range(times):
        assert passed.acquire(timeout=LIMIT_S)


# The lease


def test_a_long_sweep_turn_does_not_hold_up_the_lease() -> None:
    """The lease has a thread of its own: while a turn stands still, the worker is still alive."""
    world = World(settings=Settings(poll_ms=1, lease_ms=3))
    journal = broken(world)
    world.start(chain("a", "b"))
    world.clock.advance(world.settings.sweep_interval_ms)
    is_stuck, may_go_on = threading.Event(), threading.Event()

    def stand_still(point: FaultPoint) -> None:
        if point is FaultPoint.SWEEP_CLAIMED:
            is_stuck.set()
            assert may_go_on.wait(LIMIT_S)

    conductor = Conductor(journal, world.engine, settings=world.settings, reach=stand_still)  # on a clock that runs
    sweeper = Sweeper(conductor, lease=lambda: LEASE)
    sweeper.start()
    assert is_stuck.wait(LIMIT_S)

    wait(journal.renewed, 3)
    may_go_on.set()
    sweeper.stop()


def test_a_lease_is_renewed_every_third_of_its_time_or_when_more_is_held(world: World) -> None:
    """What a worker holds besides is told at once, but at most once a second."""
    journal = broken(world)
    holds: set[str] = set()
    keeper = LeaseKeeper(journal, world.settings, world.clock, lambda: Lease("w", "boot", reserved=frozenset(holds)))

    def renewals(milliseconds: int) -> int:
        world.clock.advance(milliseconds)
        keeper.renew()
        return sum(1 for _ in iter(lambda: journal.renewed.acquire(blocking=False) or None, None))

    assert renewals(0) == 1
    assert renewals(world.settings.lease_ms // 3 - 1) == 0
    assert renewals(1) == 1
    holds.add("x")
    assert renewals(999) == 0
    assert renewals(1) == 1
    holds.clear()
    assert renewals(5_000) == 0


def test_a_lease_that_cannot_be_renewed_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """The thread goes on trying; what is wrong with a single renewal ends nothing."""
    world = World(settings=Settings(poll_ms=1, lease_ms=3))
    journal = broken(world)
    journal.is_away = True
    is_wrong, asked = True, threading.Semaphore(0)

    def lease() -> Lease:
        asked.release()
        if is_wrong and not journal.is_away:
            raise RuntimeError("no lease now")
        return LEASE

    conductor = Conductor(journal, world.engine, settings=world.settings, reach=nothing)  # on a clock that runs
    keeper = LeaseKeeper(journal, world.settings, conductor.clock, lease)
    keeper.start()
    wait(journal.renewed, 3)
    journal.is_away = False
    wait(asked, 3)
    is_wrong = False
    wait(journal.renewed, 2)
    keeper.stop(LIMIT_S)

    assert sum("takes this worker for dead" in it.getMessage() for it in caplog.records) == 1
    assert "no lease now" in caplog.text


@pytest.mark.parametrize("still_held", [False, True])
def test_who_ends_in_order_and_holds_nothing_gives_its_lease_back(world: World, still_held: bool) -> None:  # noqa: FBT001  # a case
    """Its end is no death; what still holds something is missed when its lease runs out."""
    held = Lease("w", "boot", frozenset({"a"}), frozenset({"b"}))
    leases = [Lease("w", "boot", reserved=frozenset({"b"} if still_held else ())), held]
    keeper = LeaseKeeper(world.journal, world.settings, world.clock, leases.pop)
    keeper.renew()
    world.clock.advance(1)
    keeper.stop(LIMIT_S)
    world.clock.advance(world.settings.lease_ms + 1)

    holders = holders_of(*world.journal.leases())
    assert (holders.last_death_ms == 0, not holders.dead_ms) == (not still_held, not still_held)


def test_a_lease_that_cannot_be_given_back_runs_out(caplog: pytest.LogCaptureFixture) -> None:
    """A worker ends all the same."""
    world = World()
    journal = broken(world)
    keeper = LeaseKeeper(journal, world.settings, world.clock, lambda: Lease("w", "boot"))
    keeper.renew()
    journal.is_away = True
    keeper.stop(LIMIT_S)

    assert "not given back" in caplog.text
