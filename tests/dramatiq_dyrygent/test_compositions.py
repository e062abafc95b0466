"""Pipelines and groups as graphs: what Dramatiq would run, with the same arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dramatiq
import dramatiq.broker
import pytest
from dramatiq import Message, group, pipeline
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import GroupCallbacks
from dramatiq.rate_limits.backends import StubBackend as StubLimits
from dramatiq.results import Results
from dramatiq.results.backends import StubBackend

from dramatiq_dyrygent import DramatiqAdapter, Workflow
from dyrygent_core import Status, UsageError, WorkflowState, call
from dyrygent_runtime import Run
from tests.dramatiq_dyrygent.conftest import working


@pytest.fixture
def messages(stub: StubBroker, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Message[Any]]:
    """Make messages by the names of their actors; `|` pipes them on the global broker."""
    monkeypatch.setattr(dramatiq.broker, "global_broker", stub)

    def make(actor: str, *args: Any, **options: Any) -> Message[Any]:
        return stub.actors[actor].message_with_options(args=args, **options)

    return make


def run_of(stub: StubBroker, workflow: Workflow) -> Run:
    with working(stub):
        run = DramatiqAdapter(stub).start(workflow)
        run.wait(timeout=20)
    return run


def after_of(workflow: Workflow) -> dict[str, set[str]]:
    definition, _ = workflow.build()
    return {node.id: {edge.node for edge in node.depends_on} for node in definition.graph.nodes}


def calls_of(workflow: Workflow) -> dict[str, Any]:
    definition, calls = workflow.build()
    return {node.id: it for node, it in zip(definition.graph.nodes, calls, strict=True)}


Make = Callable[..., Message[Any]]

COMPOSITIONS: dict[str, Callable[[Make, StubBroker], Any]] = {
    "a message": lambda m, _: m("pack", 1),
    "a pipeline": lambda m, _: m("pack", 1) | m("pack", 2) | m("pack", 3),
    "a pipeline of pipelines": lambda m, b: pipeline([m("pack", 1) | m("pack", 2), m("pack", 3)], broker=b),
    "a result is passed behind the arguments": lambda m, _: m("pack", 1) | m("pack", "own", "arguments"),
    "a result is ignored": lambda m, _: m("pack", 1) | m("pack", 2, pipe_ignore=True) | m("pack", 3),
    "nothing is passed on as None": lambda m, _: m("skip_nothing") | m("pack"),
    "a group": lambda m, b: group([m("pack", 1), m("pack", 2)], broker=b),
    "a group of pipelines": lambda m, b: group([m("pack", 1) | m("pack", 2), m("pack", 3)], broker=b),
    "a group of groups": lambda m, b: group([group([m("pack", 1)], broker=b), m("pack", 2)], broker=b),
    "delays": lambda m, _: m("pack", 1) | m("pack", 2, delay=30),
}


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_it_comes_to_what_dramatiq_makes_of_it(stub: StubBroker, messages: Make, name: str) -> None:
    """The value of each composition equals that of Dramatiq's own run of it."""
    dramatiq.actor(lambda: None, broker=stub, actor_name="skip_nothing")
    stub.add_middleware(Results(backend=StubBackend(), store_results=True))
    ours, theirs = (COMPOSITIONS[name](messages, stub) for _ in range(2))
    workflow = Workflow()
    workflow.add_composition(ours)
    with working(stub):
        if isinstance(theirs, Message):
            stub.enqueue(theirs)
            expected: Any = theirs.get_result(backend=stub.get_results_backend(), block=True)
        else:
            whole = theirs.run()
            expected = list(whole.get_results(block=True)) if isinstance(whole, group) else whole.get_result(block=True)
        run = DramatiqAdapter(stub).start(workflow)
        assert run.wait(timeout=20) is WorkflowState.SUCCESS

    assert run.result() == expected


def test_completion_callbacks_wait_for_the_whole_group(stub: StubBroker, messages: Make) -> None:
    """Nested groups too, which Dramatiq itself refuses there; a callback may be a pipeline."""
    stub.add_middleware(GroupCallbacks(StubLimits()))
    inner = group([messages("pack", 2), messages("pack", 3) | messages("pack", 4)], broker=stub)
    whole = group([messages("pack", 1), inner], broker=stub)
    whole.add_completion_callback((messages("add", 1, 1) | messages("add", 5)).messages[0])
    inner.add_completion_callback(messages("pair", 1))
    workflow = Workflow()
    imported = workflow.add_composition(whole)

    after = after_of(workflow)
    assert after["pair"] == {"pack#2", "pack#4"}
    assert after["add"] == {"pack", "pack#2", "pack#4"}
    assert after["add#2"] == {"add"}
    assert [it.id for it in imported.last] == ["pack", "pack#2", "pack#4"]
    run = run_of(stub, workflow)
    assert run.result() == [[1], [[2], [4, [3]]]]
    assert set(run.statuses.values()) == {Status.SUCCEEDED}


def test_an_actor_may_keep_its_result_to_itself(stub: StubBroker, messages: Make) -> None:
    """`pipe_ignore` of the actor before counts as that of the message after."""
    stub.actors["pair"].options["pipe_ignore"] = True
    workflow = Workflow()
    workflow.add_composition(pipeline([messages("pair", 1), messages("pack", "mine")], broker=stub))

    assert run_of(stub, workflow).result() == ["mine"]


def test_what_a_message_says_is_what_its_call_says(messages: Make) -> None:
    """Its options and its queue; what Dramatiq writes into messages that it has sent is left out."""
    sent = messages("pack", 1, max_retries=2, retries=1, traceback="…", eta=1, redis_message_id="x")
    workflow = Workflow()
    workflow.add_composition(sent.copy(queue_name="slow.DQ"))

    assert dict(calls_of(workflow)["pack"].options) == {"max_retries": 2, "queue": "slow"}


def test_it_stands_among_other_nodes(stub: StubBroker, messages: Make) -> None:
    """It may wait for others, others for it, and its value may be an argument; messages are nodes by themselves too."""
    workflow = Workflow()
    first = workflow.add(messages("add", 1, 1))
    imported = workflow.add_composition(group([messages("pack", 1), messages("pack", 2)], broker=stub), after=first)
    workflow.add(messages("pack", imported.result), id="last")
    workflow.finally_(messages("pack"))

    assert after_of(workflow)["pack"] == {"add"}
    assert run_of(stub, workflow).result("last") == [[[1], [2]]]


def test_a_wide_and_deep_composition(messages: Make, stub: StubBroker) -> None:
    """Nothing here calls itself."""
    nested: Any = messages("pack")
    for _ in range(400):
        nested = group([nested], broker=stub)
    workflow = Workflow()
    workflow.add_composition(nested)
    workflow.add_composition(pipeline([messages("pack") for _ in range(300)], broker=stub))

    assert len(workflow) == 301


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda _, b: pipeline([], broker=b), "this pipeline is empty"),
        (lambda _, b: group([], broker=b), "this group is empty"),
        (lambda m, b: group([m("pack"), group([], broker=b)], broker=b), "this group is empty"),
        (lambda m, _: [m("pack")], "a composition is a pipeline, a group or a message"),
        (lambda m, b: group([m("pack"), "pack"], broker=b), "not a value of type str: 'pack'"),
        (lambda _, b: b.actors["pack"], "a message"),
    ],
)
def test_what_is_no_composition(stub: StubBroker, messages: Make, make: Callable[..., Any], match: str) -> None:
    """Is refused, and nothing is added."""
    workflow = Workflow()
    workflow.add(call("pack"))

    with pytest.raises(UsageError, match=match):
        workflow.add_composition(make(messages, stub))
    assert list(after_of(workflow)) == ["pack"]


def test_a_group_that_contains_itself_is_refused(stub: StubBroker, messages: Make) -> None:
    """Rather than imported for ever; so is a message that is piped to itself."""
    whole = group([messages("pack")], broker=stub)
    whole.children.append(group([whole], broker=stub))
    with pytest.raises(UsageError, match="this group contains itself"):
        Workflow().add_composition(whole)

    piped = messages("pack")
    piped.options["pipe_target"] = piped.asdict()
    with pytest.raises(UsageError, match="'pack' is piped to itself"):
        Workflow().add_composition(piped)


@pytest.mark.parametrize("add", [Workflow.add, Workflow.finally_, Workflow.on_error, Workflow.on_success])
def test_what_is_no_single_node(stub: StubBroker, messages: Make, add: Callable[..., Any]) -> None:
    """A composition is added by another name."""
    piped = (messages("pack") | messages("pack")).messages[0]
    for what, match in (
        (messages("pack") | messages("pack"), r"add that with add_composition\(…\)"),
        (group([], broker=stub), r"add that with add_composition\(…\)"),
        (piped, "'pack' is piped to another"),
        (7, "not a 'int'"),
    ):
        workflow = Workflow()
        with pytest.raises(UsageError, match=match):
            add(workflow, what)
        assert len(workflow) == 0
