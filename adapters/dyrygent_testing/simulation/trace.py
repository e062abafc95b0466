"""What a simulation leaves behind: all that happened, as values, for assertions and for a human who reads it.

Whether it was right is for `check_invariants` to say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from enum import Enum
from typing import Any, TypeAlias

from attrs import evolve, field, frozen

from dyrygent_core import (
    Attempt,
    Failed,
    Failure,
    History,
    Observation,
    Outcome,
    State,
    Status,
    UsageError,
)
from dyrygent_core.checks import check_whole
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.errors import quoted
from dyrygent_core.phrases import counted
from dyrygent_core.ports import WorkflowOutcome
from dyrygent_runtime.settings import Settings
from dyrygent_testing.simulation.faults import Fault, Faults
from dyrygent_testing.simulation.telling import chart, seconds, story_of, tale
from dyrygent_testing.subjects import check_nodes

__all__ = [
    "Act",
    "ActKind",
    "Executed",
    "Held",
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
    returned: bytes | None = field(default=None, repr=False)
    """What the task returned, as JSON."""


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


_NARROWEST = 60


@frozen(repr=False)
class Trace:
    """All that happened in one simulation; everything is in the order in which it happened.

    Printed, it is a short story; `lines` has the whole log. What asks for a node raises `UnknownNodeError` for one that
    is not there, and where several workflows run side by side it answers for the first.
    """

    seed: int
    faults: Faults
    settings: Settings
    histories: tuple[History, ...]
    """Those of all workflows that have started, as `Run.history` gives them."""
    states: tuple[State, ...] = field(repr=False)
    """Where each of them stands."""
    unclosed: tuple[str, ...]
    """Those that the journal has not closed, by id."""
    results: Mapping[Named, bytes] = field(repr=False)
    """What the journal holds, as JSON."""
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
    ids: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    """By name, the ids that were made up: those of a Celery canvas. The methods below take names, too."""

    @property
    def history(self) -> History:
        """The first workflow's, for `save_history` and `replay`; raises `UsageError` if none has started."""
        if not self.histories:
            message = f"no workflow has started after {seconds(self.ended_ms)}, so there is no history"
            raise UsageError(message)
        return self.histories[0]

    @property
    def state(self) -> State:
        """Where the first workflow stands."""
        return self.states[0]

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

    # What one asks of it

    def status(self, node: str) -> Status:
        """Return what became of a node of the first workflow."""
        return self.state.status(self._id(node))

    def ran(self, node: str) -> bool:
        """Tell whether any execution of a node has begun."""
        return self.count(node) > 0

    def count(self, node: str) -> int:
        """Count the executions of a node that have begun; of a mapped one, those of all its instances."""
        return len(self._executions(node))

    @property
    def order(self) -> tuple[str, ...]:
        """The nodes that ran, by their first start; those whose ids were made up, by name."""
        names = {node: name for name, node in self.ids.items()}
        return tuple(dict.fromkeys(names.get(it.attempt.node, it.attempt.node) for it in self._all_executions()))

    def started_before(self, node: str, other: str) -> bool:
        """Tell whether a node began, and before another one did, if that began at all."""
        its, others = self._executions(node), self._executions(other)
        return bool(its) and (not others or its[0].number < others[0].number)

    def ended_before(self, node: str, other: str) -> bool:
        """Tell whether a node's first execution came to its end, and before another node began, if that began at all.

        Then the other one could see what it did.
        """
        ended_ms = [it.ended_ms for it in self._executions(node) if it.ended_ms is not None]
        others = self._executions(other)
        return bool(ended_ms) and (not others or min(ended_ms) <= others[0].started_ms)

    @property
    def makespan(self) -> timedelta:
        """The simulated time from the start to the last end of an execution."""
        begun_ms = min((it.at_ms for it in self.wrote), default=0)
        ended_ms = max((it.ended_ms or it.started_ms for it in self._all_executions()), default=begun_ms)
        return timedelta(milliseconds=ended_ms - begun_ms)

    def result(self, node: str) -> Any:
        """Return what a node's task returned, as JSON gives it back; of a mapped node a list by index.

        The execution whose end was recorded first is the one that counts. Raises `UsageError` unless the node has
        succeeded.
        """
        name, node, state = node, self._id(node), self.state
        if state.status(node) is not Status.SUCCEEDED:
            message = (
                f"node {quoted(name)} is {state.status(node).name}, so it has no result; see trace.story({name!r})"
            )
            raise UsageError(message)
        if self.histories[0].definition.graph.node(node).each is None:
            return self._returned(state.attempt(node))
        statuses = enumerate(state.instance_statuses(node))
        return [self._returned(state.attempt(node, at)) if it is Status.SUCCEEDED else None for at, it in statuses]

    def failure(self, node: str) -> Failure | None:
        """Return why the last execution of a node that failed did so; None if none failed."""
        failed = [it.outcome for it in self._executions(node) if isinstance(it.outcome, Failed)]
        return failed[-1].failure if failed else None

    def timeline(self, width: int = 88) -> str:
        """Draw who ran when, a line for each node in the order of their first starts, `width` characters wide.

        `=` stands for running, `x` for where that failed, `?` for where the worker died, `!` for a fault.
        Raises `UsageError` for less than 60 characters.
        """
        check_whole("the width of a timeline", width, _NARROWEST)
        return chart(self, width)

    def story(self, node: str) -> str:
        """Tell what happened to one node: what was observed, executions, faults; and at the end why it is as it is."""
        return story_of(self, self._id(node))

    def _id(self, node: str) -> str:
        if not self.histories:
            message = f"no workflow has started after {seconds(self.ended_ms)}, so there is no node {quoted(node)}"
            raise UsageError(message)
        node = self.ids.get(node, node)
        check_nodes([node], self.histories[0].definition.graph)
        return node

    def _all_executions(self) -> Sequence[Executed]:
        return [it for it in self.executed if it.workflow == self.histories[0].id] if self.histories else []

    def _executions(self, node: str) -> Sequence[Executed]:
        node = self._id(node)
        return [it for it in self._all_executions() if it.attempt.node == node]

    def _returned(self, attempt: Attempt) -> Any:
        ran = [it for it in self._executions(attempt.node) if it.attempt == attempt and it.returned is not None]
        its = [fact for fact in self.observations if isinstance(fact, Outcome) and fact.attempt == attempt]
        recorded = [evolve(fact, at_ms=0) for fact in its]
        data = next((it for it in ran if it.outcome in recorded), ran[0]).returned
        assert data is not None
        return JSON_VALUES.decode(data)

    # All of it

    @property
    def digest(self) -> str:
        """32 hexadecimal digits that are the same whenever, and wherever, the same happened."""
        return hashlib.blake2b("\n".join(self.lines()).encode(), digest_size=16).hexdigest()

    def lines(self) -> list[str]:
        """Tell the whole, a line for each thing that happened, by time."""
        told = sorted(self._told(), key=lambda it: (it[0], it[1]))
        return [f"{at_ms:>9} {text}" for at_ms, _, text in told]

    def __str__(self) -> str:
        return tale(self)

    def __repr__(self) -> str:
        how = self.state.workflow_state.name if self.histories else "not started"
        struck = f", {counted(len(self.struck), 'fault')}" if self.struck else ""
        return f"<Trace of seed {self.seed}: {how} after {seconds(self.ended_ms)}, ran {list(self.order)}{struck}>"

    def _told(self) -> Iterator[tuple[int, int, str]]:
        kinds = {act.number: f"{act.life} {act.kind.value}" for act in self.acts}
        owners = {(it.workflow, it.first + at): it for it in self.wrote for at in range(len(it.observations))}
        for history in self.histories:
            for entry in history.entries:
                by = owners[history.id, entry.position]
                its = f"{history.id}:{entry.position} {entry.observation!r}"
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
