"""Whoever walks a graph to its end: each is prepared untimed, and its walk is a sample.

`prepare` gives a walk; a walk gives what ended, in that order: numbers, or attempts where it deals in these.
Samples are timed outside, so a walk holds nothing but what its user would have to write.
"""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from graphlib import TopologicalSorter
from typing import Any, Final

from attrs import frozen

from benchmarks.shapes import Above
from dyrygent_core import Attempt, Begin, Graph, State, Succeeded, advance
from dyrygent_core.kernel import succeed, succeed_all

__all__ = [
    "GRAPHLIB_BATCH",
    "GRAPHLIB_ONE",
    "KERNEL_BATCH",
    "KERNEL_ONE",
    "NETWORKX",
    "OBJECTS_BATCH",
    "OBJECTS_ONE",
    "Contender",
    "Given",
    "begun",
    "missing",
    "numbers_of",
]

Walk = Callable[[], Sequence[int] | Sequence[Attempt]]


@frozen
class Given:
    """One graph, as integers and as ours."""

    above: Above
    graph: Graph


@frozen
class Contender:
    """A way through a graph, one outcome per step or all that are running per step."""

    name: str
    prepare: Callable[[Given], Walk]


def begun(graph: Graph) -> tuple[State, tuple[Attempt, ...]]:
    """Return our state after the beginning, and the attempts of the roots."""
    return advance(graph, State.initial(graph), (Begin(),))


def missing(contender: Contender) -> str:
    """Say why a contender cannot take part; nothing if it can."""
    if contender is not NETWORKX:
        return ""
    try:
        importlib.import_module("networkx")
    except ImportError as error:
        return f"{error}; pip install networkx"
    return ""


def numbers_of(graph: Graph, ended: Iterable[int] | Iterable[Attempt]) -> list[int]:
    """Give the numbers of what ended."""
    return [it if isinstance(it, int) else graph.numbers[it.node] for it in ended]


def _graphlib(given: Given) -> TopologicalSorter[int]:
    sorter = TopologicalSorter(dict(enumerate(given.above)))
    sorter.prepare()
    return sorter


def _graphlib_one(given: Given) -> Walk:
    sorter = _graphlib(given)

    def walk() -> list[int]:
        done, get_ready = sorter.done, sorter.get_ready
        ended: list[int] = []
        running = deque(get_ready())
        while running:
            node = running.popleft()
            ended.append(node)
            done(node)
            running += get_ready()
        return ended

    return walk


def _graphlib_batch(given: Given) -> Walk:
    sorter = _graphlib(given)

    def walk() -> list[int]:
        done, get_ready = sorter.done, sorter.get_ready
        ended: list[int] = []
        running = get_ready()
        while running:
            ended += running
            done(*running)
            running = get_ready()
        return ended

    return walk


def _kernel_one(given: Given) -> Walk:
    graph = given.graph
    first, roots = begun(graph)

    def walk() -> list[int]:
        state = first
        ended: list[int] = []
        running = deque(numbers_of(graph, roots))
        while running:
            node = running.popleft()
            ended.append(node)
            done = succeed(state, node)
            state, more = _advanced(state, (node,)) if done is None else done
            running += more
        return ended

    return walk


def _kernel_batch(given: Given) -> Walk:
    graph = given.graph
    first, roots = begun(graph)

    def walk() -> list[int]:
        state = first
        ended: list[int] = []
        running = numbers_of(graph, roots)
        while running:
            ended += running
            done = succeed_all(state, running) if len(running) > 1 else succeed(state, running[0])
            state, running = _advanced(state, running) if done is None else done
        return ended

    return walk


def _objects_one(given: Given) -> Walk:
    graph = given.graph
    first, roots = begun(graph)

    def walk() -> list[Attempt]:
        state = first
        ended: list[Attempt] = []
        running = deque(roots)
        while running:
            attempt = running.popleft()
            ended.append(attempt)
            state, more = advance(graph, state, (Succeeded(attempt),))
            running += more
        return ended

    return walk


def _objects_batch(given: Given) -> Walk:
    graph = given.graph
    first, roots = begun(graph)

    def walk() -> list[Attempt]:
        state = first
        ended: list[Attempt] = []
        running = roots
        while running:
            ended += running
            state, running = advance(graph, state, [Succeeded(attempt) for attempt in running])
        return ended

    return walk


def _networkx(given: Given) -> Walk:
    networkx: Any = importlib.import_module("networkx")
    graph = networkx.DiGraph()
    graph.add_nodes_from(range(len(given.above)))
    graph.add_edges_from((other, node) for node, waits_for in enumerate(given.above) for other in waits_for)
    return partial(_flat, networkx.topological_generations, graph)


def _flat(generations: Callable[[Any], Any], graph: Any) -> list[int]:
    return [node for generation in generations(graph) for node in generation]


def _advanced(state: State, nodes: Sequence[int]) -> tuple[State, list[int]]:
    """Do with observations what the kernel leaves to the rest of the core."""
    graph = state.graph
    state, emitted = advance(graph, state, [Succeeded(Attempt(graph.nodes[node].id)) for node in nodes])
    return state, numbers_of(graph, emitted)


GRAPHLIB_ONE: Final = Contender("graphlib, one by one", _graphlib_one)
GRAPHLIB_BATCH: Final = Contender("graphlib, in batches", _graphlib_batch)
KERNEL_ONE: Final = Contender("kernel, one outcome a step", _kernel_one)
KERNEL_BATCH: Final = Contender("kernel, in batches", _kernel_batch)
OBJECTS_ONE: Final = Contender("observations, one a step", _objects_one)
OBJECTS_BATCH: Final = Contender("observations, in batches", _objects_batch)
NETWORKX: Final = Contender("networkx, generations", _networkx)
