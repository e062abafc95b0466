"""From a graph with cycles to one without."""

from __future__ import annotations

from condensing import Component, condense


def test_a_graph_without_cycles_stays_as_it_is() -> None:
    """Each node is a component of its own, after those that it requires."""
    assert condense({"a": ["b", "c"], "b": ["c"], "c": []}) == (
        Component(("c",), ()),
        Component(("b",), ("c",)),
        Component(("a",), ("c", "b")),
    )


def test_nodes_that_require_each_other_become_one() -> None:
    """The component has all their requirements, and who requires any of them requires it."""
    assert condense({"top": ["y"], "x": ["y"], "y": ["z"], "z": ["x", "low"], "low": []}) == (
        Component(("low",), ()),
        Component(("x", "y", "z"), ("low",)),
        Component(("top",), ("x + y + z",)),
    )


def test_two_cycles_that_share_a_node_are_one_component() -> None:
    """Whatever can be reached there and back belongs together."""
    (component,) = condense({"a": ["b", "c"], "b": ["a"], "c": ["a"]})

    assert component.members == ("a", "b", "c")


def test_the_id_of_many_members_is_short() -> None:
    """A node's id has at most 255 characters, however many distributions require each other."""
    names = [f"distribution-{number:02}" for number in range(50)]

    (component,) = condense({name: [names[at - 1]] for at, name in enumerate(names)})

    assert component.id == "distribution-00 + 49 more"


def test_depth_is_no_limit() -> None:
    """A chain of 50,000, and a cycle of as many, need no recursion."""
    chain = {str(at): [str(at + 1)] if at < 49_999 else [] for at in range(50_000)}
    assert len(condense(chain)) == 50_000

    (cycle,) = condense({**chain, "49999": ["0"]})
    assert len(cycle.members) == 50_000
