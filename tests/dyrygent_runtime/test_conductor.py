"""The conductor: the turn, ownership by position, and what follows from it."""

from __future__ import annotations

from dyrygent_core import (
    Attempt,
    CancelRequested,
    Definition,
    Failed,
    Failure,
    Graph,
    Node,
    RetryPolicy,
    Status,
    Succeeded,
    Workflow,
    WorkflowState,
    call,
)
from dyrygent_core.codec import JSON_VALUES, encode_call, encode_definition
from dyrygent_core.ports import NewWorkflow, Refusal, WorkflowKey
from tests.dyrygent_runtime.conftest import World
from tests.dyrygent_runtime.shapes import chain, fan


def test_start_sends_the_roots(world: World) -> None:
    """Starting a workflow sends the nodes that wait for nothing, and no others."""
    run = world.start(chain("a", "b"))

    assert world.engine.take() == ["a"]
    assert run.workflow_state is WorkflowState.RUNNING


def test_a_turn_sends_what_its_own_entry_emitted_with_results_in_place(world: World) -> None:
    """The turn that records an outcome sends what this makes runnable, references resolved."""
    run = world.start(chain("a", "b"))
    world.engine.take()

    world.succeed(run, "a", value={"answer": [42]})

    (sent,) = world.engine.sent
    assert sent.attempt == Attempt("b")
    assert sent.call.inputs.value == {"args": [{"answer": [42]}], "kwargs": {}}
    assert sent.is_kept


def test_only_the_owner_sends(world: World) -> None:
    """What an entry makes runnable is sent by the process that appended it, not by those that fold it later."""
    workflow = Workflow()
    parts = [workflow.add(call("part", n)) for n in range(3)]
    workflow.add(call("join"), after=parts)
    run = world.start(workflow)
    world.engine.take()
    first, second = world.process(), world.process()
    for process in (first, second):
        process.refresh(run.key)

    first.turn(run.key, [Succeeded(Attempt("part"))])
    second.turn(run.key, [Succeeded(Attempt("part#2"))])
    assert world.engine.take() == []

    first.turn(run.key, [Succeeded(Attempt("part#3"))])
    assert world.engine.take() == ["join"]

    second.turn(run.key, [Succeeded(Attempt("part#3"))])
    assert world.engine.take() == []


def test_a_repeated_outcome_changes_nothing(world: World) -> None:
    """A second outcome of one attempt starts nothing, and the first recorded value stays."""
    run = world.start(chain("a", "b", "c"))
    world.succeed(run, "a", value=1)
    world.engine.take()

    world.conductor.turn(run.key, [Succeeded(Attempt("a"))], results={Attempt("a"): JSON_VALUES.encode(2)})

    assert world.engine.take() == []
    assert run.result("a") == 1


def test_the_finishing_turn_publishes_and_closes(world: World) -> None:
    """The turn that finishes a workflow publishes its outcome once, and nothing is due any more."""
    run = world.start(chain("a", "b"))
    world.succeed(run, "a", value=1)
    world.succeed(run, "b", value="end")

    (outcome,) = world.engine.published
    assert (outcome.state, outcome.value) == (WorkflowState.SUCCESS, "end")
    assert run.result() == "end"
    world.clock.advance(10 * world.settings.sweep_interval_ms)
    assert world.sweep() == 0


def test_a_failure_reaches_everything_below_and_ends_the_workflow(world: World) -> None:
    """After a failure nothing below it runs, and the workflow ends in FAILURE and tells the failure."""
    run = world.start(chain("a", "b", "c"))
    world.engine.take()

    world.fail(run, "a", "no")

    assert world.engine.take() == []
    assert run.status("c") is Status.UPSTREAM_FAILED
    (outcome,) = world.engine.published
    assert outcome.state is WorkflowState.FAILURE
    assert outcome.failure == Failure("Boom", "no")


def test_a_refused_dispatch_fails_its_node(world: World) -> None:
    """An attempt that the engine will never take fails with the reason, and is not retried."""
    refusal = Refusal(Attempt("b"), Failure("EncodeError", "no such codec"))
    world.engine.refused["b"] = refusal
    workflow = Workflow()
    a = workflow.add(call("a"))
    workflow.add(call("b"), after=a, max_attempts=5)
    run = world.start(workflow)

    world.succeed(run, "a")

    assert run.status("b") is Status.FAILED
    assert world.engine.published[0].failure == refusal.failure


def test_a_reference_to_a_missing_part_fails_its_node(world: World) -> None:
    """A reference to a key that the result lacks fails the node that refers to it, and says what is there."""
    workflow = Workflow()
    a = workflow.add(call("a"))
    b = workflow.add(call("b", a.result["id"]))
    run = world.start(workflow)

    world.succeed(run, "a", value={"name": "x"})

    assert run.status(b) is Status.FAILED
    failure = world.engine.published[0].failure
    assert failure is not None
    assert failure.type == "ResultPathError"
    assert "nothing at ['id']" in failure.message


def test_a_broken_transport_fails_nothing_and_the_sweep_sends(world: World) -> None:
    """Attempts that could not be sent stay in flight, and the sweep sends them after the grace time."""
    run = world.start(chain("a", "b"))
    world.engine.take()
    world.engine.is_down = True
    world.succeed(run, "a", value=1)
    assert run.status("b") is Status.SCHEDULED
    world.engine.is_down = False

    world.clock.advance(world.settings.grace_ms)
    world.sweep()
    assert world.engine.take() == []

    world.clock.advance(world.settings.sweep_interval_ms)
    world.sweep()
    assert world.engine.take() == ["b"]


def test_retries_wait_for_their_time(world: World) -> None:
    """A failed attempt with attempts left runs again under another id once its delay is over."""
    workflow = Workflow()
    workflow.add(call("a"), max_attempts=2, retry=RetryPolicy(delay_ms=60_000))
    run = world.start(workflow)
    world.engine.take()

    world.fail(run, "a")
    assert run.status("a") is Status.READY
    world.clock.advance(59_000)
    world.sweep()
    assert world.engine.take() == []

    world.clock.advance(5_000)
    world.sweep()
    (sent,) = world.engine.sent
    assert sent.attempt == Attempt("a", 0, 2)
    assert sent.attempt_id.endswith(".0.0.2")


def test_a_cancel_starts_nothing_more(world: World) -> None:
    """After a cancel nothing starts; what runs may end, and the workflow ends CANCELLED."""
    run = world.start(chain("a", "b"))
    world.engine.take()

    run.cancel("enough")
    world.succeed(run, "a", value=1)

    assert world.engine.take() == []
    assert (run.status("a"), run.status("b")) == (Status.SUCCEEDED, Status.CANCELLED)
    assert run.workflow_state is WorkflowState.CANCELLED


def test_a_wide_step_is_handed_over_after_the_first_chunk(world: World) -> None:
    """In a worker the owner sends its limit and hands the rest over; the processor turn sends exactly the rest."""
    run = world.start(fan(250))
    world.engine.take()
    world.engine.takes_over = True

    world.conductor.turn(run.key, [Succeeded(Attempt("root"))], send_limit=100)

    assert world.engine.take() == [f"leaf-{n}" for n in range(100)]
    assert world.engine.handed_over == [(run.key, 2, 100)]
    world.process().go_on(run.key, 2, 100)
    assert world.engine.take() == [f"leaf-{n}" for n in range(100, 250)]


def test_what_the_same_turn_ends_is_not_sent(world: World) -> None:
    """An attempt that one entry of a turn emits and a later one ends is not sent."""
    workflow = Workflow()
    before = workflow.add(call("a"), id="a")
    for node in ("b", "c"):
        before = workflow.add(call(node), id=node, after=before)
    run = world.start(workflow)
    world.engine.take()

    world.observe(run, Succeeded(Attempt("a")), Succeeded(Attempt("b")))

    assert world.engine.take() == ["c"]


def test_refusals_may_follow_from_each_other_for_long(world: World) -> None:
    """A long chain of nodes that the engine refuses is gone through one by one, at no depth."""
    workflow = Workflow()
    before = workflow.add(call("first"), id="first")
    for number in range(1_500):
        node = f"n{number}"
        world.engine.refused[node] = Refusal(Attempt(node), Failure("Refused"))
        before = workflow.add(call("next"), id=node, after=before.done)
    run = world.start(workflow)

    world.succeed(run, "first")

    assert run.workflow_state is WorkflowState.FAILURE
    assert run.state.counts[Status.FAILED] == 1_500


def test_late_outcomes_of_a_finished_workflow_publish_nothing_again(world: World) -> None:
    """An outcome that comes after the end is recorded, changes nothing, and the workflow is closed again."""
    run = world.start(chain("a"))
    world.succeed(run, "a", value=1)

    world.observe(run, Failed(Attempt("a"), Failure("Late")), CancelRequested())

    assert len(world.engine.published) == 1
    assert run.workflow_state is WorkflowState.SUCCESS
    world.clock.advance(10 * world.settings.sweep_interval_ms)
    assert world.sweep() == 0


def test_a_call_that_cannot_be_read_fails_its_node(world: World) -> None:
    """What another serialiser wrote is refused like what the engine never takes, so nothing waits for it for ever."""
    definition = encode_definition(Definition(Graph([Node("a"), Node("b", ["a"])])))
    readable = encode_call("a", call("a"), JSON_VALUES)
    new = NewWorkflow(WorkflowKey("w", "1"), "digest", definition, (readable, b"\x80\x05K\x01."))
    world.journal.create(new, nonce="n", due_in_ms=1)

    world.conductor.turn(new.key, [Succeeded(Attempt("a"))])

    state = world.conductor.refresh(new.key).state
    assert (state.status("b"), state.workflow_state) == (Status.FAILED, WorkflowState.FAILURE)
    assert world.engine.published[0].failure is not None
    assert world.engine.published[0].failure.type == "UnsupportedVersionError"
