"""The builder: ids, edges, references, refusals, and what it yields."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from dyrygent_core import (
    Condition,
    CycleError,
    Definition,
    DuplicateNodeError,
    Edge,
    Node,
    RetryPolicy,
    UnknownNodeError,
    UsageError,
    Workflow,
    call,
)
from dyrygent_core.calls import Template
from dyrygent_core.refs import Default, Reference
from dyrygent_core.wiring import NodeHandle


def node_of(workflow: Workflow, node_id: str) -> Node:
    """Build, and give one node."""
    return workflow.build()[0].graph.node(node_id)


# Calls


def test_a_call_keeps_references_beside_its_arguments() -> None:
    """No stored value is ever a marker: None stands where the result will be."""
    user = NodeHandle("user")

    made = call("mail.welcome", user.result["id"], lang=[user.result.default("pl"), "en"])

    assert made.target == "mail.welcome"
    assert made.inputs == Template(
        {"args": [None], "kwargs": {"lang": [None, "en"]}},
        (
            Reference(("args", 0), "user", ("id",)),
            Reference(("kwargs", "lang", 0), "user", (), Default("pl")),
        ),
    )


def test_options_are_the_engines() -> None:
    """They are added to a copy, later ones in place of earlier."""
    plain = call("mail.send")

    assert plain.with_options(queue="mail", priority=1).with_options(queue="slow").options == {
        "queue": "slow",
        "priority": 1,
    }
    assert plain.options == {}


@pytest.mark.parametrize("target", ["", 7, None])
def test_a_call_needs_a_name(target: Any) -> None:
    """What is called is named by text."""
    with pytest.raises(UsageError) as caught:
        call(target)

    assert str(caught.value) == f"a call names its target by a non-empty str, not {target!r}"


# Ids


def test_ids_are_made_from_the_target() -> None:
    """The first has the target's name, later ones a number; given ids are left out of the count."""
    workflow = Workflow()
    ids = [
        workflow.add(call("users.create")).id,
        workflow.add(call("users.create"), id="users.create#2").id,
        workflow.add(call("users.create")).id,
        workflow.add(call("users.create")).id,
    ]

    assert ids == ["users.create", "users.create#2", "users.create#3", "users.create#4"]
    assert workflow.generated == {"users.create", "users.create#3", "users.create#4"}


def test_a_long_target_makes_an_id_that_fits() -> None:
    """It is cut, with room for the number."""
    workflow = Workflow()
    ids = [workflow.add(call("x" * 300)).id for _ in range(2)]

    assert ids == ["x" * 240, "x" * 240 + "#2"]


def test_a_duplicate_id_is_refused_and_nothing_added() -> None:
    """The workflow is as it was."""
    workflow = Workflow()
    workflow.add(call("a"), id="a")
    before = workflow.build()

    with pytest.raises(DuplicateNodeError, match="node 'a' is already in the workflow"):
        workflow.add(call("b"), id="a")

    assert workflow.build() == before


# Edges


def test_after_takes_handles_ids_and_edges() -> None:
    """One of them, or any number; of one node only once."""
    workflow = Workflow()
    a, b, c = (workflow.add(call(name)) for name in "abc")
    workflow.add(call("one"), after=a)
    workflow.add(call("id"), after="a")
    workflow.add(call("edge"), after=a.done)
    workflow.add(call("many"), after=[a, b.failed, "c", c])
    workflow.add(call("generated"), after=(handle for handle in (a, b)))

    graph = workflow.build()[0].graph
    assert {node.id: node.depends_on for node in graph.nodes[3:]} == {
        "one": (Edge("a"),),
        "id": (Edge("a"),),
        "edge": (Edge("a", "done"),),
        "many": (Edge("a"), Edge("b", "failed"), Edge("c")),
        "generated": (Edge("a"), Edge("b")),
    }


def test_a_handle_has_an_edge_for_every_condition() -> None:
    """`done`, `failed`, `skipped`, `not_failed`; the handle itself is left to the rule."""
    node = NodeHandle("a")

    assert [edge.condition for edge in (node.done, node.failed, node.skipped, node.not_failed)] == [
        Condition.DONE,
        Condition.FAILED,
        Condition.SKIPPED,
        Condition.NOT_FAILED,
    ]


def test_a_node_may_be_added_before_those_it_waits_for() -> None:
    """Whether they are there is checked when it is built."""
    workflow = Workflow()
    workflow.add(call("load"), after="extract")
    with pytest.raises(UnknownNodeError, match="node 'load' waits for 'extract', which is not in the graph"):
        workflow.build()

    workflow.add(call("extract"))

    assert [node.id for node in workflow.build()[0].graph.nodes] == ["extract", "load"]


def test_a_cycle_is_found_when_it_is_built() -> None:
    """References make edges too."""
    workflow = Workflow()
    workflow.add(call("a", NodeHandle("b").result))
    workflow.add(call("b"), after="a")

    with pytest.raises(CycleError):
        workflow.build()


# References


@pytest.mark.parametrize(
    ("trigger", "with_default", "edge"),
    [
        ("all_success", False, Edge("a")),
        ("all_done", False, Edge("a", "succeeded")),
        ("none_failed", False, Edge("a", "succeeded")),
        ("all_failed", False, Edge("a", "succeeded")),
        ("all_done", True, Edge("a")),
        ("none_failed_min_one_success", True, Edge("a")),
    ],
)
def test_a_reference_makes_an_edge(trigger: str, with_default: bool, edge: Edge) -> None:  # noqa: FBT001  # a case
    """It needs success, under whatever AND-rule; with a default it is for a node that may run without."""
    workflow = Workflow()
    result = workflow.add(call("a")).result
    workflow.add(call("b", {"deep": [result.default(None) if with_default else result]}), trigger=trigger)

    assert node_of(workflow, "b").depends_on == (edge,)


def test_after_says_more_about_a_node_that_is_referred_to() -> None:
    """The edge that is named counts; the reference adds none."""
    workflow = Workflow()
    a = workflow.add(call("a"))
    workflow.add(call("b", a.result.default(None)), after=a.done)

    assert node_of(workflow, "b").depends_on == (a.done,)


def _one_success(workflow: Workflow, a: NodeHandle) -> None:
    workflow.add(call("b", a.result.default(None)), after=a, trigger="one_success")


def _min_one(workflow: Workflow, a: NodeHandle) -> None:
    workflow.add(call("b", a.result), after=a, trigger="none_failed_min_one_success")


@pytest.mark.parametrize(
    ("add", "message"),
    [
        (
            lambda workflow, a: workflow.add(call("b", a.result), after=a.done),
            ("node 'b' refers to the result of 'a', which may have none: the edge asks for 'done' only; "
            "write .result.default(value) to say what to use then"),
        ),
        (
            lambda workflow, _: workflow.add(call("b", workflow.add(call("c"), allow_failure=True).result)),
            ("node 'b' refers to the result of 'c', which may have none: its failure is allowed; "
            "write .result.default(value) to say what to use then"),
        ),
        (
            _min_one,
            ("node 'b' refers to the result of 'a', which may have none: the rule 'none_failed_min_one_success' runs "
            "without some dependencies; write .result.default(value) to say what to use then"),
        ),
        (
            _one_success,
            ("node 'b' refers to the result of 'a', but 'one_success' runs before its other dependencies are decided; "
            "read results in a node after it"),
        ),
        (
            lambda workflow, a: workflow.add(call("b"), after=[a, a.done]),
            "after= names 'a' under two conditions; name it once",
        ),
        (
            lambda workflow, a: workflow.add(call("b"), after=a.result),
            "after= takes nodes, not results; write the node 'a' itself",
        ),
        (
            lambda workflow, _: workflow.add(call("b"), after=None),
            "after= takes node handles, ids and edges such as node.done, not NoneType",
        ),
        (
            lambda workflow, _: workflow.add("b"),
            "add takes what a node runs as call(name, …), not a value of type str",
        ),
        (
            lambda workflow, a: workflow.add(call("b", a.result.default([a.result]))),
            "the default for the result of 'a' contains the result of 'a'; a default must be a plain value",
        ),
        (
            lambda workflow, a: workflow.add(call("b", a)),
            "node 'a' itself stands in the arguments at ['args'][0]; write .result for its result",
        ),
        (
            lambda workflow, a: workflow.add(call("b").with_options(queue=a.result["queue"])),
            "the options of 'b' refer to the result of 'a'; only arguments can, so pass it as one",
        ),
        (
            lambda workflow, _: workflow.add(call("b"), trigger="one_failed"),
            "node 'b': 'one_failed' needs at least one dependency",
        ),
        (
            lambda workflow, _: workflow.add(call("a\0")),
            "an id must not contain NUL or a lone surrogate: 'a\\x00'",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused(add: Callable[[Workflow, NodeHandle], Any], message: str) -> None:
    """The message says what to write instead; no node of that name is there, and its id stays free."""
    workflow = Workflow()
    a = workflow.add(call("a"))

    with pytest.raises(UsageError) as caught:
        add(workflow, a)

    assert str(caught.value) == message
    assert "b" not in workflow
    assert workflow.add(call("b")).id == "b"


def test_a_refused_node_uses_up_no_number() -> None:
    """Ids do not depend on what was refused before."""
    workflow = Workflow()
    a = workflow.add(call("a"))
    workflow.add(call("b"))
    with pytest.raises(UsageError):
        workflow.add(call("b", a.result), after=a.done)

    assert workflow.add(call("b")).id == "b#2"


def test_a_reference_to_a_node_added_later_is_checked_when_built() -> None:
    """Only then is it known that its failure is allowed."""
    workflow = Workflow()
    workflow.add(call("b", NodeHandle("a").result))
    workflow.add(call("a"), allow_failure=True)

    with pytest.raises(UsageError, match="'a', which may have none: its failure is allowed"):
        workflow.build()


# What it yields


def test_policies_go_to_the_node() -> None:
    """All that `Node` takes, `add` takes."""
    workflow = Workflow()
    policies: dict[str, Any] = {
        "allow_failure": True,
        "max_attempts": 3,
        "retry": RetryPolicy(1_000),
        "on_loss": "fail",
        "max_losses": 2,
    }
    workflow.add(call("a"), **policies)

    assert node_of(workflow, "a") == Node("a", **policies)


def test_without_sinks_a_workflow_returns_nothing() -> None:
    """An empty workflow can be built."""
    definition, calls = Workflow("empty").build()

    assert (len(definition.graph), definition.output.value, calls) == (0, {}, ())


def test_the_only_sink_gives_the_result() -> None:
    """None where it has no value; it is kept."""
    workflow = Workflow("one")
    workflow.add(call("b", workflow.add(call("a")).result))

    definition, calls = workflow.build()

    assert definition == Definition(
        definition.graph,
        Template(None, (Reference((), "b", (), Default(None)),)),
        kept=frozenset({"a", "b"}),
        name="one",
    )
    assert [item.target for item in calls] == ["a", "b"]


def test_several_sinks_give_a_mapping() -> None:
    """From node ids to results."""
    workflow = Workflow()
    workflow.add(call("a"))
    workflow.add(call("b"))

    output = workflow.build()[0].output

    assert output.value == {"a": None, "b": None}
    assert [(reference.at, reference.node) for reference in output.references] == [(("a",), "a"), (("b",), "b")]


def test_returns_says_what_the_result_is() -> None:
    """Any value, with references anywhere in it; only those are kept."""
    workflow = Workflow()
    a = workflow.add(call("a"))
    workflow.add(call("b"), after=a)
    workflow.returns({"first": a.result["x"], "again": a.result.default(0)})

    definition, _ = workflow.build()

    assert definition.output == Template(
        {"first": None, "again": None},
        (
            Reference(("again",), "a", (), Default(0)),
            Reference(("first",), "a", ("x",), Default(None)),
        ),
    )
    assert definition.kept == {"a"}


def test_returns_names_nodes_of_the_workflow() -> None:
    """A result of nobody's is refused when it is built."""
    workflow = Workflow()
    workflow.add(call("load"))
    workflow.returns(NodeHandle("lod").result)

    with pytest.raises(UnknownNodeError, match=r"node 'lod' is not in the graph; did you mean 'load'\?"):
        workflow.build()


@pytest.mark.parametrize(
    ("deadline", "milliseconds"),
    [(None, None), (1, 1), (timedelta(days=7), 604_800_000), (timedelta(seconds=0.5), 500)],
)
def test_a_deadline_is_a_timedelta_or_milliseconds(deadline: timedelta | int | None, milliseconds: int | None) -> None:
    """Counted from the start."""
    assert Workflow(deadline=deadline).build()[0].graph.deadline_ms == milliseconds


@pytest.mark.parametrize("deadline", [0, -1, timedelta(0), timedelta(microseconds=999)])
def test_a_deadline_below_a_millisecond_is_refused(deadline: timedelta | int) -> None:
    """At once, not when the workflow is built."""
    with pytest.raises(UsageError, match="deadline must be at least 1, not"):
        Workflow(deadline=deadline)


def test_a_workflow_is_shown_shortly() -> None:
    """Its name and size; it knows its nodes."""
    workflow = Workflow("onboard")
    workflow.add(call("a"))

    assert repr(workflow) == "<Workflow 'onboard' of 1 nodes>"
    assert len(workflow) == 1
    assert "a" in workflow
