"""The conformance suite of the adapter port: rules named after their clauses, for any engine.

Whoever writes an adapter subclasses it, in a test module of theirs:

    class TestMyAdapter(AdapterSuite):
        @pytest.fixture
        def engine(self):
            with MyAdapter(TASKS, settings=QUICK) as adapter:
                yield AdapterEngine(adapter)

`adapter_tasks.TASKS` are the functions that the engine is to know by name; its workers may import them from there.
A subclass of `AdapterEngine` opens the engine to the suite: each hook that it overrides lets more rules run. What the
adapter does not claim among its `capabilities`, and what needs a hook that there is not, is skipped and says so; the
run ends with a table of the clauses that held.
"""

from __future__ import annotations

from typing import Final

from dyrygent_runtime import Settings
from dyrygent_testing.adapter_basis import AdapterEngine
from dyrygent_testing.adapter_control import ControlRules
from dyrygent_testing.adapter_dispatch import DispatchRules
from dyrygent_testing.adapter_losses import LossRules
from dyrygent_testing.adapter_reports import ReportRules
from dyrygent_testing.adapter_workflows import WorkflowRules

__all__ = ["QUICK", "AdapterEngine", "AdapterSuite"]

QUICK: Final = Settings(poll_ms=50, sweep_interval_ms=200, grace_ms=2_000, lease_ms=3_000, cancel_grace_ms=1_000)
"""Waiting times under which the suite takes seconds; a machine that stands still for two of them fails it."""


class AdapterSuite(WorkflowRules, LossRules, ReportRules, ControlRules, DispatchRules):  # pytest begins with the last
    """All rules of the port, clauses A1 to A11, and whole workflows. A subclass overrides the fixture `engine`."""
