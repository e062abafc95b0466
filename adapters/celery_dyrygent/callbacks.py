"""The callbacks of a canvas, while it is imported: which tasks they follow, and what they wait for.

They are planned after the canvas, one after the other, since a callback may be a canvas with callbacks of its own.
Where in a container a callback belongs is decided in `canvas`; what an error callback is told, in `errbacks`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from attrs import frozen
from celery import Celery

from celery_dyrygent.errbacks import FailedTask, told
from celery_dyrygent.signatures import Given, Part, errbacks_of, inputs_of, links_of
from dyrygent_core import Call, Condition, Edge, ResultRef, UsageError
from dyrygent_core.errors import quoted

__all__ = ["Callback", "Callbacks"]


@frozen(eq=False)
class Callback:
    """A callback that is to be planned."""

    part: Part
    given: Given
    is_errback: bool
    """Whether it, or the callback that it belongs to, waits for a failure."""
    written: Part
    """As the user wrote it: by this object it is known."""
    inside: Callback | None
    """The callback in which the task stands that it is linked to."""


class Callbacks:
    """The callbacks that are still to be planned, and the one that is being planned now."""

    def __init__(self, app: Celery | None) -> None:
        self.now: Callback | None = None
        self._app = app
        self._waiting: deque[Callback] = deque()

    def next(self) -> Callback | None:
        """Go on to the next callback; None if there is none."""
        self.now = self._waiting.popleft() if self._waiting else None
        return self.now

    def add(self, task: Part, given: Given, call: Call, node_id: str) -> None:
        """Have the callbacks of one task planned; `given` has those of the containers around it.

        Raises `UsageError` for one that is linked to itself.
        """
        for link in _distinct((*links_of(task), *given.links)):
            edge = Edge(node_id, Condition.IF_SUCCEEDED)
            self._add(link, link, Given(args=(ResultRef(node_id),), after=(edge,), parent=node_id))
        errbacks = _distinct((*errbacks_of(task), *given.errbacks))
        if not errbacks:
            return
        inputs = inputs_of(task, given if given.armed is None else Given())  # else they may be missing
        failed = FailedTask(call.target, inputs, call.options)
        after = (Edge(node_id, Condition.FAILED), *given.before)
        for errback in errbacks:
            part, args = told(errback, failed, self._app)
            what = Given(args=args, after=after, parent=node_id, failed=node_id)
            self._add(part, errback, what, is_errback=True)

    def _add(self, part: Part, written: Part, given: Given, *, is_errback: bool = False) -> None:
        above = self.now
        while above is not None:
            if above.written is written:
                message = f"a callback ({quoted(written['task'])}) is linked to itself, so it would have no end"
                raise UsageError(message)
            above = above.inside
        is_errback = is_errback or (self.now is not None and self.now.is_errback)
        self._waiting.append(Callback(part, given, is_errback, written, self.now))


def _distinct(callbacks: Sequence[Part]) -> list[Part]:
    """Leave out what is there already, as Celery does when a callback is linked twice."""
    found: list[Part] = []
    for callback in callbacks:
        if not any(_is_same(callback, other) for other in found):
            found.append(callback)
    return found


def _is_same(one: Part, other: Part) -> bool:
    if one is other:
        return True
    try:
        return dict(one) == dict(other)
    except RecursionError:
        return False
