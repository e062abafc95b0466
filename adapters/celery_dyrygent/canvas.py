"""Importing a canvas: from nested chains, groups and chords to nodes that name those they wait for.

What comes out is a plan. Nothing is changed here, neither the canvas nor a workflow; `workflows` does that, once
the whole plan stands. The rules are those of Celery's guide to canvas, where that is silent those of its tests:

part               its value                        the one after it waits for, and gets
task               its result                       the task; its result, before its own arguments
chain              the value of its last step       as for that step
group              the list of its members' values  all members; one list. A group among the members unrolls
chord              its body's value                 as for the body, which waits for the header and gets its list
chunks             as the group of its starmaps     as for that group

Callbacks become nodes beside the canvas, after the task that they are linked to: `link` if it succeeds, `link_error` if
it fails. Whatever becomes of them, the canvas's own state and value are the same: their failures are allowed, and what
is behind them in a callback is skipped then (`Condition.IF_SUCCEEDED`). What an error callback gets: `errbacks`.

part               its link is that of              its link_error is that of
chain              its last step                    each of its steps
group              its first member, immutable      each of its members
chord              its body                         its body, which answers for the header as well; where
                                                    `task_allow_error_cb_on_chord_header` is set and the chord is a part
                                                    of a chain, immutable of each member of the header too

A chain's step that is a group of one unrolls, and a chain skips its empty steps. An immutable signature gets
nothing. Canvases are nested as deeply as their makers like, so nothing here calls itself: each container is a
generator that yields its parts and is sent what became of them, and one loop runs them all (`_Walk.run`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from attrs import evolve, frozen
from celery import Celery
from celery.canvas import Signature
from kombu.utils.uuid import uuid

from celery_dyrygent.callbacks import Callbacks
from celery_dyrygent.signatures import (
    Given,
    Kind,
    Part,
    body_of,
    call_of,
    chunks_of,
    header_of,
    immutable,
    kind_of,
    task_id_of,
    tasks_of,
)
from dyrygent_core import Call, Condition, DuplicateNodeError, Edge, LimitError, ResultRef, UsageError
from dyrygent_core.calls import Template
from dyrygent_core.checks import check_id
from dyrygent_core.errors import quoted
from dyrygent_core.graph import MAX_NODES

__all__ = ["Planned", "PlannedCanvas", "Value", "leaves", "plan_canvas", "plan_task"]

Value: TypeAlias = "ResultRef | tuple[Value, ...]"
"""The value of a part of a canvas: a node's result, or a list of values. The nodes in it are the part's last."""

_MOST_PARTS: Final = 2 * MAX_NODES
"""A list that holds another twice, which holds another twice, and so on, is small and has no end."""


@frozen
class Planned:
    """A node that is to be added."""

    id: str
    call: Call
    after: tuple[Edge, ...]
    is_generated: bool
    """Whether its id was made up here."""
    unfrozen: Signature | None
    """The user's own signature, if it is to be given this id."""
    is_aside: bool = False
    """Whether it is of a callback, so that it does not count in the workflow's state and result."""
    is_errback: bool = False
    """Whether it waits for a failure."""


@frozen
class PlannedCanvas:
    """A canvas as nodes, in the order in which they are written, and what its own value is."""

    nodes: tuple[Planned, ...]
    value: Value | None
    """None for an empty chain."""


def plan_canvas(
    canvas: object,
    *,
    after: Sequence[Edge] = (),
    args: Iterable[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    pass_results: bool = True,
    app: Celery | None = None,
) -> PlannedCanvas:
    """Plan the nodes of a canvas. O(signatures + edges).

    `app`: knows the tasks that error callbacks are, and whether headers get those of their chords.
    Raises `UsageError` for what is no canvas or contains itself; `DuplicateNodeError` for a task id that is set on two
    signatures; `LimitError` for more signatures than a graph may have nodes.
    """
    walk = _Walk(pass_results=pass_results, app=app)
    done = walk.plan(canvas, Given(args=tuple(args), kwargs=dict(kwargs or {}), after=tuple(after)))
    value = None if done is _NOTHING else done.value
    if kind_of(canvas) is Kind.GROUP and isinstance(value, tuple) and len(value) == 1 and isinstance(value[0], tuple):
        value = value[0]  # Celery's special case: a group of only a chain that ends in a group is that last group
    _check_depth(value)
    return PlannedCanvas(tuple(walk.nodes), value)


def plan_task(signature: object, after: Sequence[Edge] = (), app: Celery | None = None) -> tuple[Planned, ...]:
    """Plan the node of one task, with its own arguments only, and those of its callbacks after it.

    Raises `UsageError` for anything but a task.
    """
    kind = kind_of(signature)
    if kind is not Kind.TASK:
        message = f"one task's signature belongs here, not a {kind.name.lower()}; add that with add_celery_canvas(…)"
        raise UsageError(message)
    walk = _Walk(pass_results=False, app=app)
    walk.plan(signature, Given(after=tuple(after)))
    node, *callbacks = walk.nodes
    call = evolve(node.call, options={key: value for key, value in node.call.options.items() if key != "root_id"})
    return evolve(node, call=call), *callbacks


def leaves(value: Value | None) -> tuple[str, ...]:
    """Return the nodes whose results make up a value, in order."""
    if not isinstance(value, tuple):
        return () if value is None else (value.node,)
    found: list[str] = []
    stack: list[Iterator[Value]] = [iter(value)]
    while stack:
        for item in stack[-1]:
            if isinstance(item, tuple):
                stack.append(iter(item))
                break
            found.append(item.node)
        else:
            stack.pop()
    return tuple(found)


def _check_depth(value: Value | None) -> None:
    """Refuse a result now that could not be written down when it is there."""
    try:
        Template.of(value)
    except UsageError:
        message = (
            "the result of this canvas is lists nested more than 500 levels deep; end it with a task that joins them"
        )
        raise UsageError(message) from None


@frozen(eq=False)
class _Done:
    """What became of a part; `made`: it has nodes.

    `armed`: of one whose value is a list, what comes before it, where `Given.armed` of the next begins.
    """

    value: Value
    made: bool
    armed: tuple[Edge, ...] | None = None


_NOTHING: Final = _Done((), made=False)
"""Of an empty chain: as if it were not there."""
_EMPTY: Final = _Done((), made=False)
"""Of an empty group: a chain skips it, unless nothing else is in the chain."""

_Steps: TypeAlias = "Generator[_Steps | _Done, Any, _Done]"
"""A container at work: yields its parts, is sent what became of each, returns what became of itself."""


class _Walk:
    """One pass over one canvas, and then over the callbacks that it met."""

    def __init__(self, *, pass_results: bool, app: Celery | None) -> None:
        self.nodes: list[Planned] = []
        self._pass_results = pass_results
        self._app = app
        self._callbacks = Callbacks(app)
        self._ids: set[str] = set()
        self._root: dict[str, str] = {}
        self._placed: dict[int, Part] = {}
        self._open: set[int] = set()
        self._read: dict[int, tuple[Part, Sequence[Any]]] = {}
        self._headers: dict[int, tuple[Part, Part]] = {}
        self._parts = 0

    def plan(self, canvas: Any, given: Given) -> _Done:
        """Plan a canvas and its callbacks; return what became of the canvas."""
        done = self._run(self.part(canvas, given))
        self._pass_results = True  # a callback is Celery's own affair, whatever the canvas passes
        while (callback := self._callbacks.next()) is not None:
            self._run(self.part(callback.part, callback.given))
        return done

    def _run(self, first: _Steps | _Done) -> _Done:
        """Run a part to its end. What waits for its parts waits on this list, not on Python's stack."""
        stack: list[_Steps] = []
        got = first
        while True:
            if not isinstance(got, _Done):
                stack.append(got)
            elif not stack:
                return got
            try:
                got = stack[-1].send(got if isinstance(got, _Done) else None)
            except StopIteration as end:
                stack.pop()
                got = end.value

    def part(self, part: Any, given: Given) -> _Steps | _Done:
        """Begin one part."""
        self._count()
        match kind_of(part):
            case Kind.TASK:
                return self._task(part, given)
            case Kind.CHAIN:
                return self._chain(part, given)
            case Kind.GROUP | Kind.CHUNKS:
                return self._group(part, given)
            case Kind.CHORD:
                return self._chord(part, given)

    def _chain(self, chain: Part, given: Given) -> _Steps:
        self._enter(chain)
        now = whole = given.inside(chain)
        steps = self._tasks_of(chain)
        last = self._last_filled(steps)
        became = _NOTHING
        for at, step in enumerate(steps):
            if became.made:
                now = self._following(became)
            is_last = at == last
            done: _Done = yield self._step(
                step,
                evolve(
                    now,
                    task_id=whole.task_id if is_last else None,
                    links=whole.links if is_last else (),
                    errbacks=whole.errbacks,
                ),
            )
            if done.made or (not became.made and done is not _NOTHING):
                became = done
        self._leave(chain)
        return became

    def _step(self, step: Any, given: Given) -> _Steps | _Done:
        """Begin a step of a chain: a group of one is its member."""
        if kind_of(step) is Kind.GROUP and len(self._tasks_of(step)) == 1:
            return self._lone(step, given)
        return self.part(step, given)

    def _lone(self, group: Part, given: Given) -> _Steps:
        self._enter(group)
        now = evolve(given.inside(group), task_id=given.task_id)
        (member,) = self._tasks_of(group)
        done: _Done = yield self._step(member, now)
        self._leave(group)
        return done

    def _group(self, group: Part, given: Given) -> _Steps:
        values: list[Value] = []
        made = False
        for member, now in self._members(group, evolve(given, task_id=None)):
            done: _Done = yield self.part(member, now)
            if done is not _NOTHING:
                values.append(done.value)
                made = made or done.made
        armed = given.after if given.armed is None else given.armed
        return _Done(tuple(values), made, armed) if values else _EMPTY

    def _members(self, group: Part, given: Given) -> Iterator[tuple[Any, Given]]:
        """Give a group's members in order, those of groups in it in their place."""
        stack = [self._opened(group, given)]
        while stack:
            group, members, now = stack[-1]
            for member in members:
                stack[-1] = (group, members, evolve(now, links=()))  # they are of the first member
                if kind_of(member) in (Kind.GROUP, Kind.CHUNKS):
                    stack.append(self._opened(member, now))
                    break
                yield member, now
                now = stack[-1][-1]
            else:
                self._leave(group)
                stack.pop()

    def _opened(self, group: Part, given: Given) -> tuple[Part, Iterator[Any], Given]:
        self._enter(group)
        now = given.inside(group)
        return group, iter(self._tasks_of(group)), evolve(now, links=tuple(map(immutable, now.links)))

    def _chord(self, chord: Part, given: Given) -> _Steps:
        self._enter(chord)
        now = given.inside(chord)
        body = body_of(chord)
        links = () if body is not None else now.links
        errbacks = self._errbacks_of_header(given) if body is not None else now.errbacks
        header: _Done = yield self._group(self._header_of(chord), evolve(now, links=links, errbacks=errbacks))
        became = header
        if body is not None:
            before = self._following(header) if header.made else self._after_nothing(now)
            before = evolve(before, options=now.options_of_body(), task_id=now.task_id)
            before = evolve(before, links=now.links, errbacks=now.errbacks)
            done: _Done = yield self.part(body, before)
            became = done if done.made else header
        self._leave(chord)
        return became

    def _following(self, done: _Done) -> Given:
        """Return what comes after a part gets from it."""
        last = leaves(done.value)
        condition = None if self._callbacks.now is None else Condition.IF_SUCCEEDED
        after = tuple(Edge(node, condition) for node in last)  # made once, however many wait for them
        args = (done.value,) if self._pass_results else ()
        return Given(args=args, after=after, parent=last[0], armed=done.armed)

    def _errbacks_of_header(self, given: Given) -> tuple[Part, ...]:
        is_wanted = self._app is not None and self._app.conf.task_allow_error_cb_on_chord_header
        return tuple(map(immutable, given.errbacks)) if is_wanted else ()

    def _after_nothing(self, given: Given) -> Given:
        """Return what the body of a chord without a header gets: an empty list, and whatever the header waits for."""
        args = ((),) if self._pass_results else ()
        return Given(args=args, after=given.after, parent=given.parent, armed=given.armed)

    def _task(self, signature: Part, given: Given) -> _Done:
        node_id, is_generated = self._id(signature, given)
        root = self._root[given.parent] if given.parent is not None else node_id
        ids = {"root_id": root} if given.parent is None else {"root_id": root, "parent_id": given.parent}
        call = call_of(signature, given, ids)
        is_users = isinstance(signature, Signature) and self._callbacks.now is None  # a callback is often shared
        is_unfrozen = is_users and id(signature) not in self._placed and task_id_of(signature) is None
        self._placed[id(signature)] = signature
        self._ids.add(node_id)
        self._root[node_id] = root
        unfrozen = signature if is_unfrozen else None
        here = self._callbacks.now
        is_errback = here is not None and here.is_errback
        self.nodes.append(Planned(node_id, call, given.after, is_generated, unfrozen, here is not None, is_errback))
        self._callbacks.add(signature, given, call, node_id)
        return _Done(ResultRef(node_id), made=True)

    def _id(self, signature: Part, given: Given) -> tuple[str, bool]:
        """Choose a node's id, and say whether it was made up. A signature's second place has another id."""
        wanted = task_id_of(signature) if id(signature) not in self._placed else None
        wanted = wanted or given.task_id
        if wanted is None:
            return uuid(), True
        if check_id(wanted) in self._ids:
            raise DuplicateNodeError(wanted)
        return wanted, False

    def _enter(self, container: Part) -> None:
        if id(container) in self._open:
            name = kind_of(container).name.lower()
            message = f"the canvas contains itself: a {name} ({quoted(container['task'])}) is among its own parts"
            raise UsageError(message)
        self._open.add(id(container))
        self._count()

    def _count(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            message = f"this canvas has more than {MAX_NODES:,} signatures; split it"
            raise LimitError(message)

    def _leave(self, container: Part) -> None:
        self._open.discard(id(container))

    def _tasks_of(self, container: Part) -> Sequence[Any]:
        """Return a container's parts, read once, since they may be a generator's."""
        if id(container) not in self._read:
            parts = chunks_of(container) if kind_of(container) is Kind.CHUNKS else tasks_of(container)
            self._read[id(container)] = (container, parts)
        return self._read[id(container)][1]

    def _header_of(self, chord: Part) -> Part:
        if id(chord) not in self._headers:
            self._headers[id(chord)] = (chord, header_of(chord))
        return self._headers[id(chord)][1]

    def _last_filled(self, steps: Sequence[Any]) -> int:
        """Return which step of a chain is the last that is no empty chain or group."""
        at = len(steps) - 1
        while at > 0 and kind_of(steps[at]) in (Kind.CHAIN, Kind.GROUP) and not self._tasks_of(steps[at]):
            at -= 1
        return at
