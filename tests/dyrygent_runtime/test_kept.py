"""The lease of an outbox: what it names, from when to when."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dyrygent_core import Attempt
from dyrygent_runtime import Boot
from dyrygent_runtime.kept import Kept, kept_name
from tests.dyrygent_runtime.away import OutageJournal
from tests.dyrygent_runtime.conftest import World
from tests.dyrygent_runtime.sweeping import BOOT, WORKER, one


def test_an_outbox_has_a_lease_again_whenever_it_needs_one(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """It is begun, given back and begun anew; where it cannot be, the outcomes are tried all the same."""
    key, journal = world.start(one()).key, OutageJournal(world.journal)
    world.keep_in(journal)
    kept = Kept(world.conductor, lambda: waiting, Boot(WORKER, BOOT))

    def named() -> Sequence[str]:
        return [name for view in journal.leases()[0] for name in view.lease.reserved]

    for _ in range(2):
        waiting = [(key, Attempt("a"))]
        kept.tell(is_away=False)
        assert named() == []
        journal.is_away = True
        kept.tell(is_away=True)
        journal.is_away = False
        kept.tell(is_away=True)
        assert named() == [kept_name(key, Attempt("a"))]
        waiting.append((key, Attempt("b")))
        world.clock.advance(1_000)
        kept.tell(is_away=False)
        assert sorted(named()) == [kept_name(key, Attempt("a")), kept_name(key, Attempt("b"))]
        waiting.clear()
        kept.end()
        assert named() == []
    assert caplog.records == []


def test_a_lease_that_cannot_be_given_back_runs_out(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the journal says to that: outcomes to come must not wait for it."""
    journal = OutageJournal(world.journal)
    world.keep_in(journal)
    kept = Kept(world.conductor, tuple, Boot(WORKER, BOOT))
    kept.tell(is_away=True)
    journal.is_away = True

    kept.end()
    kept.end()

    assert [it.getMessage() for it in caplog.records] == [
        "the lease of an outbox that is empty runs out by itself: renew_lease"
    ]


def test_of_much_that_waits_the_last_is_named(world: World) -> None:
    """Every sweep turn reads all leases, so none names more than a thousand attempts; the others are written first."""
    key = world.start(one()).key
    kept = Kept(world.conductor, lambda: ((key, Attempt("a", index)) for index in range(1_500)), None)

    kept.tell(is_away=True)

    ((view,), _) = world.journal.leases()
    assert view.lease.reserved == {kept_name(key, Attempt("a", index)) for index in range(1_000)}
