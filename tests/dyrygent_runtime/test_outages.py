"""Outages of the journal, longer than a lease: nobody could speak in them, so nobody is judged by that silence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from attrs import define, field

from dyrygent_core import Attempt, Lost, Status, Succeeded, WorkflowState
from dyrygent_core.errors import JournalUnavailableError
from dyrygent_core.ports import Dispatch, Mark, MarkKind
from dyrygent_runtime import Boot, Conductor, Holdings, Run, Settings, Sweeper
from dyrygent_runtime.holders import holders_of
from dyrygent_runtime.lease import LeaseKeeper
from dyrygent_testing.simulation.outbox import VirtualOutbox
from tests.dyrygent_runtime.away import OutageJournal
from tests.dyrygent_runtime.conftest import World
from tests.dyrygent_runtime.sweeping import BOOT, WORKER, one


@define
class Scene:
    """A workflow of two nodes, a worker that runs the first, and another process that sweeps."""

    world: World = field(factory=World)
    journal: OutageJournal = field(init=False)
    """The worker's way to it."""
    other: OutageJournal = field(init=False)
    holdings: Holdings = field(factory=lambda: Holdings(Boot(WORKER, BOOT)))
    outbox: VirtualOutbox = field(init=False)
    keeper: LeaseKeeper = field(init=False)
    sweeper: Sweeper = field(init=False)
    run: Run = field(init=False)
    message: Dispatch = field(init=False)
    order: Sequence[str] = ("worker", "outbox", "sweeper")
    dead: set[str] = field(factory=set[str])
    _tries: list[Callable[[], Any]] = field(factory=list[Callable[[], Any]])

    def __attrs_post_init__(self) -> None:
        world = self.world
        self.journal, self.other = OutageJournal(world.journal), OutageJournal(world.journal)
        world.keep_in(self.journal)
        self.keeper = LeaseKeeper(self.journal, world.settings, world.clock, self.holdings.lease)  # type: ignore[arg-type]
        self.outbox = VirtualOutbox(
            self.process(), send_limit=None, boot=self.holdings.boot, again=lambda _, action: self._tries.append(action)
        )
        world.keep_in(self.other)
        self.sweeper = Sweeper(self.process())
        self.run = world.start(one())
        (self.message,) = world.engine.sent
        world.engine.take()
        self.pass_ms(2 * world.settings.poll_ms)

    def process(self) -> Conductor:
        return self.world.process()

    def begin(self) -> None:
        """Let the worker run the first node."""
        self.holdings.begin(self.message.attempt_id)
        with suppress(JournalUnavailableError):
            self.journal.mark(self.run.key, [Mark(MarkKind.STARTED, Attempt("a"), WORKER, BOOT)])

    def end(self) -> None:
        """Let what the worker runs end, and report it."""
        self.outbox.report(self.run.key, [Succeeded(Attempt("a"))], {Attempt("a"): b"1"})
        self.holdings.drop(self.message.attempt_id)

    def pass_ms(self, milliseconds: int) -> None:
        """Let time pass, in which everybody does what their threads do."""
        poll_ms = self.world.settings.poll_ms
        for _ in range(milliseconds // poll_ms):
            self.world.clock.advance(poll_ms)
            for who in self.order:
                with suppress(JournalUnavailableError):
                    self._go_on(who)

    def outage(self, during: Callable[[], object] = lambda: None) -> None:
        """Let the journal be away for longer than a lease, something happen meanwhile, and the journal be back."""
        self.journal.is_away = self.other.is_away = True
        self.pass_ms(self.world.settings.poll_ms)
        during()
        self.pass_ms(2 * self.world.settings.lease_ms)
        self.journal.is_away = self.other.is_away = False

    def _go_on(self, who: str) -> None:
        if who in self.dead:
            return
        if who == "sweeper":
            self.sweeper.round()
        elif who == "worker":
            self.keeper.renew()
        else:
            tries, self._tries[:] = list(self._tries), []
            for again in tries:
                again()

    @property
    def lost(self) -> list[str]:
        """Why attempts were given up."""
        return [it.observation.reason for it in self.run.history() if isinstance(it.observation, Lost)]


@pytest.fixture(params=[("worker", "outbox", "sweeper"), ("sweeper", "worker", "outbox")], ids="-".join)
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(order=request.param)


def test_what_runs_on_is_not_lost(scene: Scene) -> None:
    """A task that runs through an outage is run once: its worker says that it is there once the journal is back."""
    scene.begin()
    scene.pass_ms(scene.world.settings.lease_ms)

    scene.outage()
    scene.pass_ms(2 * scene.world.settings.lease_ms)

    assert (scene.lost, scene.world.engine.take()) == ([], [])
    scene.end()
    assert scene.run.status("a") is Status.SUCCEEDED


def test_what_began_in_the_outage_is_not_sent_again(scene: Scene) -> None:
    """Neither is a task of which nobody could say that it was sent, nor that it started."""
    scene.journal._store._records[scene.run.id].marks.clear()

    scene.outage(scene.begin)
    scene.pass_ms(2 * scene.world.settings.lease_ms)

    assert (scene.lost, scene.world.engine.take()) == ([], [])


def test_what_runs_on_is_not_lost_before_its_worker_has_a_lease(scene: Scene) -> None:
    """Nor is what began just before the outage, in a worker that could not renew its first lease."""
    scene.begin()
    scene.journal._store._leases.clear()

    scene.outage()
    scene.pass_ms(2 * scene.world.settings.lease_ms)

    assert (scene.lost, scene.world.engine.take()) == ([], [])


def test_what_a_worker_holds_is_not_sent_again(scene: Scene) -> None:
    """A message that waits in a living worker waits there through an outage."""
    scene.holdings.reserve(scene.message.attempt_id)
    scene.pass_ms(scene.world.settings.lease_ms)

    scene.outage()
    scene.pass_ms(2 * scene.world.settings.lease_ms)

    assert (scene.lost, scene.world.engine.take()) == ([], [])


def test_what_began_in_a_long_outage_is_not_overdue() -> None:
    """A task that was sent before, and was taken in an outage longer than `resend_after`, is not sent again."""
    scene = Scene(World(settings=Settings(resend_after_ms=60_000)), order=("sweeper", "worker", "outbox"))

    scene.outage(lambda: (scene.begin(), scene.pass_ms(240_000)))
    scene.pass_ms(2 * scene.world.settings.lease_ms)

    assert (scene.lost, scene.world.engine.take()) == ([], [])


def test_who_died_in_the_outage_is_found_soon_after(scene: Scene) -> None:
    """A worker that does not speak within a third of its lease after the outage is dead, as it was before."""
    scene.begin()
    scene.pass_ms(scene.world.settings.lease_ms)

    scene.outage(lambda: scene.dead.update({"worker", "outbox"}))
    scene.pass_ms(scene.world.settings.renewal_ms)
    assert scene.lost == []
    scene.pass_ms(2 * scene.world.settings.sweep_interval_ms)

    assert scene.lost == [f"worker {WORKER} died"]
    assert scene.world.engine.take() == ["a"]


def test_a_process_that_begins_after_the_outage_waits_too(scene: Scene) -> None:
    """Whoever has just started does not know that nobody could speak."""
    scene.begin()
    scene.pass_ms(scene.world.settings.lease_ms)

    scene.outage()
    scene.sweeper = Sweeper(scene.process())
    scene.order = ("sweeper", "worker", "outbox")
    scene.pass_ms(2 * scene.world.settings.lease_ms)

    assert (scene.lost, scene.world.engine.take()) == ([], [])


def test_a_process_that_stood_still_waits_too() -> None:
    """Whoever did not ask for long does not know either; no call of its own has failed."""
    scene = Scene(order=("sweeper", "worker", "outbox"))
    scene.begin()
    scene.pass_ms(scene.world.settings.lease_ms)

    scene.dead.add("sweeper")
    scene.outage()
    scene.dead.clear()
    scene.pass_ms(2 * scene.world.settings.lease_ms)

    assert (scene.lost, scene.world.engine.take()) == ([], [])


# Outcomes that wait


def test_what_ended_in_the_outage_is_not_lost(scene: Scene) -> None:
    """An outcome that waits in an outbox is recorded after the outage, and its node is not run again."""
    scene.begin()
    scene.pass_ms(scene.world.settings.lease_ms)

    scene.outage(scene.end)
    scene.pass_ms(2 * scene.world.settings.lease_ms)

    assert scene.run.status("a") is Status.SUCCEEDED
    assert (scene.lost, scene.world.engine.take()) == ([], ["b"])
    scene.world.succeed(scene.run, "b")
    assert scene.run.workflow_state is WorkflowState.SUCCESS


def test_what_ended_in_the_outage_though_it_was_to_be_stopped_counts(scene: Scene) -> None:
    """It is not taken for one that was revoked before it started."""
    scene.run.cancel()

    scene.outage(lambda: (scene.begin(), scene.end()))
    scene.pass_ms(2 * scene.world.settings.lease_ms)

    assert (scene.run.status("a"), scene.lost) == (Status.SUCCEEDED, [])


def test_a_worker_that_is_quicker_than_its_outbox_loses_nothing(scene: Scene) -> None:
    """Though it has been asked twice, and names the attempt no more, before the outbox tries again."""
    scene.begin()
    scene.pass_ms(scene.world.settings.lease_ms)
    scene.outage(scene.end)

    scene.dead.add("outbox")
    scene.pass_ms(scene.world.settings.poll_ms)
    scene.holdings.reserve("another")
    scene.pass_ms(2 * scene.world.settings.sweep_interval_ms)
    scene.dead.clear()
    scene.pass_ms(scene.world.settings.lease_ms)

    assert scene.run.status("a") is Status.SUCCEEDED
    assert (scene.lost, scene.world.engine.take()) == ([], ["b"])


def test_what_waits_on_after_the_outage_is_not_lost(scene: Scene) -> None:
    """The outbox says what it holds for as long as it cannot write it, though its worker names it no more."""
    scene.begin()
    scene.pass_ms(scene.world.settings.lease_ms)
    scene.journal.refuses = frozenset({"append"})

    scene.outage(scene.end)
    scene.pass_ms(3 * scene.world.settings.lease_ms)
    assert (len(scene.outbox), scene.lost) == (1, [])
    scene.journal.refuses = frozenset()
    scene.pass_ms(scene.world.settings.lease_ms)

    assert scene.run.status("a") is Status.SUCCEEDED
    assert (scene.lost, scene.world.engine.take()) == ([], ["b"])


def test_what_was_never_marked_and_waits_on_is_not_sent_again(scene: Scene) -> None:
    """Nor is that of which nobody could say more than that it was sent."""
    scene.journal.refuses = frozenset({"append"})

    scene.outage(lambda: (scene.begin(), scene.end()))
    scene.pass_ms(3 * scene.world.settings.lease_ms)
    scene.journal.refuses = frozenset()
    scene.pass_ms(scene.world.settings.lease_ms)

    assert scene.run.status("a") is Status.SUCCEEDED
    assert (scene.lost, scene.world.engine.take()) == ([], ["b"])


def test_what_a_dead_process_could_not_write_is_lost(scene: Scene) -> None:
    """What waited in an outbox is gone with it, once its lease is over, and so are the nodes run again."""
    scene.begin()
    scene.pass_ms(scene.world.settings.lease_ms)
    scene.journal.refuses = frozenset({"append"})
    scene.outage(scene.end)
    scene.pass_ms(scene.world.settings.lease_ms)

    scene.dead |= {"worker", "outbox"}
    scene.journal.refuses = frozenset()
    scene.pass_ms(scene.world.settings.lease_ms - scene.world.settings.renewal_ms)
    assert scene.lost == []
    scene.pass_ms(scene.world.settings.lease_ms)

    assert scene.lost == [f"worker {WORKER} died"]
    assert scene.world.engine.take() == ["a"]


def test_an_outbox_that_is_empty_gives_its_lease_back(scene: Scene) -> None:
    """Nobody is taken for dead because an outbox has nothing to say any more, nor is its word waited for."""
    scene.begin()
    scene.journal.refuses = frozenset({"append"})
    scene.outage(scene.end)
    scene.pass_ms(scene.world.settings.lease_ms)
    scene.journal.refuses = frozenset()
    scene.pass_ms(2 * scene.world.settings.lease_ms)

    leases, now_ms = scene.journal.leases()
    holders = holders_of(leases, now_ms)

    assert {view.lease.boot for view in leases} == {BOOT}
    assert len(leases) == 2
    assert (holders.last_death_ms, holders.dead_ms) == (0, {})
    assert holders.asked_ms > now_ms - scene.world.settings.lease_ms


def test_what_is_written_at_once_costs_no_lease(scene: Scene) -> None:
    """An outbox has a lease only from when something could not be written."""
    scene.begin()
    scene.end()
    scene.outbox.later(scene.run.key, [Succeeded(Attempt("b"))])
    scene.pass_ms(scene.world.settings.lease_ms)

    leases, _ = scene.journal.leases()
    assert [view.lease.worker for view in leases] == [WORKER]
