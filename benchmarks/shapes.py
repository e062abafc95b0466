"""The graphs that every contender is given: for each node, the numbers of the nodes that it waits for.

Nodes are numbered as `dyrygent_core.Graph` numbers them, so that all contenders have equal integers and meet them
in the same order. The same arguments give the same graph, always and everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import isqrt
from typing import Final

from dyrygent_core import Edge, Graph, Node, Trigger

__all__ = ["MAX_EDGES", "SHAPES", "Above", "edges_of", "expected_edges", "graph_of", "with_mixed_rules"]

Above = list[tuple[int, ...]]

MAX_EDGES: Final = 5_000_000
"""Beyond this the graphs alone take many gigabytes; such a run is left out, and the report says so."""
_DEGREE: Final = 3
_WIDTH: Final = 32
_MIXED: Final = (
    Trigger.ALL_SUCCESS,
    Trigger.NONE_FAILED,
    Trigger.ALL_DONE,
    Trigger.ONE_SUCCESS,
    Trigger.NONE_FAILED_MIN_ONE_SUCCESS,
)
"""The rules under which a node runs if all that it waits for succeeded: so all contenders run every node."""


def chain(size: int) -> Above:
    """One after the other: nothing can be done together."""
    return [(node - 1,) if node else () for node in range(size)]


def fan(size: int) -> Above:
    """One, then all others side by side, then one that waits for all of these."""
    return [(), *[(0,)] * (size - 2), tuple(range(1, size - 1))]


def layered(size: int) -> Above:
    """Layers of about √size nodes, each node waiting for three of the layer before."""
    width, numbers = isqrt(size), _numbers(7)
    return [() if node < width else _some(numbers, _DEGREE, (node // width - 1) * width, width) for node in range(size)]


def random(size: int) -> Above:
    """Each node waits for three that came before it, wherever they are."""
    numbers = _numbers(11)
    return [_some(numbers, min(_DEGREE, node), 0, node) for node in range(size)]


def bipartite(size: int) -> Above:
    """Layers of 32 nodes, each node waiting for the whole layer before."""
    layers = (node // _WIDTH for node in range(size))
    return [() if not layer else tuple(range((layer - 1) * _WIDTH, layer * _WIDTH)) for layer in layers]


_BUILDERS: Final[Mapping[str, Callable[[int], Above]]] = {
    "chain": chain,
    "fan": fan,
    "layered": layered,
    "random": random,
    "bipartite": bipartite,
}
SHAPES: Final = tuple(_BUILDERS)


def edges_of(shape: str, size: int) -> Above:
    """Return the graph of one shape, numbered as our graphs are."""
    return _renumbered(_BUILDERS[shape](size))


def expected_edges(shape: str, size: int) -> int:
    """Tell about how many edges there will be, without making them."""
    return size * {"bipartite": _WIDTH, "layered": _DEGREE, "random": _DEGREE, "fan": 2}.get(shape, 1)


def graph_of(above: Above) -> Graph:
    """Return our graph, every node asking for success."""
    return Graph([Node(str(node), tuple(map(str, waits_for))) for node, waits_for in enumerate(above)])


def with_mixed_rules(above: Above) -> Graph:
    """Return our graph with five rules in turn; each lets a node run if all that it waits for succeeded."""
    return Graph(
        [
            Node(
                str(node),
                tuple(Edge(str(other)) for other in waits_for),
                trigger=_MIXED[node % len(_MIXED)] if waits_for else Trigger.ALL_SUCCESS,
            )
            for node, waits_for in enumerate(above)
        ]
    )


def _numbers(seed: int) -> Iterator[int]:
    """Give pseudo-random numbers (Knuth's MMIX generator), without anybody else's state."""
    while True:
        seed = (seed * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        yield seed >> 33


def _some(numbers: Iterator[int], count: int, start: int, width: int) -> tuple[int, ...]:
    chosen: set[int] = set()
    while len(chosen) < count:
        chosen.add(start + next(numbers) % width)
    return tuple(sorted(chosen))


def _renumbered(above: Above) -> Above:
    """Renumber by Kahn's algorithm, first declared first among the free: what our graph would do."""
    below: list[list[int]] = [[] for _ in above]
    for node, waits_for in enumerate(above):
        for other in waits_for:
            below[other].append(node)
    left = [len(waits_for) for waits_for in above]
    order = [node for node, count in enumerate(left) if not count]
    for node in order:  # grows while it is read
        for other in below[node]:
            left[other] -= 1
            if not left[other]:
                order.append(other)
    number_of = {node: number for number, node in enumerate(order)}
    return [tuple(sorted(number_of[other] for other in above[node])) for node in order]
