"""The pure core of Dyrygent: what runs next in a graph of tasks, decided by one function without side effects.

    new_state, tasks_to_schedule = advance(graph, state, observations)

Nothing here does I/O, reads a clock, draws a random number, logs or starts a thread.
"""

from dyrygent_core.advance import advance
from dyrygent_core.calls import Call, call
from dyrygent_core.control import SkipNode, Take
from dyrygent_core.critical_path import PathStep, critical_path
from dyrygent_core.errors import (
    AdapterError,
    AdapterUnavailableError,
    AttemptLostError,
    CycleError,
    DuplicateNodeError,
    DyrygentError,
    EncodingError,
    InvariantError,
    JournalError,
    JournalUnavailableError,
    LimitError,
    ResultMissingError,
    ResultNotKeptError,
    ResultPathError,
    UnknownNodeError,
    UnknownWorkflowError,
    UnsupportedVersionError,
    UpstreamFailedError,
    UsageError,
    WorkflowExistsError,
    WorkflowFailedError,
)
from dyrygent_core.explain import explain
from dyrygent_core.graph import Graph, Mode
from dyrygent_core.history import History
from dyrygent_core.nodes import Each, Edge, Node, OnLoss, RetryPolicy, Role
from dyrygent_core.observations import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Failed,
    Failure,
    Lost,
    Observation,
    Outcome,
    PauseRequested,
    Ran,
    RerunRequested,
    ResumeRequested,
    RetryDue,
    Skipped,
    SkipRequested,
    Succeeded,
    TimedOut,
)
from dyrygent_core.ports import Entry
from dyrygent_core.refs import ResultRef
from dyrygent_core.rules import Condition, Trigger
from dyrygent_core.state import Progress, State
from dyrygent_core.statuses import Status, WorkflowState
from dyrygent_core.story import story
from dyrygent_core.wiring import NodeHandle
from dyrygent_core.workflow import Definition, Workflow

__all__ = [
    "AdapterError",
    "AdapterUnavailableError",
    "Attempt",
    "AttemptLostError",
    "Begin",
    "Call",
    "CancelRequested",
    "Condition",
    "CycleError",
    "DeadlinePassed",
    "Definition",
    "DuplicateNodeError",
    "DyrygentError",
    "Each",
    "Edge",
    "EncodingError",
    "Entry",
    "Failed",
    "Failure",
    "Graph",
    "History",
    "InvariantError",
    "JournalError",
    "JournalUnavailableError",
    "LimitError",
    "Lost",
    "Mode",
    "Node",
    "NodeHandle",
    "Observation",
    "OnLoss",
    "Outcome",
    "PathStep",
    "PauseRequested",
    "Progress",
    "Ran",
    "RerunRequested",
    "ResultMissingError",
    "ResultNotKeptError",
    "ResultPathError",
    "ResultRef",
    "ResumeRequested",
    "RetryDue",
    "RetryPolicy",
    "Role",
    "SkipNode",
    "SkipRequested",
    "Skipped",
    "State",
    "Status",
    "Succeeded",
    "Take",
    "TimedOut",
    "Trigger",
    "UnknownNodeError",
    "UnknownWorkflowError",
    "UnsupportedVersionError",
    "UpstreamFailedError",
    "UsageError",
    "Workflow",
    "WorkflowExistsError",
    "WorkflowFailedError",
    "WorkflowState",
    "advance",
    "call",
    "critical_path",
    "explain",
    "story",
]
