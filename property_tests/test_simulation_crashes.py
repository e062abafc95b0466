"""Every single fault: each fault point of every turn of every graph of up to four nodes, on two conductors."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from typing import Final

import pytest

from dyrygent_runtime.faults import FaultPoint
from property_tests.crashing import SCENES, Tally, every_fault, single_faults, tried
from property_tests.dags import DAGS, Dag

PROCESSES: Final = 2
"""What a small CI machine has."""


def test_there_are_forty_graphs() -> None:
    """Of one node there is 1, of two there are 2, of three 6, of four 31, up to isomorphism."""
    assert Counter(map(len, DAGS)) == {1: 1, 2: 2, 3: 6, 4: 31}


@pytest.mark.timeout(600)
def test_no_single_fault_breaks_a_promise(capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever one process dies, whatever reply is lost and message doubled: no invariant is violated, and all end.

    So it is at every fault point that there is; none is left out.
    """
    tally = _all(_some_of_them)

    _report(tally, capsys)
    assert tally.wrong == ()
    assert [point for point in FaultPoint if not tally.hits[f"point.{point.value}"]] == []


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.skipif("os.environ.get('HYPOTHESIS_PROFILE') != 'nightly'", reason="takes minutes; the nightly profile")
def test_no_fault_of_any_kind_breaks_a_promise(capsys: pytest.CaptureFixture[str]) -> None:
    """The same for every kind of fault, at every call of a port, message and step of a worker."""
    tally = _all(_each_of_them)

    _report(tally, capsys)
    assert tally.wrong == ()


def _some_of_them(dag: Dag, scene: str) -> Tally:
    return tried(dag, scene, single_faults(dag, scene))


def _each_of_them(dag: Dag, scene: str) -> Tally:
    return tried(dag, scene, every_fault(dag, scene))


def _all(judge: Callable[[Dag, str], Tally]) -> Tally:
    """Judge every graph in every scene, in processes of their own."""
    began = time.monotonic()
    cases = list(product(DAGS, SCENES))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        tallies = list(pool.map(judge, *zip(*cases, strict=True), chunksize=4))
    hits: Counter[str] = Counter()
    for tally in tallies:
        hits.update(tally.hits)
    wrong = tuple(text for tally in tallies for text in tally.wrong)
    return Tally(sum(tally.runs for tally in tallies), time.monotonic() - began, hits, wrong[:3])


def _report(tally: Tally, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n{tally.runs:,} simulations of {len(DAGS)} graphs in {tally.seconds:.0f} s")  # noqa: T201
