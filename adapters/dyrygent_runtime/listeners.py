"""What a turn tells those who listen: which nodes and workflows have changed, and that it was taken.

The process that appended an entry tells what came of it, once, after it has sent what followed, and nobody else does.
So nothing is told twice; and if that process dies first, nothing is told at all. Notifications are hints: what must not
be missed is asked of the journal.

Of each entry that changed something: the nodes, in the order of their numbers, then the whole workflow; and when the
entries of a turn are through, the turn.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from attrs import define, field, frozen

from dyrygent_core import Attempt, State, Status, WorkflowState
from dyrygent_core.cells import iter_statuses
from dyrygent_core.errors import quoted
from dyrygent_core.ports import Entry, WorkflowKey
from dyrygent_runtime.fold import Folded, Step

__all__ = ["Listener", "Listeners", "NodeChanged", "Notification", "TurnTaken", "WorkflowChanged", "notifications"]

_LOG = logging.getLogger("dyrygent")


@frozen
class NodeChanged:
    """A node has another status, or another attempt of it is in flight.

    `attempt`: the newest one; of a node that was not tried in this round the one that would be next; None for a mapped
    node, whose instances are not told of one by one. `position` and `at_ms`: of the entry that changed it.
    """

    workflow: WorkflowKey
    position: int
    at_ms: int
    node: str
    status: Status
    attempt: Attempt | None


@frozen
class WorkflowChanged:
    """The whole workflow is in another state, or was paused or resumed; after a rerun it is in another round."""

    workflow: WorkflowKey
    position: int
    at_ms: int
    state: WorkflowState
    round: int
    is_paused: bool


@frozen
class TurnTaken:
    """A turn is over but for the workflow's end: the entries that it appended, and all that they emitted.

    `state` is that of the whole workflow after the last entry known then, which may be somebody else's.
    """

    workflow: WorkflowKey
    entries: tuple[Entry, ...]
    emitted: tuple[Attempt, ...]
    state: State = field(repr=False)


Notification: TypeAlias = NodeChanged | WorkflowChanged | TurnTaken
Listener: TypeAlias = Callable[[Notification], object]


class Listeners:
    """Those who want to be told. Threads may share one.

    A listener that fails harms nobody: it is counted in `failures`, and logged the first time.
    """

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        self._told = tuple(_Told(listener) for listener in listeners)

    def __iter__(self) -> Iterator[Listener]:
        return (told.listener for told in self._told)

    @property
    def failures(self) -> tuple[tuple[Listener, int], ...]:
        """How often listeners have failed, of those that have."""
        return tuple((told.listener, told.failures) for told in self._told if told.failures)

    def add(self, listener: Listener) -> None:
        """Tell this one too, after those that are there, from the next turn on."""
        self._told = (*self._told, _Told(listener))

    def notify(self, folded: Folded, steps: Sequence[Step]) -> None:
        """Notify everybody of what these steps changed, one notification after the other."""
        everybody = self._told
        for notification in notifications(folded, steps) if everybody and steps else ():
            for told in everybody:
                told.tell(notification)


@define(eq=False)
class _Told:
    """One listener, and how often it has failed."""

    listener: Listener
    failures: int = 0

    def tell(self, notification: Notification) -> None:
        try:
            self.listener(notification)
        except Exception:  # noqa: BLE001  # a user's hook
            self.failures += 1
            if self.failures == 1:
                name = str(getattr(self.listener, "__qualname__", type(self.listener).__name__))
                _LOG.exception("the listener %s failed; from now on its failures are only counted", quoted(name))


def notifications(folded: Folded, steps: Sequence[Step]) -> Iterator[Notification]:
    """Give what is to be told of these steps, in order. Cost: O(nodes) at worst for each, of the pages that differ."""
    for step in steps:
        if step.has_counted:
            yield from _nodes(folded.key, step)
            yield from _whole(folded.key, step)
    entries = tuple(step.entry for step in steps)
    emitted = tuple(attempt for step in steps for attempt in step.emitted)
    yield TurnTaken(folded.key, entries, emitted, folded.state)


def _nodes(key: WorkflowKey, step: Step) -> Iterator[NodeChanged]:
    graph, entry, state = step.after.graph, step.entry, step.after
    again = {graph.numbers[attempt.node] for attempt in step.emitted} - graph.mapped.keys()
    for number in sorted(again | set(_differing(step.before, state))):
        node = graph.nodes[number].id
        attempt = None if number in graph.mapped else state.attempt(node)
        yield NodeChanged(key, entry.position, entry.observation.at_ms, node, state.status(node), attempt)


def _differing(before: State, after: State) -> Iterator[int]:
    """Give the numbers of the nodes whose status differs; pages that both states share are not looked at."""
    bits = after.graph.page_bits
    for at, (old, new) in enumerate(zip(before.pages, after.pages, strict=True)):
        if old is new:
            continue
        for offset, (was, is_) in enumerate(zip(iter_statuses((old,)), iter_statuses((new,)), strict=True)):
            if was is not is_:
                yield (at << bits) + offset


def _whole(key: WorkflowKey, step: Step) -> Iterator[WorkflowChanged]:
    before, after = step.before, step.after
    if _seen(before) != _seen(after):
        entry = step.entry
        yield WorkflowChanged(
            key, entry.position, entry.observation.at_ms, after.workflow_state, after.round, after.is_paused
        )


def _seen(state: State) -> tuple[WorkflowState, int, bool]:
    return state.workflow_state, state.round, state.is_paused
