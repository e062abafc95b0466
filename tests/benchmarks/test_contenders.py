"""Every contender does the same work, or its time would say nothing."""

from __future__ import annotations

from graphlib import TopologicalSorter

import pytest

from benchmarks import contenders
from benchmarks.contenders import Contender, Given, numbers_of
from benchmarks.shapes import SHAPES, edges_of, graph_of, with_mixed_rules

_OURS = (
    contenders.KERNEL_ONE,
    contenders.KERNEL_BATCH,
    contenders.OBJECTS_ONE,
    contenders.OBJECTS_BATCH,
)
_OTHERS = (contenders.GRAPHLIB_ONE, contenders.GRAPHLIB_BATCH, contenders.NETWORKX)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("contender", [*_OURS, *_OTHERS], ids=lambda it: it.name)
def test_every_contender_ends_every_node_after_those_it_waits_for(contender: Contender, shape: str) -> None:
    """The walk is a topological order of the whole graph."""
    if why := contenders.missing(contender):
        pytest.skip(why)
    above = edges_of(shape, 150)
    given = Given(above, graph_of(above))

    ended = numbers_of(given.graph, contender.prepare(given)())

    assert sorted(ended) == list(range(150))
    place = {node: at for at, node in enumerate(ended)}
    assert all(place[other] < place[node] for node, waits_for in enumerate(above) for other in waits_for)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("contender", _OURS, ids=lambda it: it.name)
def test_with_mixed_rules_every_node_runs_too(contender: Contender, shape: str) -> None:
    """The five rules differ in what they do on the way, and not in what runs in the end."""
    above = edges_of(shape, 150)
    given = Given(above, with_mixed_rules(above))

    ended = numbers_of(given.graph, contender.prepare(given)())

    assert sorted(ended) == list(range(150))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_graph_numbers_its_nodes_as_the_contenders_do(shape: str) -> None:
    """Every contender is given the same integers."""
    above = edges_of(shape, 150)
    graph = graph_of(above)

    assert [node.id for node in graph.nodes] == [str(number) for number in range(150)]
    assert edges_of(shape, 150) == above
    assert list(TopologicalSorter(dict(enumerate(above))).static_order())
