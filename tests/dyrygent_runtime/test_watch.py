"""How long a process has watched the journal, and which leases are over by that."""

from __future__ import annotations

from dyrygent_core import Attempt
from dyrygent_core.ports import Lease, LeaseView, Mark, MarkKind
from dyrygent_runtime import Settings
from dyrygent_runtime.holders import holders_of
from dyrygent_runtime.watch import Watch
from tests.dyrygent_runtime.conftest import Clock, World
from tests.dyrygent_runtime.sweeping import BOOT, WORKER, one, watching


def test_a_lease_that_may_be_renewed_yet_runs() -> None:
    """It names what its worker holds, and that worker is still to be asked what it has taken since."""
    view = LeaseView(Lease(WORKER, BOOT, frozenset({"x"})), 10_000, 70_000, Lease(WORKER, BOOT), 4_000)

    during = holders_of([view], 119_999, watched_ms=100_000)
    after = holders_of([view], 120_000, watched_ms=100_000)

    assert (during.living, during.dead_ms, during.last_death_ms, during.asked_ms) == ({"x"}, {}, 0, 4_000)
    assert (after.living, after.dead_ms, after.last_death_ms) == (frozenset(), {"x": 70_000}, 70_000)
    assert (during.is_over(view), after.is_over(view)) == (False, True)


def test_a_lease_that_somebody_has_ended_is_over_at_once() -> None:
    """That is no silence: whoever renews one for a moment knows that its worker is gone."""
    view = LeaseView(Lease(WORKER, BOOT, frozenset({"x"})), 99_990, 99_991)

    assert holders_of([view], 100_000, watched_ms=100_000).dead_ms == {"x": 99_991}


def test_even_the_shortest_lease_is_renewed_after_a_while() -> None:
    """A third of it would be no time at all, and whoever waits for that would not wait."""
    assert [Settings(lease_ms=it).renewal_ms for it in (1, 2, 3, 60_000)] == [1, 1, 1, 20_000]


def test_a_watch_begins_anew_with_every_gap() -> None:
    """After a call that failed, and where none was made for as long as a renewal takes."""
    clock, settings = Clock(), Settings()
    watch = Watch(settings, clock)
    assert watch.since_ms == clock.now_ms
    watch.see()
    began_ms = clock.now_ms

    clock.advance(settings.renewal_ms)
    watch.see()
    assert watch.since_ms == began_ms
    clock.advance(settings.renewal_ms + 1)
    watch.see()
    assert watch.since_ms == clock.now_ms
    watch.lose()
    clock.advance(1)
    assert watch.since_ms == clock.now_ms
    watch.see()
    began_ms = clock.now_ms
    clock.advance(1)
    assert watch.since_ms == began_ms


def test_who_has_watched_for_long_judges_at_once(world: World) -> None:
    """A sweeper that was never cut off takes a worker for dead as soon as its lease has run out."""
    run = world.start(one())
    (message,) = world.engine.sent
    world.engine.take()
    world.journal.renew_lease(Lease(WORKER, BOOT, frozenset({message.attempt_id})), ttl_ms=world.settings.lease_ms)
    world.journal.mark(run.key, [Mark(MarkKind.STARTED, Attempt("a"), WORKER, BOOT)])
    world.clock.advance(world.settings.lease_ms - world.settings.renewal_ms + 1)

    watching(world).round()

    assert world.engine.take() == ["a"]
