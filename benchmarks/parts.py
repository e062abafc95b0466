"""Where the time of one step goes: what it consists of, each part repeated alone, beside the whole.

The loops are too short for a profiler, which would cost more than what it looks at.
"""

from __future__ import annotations

from collections.abc import Callable
from time import thread_time
from timeit import Timer
from typing import Final

from benchmarks.contenders import KERNEL_ONE, OBJECTS_ONE, Given, begun
from benchmarks.measuring import seconds
from benchmarks.shapes import edges_of, graph_of
from dyrygent_core import Attempt, Graph, State, Succeeded
from dyrygent_core.kernel import succeed
from dyrygent_core.state import make_state

__all__ = ["report"]

_TIMES: Final = 50_000
_ROUNDS: Final = 5


def report(shape: str, size: int) -> None:
    """Print the parts of an average step on one graph."""
    above = edges_of(shape, size)
    given = Given(above, graph_of(above))
    graph = given.graph
    state, _ = begun(graph)
    touched = _touched(graph)
    edges = sum(map(len, above)) / size
    whole = seconds(lambda: KERNEL_ONE.prepare(given)) / size
    objects = seconds(lambda: OBJECTS_ONE.prepare(given)) / size
    page = state.pages[0]
    attempt = Attempt(graph.nodes[0].id)
    print(
        f"{shape}, {size:,} nodes; on average {edges:.2f} edges, which touch {touched:.2f} of {len(state.pages)} pages"
    )
    _line("the whole, with the kernel", whole, 1)
    copies = _line("  a page of cells thawed and frozen", _cost(lambda: bytes(bytearray(page))), touched)
    root = _line("  the pages listed and tupled", _cost(lambda: (*[*state.pages],)), 1)
    made = _line("  the state made", _cost(lambda: _make(state)), 1)
    call = _line("  a call, and its way to the first check", _cost(lambda: succeed(state, size - 1)), 1)
    print(f"{'  what is left: the edges':44}{(whole - copies - root - made - call) * 1e9:8.0f} ns")
    _line("the whole, with observations", objects, 1)
    _line("  an observation made", _cost(lambda: Succeeded(attempt)), 1)
    _line("  an attempt made", _cost(lambda: Attempt("node")), 1)


def _make(state: State) -> State:
    return make_state(state.graph, state.pages, state.in_flight, state.side)


def _touched(graph: Graph) -> float:
    """Count the pages that an average step writes to."""
    bits = graph.page_bits
    return sum(
        len({node >> bits, *(other >> bits for other in below)}) for node, below in enumerate(graph.successors)
    ) / len(graph)


def _line(what: str, cost: float, times: float) -> float:
    print(f"{what:44}{cost * times * 1e9:8.0f} ns" + (f"   = {times:.2f} × {cost * 1e9:.0f} ns" if times != 1 else ""))
    return cost * times


def _cost(run: Callable[[], object]) -> float:
    empty = min(Timer(lambda: None, timer=thread_time).repeat(_ROUNDS, _TIMES))
    return (min(Timer(run, timer=thread_time).repeat(_ROUNDS, _TIMES)) - empty) / _TIMES
