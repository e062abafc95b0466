"""Nodes are numbered by Kahn's algorithm, whether or not they stood in that order already."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dyrygent_core import Graph, Node, Role
from dyrygent_testing import graphs


def kahn(declared: list[Node]) -> list[str]:
    """Take the first that is free, first freed first, and after the ordinary nodes those of the whole workflow."""
    ordinary = [node for node in declared if node.role is Role.NODE]
    order = [node.id for node in ordinary if not node.depends_on]
    for done in order:
        freed = [
            node.id
            for node in ordinary
            if any(edge.node == done for edge in node.depends_on)
            and {edge.node for edge in node.depends_on} <= {*order[: order.index(done) + 1]}
        ]
        order += freed
    return order + [node.id for node in declared if node.role is not Role.NODE]


@given(graphs(max_nodes=10), st.data())
def test_numbers_are_those_of_kahns_algorithm(graph: Graph, data: st.DataObject) -> None:
    """Whatever the order of the declaration; and who is in order stays in it."""
    declared = data.draw(st.permutations(graph.nodes))

    numbered = Graph(declared)

    assert list(numbered.numbers) == kahn(declared)
    assert Graph(numbered.nodes).nodes == numbered.nodes


@given(graphs(max_nodes=8))
def test_edges_are_found_by_number(graph: Graph) -> None:
    """For each node those that wait for it, ascending, each with the row that its edge follows."""
    for number, node in enumerate(graph.nodes):
        waiting = [
            (below, graph.row_code(below, edge))
            for below, other in enumerate(graph.nodes)
            for edge in other.depends_on
            if edge.node == node.id
        ]
        assert list(zip(graph.successors[number], graph.rows[number], strict=True)) == waiting
