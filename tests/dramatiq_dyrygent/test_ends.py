"""What becomes of a node, whatever becomes of its message: the rows of the page on how actors of Dramatiq end."""

from __future__ import annotations

import logging
from typing import Any

import dramatiq
import pytest
from attrs import define, field
from dramatiq import Broker, Message, MessageProxy
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import Middleware, Retries, SkipMessage
from dramatiq.rate_limits import ConcurrentRateLimiter
from dramatiq.rate_limits.backends import StubBackend as StubLimits
from dramatiq.results import Results
from dramatiq.results.backends import StubBackend

from dramatiq_dyrygent import DramatiqAdapter, Dyrygent, Workflow
from dyrygent_core import Attempt, Failed, Lost, Outcome, Skipped, Status, Succeeded, WorkflowState, call
from dyrygent_core.calls import Call
from dyrygent_core.ports import Submission
from dyrygent_runtime import Run
from dyrygent_runtime.fold import attempt_id
from tests.dramatiq_dyrygent.brokers import QUICK
from tests.dramatiq_dyrygent.conftest import wait_until, working


def ran(broker: StubBroker, what: Call) -> Run:
    """Run one call by itself to its end."""
    workflow = Workflow()
    workflow.add(what, id="0")
    with working(broker):
        run = DramatiqAdapter(broker).start(workflow)
        run.wait(timeout=20)
    return run


def outcome_of(run: Run) -> Outcome:
    (outcome,) = (it.observation for it in run.history() if isinstance(it.observation, Outcome))
    return outcome


def declare(broker: Broker, function: Any, **options: Any) -> None:
    dramatiq.actor(broker=broker, actor_name="it", **options)(function)


def test_an_exit_is_a_failure(stub: StubBroker) -> None:
    """`sys.exit` ends neither the thread nor the worker."""
    outcome = outcome_of(ran(stub, call("leave")))

    assert isinstance(outcome, Failed)
    assert outcome.failure.type == "SystemExit"


def test_a_time_limit_is_a_failure(stub: StubBroker) -> None:
    """Its exception is raised in the actor."""
    outcome = outcome_of(ran(stub, call("overrun").with_options(time_limit=50)))

    assert isinstance(outcome, Failed)
    assert outcome.failure.type == "TimeLimitExceeded"


def test_a_message_that_is_too_old_is_a_failure(stub: StubBroker) -> None:
    """Dramatiq rejects it before its actor starts."""
    outcome = outcome_of(ran(stub, call("stale").with_options(delay=50)))

    assert isinstance(outcome, Failed)
    assert (outcome.failure.type, outcome.failure.message) == ("SkipMessage", "Message age limit exceeded")


def test_a_message_that_is_skipped_skips_its_node(stub: StubBroker) -> None:
    """So says a middleware, or the actor itself; what needs its success is skipped too."""
    outcome = outcome_of(ran(stub, call("skip_message")))

    assert isinstance(outcome, Skipped)


def test_an_actor_that_this_worker_does_not_know_is_a_failure_for_good(stub: StubBroker) -> None:
    """Its message is rejected by the thread that fetches messages."""
    adapter = DramatiqAdapter(stub)
    workflow = Workflow()
    workflow.add(call("add", 1, 1), id="0", max_attempts=3)
    run = adapter.start(workflow)
    del stub.actors["add"]
    with working(stub):
        assert run.wait(timeout=20) is WorkflowState.FAILURE

    outcome = outcome_of(run)
    assert isinstance(outcome, Failed)
    assert (outcome.failure.type, outcome.is_final) == ("ActorNotFound", True)


def test_a_result_that_cannot_be_written_is_a_failure(stub: StubBroker) -> None:
    """Dramatiq takes it for done; the workflow cannot go on with it."""
    outcome = outcome_of(ran(stub, call("unwritable")))

    assert isinstance(outcome, Failed)
    assert outcome.failure.type == "EncodingError"


def test_retry_asks_for_another_run_though_nobody_said_how_many(stub: StubBroker) -> None:
    """`Retry` is no failure: Dramatiq's own number of retries holds for it, and after it an exception fails at once."""
    runs = list[int]()

    def it() -> None:
        runs.append(1)
        if len(runs) < 3:
            raise dramatiq.Retry(delay=1)
        message = "now"
        raise ValueError(message)

    declare(stub, it)
    outcome = outcome_of(ran(stub, call("it")))

    assert isinstance(outcome, Failed)
    assert (len(runs), outcome.failure.message) == (3, "now")


def test_a_rate_limit_asks_for_another_run(stub: StubBroker) -> None:
    """What is over a rate limit is tried again, as Dramatiq has it."""
    limiter = ConcurrentRateLimiter(StubLimits(), "it", limit=1)
    runs = list[int]()

    def it() -> int:
        runs.append(1)
        if len(runs) == 1:
            with limiter.acquire(), limiter.acquire():
                pass
        return len(runs)

    declare(stub, it, min_backoff=1)

    assert isinstance(outcome_of(ran(stub, call("it"))), Succeeded)
    assert len(runs) == 2


@pytest.mark.parametrize(("said", "runs"), [(None, 1), (2, 3)])
def test_who_says_how_often_dramatiq_retries(stub: StubBroker, said: int | None, runs: int) -> None:
    """The call; without a word of it or its actor, once is all."""
    began = list[int]()

    def it() -> None:
        began.append(1)
        raise ValueError(len(began))

    declare(stub, it, min_backoff=1)
    options = {} if said is None else {"max_retries": said}
    outcome = outcome_of(ran(stub, call("it").with_options(**options)))

    assert isinstance(outcome, Failed)
    assert (len(began), outcome.failure.message) == (runs, str(runs))


def test_the_middleware_may_leave_it_to_the_broker() -> None:
    """With `max_retries=None` the broker's Retries middleware decides."""
    broker = StubBroker(middleware=[Retries(max_retries=1, min_backoff=1)])
    broker.add_middleware(Dyrygent(settings=QUICK, max_retries=None))
    began = list[int]()

    def it() -> None:
        began.append(1)
        raise ValueError(len(began))

    declare(broker, it)
    assert isinstance(outcome_of(ran(broker, call("it"))), Failed)
    assert len(began) == 2


def test_what_is_tried_again_is_not_marked_as_started_meanwhile(stub: StubBroker) -> None:
    """So that it is found in the queue, not taken for lost with the worker that ran it first."""
    began = list[int]()

    def it() -> None:
        began.append(1)
        message = "x"
        raise ValueError(message)

    declare(stub, it, max_retries=3, min_backoff=60_000)
    workflow = Workflow()
    workflow.add(call("it"), id="0")
    with working(stub):
        adapter = DramatiqAdapter(stub)
        run = adapter.start(workflow)
        attempt = Attempt("0")
        wait_until(
            lambda: began and adapter.journal.marks(run.key, [attempt])[attempt].started_ms is None, "its return"
        )
        lease = wait_until_held(adapter)
        assert run.status("0") is Status.SCHEDULED
        run.cancel()

    assert len(lease) == 1
    assert not any(isinstance(it.observation, Outcome) for it in run.history())


def wait_until_held(adapter: DramatiqAdapter) -> frozenset[str]:
    """Wait until a lease names what waits for its time in the worker's memory."""
    held = frozenset[str]()

    def look() -> frozenset[str]:
        nonlocal held
        held = frozenset[str]().union(*(it.lease.reserved for it in adapter.journal.leases()[0]))
        return held

    wait_until(look, "a lease that names it")
    return held


def test_without_the_retries_middleware_an_exception_is_a_failure() -> None:
    """Dramatiq acknowledges such a message as done; it is a failure all the same."""
    broker = StubBroker(middleware=[])
    broker.add_middleware(Dyrygent(settings=QUICK))
    declare(broker, lambda: 1 / 0)

    outcome = outcome_of(ran(broker, call("it")))
    assert isinstance(outcome, Failed)
    assert outcome.failure.type == "ZeroDivisionError"


class Rejecting(Middleware):
    """Rejects each message before its actor runs, without an exception."""

    def before_process_message(self, _: Broker, message: MessageProxy) -> None:
        message.fail()


class Skipping(Middleware):
    """Skips each message."""

    def before_process_message(self, _: Broker, __: MessageProxy) -> None:
        raise SkipMessage("not now")


@pytest.mark.parametrize(("other", "kind"), [(Rejecting(), Failed), (Skipping(), Skipped)], ids=["rejects", "skips"])
def test_what_another_middleware_does_with_it(stub: StubBroker, other: Middleware, kind: type[Outcome]) -> None:
    """What it rejects has failed, what it skips is skipped."""
    stub.add_middleware(other)

    assert isinstance(outcome_of(ran(stub, call("add", 1, 1))), kind)


def test_a_worker_that_ends_tells_its_actors_so(stub: StubBroker) -> None:
    """An actor that asks to be told, and is not to be retried, is lost with its worker: another runs it."""
    began = list[int]()

    def it() -> int:
        began.append(1)
        end = len(began) == 1
        while end:
            pass
        return len(began)

    declare(stub, it, notify_shutdown=True, max_retries=0)
    workflow = Workflow()
    node = workflow.add(call("it"))
    workflow.returns(node.result)
    adapter = DramatiqAdapter(stub)
    with working(stub):
        run = adapter.start(workflow)
        wait_until(lambda: began, "its start")
    with working(stub):
        assert run.wait(timeout=20) is WorkflowState.SUCCESS

    outcomes = [type(it.observation) for it in run.history() if isinstance(it.observation, Outcome)]
    assert (outcomes, run.result()) == ([Lost, Succeeded], 2)


def test_a_cancelled_workflow_runs_nothing_that_waits(stub: StubBroker) -> None:
    """A worker asks the journal before it runs anything."""
    began = list[int]()
    declare(stub, lambda: began.append(1))
    workflow = Workflow()
    workflow.add(call("it"), id="0")
    run = DramatiqAdapter(stub).start(workflow)
    run.cancel("no more")
    with working(stub):
        assert run.wait(timeout=20) is WorkflowState.CANCELLED

    assert (began, run.status("0")) == ([], Status.CANCELLED)


@define
class Copying:
    """An actor that sends its own message's options on, as some do to pass a tenant along."""

    broker: StubBroker
    sent: list[str] = field(factory=list)

    def __call__(self) -> None:
        message = dramatiq.middleware.CurrentMessage.get_current_message()
        assert message is not None
        copied = Message("default", "add", (1, 1), {}, dict(message.options))
        self.sent.append(self.broker.enqueue(copied).message_id)


def test_an_actor_that_copies_its_message_ends_itself(stub: StubBroker) -> None:
    """The identity of a node goes with its own message only."""
    stub.add_middleware(dramatiq.middleware.CurrentMessage())
    copying = Copying(stub)
    declare(stub, copying)

    run = ran(stub, call("it"))

    assert run.wait() is WorkflowState.SUCCESS
    assert len(copying.sent) == 1
    assert len([it for it in run.history() if isinstance(it.observation, Outcome)]) == 1


def test_what_dramatiq_keeps_of_each_end(stub: StubBroker) -> None:
    """A value, a failure, and a skip as a failure; of what chose its branches nothing, for it could not tell them."""
    stub.add_middleware(Results(backend=StubBackend(), store_results=True))
    workflow = Workflow()
    for name, args in {"add": (1, 2), "boom": (), "skip": (), "choose": ()}.items():
        workflow.add(call(name, *args), id=name)
    workflow.returns(None)
    with working(stub):
        adapter = DramatiqAdapter(stub)
        run = adapter.start(workflow)
        run.wait(timeout=20)

    assert run.result("add") == 3  # which the journal does not keep
    folded = adapter.conductor.refresh(run.key)
    asked = [Submission(Attempt(it), attempt_id(folded, Attempt(it)), it) for it in ("add", "boom", "skip", "choose")]
    found = {attempt.node: type(finding.outcome) for attempt, finding in adapter.lookup(asked).items()}
    assert found == {"add": Succeeded, "boom": Failed, "skip": Skipped}


def test_no_value_is_said_to_be_discarded(stub: StubBroker, caplog: pytest.LogCaptureFixture) -> None:
    """Dramatiq warns about values without a Results middleware; a node's goes to its workflow."""
    with caplog.at_level(logging.WARNING):
        ran(stub, call("add", 1, 2))

    assert "discarded" not in caplog.text
