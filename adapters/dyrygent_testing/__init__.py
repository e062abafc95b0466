"""The public testing toolkit: strategies, a slow model, rule machines, and the conformance suite of journals.

Each name is loaded when it is first asked for, so a suite needs no more than what it is written with.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from dyrygent_testing.agreement import check_agreement
    from dyrygent_testing.history_strategies import failures, histories, observations, outcomes_for
    from dyrygent_testing.journal_machine import JournalMachine
    from dyrygent_testing.journal_suite import JournalSuite
    from dyrygent_testing.machine import WorkflowMachine
    from dyrygent_testing.model import Model, final_statuses
    from dyrygent_testing.strategies import graphs, joins, node_ids, payloads, policies
    from dyrygent_testing.workflow_strategies import workflows

__all__ = [
    "JournalMachine",
    "JournalSuite",
    "Model",
    "WorkflowMachine",
    "check_agreement",
    "failures",
    "final_statuses",
    "graphs",
    "histories",
    "joins",
    "node_ids",
    "observations",
    "outcomes_for",
    "payloads",
    "policies",
    "workflows",
]

_HOMES: Final = {
    "JournalMachine": "journal_machine",
    "JournalSuite": "journal_suite",
    "Model": "model",
    "WorkflowMachine": "machine",
    "check_agreement": "agreement",
    "failures": "history_strategies",
    "final_statuses": "model",
    "graphs": "strategies",
    "histories": "history_strategies",
    "joins": "strategies",
    "node_ids": "strategies",
    "observations": "history_strategies",
    "outcomes_for": "history_strategies",
    "payloads": "strategies",
    "policies": "strategies",
    "workflows": "workflow_strategies",
}


def __getattr__(name: str) -> Any:  # a class or a function of the toolkit
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
