"""The simulated engine: a queue of messages, a record of outcomes, and what was revoked.

Messages take a moment, may be lost, doubled, late, or all forgotten. Which of those that wait is delivered next, and
to whom, is a matter of the order that was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from random import Random
from typing import Final, Protocol, TypeAlias

from attrs import field, frozen

from dyrygent_core import Attempt
from dyrygent_core.ports import Dispatch, Finding, Submission, WorkflowKey
from dyrygent_testing.simulation.loop import Loop
from dyrygent_testing.simulation.trace import Named

__all__ = ["Engine", "HandOver", "Message", "Order", "Ordering", "Taker"]

_TRANSIT_MS: Final = 5


class Order(Enum):
    """Which of the messages that wait is delivered next, and to which of the workers that have room."""

    FIFO = "fifo"
    """The one that came first; to the workers in turn."""
    LIFO = "lifo"
    """The one that came last; to the workers in turn."""
    RANDOM = "random"
    """Any, to any worker, after a time that varies."""


Ordering: TypeAlias = Order | tuple[str, ...]
"""An order, or node ids: of those that wait, the one that stands first is delivered next."""


@frozen
class HandOver:
    """The rest of what an entry emitted, to be sent by whoever takes this."""

    key: WorkflowKey
    position: int
    offset: int


@frozen
class Message:
    """What lies in the queue."""

    number: int
    content: Dispatch | HandOver = field(repr=False)

    @property
    def name(self) -> tuple[Named, ...]:
        """The attempt that it carries, if it does."""
        content = self.content
        return ((content.workflow.id, content.attempt),) if isinstance(content, Dispatch) else ()


class Taker(Protocol):
    """A worker, as far as the queue is concerned."""

    @property
    def has_room(self) -> bool:
        """Whether it takes one more now."""
        ...

    def take(self, message: Message) -> None:
        """Hold a message; it is in the queue no more."""
        ...


class Engine:
    """What all simulated processes share beside the journal."""

    def __init__(self, loop: Loop, order: Ordering, chance: Random, takers: Callable[[], Sequence[Taker]]) -> None:
        self._loop = loop
        self._order = order if isinstance(order, Order) else Order.FIFO
        self._ranks = {} if isinstance(order, Order) else {node: rank for rank, node in enumerate(order)}
        self._is_asked = False
        self._chance = chance
        self._takers = takers
        self._queue: list[Message] = []
        self._on_the_way = 0
        self._numbers = 0
        self._turn = 0
        self._records: dict[str, Finding] = {}
        self.revoked: set[str] = set()

    @property
    def is_empty(self) -> bool:
        """Whether no message is anywhere but in a process."""
        return not self._queue and not self._on_the_way

    @property
    def length(self) -> int:
        """How many messages are in the queue or on their way to it."""
        return len(self._queue) + self._on_the_way

    def send(self, content: Dispatch | HandOver, *, late_ms: int = 0) -> None:
        """Put a message on its way."""
        self._numbers += 1
        message = Message(self._numbers, content)
        transit_ms = self._chance.randint(1, 10 * _TRANSIT_MS) if self._order is Order.RANDOM else _TRANSIT_MS
        self._on_the_way += 1
        self._loop.later(transit_ms + late_ms, lambda: self._arrive(message))

    def flush(self) -> list[Named]:
        """Forget what is in the queue; return which attempts that were."""
        names = [name for message in self._queue for name in message.name]
        self._queue.clear()
        return names

    def deliver(self) -> None:
        """Give out what waits, as far as there is room; in a given order only when all that was sent is here."""
        if not self._ranks:
            self._give_out()
        elif not self._is_asked:
            self._is_asked = True
            self._loop.later(_TRANSIT_MS, self._give_out)

    def _give_out(self) -> None:
        self._is_asked = False
        while self._queue:
            takers = [it for it in self._takers() if it.has_room]
            if not takers:
                return
            message = self._queue.pop(self._next())
            taker = self._chance.choice(takers) if self._order is Order.RANDOM else takers[self._turn % len(takers)]
            self._turn += 1
            taker.take(message)

    # The record of outcomes

    def keep(self, attempt_id: str, finding: Finding) -> None:
        """Record how an execution ended, over what was recorded before, as result backends do."""
        self._records[attempt_id] = finding

    def look_up(self, submissions: Sequence[Submission]) -> Mapping[Attempt, Finding]:
        """Tell what is recorded of attempts."""
        return {it.attempt: self._records[it.attempt_id] for it in submissions if it.attempt_id in self._records}

    def _arrive(self, message: Message) -> None:
        self._on_the_way -= 1
        self._queue.append(message)
        self.deliver()

    def _next(self) -> int:
        if self._ranks:
            return min(range(len(self._queue)), key=lambda place: self._rank(self._queue[place]))
        match self._order:
            case Order.FIFO:
                return 0
            case Order.LIFO:
                return -1
            case Order.RANDOM:
                return self._chance.randrange(len(self._queue))

    def _rank(self, message: Message) -> int:
        """Give the place of a message in the given order: what starts others is first, what is not named last."""
        return min((self._ranks.get(attempt.node, len(self._ranks)) for _, attempt in message.name), default=-1)
