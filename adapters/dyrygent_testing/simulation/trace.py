"""What a simulation leaves behind: all that happened, as values, for assertions and for a human who reads it.

Whether it was right is for `check_invariants` to say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, TypeAlias

from attrs import field, frozen

from dyrygent_core import Attempt, Call, Definition, Observation, Outcome, State, Status
from dyrygent_core.ports import Entry, WorkflowKey, WorkflowOutcome
from dyrygent_runtime.settings import Settings
from dyrygent_testing.simulation.faults import Fault, Faults

__all__ = [
    "Act",
    "ActKind",
    "Executed",
    "Held",
    "History",
    "Life",
    "Named",
    "Published",
    "Sent",
    "Struck",
    "Trace",
    "View",
    "Wrote",
]

Named: TypeAlias = tuple[str, Attempt]
"""An attempt of one of the simulated workflows, by that workflow's id."""


@frozen
class Life:
    """One life of a process: from its start to its death."""

    process: str
    boot: int

    def __str__(self) -> str:
        return f"{self.process}#{self.boot}"


class ActKind(Enum):
    """What a process is about."""

    START = "start"
    REQUEST = "request"
    RUN = "run"
    """It picks an attempt up, and begins to run it."""
    REPORT = "report"
    HAND_OVER = "hand_over"
    """It sends the rest of what another turn emitted."""
    SWEEP = "sweep"
    MARK = "mark"
    """It says what it has sent."""
    LEASE = "lease"
    """It says that it lives."""


@frozen
class Act:
    """One thing that a process did: `nonces` are those of its appends, `attempts` all that it dealt with."""

    number: int
    kind: ActKind
    life: Life
    began_ms: int
    ended_ms: int
    nonces: tuple[str, ...] = ()
    attempts: tuple[Named, ...] = ()
    workflow: str = ""
    """The workflow that it dealt with last."""


@frozen
class Sent:
    """An attempt given to the engine. `began_ms`: when the sender last looked at the clock."""

    at_ms: int
    began_ms: int
    act: int
    workflow: str
    attempt: Attempt
    attempt_id: str


@frozen
class Executed:
    """One execution of an attempt. `seen`: the journal's last position when it began.

    `ended_ms` and `outcome` are None where its process died before its end.
    """

    number: int
    workflow: str
    attempt: Attempt
    life: Life
    started_ms: int
    seen: int
    inputs: Any = field(repr=False)
    ended_ms: int | None = None
    outcome: Outcome | None = None


@frozen
class Struck:
    """A fault that happened: to whom, during which act, until when, and which attempts it names or found held."""

    at_ms: int
    until_ms: int
    fault: Fault
    life: Life | None = None
    act: int | None = None
    names: tuple[Named, ...] = ()
    held: tuple[Named, ...] = ()
    forgotten: tuple[Named, ...] = ()
    """Those that a process held when it died, and that no lease of its own has named."""
    is_of_task: bool = False
    """Whether it was what the process ran that killed it."""


@frozen
class Held:
    """An attempt that was in a process, waiting or running, for a time."""

    life: Life
    workflow: str
    attempt: Attempt
    from_ms: int
    until_ms: int


@frozen
class Published:
    """What the engine was told of a workflow."""

    at_ms: int
    life: Life
    workflow: str
    outcome: WorkflowOutcome


@frozen
class Wrote:
    """An append that reached the journal: where its entries begin, and the results that came with them."""

    at_ms: int
    act: int
    life: Life
    workflow: str
    nonce: str
    first: int
    observations: tuple[Observation, ...]
    results: Mapping[Attempt, bytes] = field(factory=dict[Attempt, bytes], repr=False)


@frozen
class View:
    """What a process believed a workflow to be."""

    life: Life
    workflow: str
    position: int
    state: State


@frozen
class History:
    """One workflow, as its journal holds it at the end."""

    key: WorkflowKey
    definition: Definition
    calls: tuple[Call, ...] = field(repr=False)
    entries: tuple[Entry, ...]
    results: Mapping[Attempt, bytes] = field(repr=False)
    state: State
    is_open: bool


@frozen
class Trace:
    """All that happened in one simulation; everything is in the order in which it happened."""

    seed: int
    faults: Faults
    settings: Settings
    histories: tuple[History, ...]
    acts: tuple[Act, ...] = field(repr=False)
    sent: tuple[Sent, ...] = field(repr=False)
    executed: tuple[Executed, ...] = field(repr=False)
    struck: tuple[Struck, ...]
    held: tuple[Held, ...] = field(repr=False)
    published: tuple[Published, ...] = field(repr=False)
    wrote: tuple[Wrote, ...] = field(repr=False)
    views: tuple[View, ...] = field(repr=False)
    problems: tuple[str, ...]
    """What the product logged as an error, or let out as an exception that nobody foresaw."""
    hits: Mapping[str, int] = field(repr=False)
    """How often each place was passed where something could have gone wrong."""
    has_settled: bool
    """Whether everything ended: workflows closed, no message and no attempt left anywhere."""
    ended_ms: int
    heard_ms: int = 0
    """When whoever started and steered the workflows was content."""

    @property
    def state(self) -> State:
        """Where the first workflow stands."""
        return self.histories[0].state

    @property
    def statuses(self) -> Mapping[str, Status]:
        """What became of the first workflow's nodes, by id."""
        return self.state.statuses

    @property
    def observations(self) -> tuple[Observation, ...]:
        """The first workflow's journal."""
        return tuple(entry.observation for entry in self.histories[0].entries)

    @property
    def plan(self) -> tuple[Fault, ...]:
        """The faults that struck; planned, they strike again."""
        return tuple(it.fault for it in self.struck if not it.is_of_task)

    @property
    def crashed(self) -> tuple[Struck, ...]:
        """The deaths of processes."""
        return tuple(it for it in self.struck if it.fault.kind.value == "crash")

    @property
    def digest(self) -> str:
        """32 hexadecimal digits that are the same whenever, and wherever, the same happened."""
        return hashlib.blake2b("\n".join(self.lines()).encode(), digest_size=16).hexdigest()

    def lines(self) -> list[str]:
        """Tell the whole, a line for each thing that happened, by time."""
        told = sorted(self._told(), key=lambda it: (it[0], it[1]))
        return [f"{at_ms:>9} {text}" for at_ms, _, text in told]

    def __str__(self) -> str:
        head = f"simulation of seed {self.seed} with {self.faults}: {self.histories and self.state!r}"
        return "\n".join([head, *self.lines(), *self.problems])

    def _told(self) -> Iterator[tuple[int, int, str]]:
        kinds = {act.number: f"{act.life} {act.kind.value}" for act in self.acts}
        owners = {(it.workflow, it.first + at): it for it in self.wrote for at in range(len(it.observations))}
        for history in self.histories:
            for entry in history.entries:
                by = owners[history.key.id, entry.position]
                its = f"{history.key.id}:{entry.position} {entry.observation!r}"
                yield by.at_ms, 1, f"{kinds[by.act]} wrote {its}"
        for sent in self.sent:
            yield sent.at_ms, 2, f"{kinds[sent.act]} sent {_shown(sent.workflow, sent.attempt)}"
        for it in self.executed:
            yield it.started_ms, 3, f"{it.life} began {_shown(it.workflow, it.attempt)} at {it.seen}"
            if it.ended_ms is not None:
                yield it.ended_ms, 0, f"{it.life} ended {_shown(it.workflow, it.attempt)}: {it.outcome!r}"
        for struck in self.struck:
            where = "" if struck.act is None else f"{kinds[struck.act]} "
            yield struck.at_ms, 4, f"{where}STRUCK {struck.fault}"
        for told in self.published:
            yield told.at_ms, 5, f"{told.life} published {told.workflow}: {told.outcome.state.name}"
        yield self.ended_ms, 6, "settled" if self.has_settled else "gave up"


def _shown(workflow: str, attempt: Attempt) -> str:
    return f"{workflow}:{attempt!r}"
