"""`python -m benchmarks.simulation`: how many schedules a second the simulator runs and judges, on one core.

A schedule is a whole life of one random workflow on two workers: real conductors, sweeps and outboxes over the memory
journal, and then all of its invariants. Times on a shared machine are worth little, so each is also given beside the
bare core: `advance` over the same workflow, one observation at a time, in the same run.

It is a report: it ends with status 0, whatever the figures.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from benchmarks.measuring import Ratio, paired, seconds
from dyrygent_core import Begin, Graph, NodeHandle, State, Succeeded, Workflow, advance, call
from dyrygent_testing import Faults, check_invariants, simulate

_SIZES: Final = (5, 20, 100)
_FAULTS: Final = Faults(
    crash=0.01, pause=0.01, lost_reply=0.02, unavailable=0.01, lose=0.02, duplicate=0.05, delay=0.05
)
_AT_MOST_ABOVE: Final = 3
_SCHEDULES: Final = {5: 40, 20: 10, 100: 2}
"""In one sample."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what was asked for, and print it as it comes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation", description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=7, help="pairs of samples")
    repeat = parser.parse_args(arguments).repeat
    print(f"Python {platform.python_version()}, {platform.machine()}; CPU time of one core, garbage collection off.")
    print(f"Faults by chance: {_FAULTS}.")
    for size in _SIZES:
        for name, faults in (("no faults", Faults()), ("faults", _FAULTS)):
            print(f"{size:>4} nodes, {name:<9}  {_told(_measured(size, faults, repeat), _SCHEDULES[size])}", flush=True)


def random_workflow(size: int, seed: int) -> Workflow:
    """Build a workflow in which every node takes the results of up to three earlier ones."""
    chance = Random(seed)
    workflow = Workflow()
    handles: list[NodeHandle] = []
    for number in range(size):
        above = chance.sample(handles, min(len(handles), chance.randint(0, _AT_MOST_ABOVE)))
        handles.append(workflow.add(call("run", [it.result for it in above]), id=f"n{number}"))
    return workflow


def _measured(size: int, faults: Faults, repeat: int) -> Ratio:
    count = _SCHEDULES[size]
    workflows = [random_workflow(size, seed) for seed in range(count)]
    graphs = [workflow.build()[0].graph for workflow in workflows]

    def simulated() -> None:
        for seed, workflow in enumerate(workflows):
            check_invariants(simulate(workflow, faults=faults, order="random", seed=seed))

    def folded() -> None:
        for graph in graphs:
            _fold(graph)

    return paired(_sampler(folded), _sampler(simulated), repeat)


def _sampler(run: Callable[[], None]) -> Callable[[], float]:
    return lambda: seconds(lambda: run)


def _fold(graph: Graph) -> None:
    state, waiting = advance(graph, State.initial(graph), [Begin()])
    todo = list(waiting)
    for attempt in todo:
        state, more = advance(graph, state, [Succeeded(attempt)])
        todo += more
    assert state.is_finished


def _told(ratio: Ratio, count: int) -> str:
    spread = f"({ratio.least:,.0f} – {ratio.greatest:,.0f})"
    return (
        f"{count / ratio.seconds:>6,.0f} schedules a second at best, {1000 * ratio.seconds / count:>7.2f} ms each, "
        f"{ratio.median:>6,.0f} times the bare core {spread}"
    )


if __name__ == "__main__":
    main()
