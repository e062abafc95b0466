"""The sweep: progress without a single event."""

from __future__ import annotations

import pytest

from dyrygent_core import Attempt, Failed, Failure, Lost, Status, Succeeded, Workflow, WorkflowState, call
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.ports import Finding, Lease, Mark, MarkKind, Query
from dyrygent_runtime import Run, sweep_workflow
from dyrygent_runtime.reports import returned
from tests.dyrygent_runtime.conftest import World
from tests.dyrygent_runtime.sweeping import BOOT, WORKER, one, renew, resend_after_ms, wait_and_sweep, watching


def started(world: World, **policies: int | str) -> Run:
    """Start it, and mark its first node as started on a worker that holds a lease."""
    run = world.start(one(**policies))
    world.engine.take()
    renew(world, run, active={"a"})
    world.journal.mark(run.key, [Mark(MarkKind.STARTED, Attempt("a"), WORKER, BOOT)])
    return run


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


def test_what_a_worker_had_begun_that_ended_in_order_is_lost_after_a_lease_s_time(world: World) -> None:
    """It may have put the message back, and it may wait in its queue: until then another worker can begin it."""
    run = started(world)
    world.journal.renew_lease(Lease(WORKER, BOOT), ttl_ms=0)

    wait_and_sweep(world, world.settings.lease_ms)
    assert world.engine.take() == []

    wait_and_sweep(world, world.settings.sweep_interval_ms)
    assert [it.attempt for it in world.engine.sent] == [Attempt("a", 0, 2)]
    assert "ended before it" in run.history()[-1].observation.reason


def test_what_a_worker_that_ended_in_order_put_back_goes_on_under_the_same_attempt(world: World) -> None:
    """Once another worker has begun it, it is that worker's."""
    run = started(world)
    world.journal.renew_lease(Lease(WORKER, BOOT), ttl_ms=0)
    world.clock.advance(world.settings.lease_ms - 1)
    world.journal.mark(run.key, [Mark(MarkKind.STARTED, Attempt("a"), "w2", BOOT)])
    for _ in range(10):
        renew(world, run, active={"a"}, worker="w2")
        wait_and_sweep(world, world.settings.renewal_ms)

    assert world.engine.take() == []
    assert run.status("a") is Status.SCHEDULED


def run_of(world: World) -> Run:
    """Give the run of the only workflow."""
    (listed,) = world.journal.list(Query(), limit=2).items
    return Run(world.conductor, listed.key)


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


# Queues that lose, and queues that are long


def test_an_attempt_that_never_starts_is_sent_again_and_at_last_lost(world: World) -> None:
    """It is sent again after `resend_after`, doubling with each time, and lost after the third, if its queue moves."""
    run = beside(world, "earlier", "elsewhere")
    hour_ms = resend_after_ms(world)

    for hours in (1, 2, 4):
        begin(world, run, "later")
        wait_and_sweep(world, hours * hour_ms)
        assert world.engine.take() == []
        wait_and_sweep(world, world.settings.sweep_interval_ms)
        assert world.engine.take() == ["lost"]
    begin(world, run, "later")
    wait_and_sweep(world, 8 * hour_ms + world.settings.sweep_interval_ms)

    assert isinstance(run.history()[-1].observation, Lost)
    assert [it.attempt for it in world.engine.sent] == [Attempt("lost", 0, 2)]


def test_in_a_backlog_it_is_sent_again_later(world: World) -> None:
    """While nothing sent later to its queue has started, it is given one doubling more, but no more than 4 times."""
    run = world.start(one())
    world.engine.take()
    hour_ms = resend_after_ms(world)

    for hours in (2, 4, 4):
        wait_and_sweep(world, hours * hour_ms)
        assert world.engine.take() == []
        wait_and_sweep(world, world.settings.sweep_interval_ms)
        assert world.engine.take() == ["a"]
    wait_and_sweep(world, 8 * hour_ms + world.settings.sweep_interval_ms)

    assert isinstance(run.history()[-1].observation, Lost)


def test_another_queue_or_an_earlier_attempt_shows_nothing(world: World) -> None:
    """A queue moves only by what was sent later, and to the same queue."""
    run = beside(world, "earlier", "elsewhere")

    wait_and_sweep(world, resend_after_ms(world) + world.settings.sweep_interval_ms)
    assert world.engine.take() == []
    begin(world, run, "later")
    wait_and_sweep(world, world.settings.sweep_interval_ms)

    assert world.engine.take() == ["lost"]


def test_what_was_sent_later_and_has_ended_shows_it_too(world: World) -> None:
    """The queue has moved, even if the attempt that shows it is long over; instances of maps count as others do."""
    workflow = Workflow()
    listed = workflow.add(call("list"), id="list")
    workflow.add(call("x"), each=listed, id="mapped")
    run = world.start(workflow)
    attempts = [Attempt("mapped", index) for index in range(3)]
    listing, results = returned(Attempt("list"), [1, 2, 3], JSON_VALUES, is_kept=True, measure=[()])
    world.conductor.turn(run.key, [listing], results=results)
    world.journal.mark(run.key, [Mark(MarkKind.STARTED, attempts[2], WORKER, BOOT)])
    world.observe(run, Succeeded(attempts[2]))
    world.engine.sent.clear()

    wait_and_sweep(world, resend_after_ms(world) + world.settings.sweep_interval_ms)

    assert [it.attempt for it in world.engine.sent] == attempts[:2]


def beside(world: World, *begun: str) -> Run:
    """Start a workflow with one attempt that its queue loses, sent between others, of which some have begun."""
    workflow = Workflow()
    for node in ("earlier", "lost", "elsewhere", "later"):
        queue = "other" if node == "elsewhere" else "same"
        workflow.add(call(node).with_options(queue=queue), id=node, max_losses=9)
    run = world.start(workflow)
    world.engine.take()
    for node in begun:
        begin(world, run, node)
    return run


def begin(world: World, run: Run, node: str) -> None:
    """Mark a node's first attempt as started on a worker that lives for ever."""
    ids = frozenset(f"{run.key.incarnation}.{number}.0.1" for number in (0, 2, 3))
    world.journal.renew_lease(Lease(WORKER, BOOT, ids), ttl_ms=10**10)
    world.journal.mark(
        run.key, [Mark(MarkKind.SENT, Attempt(node)), Mark(MarkKind.STARTED, Attempt(node), WORKER, BOOT)]
    )


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


def test_an_attempt_that_its_holders_die_of_is_sent_again_a_few_times(world: World) -> None:
    """What one dead worker after another held is sent again at once each time, and lost after the last."""
    run = world.start(one())
    world.engine.take()
    name = frozenset({f"{run.key.incarnation}.0.0.1"})
    for number in range(4):
        world.journal.renew_lease(Lease(WORKER, f"boot-{number}", reserved=name), ttl_ms=world.settings.lease_ms)
        wait_and_sweep(world, world.settings.lease_ms + world.settings.sweep_interval_ms)

    assert [it.attempt for it in world.engine.sent] == [*[Attempt("a")] * 3, Attempt("a", 0, 2)]
    assert "whoever held it died" in run.history()[-1].observation.reason


def test_what_is_cancelled_before_it_was_sent_waits_for_its_owner(world: World) -> None:
    """An unsent attempt is given up after the grace, when its owner has stopped sending, and not before."""
    world.engine.is_down = True
    run = world.start(one())
    run.cancel()

    wait_and_sweep(world, world.settings.sweep_interval_ms)
    assert run.status("a") is Status.SCHEDULED
    wait_and_sweep(world, world.settings.grace_ms)

    assert run.status("a") is Status.CANCELLED
    assert world.engine.revoked == ["a"]


def test_a_workflow_whose_workers_all_died_is_picked_up_by_a_later_one(world: World) -> None:
    """Nobody is left, and long afterwards the sweeper of a new worker goes on to the end."""
    run = started(world)
    world.clock.advance(30 * 86_400_000)
    later = world.process()

    watching(world, later).round()
    (again,) = world.engine.sent
    later.turn(run.key, [Succeeded(again.attempt)])
    later.turn(run.key, [Succeeded(Attempt("b"))])

    assert run.workflow_state is WorkflowState.SUCCESS


def test_a_sweeper_sends_within_half_its_claim(world: World) -> None:
    """What a sweep turn cannot send before others may claim the workflow is left to them."""
    world.engine.is_down = True
    run = world.start(one())
    world.engine.is_down = False
    world.clock.advance(world.settings.grace_ms + 1)
    (due,) = world.journal.due(limit=1, claim_ms=world.settings.claim_ms)
    claimed_ms = world.clock.monotonic_ms()

    world.clock.advance(world.settings.claim_ms // 2 + 1)
    sweep_workflow(world.process(), due, claimed_ms=claimed_ms)
    assert world.engine.take() == []
    wait_and_sweep(world, world.settings.sweep_interval_ms)

    assert world.engine.take() == ["a"]
    assert run.status("a") is Status.SCHEDULED
