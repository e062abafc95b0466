"""The public testing toolkit: strategies, a slow model, rule machines, and the conformance suites of both ports.

Each name is loaded when it is first asked for, so a suite needs no more than what it is written with.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from dyrygent_testing.adapter_suite import QUICK, AdapterEngine, AdapterSuite
    from dyrygent_testing.adapter_tasks import TASKS
    from dyrygent_testing.agreement import check_agreement
    from dyrygent_testing.checking import check_workflow
    from dyrygent_testing.history_strategies import failures, histories, observations, outcomes_for
    from dyrygent_testing.journal_machine import JournalMachine
    from dyrygent_testing.journal_suite import JournalSuite
    from dyrygent_testing.machine import WorkflowMachine
    from dyrygent_testing.model import Model, final_statuses
    from dyrygent_testing.simulation import (
        Fault,
        FaultKind,
        Faults,
        Trace,
        Violation,
        Workers,
        check_invariants,
        kinds_at,
        simulate,
        violations_in,
    )
    from dyrygent_testing.simulation.strategies import faults, timed_requests
    from dyrygent_testing.strategies import graphs, joins, node_ids, payloads, policies
    from dyrygent_testing.workflow_strategies import workflows

__all__ = [
    "QUICK",
    "TASKS",
    "AdapterEngine",
    "AdapterSuite",
    "Fault",
    "FaultKind",
    "Faults",
    "JournalMachine",
    "JournalSuite",
    "Model",
    "Trace",
    "Violation",
    "Workers",
    "WorkflowMachine",
    "check_agreement",
    "check_invariants",
    "check_workflow",
    "failures",
    "faults",
    "final_statuses",
    "graphs",
    "histories",
    "joins",
    "kinds_at",
    "node_ids",
    "observations",
    "outcomes_for",
    "payloads",
    "policies",
    "simulate",
    "timed_requests",
    "violations_in",
    "workflows",
]

_HOMES: Final = {
    "AdapterEngine": "adapter_suite",
    "AdapterSuite": "adapter_suite",
    "QUICK": "adapter_suite",
    "TASKS": "adapter_tasks",
    "Fault": "simulation",
    "Faults": "simulation",
    "JournalMachine": "journal_machine",
    "JournalSuite": "journal_suite",
    "FaultKind": "simulation",
    "Model": "model",
    "Trace": "simulation",
    "Violation": "simulation",
    "Workers": "simulation",
    "WorkflowMachine": "machine",
    "check_agreement": "agreement",
    "check_invariants": "simulation",
    "check_workflow": "checking",
    "failures": "history_strategies",
    "faults": "simulation.strategies",
    "final_statuses": "model",
    "graphs": "strategies",
    "histories": "history_strategies",
    "joins": "strategies",
    "kinds_at": "simulation",
    "node_ids": "strategies",
    "observations": "history_strategies",
    "outcomes_for": "history_strategies",
    "payloads": "strategies",
    "policies": "strategies",
    "timed_requests": "simulation.strategies",
    "simulate": "simulation",
    "violations_in": "simulation",
    "workflows": "workflow_strategies",
}


def __getattr__(name: str) -> Any:  # a class or a function of the toolkit
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
