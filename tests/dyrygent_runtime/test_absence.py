"""Messages that are in no queue: who may have them, and when it is certain that nobody has."""

from __future__ import annotations

import pytest

from dyrygent_core import Attempt, Status
from dyrygent_core.ports import Lease, Mark, MarkKind
from dyrygent_runtime import Run, Settings
from tests.dyrygent_runtime.conftest import World
from tests.dyrygent_runtime.sweeping import BOOT, one, renew, resend_after_ms, wait_and_sweep, watching


@pytest.mark.parametrize(("queued", "is_sent"), [(0, True), (1, False), (None, False)])
def test_what_no_queue_holds_after_a_death_is_sent_again(world: World, queued: int | None, is_sent: bool) -> None:  # noqa: FBT001  # a case
    """A worker may take a message and die before its lease names it: if its queue stays empty, it is gone (A6)."""
    run = world.start(one())
    if queued is not None:
        world.engine.queued = {Attempt("a"): queued}
    renew(world, run)
    world.engine.take()

    wait_and_sweep(world, world.settings.lease_ms + 1)
    assert world.engine.take() == []
    wait_and_sweep(world, world.settings.sweep_interval_ms)

    assert world.engine.take() == (["a"] if is_sent else [])
    assert run.status("a") is Status.SCHEDULED


@pytest.mark.parametrize(("queued", "is_sent"), [(0, True), (1, False), (None, False)])
def test_an_empty_queue_holds_nobody_up(world: World, queued: int | None, is_sent: bool) -> None:  # noqa: FBT001  # a case
    """What is in no queue after `resend_after` is sent again then, though nothing shows that its queue moves (A6)."""
    world.start(one())
    if queued is not None:
        world.engine.queued = {Attempt("a"): queued}
    world.engine.take()

    wait_and_sweep(world, resend_after_ms(world) - 1)
    assert world.engine.take() == []
    wait_and_sweep(world, world.settings.sweep_interval_ms)
    assert world.engine.take() == []
    wait_and_sweep(world, world.settings.sweep_interval_ms)
    assert world.engine.take() == (["a"] if is_sent else [])
    wait_and_sweep(world, resend_after_ms(world))
    assert world.engine.take() == ([] if is_sent else ["a"])


def test_while_nobody_died_an_empty_queue_says_nothing(world: World) -> None:
    """A living worker has just taken it, and will say so."""
    run = world.start(one())
    world.engine.queued = {Attempt("a"): 0}
    world.engine.take()
    for _ in range(3):
        renew(world, run)
        wait_and_sweep(world, world.settings.lease_ms - 1)

    assert world.engine.take() == []


def emptied(world: World) -> Run:
    """Let one worker die, and its queue be empty, while another lives, and has been asked twice before the look."""
    run = world.start(one())
    world.engine.queued = {Attempt("a"): 0}
    renew(world, run)
    world.clock.advance(world.settings.lease_ms - 1)
    for _ in range(2):
        renew(world, run, worker="w2")
        world.clock.advance(1)
    world.engine.take()
    wait_and_sweep(world, 1)
    assert world.engine.take() == []
    return run


def test_what_a_living_worker_has_just_taken_is_not_sent_again(world: World) -> None:
    """Its message is in no queue, and no lease names it until the worker renews its own, whoever has died."""
    run = emptied(world)

    wait_and_sweep(world, world.settings.sweep_interval_ms)
    assert world.engine.take() == []
    renew(world, run, reserved={"a"}, worker="w2")
    wait_and_sweep(world, world.settings.sweep_interval_ms)

    assert world.engine.take() == []


def test_every_living_worker_is_asked_twice_for_what_no_queue_holds(world: World) -> None:
    """What its first renewal after the look names may have been gathered before the look."""
    run = emptied(world)

    world.clock.advance(1)
    renew(world, run, worker="w2")
    for _ in range(3):
        wait_and_sweep(world, world.settings.sweep_interval_ms)
        assert world.engine.take() == []
    renew(world, run, worker="w2")
    wait_and_sweep(world, world.settings.sweep_interval_ms)

    assert world.engine.take() == ["a"]


def test_what_was_seen_in_no_queue_long_ago_is_looked_at_anew(world: World) -> None:
    """Meanwhile somebody may have had the message and put it back, so the next to take it has just taken it."""
    run = emptied(world)

    for _ in range(2):
        world.clock.advance(world.settings.lease_ms // 3)
        renew(world, run, worker="w2")
    wait_and_sweep(world, 1)

    assert world.engine.take() == []


def test_what_was_sent_again_meanwhile_is_looked_at_anew() -> None:
    """That no queue held a message says nothing of one that was sent later."""
    world = World(settings=Settings(grace_ms=1_000))
    run = emptied(world)

    world.journal.renew_lease(Lease("w3", BOOT), ttl_ms=100)  # it dies after the message was sent again
    for _ in range(2):
        world.clock.advance(1)
        renew(world, run, worker="w2")
    world.journal.mark(run.key, [Mark(MarkKind.SENT, Attempt("a"))])
    wait_and_sweep(world, world.settings.sweep_interval_ms)
    assert world.engine.take() == []
    for _ in range(2):
        world.clock.advance(1)
        renew(world, run, worker="w2")
    wait_and_sweep(world, world.settings.sweep_interval_ms)

    assert world.engine.take() == ["a"]


@pytest.mark.parametrize("is_here", [True, False])
def test_a_worker_need_not_wait_for_itself(world: World, is_here: bool) -> None:  # noqa: FBT001  # a case
    """What it holds it knows, also what its lease, renewed a moment ago, does not name yet."""
    run = emptied(world)
    taken = {f"{run.key.incarnation}.0.0.1"} if is_here else set[str]()
    held = [Lease("w2", BOOT, reserved=frozenset(taken)), Lease("w2", BOOT)]

    watching(world, lease=held.pop).round()

    assert world.engine.take() == ([] if is_here else ["a"])
