"""The ports: what the runtime asks of a journal, of an engine, of a clock. The values that pass through: `records`.

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
    J8 once     Definition and calls are stored once, and calls are read one by one: by `calls`, or in the same round
                trip as an append that is likely to need them, whatever else that comes to.
    J9 failure  A store that cannot be reached raises `JournalUnavailableError`; the write may have happened.
                Connections are opened lazily and never cross a fork.
    J10 list    Workflows are listed newest first, in pages; one that is created or deleted meanwhile may be missed,
                and no other is missed or listed twice. `purge` deletes closed workflows only, whole ones, and never
                one that was opened again.

Adapter
    What an adapter does not claim among its `capabilities` does nothing, and finds nothing; what it claims holds as
    the engine is set up here.
    A1 dispatch Sends attempts under exactly the ids they carry (in a spelling of its own, one to one, where the engine
                allows less), and the functions get the values that the calls have.
                A permanent refusal is returned, never raised, and holds up nothing else of the batch; a name that is
                only found to be unknown where it is to run is a failure for good. A transport error raises
                `AdapterUnavailableError` and fails nothing; some of the batch may have been sent.
    A2 report   Each execution's outcome is given to the conductor by the process that ran it, as its first act after
                the execution, and never before the engine's own record of it where there is one. A success tells
                how long the lists are at the paths that its dispatch asks to measure, and brings its value if that
                is kept; one that cannot be written is a failure for good. A task that ends without an outcome, as
                by `sys.exit`, is told as a failure or found lost (A11), and the worker serves on or is replaced.
    A3 lookup   One read, one finding, and none at odds with the report. No finding means that the engine shows no
                sign of the attempt. A record that is older than the attempt by more than clocks differ is another's.
                An engine that knows an attempt to be held by nobody may say so, and it is sent again at once.
                An engine that cannot be asked raises `AdapterUnavailableError`.
    A4 revoke   Best effort; never raises for an attempt that is unknown or over. The end of one that was dropped is
                reported as revoked, or not at all.
    A5 publish  May be repeated; the same round of a workflow always brings the same outcome. A rerun that begins
                is told as the state RUNNING, and takes back what was told before.
    A6 waiting  Counts the messages that wait in an attempt's queue; what a worker holds does not wait. Where the
                engine cannot tell, the attempt is left out.
    A7 values   What was encoded is decoded equal and of the same types: all that JSON knows, at the least. Anything
                else is refused with `EncodingError`, and what was not encoded here with an error of ours.
    A8 handover May be lost, and may be taken by two: the sweep sends what nobody did, and A10 holds.
    A9 check    Judges by what this process knows: it asks nobody and sends nothing.
    A10 again   One id may be sent, delivered and run more than once, also at once, and late, after the end or the loss
                of its attempt. Each execution reports; the journal keeps the first outcome.
    A11 losses  A worker that dies loses nothing for good. What it ran is found lost, by its lease or by what the
                engine tells; with SURVIVES, what it held unstarted runs elsewhere under the same id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from dyrygent_core.observations import Attempt, Observation
from dyrygent_core.records import (
    Appended,
    Capability,
    Created,
    Dispatch,
    Due,
    Entry,
    Finding,
    Lease,
    LeaseView,
    Listed,
    Mark,
    MarkKind,
    Marks,
    NewWorkflow,
    Page,
    Query,
    Refusal,
    Seen,
    StoredSnapshot,
    StoredWorkflow,
    Submission,
    WorkflowKey,
    WorkflowOutcome,
)
from dyrygent_core.statuses import WorkflowState

if TYPE_CHECKING:
    from dyrygent_core.calls import Call

__all__ = [
    "Adapter",
    "Appended",
    "Capability",
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
        """Read a value back; raises `UnsupportedVersionError` for what this codec did not write."""
        ...


class Clock(Protocol):
    """The runtime's only source of elapsed time. It has no idea of the date: that is the journal's (J4)."""

    def monotonic_ms(self) -> int:
        """Return milliseconds that never go back."""
        ...


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
        calls: Sequence[int] = (),
    ) -> Appended:
        """Append observations, all under one nonce, and results of theirs (J1, J2, J3, J7).

        `calls`: node numbers whose calls are wanted with the answer; those that there are not are left out (J8).
        """
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

    def delete(self, key: WorkflowKey, *, at: int | None = None) -> bool:
        """Remove everything about the workflow, if its last entry is at position `at`; None: wherever that is.

        Tell whether it is gone now, as it is if it was before.
        """
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
        """Renew a worker's lease, or begin it; return the store's time. For no time at all it is given back."""
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


class Adapter(Protocol):
    """The port to an engine. Clauses A1 to A11."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this engine can beyond `dispatch` and reports, as it is set up here."""
        ...

    @property
    def values(self) -> ValueCodec:
        """The engine's serialisation of payloads (A7)."""
        ...

    def check(self, call: Call) -> None:
        """Raise `UsageError` for a call that this engine can never run, before anything is started (A9)."""
        ...

    def dispatch(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        """Send attempts (A1); what is not refused is sent."""
        ...

    def lookup(self, submissions: Sequence[Submission]) -> Mapping[Attempt, Finding]:
        """Ask the engine what became of attempts (A3)."""
        ...

    def waiting(self, submissions: Sequence[Submission]) -> Mapping[Attempt, int]:
        """Return how many messages wait in the queue of each attempt (A6): 0 says that its own does not."""
        ...

    def revoke(self, submissions: Sequence[Submission]) -> None:
        """Ask the engine to drop attempts (A4)."""
        ...

    def hand_over(self, key: WorkflowKey, position: int, offset: int) -> bool:
        """Let another process send what position `position` emitted, `offset` on (A8); False: the owner does."""
        ...

    def publish(self, outcome: WorkflowOutcome) -> None:
        """Make a workflow's end known in the engine (A5)."""
        ...
