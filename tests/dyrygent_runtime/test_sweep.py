"""The sweep: progress without a single event."""

from __future__ import annotations

import pytest

from dyrygent_core import Attempt, Failed, Failure, Lost, Status, Succeeded, Workflow, WorkflowState, call
from dyrygent_core.ports import Finding, Lease, Mark, MarkKind
from dyrygent_runtime import Run
from tests.dyrygent_runtime.conftest import World

WORKER, BOOT = "w1", "boot-1"


def one(**policies: int | str) -> Workflow:
    """Build a workflow of one node that something else waits for."""
    workflow = Workflow()
    a = workflow.add(call("a"), **policies)  # type: ignore[arg-type]
    workflow.add(call("b"), after=a)
    return workflow


def started(world: World, **policies: int | str) -> Run:
    """Start it, and mark its first node as started on a worker that holds a lease."""
    run = world.start(one(**policies))
    world.engine.take()
    renew(world, run, active={"a"})
    world.journal.mark(run.key, [Mark(MarkKind.STARTED, Attempt("a"), WORKER, BOOT)])
    return run


def renew(world: World, run: Run, active: set[str] = frozenset(), reserved: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """Renew the worker's lease, naming first attempts of these nodes."""
    graph = run.state.graph
    ids = {node: f"{run.key.incarnation}.{graph.number(node)}.0.1" for node in active | reserved}
    lease = Lease(WORKER, BOOT, frozenset(ids[it] for it in active), frozenset(ids[it] for it in reserved))
    world.journal.renew_lease(lease, ttl_ms=world.settings.lease_ms)


def wait_and_sweep(world: World, milliseconds: int) -> None:
    world.clock.advance(milliseconds)
    world.sweep()


def test_an_outcome_that_only_the_engine_knows_is_recorded(world: World) -> None:
    """An attempt whose event never came ends when the engine's own record is found."""
    run = world.start(one())
    world.engine.take()
    world.engine.known[Attempt("a")] = Finding(Succeeded(Attempt("a")), b"1")

    wait_and_sweep(world, world.settings.sweep_interval_ms)

    assert run.status("a") is Status.SUCCEEDED
    assert world.engine.take() == ["b"]


def test_a_crash_between_append_and_send_is_healed_after_the_grace(world: World) -> None:
    """What the owner of an entry did not send, because it died, the sweep sends under the same id."""
    run = world.start(one())
    world.engine.take()
    world.journal.append(run.key, [Succeeded(Attempt("a"))], seen=world.conductor.refresh(run.key).seen, nonce="dead")

    wait_and_sweep(world, world.settings.grace_ms + 1)

    (sent,) = world.engine.sent
    assert (sent.attempt, sent.attempt_id) == (Attempt("b"), f"{run.key.incarnation}.1.0.1")


def test_an_unsent_attempt_that_the_engine_knows_is_not_sent_again(world: World) -> None:
    """A lost sent mark does not send twice what the engine shows a sign of."""
    run = world.start(one())
    world.engine.take()
    world.journal.append(run.key, [Succeeded(Attempt("a"))], seen=world.conductor.refresh(run.key).seen, nonce="dead")
    world.engine.known[Attempt("b")] = Finding()

    wait_and_sweep(world, 2 * world.settings.grace_ms)

    assert world.engine.take() == []


def test_an_attempt_on_a_dead_worker_is_lost_and_run_again(world: World) -> None:
    """When the lease of the worker that started an attempt has run out, the next attempt is sent."""
    run = started(world)

    wait_and_sweep(world, world.settings.lease_ms - 1)
    assert world.engine.take() == []

    wait_and_sweep(world, world.settings.sweep_interval_ms)
    (sent,) = world.engine.sent
    assert sent.attempt == Attempt("a", 0, 2)
    assert isinstance(run.history()[-1].observation, Lost)


def test_an_attempt_that_its_living_worker_forgot_is_lost(world: World) -> None:
    """A worker that renews its lease twice without naming an attempt it had started does not run it any more."""
    started(world)
    for _ in range(2):
        world.clock.advance(20_000)
        renew(world, run_of(world))
        world.sweep()

    assert [it.attempt for it in world.engine.sent] == [Attempt("a", 0, 2)]


def run_of(world: World) -> Run:
    """Give the run of the only workflow."""
    (due,) = [folded.key for folded in world.conductor._cache.values()]
    return Run(world.conductor, due)


def test_a_long_task_on_a_living_worker_is_left_alone(world: World) -> None:
    """An attempt that its worker's lease names may run for as long as it likes."""
    run = started(world)
    for _ in range(100):
        world.clock.advance(world.settings.lease_ms // 3)
        renew(world, run, active={"a"})
        world.sweep()

    assert world.engine.take() == []
    assert run.status("a") is Status.SCHEDULED


def test_an_attempt_held_by_a_dead_worker_is_sent_again_at_once(world: World) -> None:
    """What a dead worker held unstarted is sent again under the same id, once."""
    run = world.start(one())
    world.engine.take()
    renew(world, run, reserved={"a"})

    wait_and_sweep(world, world.settings.lease_ms + 1)
    assert [it.attempt for it in world.engine.sent] == [Attempt("a")]
    world.engine.take()

    wait_and_sweep(world, world.settings.sweep_interval_ms)
    assert world.engine.take() == []


def test_an_attempt_that_never_starts_is_sent_again_and_at_last_lost(world: World) -> None:
    """A sent attempt without a start is sent again after `resend_after`, doubling, and lost after the third time."""
    run = world.start(one())
    world.engine.take()
    hours = world.settings.resend_after_ms

    for wait in (1, 2, 4):
        wait_and_sweep(world, wait * hours - 1_000)
        assert world.engine.take() == []
        wait_and_sweep(world, world.settings.sweep_interval_ms)
        assert world.engine.take() == ["a"]
    wait_and_sweep(world, 8 * hours + world.settings.sweep_interval_ms)

    assert isinstance(run.history()[-1].observation, Lost)
    assert [it.attempt for it in world.engine.sent] == [Attempt("a", 0, 2)]


def test_a_task_that_kills_its_workers_is_failed(world: World) -> None:
    """The `max_losses`-th loss of a node fails it, and the workflow ends."""
    run = world.start(one(max_losses=2))
    for number in (1, 2):
        attempt = Attempt("a", 0, number)
        world.journal.mark(run.key, [Mark(MarkKind.STARTED, attempt, WORKER, f"boot-{number}")])
        wait_and_sweep(world, world.settings.lease_ms + world.settings.sweep_interval_ms)

    assert run.status("a") is Status.FAILED
    assert run.workflow_state is WorkflowState.FAILURE


def test_losses_can_fail_at_once(world: World) -> None:
    """With `on_loss="fail"` an attempt that may have run is never run again."""
    run = started(world, on_loss="fail")

    wait_and_sweep(world, world.settings.lease_ms + world.settings.sweep_interval_ms)

    assert world.engine.take() == []
    assert run.status("a") is Status.FAILED


def test_the_deadline_ends_the_workflow_in_error(world: World) -> None:
    """When the deadline passes nothing more starts, what runs is revoked, and the workflow ends in ERROR."""
    workflow = Workflow(deadline=60_000)
    a = workflow.add(call("a"))
    workflow.add(call("b"), after=a)
    run = world.start(workflow)
    world.engine.take()

    wait_and_sweep(world, 60_000)
    world.observe(run, Failed(Attempt("a"), Failure("TaskRevokedError"), is_revoked=True))

    assert world.engine.revoked == ["a"]
    assert run.workflow_state is WorkflowState.ERROR
    assert world.engine.take() == []


def test_after_a_cancel_the_silent_end_cancelled(world: World) -> None:
    """Attempts that say nothing after a cancel are revoked, and end CANCELLED when the cancel's grace is over."""
    run = world.start(one())
    world.engine.take()
    run.cancel()

    wait_and_sweep(world, world.settings.sweep_interval_ms)
    assert world.engine.revoked == ["a"]
    assert run.status("a") is Status.SCHEDULED

    wait_and_sweep(world, world.settings.cancel_grace_ms)
    assert run.status("a") is Status.CANCELLED
    assert run.workflow_state is WorkflowState.CANCELLED


def test_a_finished_workflow_whose_publisher_died_is_published(world: World) -> None:
    """If the finishing turn died before it published, the sweep publishes the same outcome, and closes."""
    run = world.start(one())
    seen = world.conductor.refresh(run.key).seen
    world.journal.append(run.key, [Succeeded(Attempt("a")), Succeeded(Attempt("b"))], seen=seen, nonce="dead")

    wait_and_sweep(world, world.settings.sweep_interval_ms)

    assert [it.state for it in world.engine.published] == [WorkflowState.SUCCESS]
    wait_and_sweep(world, 10 * world.settings.sweep_interval_ms)
    assert len(world.engine.published) == 1


def test_nothing_due_is_not_swept(world: World) -> None:
    """A workflow rests for the sweep interval between two sweep turns."""
    world.start(one())

    assert world.sweep() == 0
    world.clock.advance(world.settings.sweep_interval_ms)
    assert world.sweep() == 1
    assert world.sweep() == 0


@pytest.mark.parametrize("turns", [1, 3])
def test_revocations_are_repeated_a_few_times_only(world: World, turns: int) -> None:
    """A revocation may be lost, so it is sent up to three times."""
    run = world.start(one())
    renew(world, run, active={"a"})
    world.journal.mark(run.key, [Mark(MarkKind.STARTED, Attempt("a"), WORKER, BOOT)])
    run.cancel()
    for _ in range(turns + 2):
        renew(world, run, active={"a"})
        wait_and_sweep(world, world.settings.sweep_interval_ms)

    assert world.engine.revoked == ["a"] * min(turns + 2, 3)
