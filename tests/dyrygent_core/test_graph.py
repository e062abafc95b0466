"""Graphs: what is refused, in which words, and what can be read from one that exists."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import pytest

from dyrygent_core import (
    CycleError,
    DuplicateNodeError,
    Edge,
    Graph,
    LimitError,
    Node,
    OnLoss,
    RetryPolicy,
    Trigger,
    UnknownNodeError,
    UsageError,
)
from dyrygent_core import graph as graph_module


def test_a_graph_orders_its_nodes_topologically() -> None:
    """Nodes may be declared in any order; among the free, the first declared comes first."""
    graph = Graph([Node("c", ["b"]), Node("z"), Node("b", ["a"]), Node("a")])

    assert [node.id for node in graph.nodes] == ["z", "a", "b", "c"]
    assert graph.number("c") == 3
    assert graph.node("b") == Node("b", ["a"])
    assert graph.dependents("a") == ("b",)
    assert graph.sinks == ("z", "c")
    assert len(graph) == 4


def test_an_unknown_dependency_is_refused_with_the_closest_id() -> None:
    """The message names both nodes and what was probably meant."""
    with pytest.raises(UnknownNodeError) as caught:
        Graph([Node("extrac"), Node("load", ["extract"])])

    assert str(caught.value) == "node 'load' waits for 'extract', which is not in the graph; did you mean 'extrac'?"
    assert (caught.value.node, caught.value.wanted_by) == ("extract", "load")


def test_an_unknown_id_without_a_close_one() -> None:
    """Nothing is suggested that is not alike."""
    with pytest.raises(UnknownNodeError) as caught:
        Graph([Node("a")]).number("report")

    assert str(caught.value) == "node 'report' is not in the graph; add that node first"


def test_a_duplicate_id_is_refused() -> None:
    """Two nodes of one id cannot be told apart."""
    with pytest.raises(DuplicateNodeError) as caught:
        Graph([Node("a"), Node("a")])

    assert str(caught.value) == "node 'a' is already in the workflow; give one of the two another id"
    assert caught.value.node == "a"


def test_a_cycle_is_refused_with_its_path() -> None:
    """The path goes along the dependencies and ends where it began; what hangs on it is left out."""
    with pytest.raises(CycleError) as caught:
        Graph([Node("start"), Node("a", ["start", "c"]), Node("b", ["a"]), Node("c", ["b"]), Node("d", ["c"])])

    circle = caught.value.path
    assert circle[0] == circle[-1]
    assert sorted(circle[:-1]) == ["a", "b", "c"]
    assert {*itertools.pairwise(circle)} == {("a", "b"), ("b", "c"), ("c", "a")}
    assert (
        str(caught.value)
        == f"the dependencies form a cycle: {' -> '.join(map(repr, circle))}; remove one of these edges"
    )


def test_a_node_cannot_wait_for_itself() -> None:
    """That is a cycle of one."""
    with pytest.raises(CycleError) as caught:
        Graph([Node("a", ["a"])])

    assert caught.value.path == ("a", "a")


def test_too_many_nodes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is a number in the module, and is named."""
    monkeypatch.setattr(graph_module, "MAX_NODES", 2)

    with pytest.raises(LimitError) as caught:
        Graph(map(Node, "abc"))

    assert str(caught.value) == "a graph has at most 2 nodes, this one more; split the workflow"


@pytest.mark.parametrize("node_id", ["a", "x" * 255, "\U0001f3bb" * 255, " ", "line\nbreak", "a#2", "'; --"])
def test_any_text_may_be_an_id(node_id: str) -> None:
    """From 1 to 255 characters, of any kind but two."""
    assert Graph([Node(node_id)]).node(node_id).id == node_id


@pytest.mark.parametrize(
    ("node_id", "message"),
    [
        ("", "an id must have 1 to 255 characters; '' has 0"),
        ("x" * 256, f"an id must have 1 to 255 characters; '{'x' * 79}…' has 256"),
        ("a\0b", "an id must not contain NUL or a lone surrogate: 'a\\x00b'"),
        ("a\ud800", "an id must not contain NUL or a lone surrogate: 'a\\ud800'"),
        (7, "an id must be a str, not int: 7"),
    ],
)
def test_what_no_store_can_keep_is_no_id(node_id: Any, message: str) -> None:
    """Nothing, too much, NUL, lone surrogates, and what is no text."""
    with pytest.raises(UsageError) as caught:
        Node(node_id)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"depends_on": "ab"}, "depends_on must be a sequence of ids or edges, not str; write ['ab']"),
        ({"depends_on": ["a", "a"]}, "node 'n' lists the dependency 'a' twice; name it once"),
        ({"depends_on": [7]}, "a dependency is named by its id, not by a value of type int: 7"),
        ({"trigger": "one_success"}, "node 'n': 'one_success' needs at least one dependency"),
        (
            {"depends_on": [Edge("a"), Edge("b", "done")], "trigger": "one_failed"},
            (
                "node 'n': 'one_failed' looks at all dependencies together, so the edge from 'b' cannot have "
                "a condition of its own; drop one of the two"
            ),
        ),
        (
            {"trigger": "all_sucess"},
            (
                "trigger 'all_sucess' is none of 'all_success', 'none_failed', 'all_failed', 'all_done', 'one_success'"
                ", 'one_failed', 'none_failed_min_one_success'"
            ),
        ),
        ({"on_loss": "ignore"}, "on_loss 'ignore' is none of 'retry', 'fail'"),
        ({"max_attempts": 0}, "max_attempts must be at least 1, not 0"),
        ({"max_losses": True}, "max_losses must be a whole number, not bool: True"),
        ({"max_attempts": 2.0}, "max_attempts must be a whole number, not float: 2.0"),
        ({"max_attempts": 10**5_000}, "max_attempts must be at most 9007199254740991, not an int that cannot be shown"),
    ],
)
def test_what_contradicts_itself_is_no_node(fields: dict[str, Any], message: str) -> None:
    """A node that exists is valid; the message says what to write instead."""
    with pytest.raises(UsageError) as caught:
        Node("n", **fields)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"delay_ms": -1}, "delay_ms must be at least 0, not -1"),
        ({"factor": 0.5}, "factor must be a number from 1 to 9007199254740991, not 0.5"),
        ({"factor": float("inf")}, "factor must be a number from 1 to 9007199254740991, not inf"),
        ({"factor": float("nan")}, "factor must be a number from 1 to 9007199254740991, not nan"),
        ({"max_delay_ms": 2**53}, "max_delay_ms must be at most 9007199254740991, not 9007199254740992"),
    ],
)
def test_what_cannot_be_waited_for_is_no_retry_policy(fields: dict[str, Any], message: str) -> None:
    """Delays are finite, whole milliseconds, and never shrink."""
    with pytest.raises(UsageError) as caught:
        RetryPolicy(**fields)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("policy", "delays"),
    [
        (RetryPolicy(), [0, 0, 0]),
        (RetryPolicy(1_000), [1_000, 2_000, 4_000]),
        (RetryPolicy(1_000, factor=1), [1_000, 1_000, 1_000]),
        (RetryPolicy(1_000, factor=1.5, max_delay_ms=2_000), [1_000, 1_500, 2_000]),
        (RetryPolicy(1, factor=1.5), [1, 1, 2]),
        (RetryPolicy(10, factor=1.05), [10, 10, 11]),
        (RetryPolicy(1, factor=2**53 - 1, max_delay_ms=2**53 - 1), [1, 2**53 - 1, 2**53 - 1]),
    ],
)
def test_delays_grow_by_the_factor_up_to_the_longest(policy: RetryPolicy, delays: list[int]) -> None:
    """The first failure waits `delay_ms`, each later one `factor` times as long."""
    assert [policy.delay_after_ms(failures) for failures in (1, 2, 3)] == delays
    assert 0 <= policy.delay_after_ms(10**9) <= policy.max_delay_ms


def test_a_deadline_is_a_millisecond_or_more() -> None:
    """Nothing can be done in no time."""
    with pytest.raises(UsageError, match="deadline_ms must be at least 1, not 0"):
        Graph([Node("a")], deadline_ms=0)


def test_names_stand_for_enumerations() -> None:
    """Rules, conditions and policies may be written as text."""
    node = Node("n", [Edge("a", "done")], trigger="all_done", on_loss="fail")

    assert node == Node("n", [Edge("a", "done")], trigger=Trigger.ALL_DONE, on_loss=OnLoss.FAIL)


def test_graphs_are_equal_by_nodes_and_order() -> None:
    """Equal graphs have equal hashes; another deadline or another order makes another graph."""
    one, same = Graph([Node("a"), Node("b")]), Graph([Node("a"), Node("b")])

    assert one == same
    assert hash(one) == hash(same)
    assert one != Graph([Node("b"), Node("a")])
    assert one != Graph([Node("a"), Node("b")], deadline_ms=1)
    assert one != "a graph"


def test_a_graph_survives_a_pickle() -> None:
    """All of it comes back, whatever is derived too."""
    graph = Graph([Node("a"), Node("b", ["a"], trigger="all_done")])

    again = pickle.loads(pickle.dumps(graph))  # noqa: S301  # our own

    assert again == graph
    assert again.successors == graph.successors


def test_a_graph_is_shown_shortly() -> None:
    """Sizes and the first three ids, quoted."""
    assert repr(Graph([Node("a"), Node("b\n", ["a"])])) == "<Graph of 2 nodes, 1 edges: 'a', 'b\\n'>"
    assert repr(Graph(map(Node, "abcd"))) == "<Graph of 4 nodes, 0 edges: 'a', 'b', 'c', …>"
