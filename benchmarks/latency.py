"""How long single steps take: the time of each, one outcome a step, from the first node to the last."""

from __future__ import annotations

from collections import deque
from time import thread_time_ns

from attrs import frozen

from benchmarks.contenders import begun, numbers_of
from benchmarks.measuring import quiet
from dyrygent_core import Attempt, Graph, Succeeded, advance
from dyrygent_core.kernel import succeed

__all__ = ["Latency", "latency_of"]


@frozen
class Latency:
    """Percentiles of the CPU time of one step, in microseconds; the clock's own reading is in it."""

    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float


def latency_of(graph: Graph) -> Latency:
    """Walk the graph with the kernel, and look at the clock around every step."""
    state, roots = begun(graph)
    running = deque(numbers_of(graph, roots))
    took: list[int] = []
    with quiet():
        while running:
            node = running.popleft()
            start = thread_time_ns()
            done = succeed(state, node)
            if done is None:
                state, emitted = advance(graph, state, (Succeeded(Attempt(graph.nodes[node].id)),))
                took.append(thread_time_ns() - start)
                running += numbers_of(graph, emitted)
            else:
                took.append(thread_time_ns() - start)
                state, more = done
                running += more
    took.sort()
    return Latency(*(took[int(share * (len(took) - 1))] / 1000 for share in (0.5, 0.99, 0.999, 1.0)))
