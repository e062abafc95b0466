"""The pytest plug-in, as a user's tests meet it."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import pytest

pytest_plugins = ["pytester"]

HEAD: Final = """
    import pytest
    from dyrygent_core import Workflow, call

    def two():
        wf = Workflow()
        wf.add(call("load"), id="load", after=wf.add(call("find"), id="find"))
        return wf
"""


def test_a_test_that_fails_shows_what_was_simulated(pytester: pytest.Pytester) -> None:
    """The newest trace, in a section of its own; one that passes shows nothing."""
    pytester.makepyfile(
        HEAD
        + """
    def test_good(simulate_workflow):
        assert simulate_workflow(two()).seed == 0

    def test_bad(simulate_workflow):
        simulate_workflow(two(), seed=5)
        assert simulate_workflow(two(), seed=6).statuses["load"].name == "FAILED"
    """
    )

    result = pytester.runpytest("-p", "no:cacheprovider")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*--- workflow simulated with seed 6 ---*", "*simulation of seed 6*", "*ends after * in SUCCESS*"]
    )
    assert "seed 5" not in result.stdout.str()


def test_seeds_come_from_the_marker_the_option_and_the_call(pytester: pytest.Pytester) -> None:
    """The nearest wins; without any it is 0. The marker may stand on a class, and is told of."""
    pytester.makepyfile(
        HEAD
        + """
    def test_option(simulate_workflow):
        assert simulate_workflow(two()).seed == 11

    @pytest.mark.dyrygent_seed(7)
    class TestMarked:
        def test_marker(self, simulate_workflow):
            assert simulate_workflow(two()).seed == 7

        def test_call(self, simulate_workflow):
            assert simulate_workflow(two(), seed=8).seed == 8
    """
    )

    pytester.runpytest("--dyrygent-seed=11", "--strict-markers").assert_outcomes(passed=3)
    pytester.runpytest("--markers").stdout.fnmatch_lines(["@pytest.mark.dyrygent_seed(seed):*"])


def test_a_marker_without_a_seed_is_refused(pytester: pytest.Pytester) -> None:
    """With what to write."""
    marks = ["", "('7')", "(seed=7)", "(1, 2)"]
    tests = [f"@pytest.mark.dyrygent_seed{mark}\ndef test_{at}(): ..." for at, mark in enumerate(marks)]
    pytester.makepyfile("\n".join(["import pytest", *tests]))

    result = pytester.runpytest()

    result.assert_outcomes(errors=4)
    result.stdout.fnmatch_lines(["*dyrygent_seed takes one whole number: @pytest.mark.dyrygent_seed(7)*"])


def test_it_goes_with_hypothesis(pytester: pytest.Pytester) -> None:
    """Of all that was tried, what is shown belongs to the smallest example that fails."""
    pytester.makepyfile(
        HEAD
        + """
    from hypothesis import given, settings, strategies as st

    @settings(database=None, derandomize=True, deadline=None)
    @given(st.integers(0, 100))
    def test_it(simulate_workflow, seed):
        assert simulate_workflow(two(), seed=seed).seed < 3
    """
    )

    result = pytester.runpytest()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*--- workflow simulated with seed 3 ---*"])


def test_it_can_be_left_out(pytester: pytest.Pytester) -> None:
    """As every plug-in, by its name."""
    pytester.makepyfile("def test_it(simulate_workflow): ...")

    result = pytester.runpytest("-p", "no:dyrygent")

    result.stdout.fnmatch_lines(["*fixture 'simulate_workflow' not found*"])


def test_it_loads_nothing_for_those_who_do_not_use_it() -> None:
    """Neither Hypothesis nor an engine, nor anything of ours but the two modules that it is."""
    script = """
import pytest, sys
before = set(sys.modules)
import dyrygent_testing.pytest_plugin
print(*sorted(name for name in set(sys.modules) - before if name.split(".")[0] not in sys.stdlib_module_names))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["dyrygent_testing", "dyrygent_testing.pytest_plugin"]
