"""Time-outs: attempts that take longer than their nodes allow."""

from __future__ import annotations

import pytest

from dyrygent_core import (
    Attempt,
    Failed,
    Failure,
    Lost,
    Status,
    Succeeded,
    TimedOut,
    UsageError,
    Workflow,
    WorkflowState,
    call,
)
from dyrygent_core.ports import Finding, Lease, Mark, MarkKind
from dyrygent_runtime import Run, Settings
from dyrygent_runtime.settings import check_time_outs
from tests.dyrygent_runtime.conftest import World

TIMEOUT_MS = 60_000
WORKER, BOOT = "w1", "boot-1"


def start(world: World, timeout_ms: int = TIMEOUT_MS, **policies: int) -> Run:
    workflow = Workflow()
    workflow.add(call("a"), timeout=timeout_ms, id="a", **policies)  # type: ignore[arg-type]
    run = world.start(workflow)
    world.engine.take()
    return run


def begin(world: World, run: Run, number: int = 1) -> None:
    """Mark an attempt as started on a worker that lives for long."""
    name = f"{run.key.incarnation}.0.0.{number}"
    world.journal.renew_lease(Lease(WORKER, BOOT, frozenset({name})), ttl_ms=100 * TIMEOUT_MS)
    world.journal.mark(run.key, [Mark(MarkKind.STARTED, Attempt("a", 0, number), WORKER, BOOT)])


def wait_and_sweep(world: World, milliseconds: int) -> int:
    world.clock.advance(milliseconds)
    return world.sweep()


def kinds(run: Run) -> list[type]:
    return [type(entry.observation) for entry in run.history()][1:]


def test_the_time_runs_from_the_start(world: World) -> None:
    """An attempt is given up when it has run for as long as its node allows, however late it started, and revoked."""
    run = start(world)
    wait_and_sweep(world, 10 * TIMEOUT_MS)
    begin(world, run)

    wait_and_sweep(world, TIMEOUT_MS - 1)
    assert kinds(run) == []
    wait_and_sweep(world, 1)

    assert kinds(run) == [TimedOut]
    assert run.status("a") is Status.FAILED
    assert world.engine.revoked == ["a"]
    assert str(world.engine.published[0].failure) == f"TimeoutError: it ran for longer than its time-out of {60_000} ms"


def test_the_sweep_comes_in_time(world: World) -> None:
    """A workflow rests no longer than until its earliest time-out, also where that is shorter than the interval."""
    run = start(world, timeout_ms=700, max_attempts=2)
    world.clock.advance(100)
    begin(world, run)

    assert wait_and_sweep(world, 600) == 1  # 700 ms after it was sent
    assert wait_and_sweep(world, 99) == 0
    assert wait_and_sweep(world, 1) == 1
    assert kinds(run) == [TimedOut]

    (again,) = world.engine.sent
    assert again.attempt == Attempt("a", 0, 2)
    begin(world, run, 2)
    assert wait_and_sweep(world, 699) == 0
    assert wait_and_sweep(world, 1) == 1
    assert kinds(run) == [TimedOut, TimedOut]
    assert run.workflow_state is WorkflowState.FAILURE


def test_an_outcome_that_the_engine_knows_comes_first(world: World) -> None:
    """An attempt that has ended when its time-out is noticed ends as the engine says."""
    run = start(world)
    begin(world, run)
    world.engine.known[Attempt("a")] = Finding(Succeeded(Attempt("a")), b"1")

    wait_and_sweep(world, 2 * TIMEOUT_MS)

    assert kinds(run) == [Succeeded]
    assert run.result() == 1


def test_a_late_outcome_of_an_attempt_given_up_changes_nothing(world: World) -> None:
    """What an attempt returns after it was given up is not counted, and its value not taken."""
    run = start(world, max_attempts=2)
    begin(world, run)
    wait_and_sweep(world, TIMEOUT_MS)

    world.conductor.turn(run.key, [Succeeded(Attempt("a"))], results={Attempt("a"): b'"late"'})
    assert run.status("a") is Status.SCHEDULED
    world.succeed(run, "a", value="in time")

    assert run.result() == "in time"


def test_what_never_started_is_sent_again_and_not_timed_out(world: World) -> None:
    """An attempt that waits in a queue does not time out: it is sent again when it has waited for long."""
    run = start(world)
    assert world.settings.resend_after_ms is not None

    wait_and_sweep(world, 2 * world.settings.resend_after_ms + 1)

    assert kinds(run) == []
    assert world.engine.take() == ["a"]


NEVER = Settings(resend_after_ms=None)


def test_where_nothing_is_sent_again_the_time_counts_from_the_sending() -> None:
    """With `resend_after_ms=None` an attempt that never starts times out, and is never sent again itself."""
    world = World(settings=NEVER)
    run = start(world, max_attempts=2)

    wait_and_sweep(world, TIMEOUT_MS - 1)
    assert kinds(run) == []
    wait_and_sweep(world, 1)

    assert kinds(run) == [TimedOut]
    assert [it.attempt.number for it in world.engine.sent] == [2]
    wait_and_sweep(world, TIMEOUT_MS)
    assert run.workflow_state is WorkflowState.FAILURE


def test_where_nothing_is_sent_again_a_start_still_counts() -> None:
    """Once an attempt has started, its time counts from there."""
    world = World(settings=NEVER)
    run = start(world)
    world.clock.advance(TIMEOUT_MS - 1)
    begin(world, run)

    wait_and_sweep(world, TIMEOUT_MS - 1)
    assert kinds(run) == []
    wait_and_sweep(world, 1)

    assert kinds(run) == [TimedOut]


def test_where_nothing_is_sent_again_what_was_never_sent_is_sent() -> None:
    """An owner that died before it sent is no queue that loses: the sweep sends after the grace."""
    world = World(settings=NEVER)
    world.engine.is_down = True
    start(world, timeout_ms=10 * TIMEOUT_MS)
    world.engine.is_down = False

    wait_and_sweep(world, world.settings.grace_ms + 1)

    assert world.engine.take() == ["a"]


def test_where_nothing_is_sent_again_every_node_has_a_time_out() -> None:
    """A workflow in which a lost message would never be noticed is refused, with a node to mend."""
    workflow = Workflow()
    workflow.add(call("a"), id="a", timeout=1)
    workflow.add(call("b"), id="b")
    workflow.add(call("c"), id="c")
    graph = workflow.build()[0].graph

    check_time_outs(Settings(), graph)
    with pytest.raises(UsageError, match=r"node 'b' \(and 1 more\) has none; add timeout"):
        check_time_outs(NEVER, graph)


@pytest.mark.parametrize("wrong", [{"resend_after_ms": 0}, {"retention_ms": -1}, {"snapshot_entries": 0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    """No waiting time is negative, and none but the retention is nothing."""
    with pytest.raises(ValueError, match=f"'{next(iter(wrong))}' must be >="):
        Settings(**wrong)


def test_a_loss_is_a_loss(world: World) -> None:
    """An attempt whose worker has died is lost, and not timed out, where both are noticed at once."""
    run = start(world)
    world.journal.renew_lease(Lease(WORKER, BOOT), ttl_ms=1)
    world.journal.mark(run.key, [Mark(MarkKind.STARTED, Attempt("a"), WORKER, BOOT)])

    wait_and_sweep(world, TIMEOUT_MS)

    assert kinds(run) == [Lost]


def test_an_attempt_that_was_put_back_starts_anew(world: World) -> None:
    """The engine's own retry takes the start back; the time-out counts from the next one."""
    run = start(world)
    begin(world, run)
    world.clock.advance(TIMEOUT_MS // 2)
    world.journal.mark(run.key, [Mark(MarkKind.CLEARED, Attempt("a"))])
    begin(world, run)

    wait_and_sweep(world, TIMEOUT_MS - 1)
    assert kinds(run) == []
    wait_and_sweep(world, 1)
    assert kinds(run) == [TimedOut]


def test_the_time_out_holds_while_the_engine_cannot_be_asked(world: World) -> None:
    """A result backend that is away keeps no attempt alive beyond its time-out."""
    run = start(world)
    begin(world, run)
    world.engine.is_deaf = True

    wait_and_sweep(world, TIMEOUT_MS)

    assert kinds(run) == [TimedOut]


def test_a_failure_in_time_is_a_failure(world: World) -> None:
    """A time-out that is not over changes nothing about a failure."""
    run = start(world)
    begin(world, run)

    world.observe(run, Failed(Attempt("a"), Failure("Boom")))
    wait_and_sweep(world, 2 * TIMEOUT_MS)

    assert kinds(run) == [Failed]
