"""Making an adapter, and what it refuses before anything is started."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dramatiq
import dramatiq.broker
import pytest
import redis
from dramatiq import Broker, PickleEncoder, set_encoder
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import CurrentMessage, default_middleware
from dramatiq.results import Results
from dramatiq.results.backends import StubBackend

from dramatiq_dyrygent import DramatiqAdapter, Dyrygent, Workflow
from dramatiq_dyrygent.brokers import redis_url_of
from dramatiq_dyrygent.options import UnknownActorError
from dyrygent_core import Call, Status, UsageError, WorkflowState, call
from dyrygent_core.errors import EncodingError
from dyrygent_runtime.journals import MemoryJournal
from tests.dramatiq_dyrygent import actors
from tests.dramatiq_dyrygent.brokers import QUICK
from tests.dramatiq_dyrygent.conftest import wait_until, working

# Which broker, which journal


def test_a_broker_without_the_middleware_gets_it() -> None:
    """With what the adapter was given; it stands first, and other adapters of the broker share its journal."""
    broker, journal = StubBroker(), MemoryJournal("mine")
    adapter = DramatiqAdapter(broker, journal=journal, settings=QUICK)

    assert isinstance(broker.middleware[0], Dyrygent)
    assert DramatiqAdapter(broker).journal is adapter.journal is journal
    assert DramatiqAdapter(broker).conductor.settings is QUICK
    assert sum(isinstance(it, Dyrygent) for it in broker.middleware) == 1


def test_the_global_broker_is_the_default(stub: StubBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere in Dramatiq."""
    monkeypatch.setattr(dramatiq.broker, "global_broker", stub)

    assert DramatiqAdapter().broker is stub


@pytest.mark.parametrize(
    ("broker", "url"),
    [
        (RedisBroker, "redis://localhost:6379/0"),
        (lambda: RedisBroker(url="redis://:s%2Fcret@db.example:6380/3"), "redis://:s%2Fcret@db.example:6380/3"),
        (
            lambda: RedisBroker(host="::1", db=2, username="ada", password="p@ss"),  # an address in brackets
            "redis://ada:p%40ss@[::1]:6379/2",
        ),
        (lambda: RedisBroker(url="unix:///run/redis.sock?db=4"), "unix:///run/redis.sock?db=4"),
        (
            lambda: RedisBroker(url="rediss://h:1/0?ssl_cert_reqs=none&ssl_ca_certs=/ca.pem"),
            "rediss://h:1/0?ssl_ca_certs=%2Fca.pem&ssl_cert_reqs=none",
        ),
    ],
)
def test_a_redis_broker_keeps_workflows_where_its_messages_are(broker: Callable[[], Broker], url: str) -> None:
    """However its client was told where that is."""
    assert redis_url_of(broker()) == url


def test_what_no_url_describes_is_refused() -> None:
    """A client that finds its server by itself, or asks for its password."""
    broker = RedisBroker(client=redis.Sentinel([("127.0.0.1", 1)]).master_for("m"))

    with pytest.raises(UsageError, match=r"SentinelManagedConnection.*Dyrygent\(journal='redis://…'\)"):
        DramatiqAdapter(broker)
    assert not any(isinstance(it, Dyrygent) for it in broker.middleware)


def test_rabbitmq_keeps_no_workflows() -> None:
    """The start of a worker warns, making an adapter is refused, and nothing is added."""
    broker = RabbitmqBroker(url="amqp://127.0.0.1:1")

    with pytest.raises(UsageError, match=r"RabbitmqBroker cannot keep workflows; .*Dyrygent\(journal='redis://…'\)"):
        DramatiqAdapter(broker)
    assert not any(isinstance(it, Dyrygent) for it in broker.middleware)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: DramatiqAdapter(MemoryJournal()), r"takes a broker.*MemoryJournal.*journal=…"),  # type: ignore[arg-type]
        (lambda: DramatiqAdapter(StubBroker(), journal="file://x"), r"no journal can be kept at 'file://x'"),
        (lambda: Dyrygent(options="tenant"), r"options=\['tenant'\]"),
        (lambda: DramatiqAdapter(StubBroker(), journal=MemoryJournal("a"), namespace="b"), "'b'.*'a'"),
    ],
)
def test_what_an_adapter_is_not_made_of(make: Callable[[], object], match: str) -> None:
    """Each is told what to write instead."""
    with pytest.raises(UsageError, match=match):
        make()


def test_two_journals_of_one_namespace_are_refused() -> None:
    """Nobody could tell whose a message is; with namespaces of their own both work, in one worker."""
    broker = StubBroker()
    actors.declare(broker)
    one = DramatiqAdapter(broker, journal=MemoryJournal("one"), settings=QUICK)
    with pytest.raises(UsageError, match="namespace 'one'"):
        DramatiqAdapter(broker, journal=MemoryJournal("one"))

    with working(broker):
        two = DramatiqAdapter(broker, journal=MemoryJournal("two"), settings=QUICK)
        for adapter in (one, two):
            workflow = Workflow()
            workflow.add(call("add", 1, workflow.add(call("add", 1, 1)).result))
            run = adapter.start(workflow)
            assert run.wait(timeout=20) is WorkflowState.SUCCESS
            assert run.result() == 3


def test_two_brokers_in_one_process() -> None:
    """Each has its own actors and workflows."""
    brokers = [StubBroker(), StubBroker()]
    adapters = [DramatiqAdapter(it, settings=QUICK) for it in brokers]
    for number, broker in enumerate(brokers):
        dramatiq.actor(lambda number=number: number, broker=broker, actor_name=f"on_{number}")
    with working(brokers[0]), working(brokers[1]):
        for number, adapter in enumerate(adapters):
            workflow = Workflow()
            workflow.add(call(f"on_{number}"))
            run = adapter.start(workflow)
            assert run.wait(timeout=20) is WorkflowState.SUCCESS
            assert run.result() == number


def test_an_actor_of_another_broker_is_refused(stub: StubBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is said where it is."""
    monkeypatch.setattr(dramatiq.broker, "global_broker", stub)
    workflow = Workflow()
    workflow.add(call("add", 1, 2))

    with pytest.raises(UnknownActorError, match=r"'add' .*StubBroker; it is declared on the global StubBroker"):
        DramatiqAdapter(StubBroker()).start(workflow)


# The place of the middleware


@pytest.mark.parametrize("place", ["first", "last", "before it", "after the worker"])
def test_the_place_of_the_middleware_is_its_own_matter(place: str) -> None:
    """Wherever it or another is added, it stands first, so that it reports when all others have had their say."""
    first = [Dyrygent(settings=QUICK), *(it() for it in default_middleware)]
    broker = StubBroker(middleware=first if place == "first" else None)
    if place != "first":
        broker.add_middleware(Dyrygent(settings=QUICK))
    results = Results(backend=StubBackend(), store_results=True)
    if place == "before it":
        broker.add_middleware(results, before=Dyrygent)
    actors.declare(broker)
    with working(broker):
        if place == "after the worker":
            broker.add_middleware(results, before=Dyrygent)
        workflow = Workflow()
        workflow.add(call("boom"))
        run = DramatiqAdapter(broker).start(workflow)

        assert run.wait(timeout=20) is WorkflowState.FAILURE
        assert isinstance(broker.middleware[0], Dyrygent)


def test_the_middleware_twice_is_refused(stub: StubBroker) -> None:
    """By the adapter, and by the worker, which does not start, and leaves nothing behind that keeps its process."""
    stub.add_middleware(Dyrygent())
    before = set(threading.enumerate())

    with pytest.raises(UsageError, match="StubBroker has the middleware Dyrygent twice; add it once"):
        DramatiqAdapter(stub)
    with pytest.raises(UsageError, match="twice"), working(stub):
        pass
    assert [it for it in set(threading.enumerate()) - before if not it.daemon] == []


def test_a_worker_without_a_journal_runs_on(caplog: pytest.LogCaptureFixture) -> None:
    """It warns, and runs its other messages."""
    broker = StubBroker()
    broker.add_middleware(Dyrygent(journal="file://nowhere"))
    done = list[int]()
    dramatiq.actor(lambda: done.append(1), broker=broker, actor_name="it")
    with caplog.at_level("WARNING"), working(broker):
        broker.actors["it"].send()
        wait_until(lambda: done, "the actor's run")

    assert "this worker cannot run workflows: no journal can be kept at 'file://nowhere'" in caplog.text


# What is checked at the start


@pytest.mark.parametrize(
    ("what", "match"),
    [
        (call("adds", 1), "no actor named 'adds' is declared on this StubBroker; did you mean 'add'?"),
        (call("xyzzy"), r"import its module first, or say where it waits: call\(…\).with_options\(queue=…\)"),
        (call("add", 1).with_options(max_retrys=3), "'max_retrys'.*did you mean 'max_retries'"),
        (call("add", 1).with_options(tenant="x"), r"'tenant'.*Dyrygent\(options=…\)"),
        (call("add", 1).with_options(priority=1), r"'priority'.*@dramatiq.actor\(priority=…\)"),
        (call("add", 1).with_options(queue_name="q"), "'queue_name': write queue"),
        (call("add", 1).with_options(pipe_target={}), "edges say what comes next"),
        (call("add", 1).with_options(throws=1), "declare it at the actor"),
        (call("add", 1).with_options(delay=-1), "'delay' of the call of 'add' must be milliseconds"),
        (call("add", 1).with_options(delay=8 * 86_400_000), "7 days"),
        (call("add", 1).with_options(max_retries="3"), "'max_retries' of the call of 'add' must be a whole number"),
        (call("add", 1).with_options(time_limit=True), "'time_limit' of the call of 'add' must be milliseconds"),
        (call("add", 1).with_options(queue="defualt"), r"did you mean 'default'\? .*broker.declare_queue\('defualt'\)"),
        (call("add", 1).with_options(queue=""), "'queue' of the call of 'add' must be a queue's name"),
    ],
)
def test_what_no_call_may_say(stub: StubBroker, what: Call, match: str) -> None:
    """It is refused with the repair, and nothing is started."""
    adapter = DramatiqAdapter(stub)
    workflow = Workflow()
    workflow.add(call("add", 1, 1))
    workflow.add(what)

    with pytest.raises(UsageError, match=match):
        adapter.start(workflow, id="refused")
    assert stub.queues["default"].qsize() == 0
    assert adapter.start(Workflow(), id="refused").id == "refused"  # which no other has


def test_options_that_others_read_may_be_named() -> None:
    """They travel with the message."""
    broker = StubBroker()
    broker.add_middleware(Dyrygent(settings=QUICK, options=["tenant"]))
    broker.add_middleware(CurrentMessage())
    seen = list[object]()

    def it() -> None:
        message: Any = CurrentMessage.get_current_message()
        seen.append((message.options["tenant"], message.options["max_age"], message.queue_name))

    dramatiq.actor(it, broker=broker)
    broker.declare_queue("slow")
    with working(broker):
        workflow = Workflow()
        workflow.add(call("it").with_options(tenant="x", queue="slow", max_age=60_000, delay=1))
        assert DramatiqAdapter(broker).start(workflow).wait(timeout=20) is WorkflowState.SUCCESS

    assert seen == [("x", 60_000, "slow")]


def test_an_unknown_actor_error_pickles() -> None:
    """As all errors do, with its text."""
    error = UnknownActorError("adds", "StubBroker", known=["add"])

    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301  # our own


def test_an_actor_that_nobody_here_knows_may_run_elsewhere(redis_url: str) -> None:
    """If its call says in which queue it waits; nothing here begins to consume that."""
    broker = RedisBroker(url=redis_url, namespace="dyrygent_test_dramatiq_elsewhere")
    workflow = Workflow()
    workflow.add(call("theirs", 1).with_options(queue="theirs"), id="0")
    run = DramatiqAdapter(broker).start(workflow)
    try:
        assert run.status("0") is Status.SCHEDULED
        assert broker.do_qsize("theirs") == 1
        assert broker.get_declared_queues() == set()
    finally:
        run.delete(on_unfinished="delete")
        broker.flush("theirs")
        for key in broker.client.scan_iter("dyrygent_test_dramatiq_elsewhere*"):
            broker.client.delete(key)


# Values


def test_arguments_that_cannot_be_encoded_are_refused(stub: StubBroker) -> None:
    """Before anything is started, naming the node."""
    workflow = Workflow()
    workflow.add(call("pack", object()), id="odd")

    with pytest.raises(EncodingError, match="odd"):
        DramatiqAdapter(stub).start(workflow)


@pytest.fixture
def _pickling() -> Iterator[None]:
    before = dramatiq.get_encoder()
    set_encoder(PickleEncoder())
    yield
    set_encoder(before)


@pytest.mark.usefixtures("_pickling")
def test_what_the_users_own_encoder_writes_may_be_passed(stub: StubBroker) -> None:
    """As between their actors; what it cannot write either is refused."""
    workflow = Workflow()
    given = workflow.add(call("pack", {1, 2}, Path("x")))
    workflow.add(call("pack", given.result[0]))
    with working(stub):
        adapter = DramatiqAdapter(stub)
        run = adapter.start(workflow)
        assert run.wait(timeout=20) is WorkflowState.SUCCESS

    assert run.result() == [{1, 2}]
    with pytest.raises(EncodingError, match="PickleEncoder"):
        adapter.values.encode(lambda: 0)
