"""What passes through the ports: to and from journals, and to and from engines. The ports themselves: `ports`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from dyrygent_core.nodes import Path
from dyrygent_core.observations import Attempt, Failure, Observation, Outcome
from dyrygent_core.statuses import WorkflowState

if TYPE_CHECKING:
    from dyrygent_core.calls import Call

__all__ = [
    "Appended",
    "Capability",
    "Created",
    "Dispatch",
    "Due",
    "Entry",
    "Finding",
    "Lease",
    "LeaseView",
    "Listed",
    "Mark",
    "MarkKind",
    "Marks",
    "NewWorkflow",
    "Page",
    "Query",
    "Refusal",
    "Seen",
    "StoredSnapshot",
    "StoredWorkflow",
    "Submission",
    "WorkflowKey",
    "WorkflowOutcome",
]

# To and from the journal


@frozen
class WorkflowKey:
    """One workflow: its id, and the incarnation made at `create`; an id deleted and created again is another."""

    id: str
    incarnation: str


@frozen
class NewWorkflow:
    """What `create` writes: the definition and, by node number, the calls."""

    key: WorkflowKey
    digest: str
    definition: bytes = field(repr=False)
    calls: tuple[bytes, ...] = field(repr=False)
    name: str = ""
    tags: tuple[str, ...] = ()


@frozen
class Seen:
    """The last entry that a process has folded: position 0 and no nonce before the first."""

    position: int = 0
    nonce: str = ""


@frozen
class StoredSnapshot:
    """The newest snapshot of a workflow: what it holds, and the last entry folded into it (J6)."""

    seen: Seen
    data: bytes = field(repr=False)


@frozen
class StoredWorkflow:
    """What the journal knows of a workflow apart from its entries and calls."""

    key: WorkflowKey
    digest: str
    definition: bytes = field(repr=False)
    is_open: bool
    created_ms: int
    snapshot: StoredSnapshot | None = None


@frozen
class Entry:
    """One line of a journal. The observation carries the store's time in `at_ms`."""

    position: int
    nonce: str
    observation: Observation


@frozen
class Appended:
    """The answer to `append`: where its observations stand (contiguous, `first` on), and what was missed before.

    `calls`: those that were asked for along with it, by node number.
    """

    first: int
    at_ms: int
    missed: tuple[Entry, ...] = ()
    has_diverged: bool = False
    calls: Mapping[int, bytes] = field(factory=dict[int, bytes], repr=False)


@frozen
class Created:
    """The answer to `create`: the workflow that has this id now, and whether this call made it."""

    key: WorkflowKey
    digest: str
    is_new: bool
    at_ms: int


class MarkKind(Enum):
    """What a mark says of an attempt."""

    SENT = "sent"
    STARTED = "started"
    CLEARED = "cleared"
    """It was started, and is no longer: it was put back, to be run again."""


@frozen
class Mark:
    """A hint beside the journal; the store stamps it. `worker` and `boot` name the lease that covers a STARTED one."""

    kind: MarkKind
    attempt: Attempt
    worker: str = ""
    boot: str = ""


@frozen
class Marks:
    """What is marked of one attempt. `sent` counts how often it was sent; times are the store's, None for never."""

    sent: int = 0
    sent_ms: int | None = None
    started_ms: int | None = None
    worker: str = ""
    boot: str = ""


@frozen
class Lease:
    """A worker's word that it lives: which attempts (by attempt id) run in it, and which it holds unstarted."""

    worker: str
    boot: str
    active: frozenset[str] = frozenset()
    reserved: frozenset[str] = frozenset()


@frozen
class LeaseView:
    """A lease as the store has it, with the names of its last renewal and, in `previous`, of the one before."""

    lease: Lease
    renewed_ms: int
    expires_ms: int
    previous: Lease | None = None
    previous_ms: int | None = None


@frozen
class Due:
    """A workflow claimed by `due`, and the store's time."""

    key: WorkflowKey
    at_ms: int


@frozen
class Query:
    """Which workflows to list: those that match all that is given here. Nothing given stands for all.

    `states`: RUNNING stands for every workflow that is not closed. `name`: exactly this. `tags`: all of these.
    `created_from_ms`, `created_to_ms`: from this time of the store, and before that one.
    """

    states: frozenset[WorkflowState] = frozenset()
    name: str | None = None
    tags: tuple[str, ...] = ()
    created_from_ms: int | None = None
    created_to_ms: int | None = None


@frozen
class Listed:
    """One workflow of a list. `state` is that of its last close, and RUNNING while it is open."""

    key: WorkflowKey
    name: str
    tags: tuple[str, ...]
    state: WorkflowState
    created_ms: int
    closed_ms: int | None = None


@frozen
class Page:
    """A part of a list, newest first, and where the next part begins; None if this is the last."""

    items: tuple[Listed, ...]
    following: str | None = None


# To and from the adapter


class Capability(Enum):
    """What an engine can beyond what every engine must; without it, that part of the port does nothing."""

    LOOKUP = "lookup"
    """The engine keeps outcomes where `lookup` finds them, though the process that ran the attempt is gone (A3)."""
    WAITING = "waiting"
    """`waiting` counts the messages in an attempt's queue (A6)."""
    REVOKE_WAITING = "revoke_waiting"
    """`revoke` drops an attempt that has not begun (A4)."""
    REVOKE_RUNNING = "revoke_running"
    """`revoke` stops an attempt that runs (A4)."""
    REPORTS_START = "reports_start"
    """A worker marks an attempt as started before its task begins, so that its death is told from a long queue."""
    LEASES = "leases"
    """A worker renews a lease that names the attempts in it, so that they are found lost when it dies."""
    REPORTS_LOSS = "reports_loss"
    """The engine itself tells that what ran an attempt has died, before the lease runs out."""
    HANDS_OVER = "hands_over"
    """`hand_over` has another process send the rest of a large turn."""
    PUBLISHES = "publishes"
    """`publish` makes a workflow's end known in the engine (A5)."""
    SURVIVES = "survives"
    """What was sent is held by a broker, and outlives every process of ours."""


@frozen
class Submission:
    """An attempt as the engine knows it: the id it runs under, what it runs, and when it was emitted.

    `queue`: the one that its call's options name, if they do.
    """

    attempt: Attempt
    attempt_id: str
    target: str
    since_ms: int = 0
    queue: str | None = None


@frozen
class Dispatch:
    """An attempt to send, with its call, references resolved.

    `is_kept`: its value must be reported. `first_id`: the id of the node's first attempt, if that is the engine's own
    and this is a later one; whoever waits for it is to see this one's outcome. `measure`: where in its value the lists
    are that others map over, so that `Succeeded.sizes` is wanted.
    """

    workflow: WorkflowKey
    namespace: str
    attempt: Attempt
    attempt_id: str
    call: Call = field(repr=False)
    is_kept: bool
    first_id: str | None = None
    measure: tuple[Path, ...] = ()


@frozen
class Refusal:
    """The engine will never take this attempt, and why."""

    attempt: Attempt
    failure: Failure


@frozen
class Finding:
    """What a look-up saw of an attempt: its outcome if it is over, and its value where it has one.

    `gone_before_ms`: nobody holds it any more, unless it was sent after this time of the journal's store.
    """

    outcome: Outcome | None = None
    value: bytes | None = field(default=None, repr=False)
    gone_before_ms: int | None = None


@frozen
class WorkflowOutcome:
    """The end of a workflow, for the engine: its state, its value if it succeeded, what failed first if not.

    In the state RUNNING it is no end: a rerun has begun, and what was told of the round before holds no longer.
    `untold`: the first attempt ids of nodes of whose end the engine knows nothing, for they never ran or were lost,
    each with the failure that whoever waits for it is to see.
    """

    key: WorkflowKey
    state: WorkflowState
    value: Any = field(default=None, repr=False)
    failed: Submission | None = None
    failure: Failure | None = None
    untold: tuple[tuple[str, Failure], ...] = ()
