"""The public testing toolkit: strategies, a slow model, rule machines, and the conformance suites of both ports.

Each name is loaded when it is first asked for, so a suite needs no more than what it is written with.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from dyrygent_testing.adapter_machine import AdapterMachine
    from dyrygent_testing.adapter_suite import QUICK, AdapterEngine, AdapterSuite
    from dyrygent_testing.adapter_tasks import TASKS
    from dyrygent_testing.agreement import check_agreement
    from dyrygent_testing.canvas_tasks import canvas_app
    from dyrygent_testing.checking import check_workflow
    from dyrygent_testing.core_machine import CoreMachine
    from dyrygent_testing.drawn_canvases import Canvas, CanvasPart, canvases
    from dyrygent_testing.history_files import Detail, save_history
    from dyrygent_testing.history_strategies import failures, histories, observations, outcomes_for, outcomes_of
    from dyrygent_testing.interleaving import interleavings
    from dyrygent_testing.journal_machine import JournalMachine
    from dyrygent_testing.journal_suite import JournalSuite
    from dyrygent_testing.model import Model
    from dyrygent_testing.model_ends import Outcomes, final_statuses
    from dyrygent_testing.model_rules import fate
    from dyrygent_testing.profiles import load_profile
    from dyrygent_testing.replays import DivergenceError, Replayed, RulesOf, replay
    from dyrygent_testing.simulation import (
        Fault,
        FaultKind,
        Faults,
        Trace,
        Violation,
        Workers,
        check_invariants,
        fault_places,
        kinds_at,
        simulate,
        violations_in,
    )
    from dyrygent_testing.simulation.strategies import faults, timed_requests
    from dyrygent_testing.strategies import graphs, joins, node_ids, payloads, policies
    from dyrygent_testing.workflow_machine import WorkflowMachine
    from dyrygent_testing.workflow_strategies import workflows

__all__ = [
    "QUICK",
    "TASKS",
    "AdapterEngine",
    "AdapterMachine",
    "AdapterSuite",
    "Canvas",
    "CanvasPart",
    "CoreMachine",
    "Detail",
    "DivergenceError",
    "Fault",
    "FaultKind",
    "Faults",
    "JournalMachine",
    "JournalSuite",
    "Model",
    "Outcomes",
    "Replayed",
    "RulesOf",
    "Trace",
    "Violation",
    "Workers",
    "WorkflowMachine",
    "canvas_app",
    "canvases",
    "check_agreement",
    "check_invariants",
    "check_workflow",
    "failures",
    "fate",
    "fault_places",
    "faults",
    "final_statuses",
    "graphs",
    "histories",
    "interleavings",
    "joins",
    "kinds_at",
    "load_profile",
    "node_ids",
    "observations",
    "outcomes_for",
    "outcomes_of",
    "payloads",
    "policies",
    "replay",
    "save_history",
    "simulate",
    "timed_requests",
    "violations_in",
    "workflows",
]

_HOMES: Final = {
    "CoreMachine": "core_machine",
    "AdapterEngine": "adapter_suite",
    "AdapterMachine": "adapter_machine",
    "AdapterSuite": "adapter_suite",
    "Canvas": "drawn_canvases",
    "CanvasPart": "drawn_canvases",
    "Detail": "history_files",
    "DivergenceError": "replays",
    "Fault": "simulation",
    "FaultKind": "simulation",
    "Faults": "simulation",
    "JournalMachine": "journal_machine",
    "JournalSuite": "journal_suite",
    "Model": "model",
    "Outcomes": "model_ends",
    "QUICK": "adapter_suite",
    "Replayed": "replays",
    "RulesOf": "replays",
    "TASKS": "adapter_tasks",
    "Trace": "simulation",
    "Violation": "simulation",
    "Workers": "simulation",
    "WorkflowMachine": "workflow_machine",
    "canvas_app": "canvas_tasks",
    "canvases": "drawn_canvases",
    "check_agreement": "agreement",
    "check_invariants": "simulation",
    "check_workflow": "checking",
    "failures": "history_strategies",
    "fate": "model_rules",
    "fault_places": "simulation",
    "faults": "simulation.strategies",
    "final_statuses": "model_ends",
    "graphs": "strategies",
    "histories": "history_strategies",
    "interleavings": "interleaving",
    "joins": "strategies",
    "kinds_at": "simulation",
    "load_profile": "profiles",
    "node_ids": "strategies",
    "observations": "history_strategies",
    "outcomes_for": "history_strategies",
    "outcomes_of": "history_strategies",
    "payloads": "strategies",
    "policies": "strategies",
    "replay": "replays",
    "save_history": "history_files",
    "simulate": "simulation",
    "timed_requests": "simulation.strategies",
    "violations_in": "simulation",
    "workflows": "workflow_strategies",
}

_EXTRAS: Final = {"hypothesis": "testing", "pytest": "testing"}


def __getattr__(name: str) -> Any:  # a class or a function of the toolkit
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    try:
        home = import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError as missing:
        from dyrygent_runtime.extras import with_the_extra  # noqa: PLC0415  # or this would load all of the runtime

        raise with_the_extra(missing, __name__, _EXTRAS) from None
    return getattr(home, name)
