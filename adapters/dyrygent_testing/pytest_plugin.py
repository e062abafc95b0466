"""The pytest plug-in: a marker, an option and a fixture, which give every simulation of a test its seed.

It is loaded wherever this distribution is installed, so it loads nothing itself until the fixture is asked for, and
does nothing to tests that do not ask for it. `-p no:dyrygent` keeps it away.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

if TYPE_CHECKING:
    from dyrygent_core import Workflow
    from dyrygent_testing.simulation.trace import Trace

__all__ = ["simulate_workflow"]

_MARKER: Final = "dyrygent_seed"
_OPTION: Final = "--dyrygent-seed"
_USUAL_SEED: Final = 0
_MOST_LINES: Final = 400


class _Simulations:
    """What the fixture gives: `simulate` with the seed of the test that runs, of which the newest trace is kept."""

    def __init__(self, usual_seed: int) -> None:
        self._usual_seed = usual_seed
        self.seed = usual_seed
        self.newest: Trace | None = None

    def begin(self, item: pytest.Item) -> None:
        """Begin a test, which has simulated nothing as yet."""
        marker = item.get_closest_marker(_MARKER)
        self.seed = self._usual_seed if marker is None else _seed_in(marker)
        self.newest = None

    def __call__(self, workflow: Workflow, **told: Any) -> Trace:
        """Run a workflow as `simulate` does, which tells what it can be told."""
        from dyrygent_testing import simulate  # noqa: PLC0415  # pytest loads this module for everybody

        self.newest = None
        told.setdefault("seed", self.seed)
        self.newest = simulate(workflow, **told)
        return self.newest


_SIMULATIONS: Final = pytest.StashKey[_Simulations]()


def _seed_in(marker: pytest.Mark) -> int:
    if len(marker.args) != 1 or marker.kwargs or type(marker.args[0]) is not int:
        message = f"{_MARKER} takes one whole number: @pytest.mark.{_MARKER}(7)"
        raise pytest.UsageError(message)
    return marker.args[0]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    group = parser.getgroup("dyrygent", "simulations of workflows (dyrygent)")
    help_text = f"the seed of `simulate_workflow` where the test has none of its own (default: {_USUAL_SEED})"
    group.addoption(_OPTION, type=int, default=_USUAL_SEED, metavar="N", help=help_text)


def pytest_configure(config: pytest.Config) -> None:
    """Tell of the marker."""
    config.addinivalue_line("markers", f"{_MARKER}(seed): the seed of `simulate_workflow` in this test")
    config.stash[_SIMULATIONS] = _Simulations(cast("int", config.getoption(_OPTION)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Take up a test's own seed."""
    item.config.stash[_SIMULATIONS].begin(item)


@pytest.fixture(scope="session")
def simulate_workflow(pytestconfig: pytest.Config) -> Any:  # what is called; `simulate` says with what
    """Give `simulate`, with the seed of the test that runs; a test that fails shows the newest trace.

    It may be used together with `@given`, whose last try is the smallest that fails.
    """
    return pytestconfig.stash[_SIMULATIONS]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what was simulated last in a test that failed."""
    report = yield
    trace = item.config.stash[_SIMULATIONS].newest
    if report.failed and call.when == "call" and trace is not None:
        lines = str(trace).splitlines()
        if len(lines) > _MOST_LINES:
            lines[_MOST_LINES // 2 : -_MOST_LINES // 2] = [f"… {len(lines) - _MOST_LINES} more lines …"]
        report.sections.append((f"workflow simulated with seed {trace.seed}", "\n".join(lines)))
    return report
