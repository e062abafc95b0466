"""What is written down while a simulation goes on, to become its trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, evolve, field

from dyrygent_core import Attempt, Observation, Outcome
from dyrygent_core.ports import Dispatch, WorkflowKey, WorkflowOutcome
from dyrygent_runtime.fold import Folded
from dyrygent_testing.simulation.faults import Fault, FaultKind
from dyrygent_testing.simulation.loop import Loop
from dyrygent_testing.simulation.trace import (
    Act,
    ActKind,
    Executed,
    Held,
    Life,
    Named,
    Published,
    Sent,
    Struck,
    View,
    Wrote,
)

__all__ = ["Doing", "Recorder"]


@define(eq=False)
class Doing:
    """An act that is under way."""

    number: int
    kind: ActKind
    life: Life
    began_ms: int
    nonces: list[str] = field(factory=list[str])
    attempts: dict[Named, None] = field(factory=dict[Named, None])
    chunk_ms: int = 0
    """When this act last began to send."""
    workflow: str = ""
    """The one that it last asked the journal about."""

    def deals_with(self, workflow: str, attempts: Sequence[Attempt]) -> None:
        """Note attempts that this act deals with."""
        self.attempts.update(dict.fromkeys((workflow, attempt) for attempt in attempts))

    def over(self, now_ms: int) -> Act:
        """Return what it was."""
        return Act(
            self.number,
            self.kind,
            self.life,
            self.began_ms,
            now_ms,
            tuple(self.nonces),
            tuple(self.attempts),
            self.workflow,
        )


class Recorder:
    """Collects everything, in the order in which it happens."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._stack: list[Doing] = []
        self._count = 0
        self._positions: dict[str, int] = {}
        self.acts: list[Act] = []
        self.sent: list[Sent] = []
        self.executed: list[Executed] = []
        self.struck: list[Struck] = []
        self.held: list[Held] = []
        self.published: list[Published] = []
        self.wrote: list[Wrote] = []
        self.views: list[View] = []
        self.problems: list[str] = []

    @property
    def doing(self) -> Doing:
        """What is done now; inside of it others may have stood still."""
        return self._stack[-1]

    def begin(self, kind: ActKind, life: Life) -> Doing:
        """Begin an act."""
        self._count += 1
        doing = Doing(self._count, kind, life, self._loop.now_ms)
        self._stack.append(doing)
        return doing

    def end(self) -> None:
        """End the act that is under way."""
        self.acts.append(self._stack.pop().over(self._loop.now_ms))

    # What happens

    def strike(self, fault: Fault, **about: Any) -> int:
        """Note a fault; return its number."""
        act = self._stack[-1].number if self._stack else None
        now_ms = self._loop.now_ms
        self.struck.append(Struck(now_ms, now_ms, fault, act=act, **about))
        return len(self.struck) - 1

    def strike_task(self, life: Life, place: str, hit: int, names: Sequence[Named]) -> int:
        """Note the death of a process by what it ran: as a crash, but none that could be planned."""
        return self.strike(Fault(place, hit, FaultKind.CRASH), life=life, names=tuple(names), is_of_task=True)

    def is_over(self, struck: int, after_ms: int = 0) -> None:
        """Note that a fault lasted until now, or until `after_ms` from now."""
        self.struck[struck] = evolve(self.struck[struck], until_ms=self._loop.now_ms + after_ms)

    def name(self, struck: int, names: Sequence[Named]) -> None:
        """Note which attempts a fault has hit."""
        self.struck[struck] = evolve(self.struck[struck], names=tuple(names))

    def found(self, struck: int, held: Sequence[Named], forgotten: Sequence[Named]) -> None:
        """Note what a process held when it died of a fault."""
        self.struck[struck] = evolve(self.struck[struck], held=tuple(held), forgotten=tuple(forgotten))

    def send(self, item: Dispatch) -> None:
        """Note that an attempt reached the engine."""
        doing, key = self.doing, item.workflow
        now_ms = self._loop.now_ms
        self.sent.append(Sent(now_ms, doing.chunk_ms, doing.number, key.id, item.attempt, _plain(item.attempt_id, key)))

    def write(
        self,
        key: WorkflowKey,
        nonce: str,
        first: int,
        observations: Sequence[Observation],
        results: Mapping[Attempt, bytes],
    ) -> None:
        """Note that entries reached the journal."""
        doing = self.doing
        self._positions[key.id] = max(self.position(key.id), first + len(observations) - 1)
        self.wrote.append(
            Wrote(self._loop.now_ms, doing.number, doing.life, key.id, nonce, first, tuple(observations), dict(results))
        )

    def is_first(self, workflow: str) -> bool:
        """Tell whether nothing of this workflow was written yet."""
        return workflow not in self._positions

    def position(self, workflow: str) -> int:
        """Return that of the last entry that was written of a workflow."""
        return self._positions.get(workflow, 0)

    def execute(self, item: Dispatch, life: Life, seen: int) -> int:
        """Note the start of an execution; return its number."""
        self.executed.append(
            Executed(
                len(self.executed),
                item.workflow.id,
                item.attempt,
                life,
                self._loop.now_ms,
                seen,
                item.call.inputs.value,
            )
        )
        return len(self.executed) - 1

    def executed_to(self, number: int, outcome: Outcome, returned: bytes | None) -> None:
        """Note the end of an execution."""
        self.executed[number] = evolve(
            self.executed[number], ended_ms=self._loop.now_ms, outcome=outcome, returned=returned
        )

    def publish(self, life: Life, outcome: WorkflowOutcome) -> None:
        """Note what the engine was told of a workflow."""
        self.published.append(Published(self._loop.now_ms, life, outcome.key.id, outcome))

    def view(self, life: Life, folded: Folded) -> None:
        """Note what a process believes."""
        self.views.append(View(life, folded.key.id, folded.seen.position, folded.state))


def _plain(attempt_id: str, key: WorkflowKey) -> str:
    """Leave out the incarnation, which is another in every run."""
    return attempt_id.replace(key.incarnation, "*")
