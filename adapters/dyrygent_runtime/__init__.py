"""What all engine adapters share: the conductor, the sweep, the journals, and the handle on a run."""

from dyrygent_runtime.conductor import Conductor
from dyrygent_runtime.engine_adapter import EngineAdapter
from dyrygent_runtime.execution import Execution
from dyrygent_runtime.failures import failure_of, failure_told
from dyrygent_runtime.holdings import Boot, Holdings
from dyrygent_runtime.identity import Identity
from dyrygent_runtime.listeners import Listener, NodeChanged, Notification, TurnTaken, WorkflowChanged
from dyrygent_runtime.portability import check_portable
from dyrygent_runtime.reports import Report, finding_of, raised, returned, revoked, told
from dyrygent_runtime.requests import OnUnfinished
from dyrygent_runtime.run import Run
from dyrygent_runtime.runs import page_of_runs, purge, runs
from dyrygent_runtime.settings import Settings
from dyrygent_runtime.start import OnConflict, start
from dyrygent_runtime.sweep import sweep_workflow
from dyrygent_runtime.sweeper import Sweeper

__all__ = [
    "Boot",
    "Conductor",
    "EngineAdapter",
    "Execution",
    "Holdings",
    "Identity",
    "Listener",
    "NodeChanged",
    "Notification",
    "OnConflict",
    "OnUnfinished",
    "Report",
    "Run",
    "Settings",
    "Sweeper",
    "TurnTaken",
    "WorkflowChanged",
    "check_portable",
    "failure_of",
    "failure_told",
    "finding_of",
    "page_of_runs",
    "purge",
    "raised",
    "returned",
    "revoked",
    "runs",
    "start",
    "sweep_workflow",
    "told",
]
