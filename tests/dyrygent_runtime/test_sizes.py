"""How large a call's arguments may be, as written and with the results in place that they refer to."""

from __future__ import annotations

import pytest

from dyrygent_core import Attempt, LimitError, Status, Succeeded, UnknownWorkflowError, Workflow, WorkflowState, call
from dyrygent_core.codec import MAX_ARGUMENT_BYTES
from dyrygent_runtime import Run, resolution
from dyrygent_runtime.fold import failure_in
from tests.dyrygent_runtime.conftest import World

_MOST = 1_000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the limit a thousand bytes: what is decided does not depend on it."""
    monkeypatch.setattr(resolution, "MAX_RESOLVED_BYTES", _MOST)


def _joined(world: World, *sizes: int) -> Run:
    """Run a join of results of so many bytes each, to which another node refers too, by a part."""
    workflow = Workflow()
    parts = [workflow.add(call("load"), id=f"load {at}") for at in range(len(sizes))]
    workflow.add(call("join", [part.result for part in parts]), id="join")
    workflow.add(call("count", [part.result["size"] for part in parts]), id="count")
    run = world.start(workflow)
    for part, size in zip(parts, sizes, strict=True):
        filler = "x" * (size - len('{"size":1,"text":""}'))
        data = f'{{"size":1,"text":"{filler}"}}'.encode()
        assert len(data) == size
        world.conductor.turn(run.key, [Succeeded(Attempt(part.id))], results={Attempt(part.id): data})
    return run


def test_results_that_are_too_large_together_fail_the_node_that_refers_to_them(world: World) -> None:
    """It is not sent, and its failure says which node, how much, the limit, and what to do; all others go on."""
    run = _joined(world, 600, 600)

    assert [it.attempt.node for it in world.engine.sent if it.attempt.node in {"join", "count"}] == ["count"]
    assert run.status("join") is Status.FAILED
    failure = failure_in(world.conductor.refresh(run.key), Attempt("join"))
    assert failure is not None
    assert failure.type == "LimitError"
    assert failure.message == (
        "the arguments of node 'join' take 1,200 bytes with the results that they refer to, more than 1,000; refer to "
        "the parts that it needs (node.result['key']), or let those nodes store their data elsewhere and return where "
        "it lies"
    )
    world.succeed(run, "count")
    assert run.workflow_state is WorkflowState.FAILURE


def test_results_that_just_fit_are_sent(world: World) -> None:
    """The limit itself is allowed."""
    run = _joined(world, 500, 500)

    assert run.status("join") is Status.SCHEDULED
    assert {it.attempt.node for it in world.engine.sent} >= {"join", "count"}


def test_a_result_counts_as_often_as_it_is_referred_to(world: World) -> None:
    """Six copies of what fits five times are too much."""
    workflow = Workflow()
    one = workflow.add(call("load"), id="one")
    workflow.add(call("five", *[one.result] * 5), id="five")
    workflow.add(call("six", *[one.result] * 6), id="six")
    run = world.start(workflow)
    world.conductor.turn(run.key, [Succeeded(Attempt("one"))], results={Attempt("one"): b'"' + b"x" * 198 + b'"'})

    assert (run.status("five"), run.status("six")) == (Status.SCHEDULED, Status.FAILED)


def test_of_a_part_only_the_part_counts(world: World) -> None:
    """What is stored may be larger by far; a part that is too large itself is refused."""
    workflow = Workflow()
    one = workflow.add(call("load"), id="one")
    workflow.add(call("small", one.result["small"]), id="small")
    workflow.add(call("large", one.result["large"]), id="large")
    run = world.start(workflow)
    data = b'{"small": 1, "large": "' + b"x" * 2_000 + b'"}'
    world.conductor.turn(run.key, [Succeeded(Attempt("one"))], results={Attempt("one"): data})

    assert (run.status("small"), run.status("large")) == (Status.SCHEDULED, Status.FAILED)


def test_each_instance_of_a_mapped_node_has_the_limit_for_itself(world: World) -> None:
    """A list that is too large as a whole is mapped over; whoever refers to all of it fails."""
    workflow = Workflow()
    one = workflow.add(call("load"), id="one")
    workflow.add(call("each"), each=one, id="each")
    workflow.add(call("all", one.result), id="all")
    run = world.start(workflow)
    element = '"' + "x" * 300 + '"'
    blocks = {Attempt("one", 1): f"[{','.join([element] * 5)}]".encode()}
    world.conductor.turn(run.key, [Succeeded(Attempt("one"), sizes=(5,))], results=blocks)

    assert [it.attempt.index for it in world.engine.sent if it.attempt.node == "each"] == [0, 1, 2, 3, 4]
    assert (run.status("each"), run.status("all")) == (Status.SCHEDULED, Status.FAILED)


def test_a_workflow_with_a_call_that_is_too_large_is_not_started(world: World) -> None:
    """The error names the node, and nothing is written."""
    workflow = Workflow()
    workflow.add(call("a"), id="a")
    workflow.add(call("b", "x" * MAX_ARGUMENT_BYTES), id="b")
    with pytest.raises(LimitError, match=r"the arguments of node 'b' take 1,048,\d+ bytes, more than 1,048,576"):
        world.start(workflow, id="w")

    with pytest.raises(UnknownWorkflowError):
        world.journal.definition("w")
    assert world.engine.sent == []
