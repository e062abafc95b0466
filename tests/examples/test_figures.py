"""Where the time went, computed from when nodes ran."""

from __future__ import annotations

from figures import Waits, measure

from dyrygent_core import Ran

DEPS = {"a": (), "b": (), "c": ("a",), "d": ("a", "b", "c")}


def test_the_times_of_a_workflow() -> None:
    """Two workers: a and b at once; c waits for a, and starts 5 ms after it; d starts 10 ms after c."""
    runs = {"a": Ran(100, 50), "b": Ran(100, 200), "c": Ran(155, 100), "d": Ran(310, 10)}

    figures = measure(runs, DEPS, workers=2, begun_ms=90, ended_ms=325)

    assert (figures.wall_ms, figures.work_ms, figures.critical_ms) == (235, 360, 210)
    assert figures.slowest[:2] == (("b", 200), ("c", 100))
    assert figures.waits == Waits(2, 5, 10, 10)
    assert round(figures.parallelism, 2) == 1.53


def test_a_wait_for_a_worker_is_told_apart() -> None:
    """With one worker c is ready at 150, and the worker is free at 350: 5 ms of its wait are not the worker's."""
    runs = {"a": Ran(100, 50), "b": Ran(150, 200), "c": Ran(355, 10), "d": Ran(367, 10)}

    figures = measure(runs, DEPS, workers=1, begun_ms=90, ended_ms=380)

    assert figures.waits == Waits(2, 2, 205, 205)
    assert figures.free_waits == Waits(2, 2, 5, 5)


def test_nodes_that_never_ran_are_left_out() -> None:
    """A workflow that failed has figures too."""
    figures = measure({"a": Ran(100, 50)}, DEPS, workers=1, begun_ms=90, ended_ms=160)

    assert figures.waits == figures.free_waits == Waits(0)
    assert figures.critical_ms == 50


def test_percentiles_are_values_that_occurred() -> None:
    """The p99 of 100 values is the 99th, of fewer the largest."""
    assert Waits.of(range(1, 101)) == Waits(100, 50, 99, 100)
    assert Waits.of([3]) == Waits(1, 3, 3, 3)
