"""What a graph and its states occupy, as tracemalloc counts it."""

from __future__ import annotations

import gc
import tracemalloc
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

from attrs import frozen

from benchmarks.contenders import begun, numbers_of
from benchmarks.shapes import Above
from dyrygent_core import Graph, Node, State
from dyrygent_core.kernel import succeed

__all__ = ["Memory", "memory_of"]

_VERSIONS: Final = 1000

_Made = TypeVar("_Made")


@frozen
class Memory:
    """Bytes."""

    nodes: float
    """Of a node of the graph: the `Node` with its id and edges, as the user made it."""
    graph: float
    """Of a node of the graph: what the graph adds to these."""
    state: float
    """Of a node of the state."""
    version: float
    """Of one more state that is kept, one outcome after the one before."""


def memory_of(above: Above) -> Memory:
    """Make everything once, and look at what is left."""
    size = len(above)
    nodes, of_nodes = _made(
        lambda: [Node(str(node), tuple(map(str, waits_for))) for node, waits_for in enumerate(above)]
    )
    graph, of_graph = _made(lambda: Graph(nodes))
    first, _ = begun(graph)
    _, of_state = _made(lambda: _copy(first))
    versions, of_versions = _made(lambda: _versions(graph))
    return Memory(of_nodes / size, of_graph / size, of_state / size, of_versions / len(versions))


def _made(make: Callable[[], _Made]) -> tuple[_Made, int]:
    gc.collect()
    tracemalloc.start()
    try:
        made = make()
        gc.collect()
        return made, tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def _copy(state: State) -> tuple[bytes, ...]:
    """Copy the pages of a state: they are all of it that grows with the graph."""
    return tuple(bytes(bytearray(page)) for page in state.pages)


def _versions(graph: Graph) -> list[State]:
    """Keep every state of some steps in the middle of the walk."""
    state, roots = begun(graph)
    running = deque(numbers_of(graph, roots))
    kept: list[State] = []
    for _ in range(min(_VERSIONS, len(graph) - 1)):
        done = succeed(state, running.popleft())
        if done is None:
            break
        state, more = done
        running += more
        kept.append(state)
    return kept
