"""The ports: what the runtime asks of a journal, of an engine, of a clock, and the values that pass through.

Each clause has a number; documentation, tests and error messages name it. The suites in `dyrygent_testing` check them.

Journal
    J1 order    Positions count from 1 without a gap per workflow. They are given under that workflow's lock, which
                is taken before anything is read.
    J2 seen     `append` gives, in one transaction, its own positions and the entries missed since `seen`. If the
                entry at `seen` has another nonce the answer is `has_diverged`: the entries are written all the same.
                So it is if a missed entry is of a version that this release cannot read; `read` says of which.
    J3 unknown  Everything about a workflow that is unknown, deleted, or of another incarnation is refused with
                `UnknownWorkflowError` and creates nothing.
    J4 time     All times are the store's own, in milliseconds since the epoch; a caller gives durations only.
    J5 due      Every open workflow has a due time. `create` sets it, `due` moves it on by the claim's length,
                `rest` sets it, `remind` and `append` may lower it but never raise it, and only `close` removes it.
                An append to a closed workflow opens it again. Two sweepers never get one due time both.
    J6 snapshot The newest snapshot is kept, by position; an older one never replaces it. It is a help and no truth:
                entries are kept until the workflow is deleted, so a snapshot that cannot be read is done without.
    J7 results  A result is inserted if absent, in the same atomic append as its outcome.
    J8 once     Definition and calls are stored once, and calls are read one by one.
    J9 failure  A store that cannot be reached raises `JournalUnavailableError`; the write may have happened.
                Connections are opened lazily and never cross a fork.
    J10 list    Workflows are listed newest first, in pages; one that is created or deleted meanwhile may be missed,
                and no other is missed or listed twice. `purge` deletes closed workflows only, whole ones, and never
                one that was opened again.

Adapter
    A1 dispatch Sends attempts under exactly the ids they carry. A permanent refusal is returned, never raised.
                A transport error raises `AdapterUnavailableError` and fails nothing.
    A2 report   Each execution's outcome is given to the conductor by the process that ran it, as its first act after
                the execution, and never before the engine's own record of it where there is one. A success tells
                how long the lists are at the paths that its dispatch asks to measure.
    A3 lookup   One read, one finding. No finding means that the engine shows no sign of the attempt.
    A4 revoke   Best effort; never raises for an attempt that is unknown or over.
    A5 publish  May be repeated; the same round of a workflow always brings the same outcome. A rerun that begins
                is told as the state RUNNING, and takes back what was told before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from attrs import field, frozen

from dyrygent_core.nodes import Path
from dyrygent_core.observations import Attempt, Failure, Observation, Outcome
from dyrygent_core.statuses import WorkflowState

if TYPE_CHECKING:
    from dyrygent_core.calls import Call

__all__ = [
    "Adapter",
    "Appended",
    "Clock",
    "Created",
    "Dispatch",
    "Due",
    "Entry",
    "Finding",
    "Journal",
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
    "ValueCodec",
    "WorkflowKey",
    "WorkflowOutcome",
]


class ValueCodec(Protocol):
    """Writes payloads down in the engine's own serialisation."""

    def encode(self, value: Any) -> bytes:  # a payload
        """Write a value; raises `EncodingError` if it cannot be."""
        ...

    def decode(self, data: bytes) -> Any:  # a payload
        """Read a value back."""
        ...


class Clock(Protocol):
    """The runtime's only source of elapsed time. It has no idea of the date: that is the journal's (J4)."""

    def monotonic_ms(self) -> int:
        """Return milliseconds that never go back."""
        ...


# What passes through the journal


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
    """The answer to `append`: where its observations stand (contiguous, `first` on), and what was missed before."""

    first: int
    at_ms: int
    missed: tuple[Entry, ...] = ()
    has_diverged: bool = False


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


class Journal(Protocol):
    """The durable list of each workflow's observations, with definition, results and marks. Clauses J1 to J10.

    `namespace`s are apart from each other in everything. Threads may share a journal.
    """

    @property
    def namespace(self) -> str:
        """The part of the store that this journal sees."""
        ...

    def create(self, workflow: NewWorkflow, *, nonce: str, due_in_ms: int) -> Created:
        """Write the definition, the calls and `Begin` as entry 1, unless the id exists; idempotent per incarnation."""
        ...

    def append(
        self,
        key: WorkflowKey,
        observations: Sequence[Observation],
        *,
        seen: Seen,
        nonce: str,
        results: Mapping[Attempt, bytes] = {},
    ) -> Appended:
        """Append observations, all under one nonce, and results of theirs (J1, J2, J3, J7)."""
        ...

    def read(self, key: WorkflowKey, *, after: int = 0) -> tuple[Entry, ...]:
        """Return the entries after a position, in order."""
        ...

    def definition(self, workflow_id: str) -> StoredWorkflow:
        """Return what `create` wrote, whatever the incarnation."""
        ...

    def calls(self, key: WorkflowKey, numbers: Sequence[int]) -> Mapping[int, bytes]:
        """Return the calls of these node numbers (J8)."""
        ...

    def results(self, key: WorkflowKey, attempts: Sequence[Attempt]) -> Mapping[Attempt, bytes]:
        """Return the results that are stored of these attempts."""
        ...

    def mark(self, key: WorkflowKey, marks: Sequence[Mark]) -> int:
        """Set marks, with relaxed durability; return the store's time. Unknown workflows are ignored."""
        ...

    def marks(self, key: WorkflowKey, attempts: Sequence[Attempt]) -> Mapping[Attempt, Marks]:
        """Return what is marked of these attempts."""
        ...

    def due(self, *, limit: int, claim_ms: int) -> tuple[Due, ...]:
        """Claim workflows whose due time has come, the longest overdue first (J5)."""
        ...

    def rest(self, key: WorkflowKey, *, in_ms: int) -> None:
        """Set the due time of an open workflow: the end of a sweep turn."""
        ...

    def remind(self, key: WorkflowKey, *, in_ms: int) -> None:
        """Lower the due time of an open workflow, if it is later than that."""
        ...

    def close(self, key: WorkflowKey, *, at: int, state: WorkflowState) -> bool:
        """Close the workflow if its last entry is at position `at`; tell whether it is closed now.

        `state` is what it has come to, for lists.
        """
        ...

    def keep_snapshot(self, key: WorkflowKey, snapshot: StoredSnapshot) -> None:
        """Keep a snapshot, unless one of that position or a later one is there (J6)."""
        ...

    def delete(self, key: WorkflowKey) -> None:
        """Remove everything about the workflow; nothing happens if it is gone."""
        ...

    def list(self, query: Query, *, limit: int, after: str | None = None) -> Page:
        """List at most `limit` workflows, from where an earlier page says (J10).

        Raises `UsageError` for an `after` that no page of this journal has given.
        """
        ...

    def purge(self, *, closed_for_ms: int, limit: int) -> int:
        """Delete at most `limit` workflows that have been closed for so long; return how many were (J10)."""
        ...

    def annotate(self, key: WorkflowKey, notes: Mapping[str, Any]) -> None:
        """Set small JSON values by name beside the journal; other names keep theirs, None removes."""
        ...

    def annotations(self, key: WorkflowKey) -> Mapping[str, Any]:
        """Return what was annotated."""
        ...

    def renew_lease(self, lease: Lease, *, ttl_ms: int) -> int:
        """Renew a worker's lease, or begin it; return the store's time."""
        ...

    def leases(self) -> tuple[tuple[LeaseView, ...], int]:
        """Return the leases of the namespace, run out ones for a day too, and the store's time."""
        ...

    def watch(self, key: WorkflowKey, *, after: int, timeout_ms: int) -> bool:
        """Wait until there is an entry after a position; tell whether there is. May wake early."""
        ...

    def dispose(self) -> None:
        """Close this process's connections. They open again when needed."""
        ...


# What passes through the adapter


@frozen
class Submission:
    """An attempt as the engine knows it: the id it runs under, what it runs, and when it was emitted."""

    attempt: Attempt
    attempt_id: str
    target: str
    since_ms: int = 0


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
    """What a look-up saw of an attempt: its outcome if it is over, and its value where it has one."""

    outcome: Outcome | None = None
    value: bytes | None = field(default=None, repr=False)


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


class Adapter(Protocol):
    """The port to an engine. Clauses A1 to A5."""

    @property
    def values(self) -> ValueCodec:
        """The engine's serialisation of payloads."""
        ...

    def check(self, call: Call) -> None:
        """Raise `UsageError` for a call that this engine can never run, before anything is started."""
        ...

    def dispatch(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        """Send attempts (A1); what is not refused is sent."""
        ...

    def lookup(self, submissions: Sequence[Submission]) -> Mapping[Attempt, Finding]:
        """Ask the engine what became of attempts (A3)."""
        ...

    def revoke(self, submissions: Sequence[Submission]) -> None:
        """Ask the engine to drop attempts (A4)."""
        ...

    def hand_over(self, key: WorkflowKey, position: int, offset: int) -> bool:
        """Let another process send what position `position` emitted, `offset` on; False: the owner goes on itself."""
        ...

    def publish(self, outcome: WorkflowOutcome) -> None:
        """Make a workflow's end known in the engine (A5)."""
        ...
