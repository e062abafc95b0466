"""Every single fault: each fault point of every turn of every graph of up to four nodes, on two conductors."""

from __future__ import annotations

import time
from collections import Counter
from typing import Final

import pytest

from dyrygent_runtime.faults import FaultPoint
from property_tests.crashing import Tally
from property_tests.dags import DAGS
from property_tests.exhaustive import Judge, all_of, each_of_them, main, some_of_them

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
    tally = _all(some_of_them, capsys)

    assert tally.wrong[:3] == ()
    assert [point for point in FaultPoint if not tally.hits[f"point.{point.value}"]] == []


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.skipif("os.environ.get('HYPOTHESIS_PROFILE') != 'nightly'", reason="takes minutes; the nightly profile")
def test_no_fault_of_any_kind_breaks_a_promise(capsys: pytest.CaptureFixture[str]) -> None:
    """The same for every kind of fault, at every call of a port, message and step of a worker."""
    assert _all(each_of_them, capsys).wrong[:3] == ()


def test_a_command_tries_the_graphs_of_any_size(capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m property_tests.exhaustive` tries the shapes of up to so many nodes, or of those alone."""
    assert main(["--nodes", "2", "--only", "--processes", "1"]) == 0

    assert "simulations of 2 graphs in 4 scenes" in capsys.readouterr().out


def _all(judge: Judge, capsys: pytest.CaptureFixture[str]) -> Tally:
    began_s = time.monotonic()
    tally = all_of(DAGS, judge, processes=PROCESSES)
    with capsys.disabled():
        print(f"\n{tally.runs:,} simulations of {len(DAGS)} graphs in {time.monotonic() - began_s:.0f} s")  # noqa: T201
    return tally
