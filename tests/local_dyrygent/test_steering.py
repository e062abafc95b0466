"""Tasks that steer their workflow, and the nodes that follow all others."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from dyrygent_core import RetryPolicy, SkipNode, Status, Take, Workflow, WorkflowFailedError, WorkflowState, call
from tests.local_dyrygent.conftest import Locals, ended


def const(value: object = None) -> object:
    return value


def boom(*_: object) -> None:
    message = "boom"
    raise ValueError(message)


def give_up() -> None:
    message = "nothing to do"
    raise SkipNode(message)


# Branches


def branching(*branches: str) -> Workflow:
    """Build a node that takes `branches` out of left and right, and a join that takes what there is."""
    workflow = Workflow()
    choice = workflow.add(call("choose", list(branches)), id="choice")
    left = workflow.add(call("const", choice.result), id="left")
    right = workflow.add(call("const", "r"), after=choice, id="right")
    workflow.add(
        call("const", [left.result.default("-"), right.result.default("-")]),
        trigger="none_failed_min_one_success",
        id="join",
    )
    return workflow


@pytest.mark.parametrize(
    ("branches", "expected"), [((), None), (("left",), ["v", "-"]), (("left", "right"), ["v", "r"])]
)
def test_a_task_takes_branches(local: Locals, branches: tuple[str, ...], expected: object) -> None:
    """Of those that wait for a node that returned `Take` only the named ones run; its value is their argument."""
    run = local(choose=lambda names: Take("v", names), const=const).start(branching(*branches))

    assert ended(run) is WorkflowState.SUCCESS
    assert run.result() == expected
    assert [run.status(side) is Status.SUCCEEDED for side in ("left", "right")] == [
        side in branches for side in ("left", "right")
    ]


def test_a_branch_that_is_not_there_fails_the_node(local: Locals) -> None:
    """A branch that does not wait directly for the node fails it, without a retry, and the error names some that do."""
    workflow = branching("join")
    run = local(choose=lambda names: Take("v", names), const=const).start(workflow)

    assert ended(run) is WorkflowState.FAILURE
    assert run.state.attempt("choice").number == 1
    with pytest.raises(WorkflowFailedError, match=r"took the branch 'join', .*; take some of 'left', 'right'"):
        run.result()


def test_an_instance_takes_no_branches(local: Locals) -> None:
    """An instance of a mapped node that chooses fails, and says why."""
    workflow = Workflow()
    picked = workflow.add(call("choose"), each=workflow.add(call("const", [1])), id="picked")
    workflow.add(call("const"), after=picked, id="below")
    run = local(choose=lambda _: Take(1, ["below"]), const=const).start(workflow)

    assert ended(run) is WorkflowState.FAILURE
    with pytest.raises(WorkflowFailedError, match="an instance of 'picked' took branches"):
        run.result()


def test_a_take_may_hold_a_list_to_map_over(local: Locals) -> None:
    """What a `Take` holds is measured as any other result."""
    workflow = Workflow()
    source = workflow.add(call("choose"), id="source")
    workflow.add(call("const"), each=source, id="mapped")
    workflow.add(call("const"), after=source, id="other")
    workflow.returns(workflow_result := source.result)
    run = local(choose=lambda: Take([1, 2], ["mapped"]), const=const).start(workflow)

    assert ended(run) is WorkflowState.SUCCESS
    assert workflow_result.node == "source"
    assert run.state.width("mapped") == 2
    assert run.status("other") is Status.SKIPPED


def test_a_task_skips_itself(local: Locals) -> None:
    """A task that raises `SkipNode` ends SKIPPED, and so does what needs its success, without a failure or a retry."""
    workflow = Workflow()
    node = workflow.add(call("give_up"), max_attempts=3, id="node")
    workflow.add(call("const", 1), after=node, id="below")
    workflow.add(call("const", 2), after=node.skipped, id="instead")
    run = local(give_up=give_up, const=const).start(workflow)

    assert ended(run) is WorkflowState.SUCCESS
    assert [run.status(it) for it in ("node", "below", "instead")] == [
        Status.SKIPPED,
        Status.SKIPPED,
        Status.SUCCEEDED,
    ]


# Nodes of the whole workflow


def with_finalizers(target: str) -> Workflow:
    """Build one node, and one of each kind that follows."""
    workflow = Workflow()
    work = workflow.add(call(target), id="work")
    workflow.finally_(call("note", "finally", workflow.summary, work.result.default("none")), id="finally")
    workflow.on_error(call("note", "error", workflow.summary["failed"][0]), id="error")
    workflow.on_success(call("note", "success", workflow.summary["state"]), id="success")
    return workflow


def test_a_success_is_followed_by_its_own(local: Locals) -> None:
    """After a success `finally_` and `on_success` run, with the summary and with results."""
    notes: dict[str, Any] = {}
    run = local(const=const, note=lambda name, *rest: notes.update({name: rest})).start(with_finalizers("const"))

    assert ended(run) is WorkflowState.SUCCESS
    summary = {"workflow_id": run.id, "state": "SUCCESS", "failed": [], "failed_count": 0}
    assert notes == {"finally": (summary, None), "success": ("SUCCESS",)}
    assert run.status("error") is Status.SKIPPED


def test_a_failure_is_followed_by_its_own(local: Locals) -> None:
    """After a failure `finally_` and `on_error` run, and are told what failed."""
    notes: dict[str, Any] = {}
    run = local(boom=boom, note=lambda name, *rest: notes.update({name: rest})).start(with_finalizers("boom"))

    assert ended(run) is WorkflowState.FAILURE
    failed = {"node": "work", "error": "ValueError: boom"}
    summary = {"workflow_id": run.id, "state": "FAILURE", "failed": [failed], "failed_count": 1}
    assert notes == {"finally": (summary, "none"), "error": (failed,)}


def test_a_cancel_is_followed_by_finally_only(local: Locals) -> None:
    """After a cancel `finally_` runs when what was in flight has ended, and no other node."""
    notes: dict[str, Any] = {}
    has_begun, may_end = threading.Event(), threading.Event()

    def slow() -> None:
        has_begun.set()
        may_end.wait(10)

    adapter = local(slow=slow, note=lambda name, *rest: notes.update({name: rest[0]["state"]}))
    run = adapter.start(with_finalizers("slow"))
    assert has_begun.wait(10)
    run.cancel()
    assert not notes
    may_end.set()

    assert ended(run) is WorkflowState.CANCELLED
    assert notes == {"finally": "CANCELLED"}


def test_a_failing_finalizer_fails_the_workflow(local: Locals) -> None:
    """A node of the whole workflow that fails turns SUCCESS into FAILURE; its retries are its own."""
    tries: list[int] = []

    def flaky() -> None:
        tries.append(1)
        boom()

    workflow = Workflow()
    workflow.add(call("const"))
    workflow.finally_(call("flaky"), max_attempts=2, retry=RetryPolicy(delay_ms=10), id="last")
    run = local(const=const, flaky=flaky).start(workflow)

    assert ended(run) is WorkflowState.FAILURE
    assert len(tries) == 2
    with pytest.raises(WorkflowFailedError, match="node 'last' failed first: ValueError: boom"):
        run.result()
