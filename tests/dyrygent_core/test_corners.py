"""Small things that users meet and nothing else asks for."""

from __future__ import annotations

from typing import Any

import pytest

from dyrygent_core import Begin, Edge, Graph, Node, State, Take, UsageError, Workflow, advance, call
from dyrygent_core.checks import shown
from dyrygent_core.sparse import SparseMap

CHAIN = Graph([Node("a"), Node("b", [Edge("a", "done")])])


def test_what_is_no_observation_is_refused() -> None:
    """Whatever else stands in the sequence is named by its type."""
    odd: Any = ["begin"]
    with pytest.raises(UsageError, match="not a value of type str"):
        advance(CHAIN, State.initial(CHAIN), odd)


def test_progress_counts_nodes() -> None:
    """Those that are final, all, those in flight, and those that failed."""
    progress = advance(CHAIN, State.initial(CHAIN), iter([Begin()]))[0].progress

    assert (progress.done, progress.total, progress.running, progress.failed) == (0, 2, 1, 0)


def test_a_node_is_shown_as_it_was_written() -> None:
    """Without its defaults."""
    assert repr(CHAIN.node("a")) == "Node('a')"
    assert "Edge(node='a'" in repr(CHAIN.node("b"))


def test_small_things_are_what_they_say() -> None:
    """Equal maps have equal hashes; a choice is stored as its value; control characters are escaped."""
    assert hash(SparseMap.of({1: "x"})) == hash(SparseMap[str]().put(1, "x"))
    assert Take({"n": 1}, []).__json__() == {"n": 1}
    assert shown(["\u202e"]) == r"['\u202e']"


def test_a_map_may_be_named_by_id() -> None:
    """`each=` takes an id as `after=` does."""
    workflow = Workflow()
    workflow.add(call("a"))
    workflow.add(call("b"), each="a")

    assert workflow.build()[0].graph.node("b").each is not None
