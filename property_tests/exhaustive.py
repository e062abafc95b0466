"""Try every single fault in every run of every small graph, and say what it has broken.

    python -m property_tests.exhaustive --nodes 5

By default that is what CI tries: a process that dies at any fault point of any turn, also with all replies lost and a
message doubled, and what may happen to a message. `--every` tries every kind of fault at every place instead. The
graphs are those of up to so many nodes, each shape once; `--only` leaves out the smaller ones.

Exit status: 0 if nothing was broken, 1 if something was.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import Final

from property_tests.crashing import SCENES, Tally, every_fault, single_faults, tried
from property_tests.dags import Dag, dags
from property_tests.pools import pool_of

__all__ = ["Judge", "all_of", "each_of_them", "main", "some_of_them"]

Judge = Callable[[Dag, str], Tally]
_AT_A_TIME: Final = 4
_BETWEEN_LINES_S: Final = 10.0


def some_of_them(dag: Dag, scene: str) -> Tally:
    """Try on one graph in one scene what CI tries."""
    return tried(dag, scene, single_faults(dag, scene))


def each_of_them(dag: Dag, scene: str) -> Tally:
    """Try every kind of fault at every place."""
    return tried(dag, scene, every_fault(dag, scene))


def all_of(graphs: Sequence[Dag], judge: Judge, *, processes: int) -> Tally:
    """Judge every graph in every scene, in processes of their own; return the sum."""
    return _summed(_judged(graphs, judge, processes))


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m property_tests.exhaustive", description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, choices=range(1, 7), default=4, help="of a graph at most (4)")
    parser.add_argument("--only", action="store_true", help="no graphs of fewer nodes")
    parser.add_argument("--every", action="store_true", help="every kind of fault at every place")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="(as many as there are cores)")
    asked = parser.parse_args(arguments)
    sizes = [asked.nodes] if asked.only else range(1, asked.nodes + 1)
    graphs = [dag for size in sizes for dag in dags(size)]
    judge = each_of_them if asked.every else some_of_them
    tally = _summed(_told(_judged(graphs, judge, asked.processes), len(graphs) * len(SCENES)))
    print(
        f"{tally.runs:,} simulations of {len(graphs)} graphs in {len(SCENES)} scenes, "
        f"{tally.seconds:.0f} s of a core; {len(tally.wrong)} broken"
    )
    for text in tally.wrong[:3]:
        print(f"\n{text}")
    return 1 if tally.wrong else 0


def _judged(graphs: Sequence[Dag], judge: Judge, processes: int) -> Iterator[Tally]:
    cases = list(product(graphs, SCENES))
    with pool_of(processes) as pool:
        yield from pool.map(judge, *zip(*cases, strict=True), chunksize=_AT_A_TIME)


def _summed(tallies: Iterable[Tally]) -> Tally:
    runs, seconds = 0, 0.0
    hits: Counter[str] = Counter()
    wrong: list[str] = []
    for tally in tallies:
        runs += tally.runs
        seconds += tally.seconds
        hits.update(tally.hits)
        wrong += tally.wrong
    return Tally(runs, seconds, hits, tuple(wrong))


def _told(tallies: Iterable[Tally], whole: int) -> Iterator[Tally]:
    """Pass them on, and tell now and then how far it is."""
    began_s = told_s = time.monotonic()
    runs = wrong = 0
    for done, tally in enumerate(tallies, 1):
        yield tally
        runs += tally.runs
        wrong += len(tally.wrong)
        now_s = time.monotonic()
        if now_s - told_s > _BETWEEN_LINES_S:
            told_s, left_s = now_s, (now_s - began_s) / done * (whole - done)
            print(
                f"{done:,} of {whole:,} graphs in their scenes, {runs:,} simulations, {wrong} broken; "
                f"{left_s / 60:.0f} min left",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
