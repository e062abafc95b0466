"""An engine that the test plays by hand: it keeps what was dispatched, and says what the test tells it to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dyrygent_core import Attempt, Call
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.errors import AdapterUnavailableError
from dyrygent_core.ports import (
    Capability,
    Dispatch,
    Finding,
    Refusal,
    Submission,
    ValueCodec,
    WorkflowKey,
    WorkflowOutcome,
)
from dyrygent_runtime import Conductor


class ManualEngine:
    """An adapter whose engine is the test.

    `sent`: all dispatches, in order. `known`: what `lookup` finds. `refused`: targets that are refused for good.
    `queued`: how long the queues are. `is_down`: dispatch raises. `is_deaf`: lookup does.
    """

    def __init__(self) -> None:
        self.sent: list[Dispatch] = []
        self.known: dict[Attempt, Finding] = {}
        self.refused: dict[str, Refusal] = {}
        self.revoked: list[str] = []
        self.handed_over: list[tuple[WorkflowKey, int, int]] = []
        self.takes_over = False
        self.is_down = False
        self.is_deaf = False
        self.queued: dict[Attempt, int] = {}
        self.published: list[WorkflowOutcome] = []
        self.conductor: Conductor = None  # type: ignore[assignment]  # the fixture sets it

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset({Capability.LOOKUP, Capability.WAITING, Capability.HANDS_OVER, Capability.PUBLISHES})

    @property
    def values(self) -> ValueCodec:
        return JSON_VALUES

    def check(self, call: Call) -> None:
        """Accept every call."""

    def dispatch(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        if self.is_down:
            message = "the engine is down"
            raise AdapterUnavailableError(message)
        refusals = [self.refused[it.attempt.node] for it in batch if it.attempt.node in self.refused]
        self.sent += [it for it in batch if it.attempt.node not in self.refused]
        return tuple(refusals)

    def lookup(self, submissions: Sequence[Submission]) -> Mapping[Attempt, Finding]:
        if self.is_deaf:
            message = "the engine cannot be asked"
            raise AdapterUnavailableError(message)
        return {it.attempt: self.known[it.attempt] for it in submissions if it.attempt in self.known}

    def waiting(self, submissions: Sequence[Submission]) -> Mapping[Attempt, int]:
        return {it.attempt: self.queued[it.attempt] for it in submissions if it.attempt in self.queued}

    def revoke(self, submissions: Sequence[Submission]) -> None:
        self.revoked += [it.attempt.node for it in submissions]

    def hand_over(self, key: WorkflowKey, position: int, offset: int) -> bool:
        self.handed_over.append((key, position, offset))
        return self.takes_over

    def publish(self, outcome: WorkflowOutcome) -> None:
        self.published.append(outcome)

    # For the test

    def take(self) -> list[str]:
        """Give the nodes that were sent since the last call, in order."""
        nodes = [it.attempt.node for it in self.sent]
        self.sent.clear()
        return nodes
