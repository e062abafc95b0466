"""Combinations of rule, condition, map, role and reference that cannot be are refused, and the message mends them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dyrygent_core import (
    Attempt,
    Each,
    Edge,
    Graph,
    Node,
    NodeHandle,
    Role,
    UnknownNodeError,
    UsageError,
    Workflow,
    call,
)

A_PART_OF_M = Node("x", ["m"], each=Each("m", ("key",)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Node("n", ["a"], role="finally"),
            ("node 'n' is for the whole workflow ('finally'), so it waits for every ordinary node; "
            "drop its dependencies, or make it an ordinary node"),
        ),
        (
            lambda: Node("n", each="a", role="on_error"),
            ("node 'n' is for the whole workflow ('on_error'), so it waits for every ordinary node; "
            "drop its dependencies, or make it an ordinary node"),
        ),
        (lambda: Node("n", each="a"), "node 'n' maps over 'a'; name that among its dependencies too"),
        (
            lambda: Node("n", [Edge("a", "done")], each="a"),
            ("node 'n' maps over the result of 'a', so it needs that node's success, but asks for 'done'; "
            "use the rule 'all_success', or give that edge the condition 'succeeded'"),
        ),
        (
            lambda: Node("n", ["a"], each="a", trigger="none_failed"),
            ("node 'n' maps over the result of 'a', so it needs that node's success, but asks for 'not_failed'; "
            "use the rule 'all_success', or give that edge the condition 'succeeded'"),
        ),
        (
            lambda: Node("n", ["a", "b"], each="a", trigger="one_success"),
            ("node 'n' maps over the result of 'a', so it needs that node's success, but asks for 'one_success'; "
            "use the rule 'all_success'"),
        ),
        (
            lambda: Each("a", (1.5,)),  # type: ignore[arg-type]
            "a path has keys that are str and indexes that are int, not float: 1.5",
        ),
        (
            lambda: Node("n", each=7),  # type: ignore[arg-type]
            "each must be an id or Each(id, path), not int: 7",
        ),
        (
            lambda: Node("n", retry=1_000),  # type: ignore[arg-type]
            "retry must be a RetryPolicy(delay_ms, …), not int: 1000",
        ),
        (
            lambda: Node("n", allow_failure=1),  # type: ignore[arg-type]
            "allow_failure must be True or False, not int: 1",
        ),
        (
            lambda: Graph([Node("a", allow_failure=True), Node("n", ["a"], each="a")]),
            ("node 'n' maps over 'a', whose failure is allowed, so that there may be no list; "
            "drop allow_failure there, or put a node between that always returns a list"),
        ),
        (
            lambda: Graph([Node("a"), Node("m", ["a"], each="a"), A_PART_OF_M]),
            ("node 'x' maps over a part of 'm', which is mapped itself; "
            "map over the whole of it, one instance for each of its instances"),
        ),
        (
            lambda: Graph([Node("end", role=Role.FINALLY), Node("n", ["end"])]),
            ("node 'n' waits for 'end', which is for the whole workflow ('finally') and starts after all others; "
            "drop that dependency, or make 'end' an ordinary node"),
        ),
        (
            lambda: Attempt("a", -1),
            "an attempt has an index of 0 or more and a number of 1 or more, not -1, 1",
        ),
        (
            lambda: Attempt("a", 0, 0),
            "an attempt has an index of 0 or more and a number of 1 or more, not 0, 0",
        ),
    ],
)  # fmt: skip
def test_what_no_outcome_could_satisfy_is_no_graph(make: Callable[[], object], message: str) -> None:
    """A value that exists is valid."""
    with pytest.raises(UsageError) as caught:
        make()

    assert str(caught.value) == message


def _after_the_end(workflow: Workflow, _: NodeHandle) -> None:
    end = workflow.finally_(call("end"))
    workflow.finally_(call("b", end.result.default(None)))


@pytest.mark.parametrize(
    ("add", "message"),
    [
        (
            lambda workflow, _: workflow.add(call("b"), each=workflow.item),
            "each= maps over a result of a node; workflow.item is for the call of a mapped node: add it with each=",
        ),
        (
            lambda workflow, a: workflow.add(call("b"), each=a.result.default([])),
            ("each= maps over a result of 'a' that has a default, but a node that it maps over always has succeeded; "
            "drop the default"),
        ),
        (
            lambda workflow, _: workflow.add(call("b"), each=[1, 2]),
            ("each= takes a node or a part of its result, not list: [1, 2]; "
            "to map over what is known already, let a node return it"),
        ),
        (
            lambda workflow, _: workflow.add(call("b"), after=workflow.summary),
            "after= takes nodes; workflow.summary is for the call of finally_, on_error or on_success",
        ),
        (
            lambda workflow, _: workflow.add(call("b", workflow.item)),
            "node 'b': workflow.item is for the call of a mapped node: add it with each=",
        ),
        (
            lambda workflow, _: workflow.add(call("b", workflow.summary)),
            "node 'b': workflow.summary is for the call of finally_, on_error or on_success",
        ),
        (
            lambda workflow, _: workflow.finally_(call("b"), after=["a"]),
            ("'after' is nothing that a node of the whole workflow takes: it waits for all ordinary nodes, and takes "
            "allow_failure, max_attempts, max_losses, on_loss, priority, retry, timeout"),
        ),
        (lambda workflow, _: workflow.add(call("b"), priority=0.5), "priority must be a whole number, not float: 0.5"),
        (lambda workflow, _: workflow.add(call("b"), timeout="1s"), "timeout must be a whole number, not str: '1s'"),
    ],
)  # fmt: skip
def test_what_the_builder_refuses_leaves_nothing(add: Callable[[Workflow, NodeHandle], Any], message: str) -> None:
    """No node was added, and its id stays free."""
    workflow = Workflow()
    a = workflow.add(call("a"))
    before = workflow.build()

    with pytest.raises(UsageError) as caught:
        add(workflow, a)

    assert str(caught.value) == message
    assert workflow.build() == before
    assert workflow.add(call("b")).id == "b"


@pytest.mark.parametrize(
    ("add", "problem", "message"),
    [
        (
            lambda workflow, a: workflow.finally_(call("b", a.result)),
            UsageError,
            ("node 'b' runs whatever became of 'a', so its result may be missing; "
            "write .result.default(value) to say what to use then"),
        ),
        (
            _after_the_end,
            UsageError,
            ("node 'b' refers to the result of 'end', which is for the whole workflow too and starts at the same time; "
            "do both in one task"),
        ),
        (
            lambda workflow, _: workflow.finally_(call("b", NodeHandle("x").result.default(None))),
            UnknownNodeError,
            "node 'x' is not in the graph; add that node first",
        ),
        (
            lambda workflow, _: workflow.returns(workflow.summary["state"]),
            UsageError,
            "returns takes results of nodes; workflow.summary is for the call of finally_, on_error or on_success",
        ),
    ],
)  # fmt: skip
def test_what_is_referred_to_may_have_to_be_there(
    add: Callable[[Workflow, NodeHandle], Any], problem: type[Exception], message: str
) -> None:
    """A node of the whole workflow runs whatever became of others; at the latest, building looks at that."""

    def build() -> None:
        workflow = Workflow()
        add(workflow, workflow.add(call("a")))
        workflow.build()

    with pytest.raises(problem) as caught:
        build()

    assert str(caught.value) == message


@pytest.mark.parametrize("name", [7, None, b"x"])
def test_a_workflow_is_named_by_text(name: Any) -> None:
    """What is no text is refused before anything else is looked at."""
    with pytest.raises(UsageError, match="a workflow's name must be a str, not "):
        Workflow(name)
