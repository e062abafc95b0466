"""Reading signatures as data: what kind each is, what it holds, and what a workflow's call keeps of it.

A signature is read by its keys, never by Celery's methods: `clone`, `freeze`, `from_dict` and even `app` of a chain,
group or chord call themselves for each level of nesting, and `freeze` leaves options by which Celery would run its
own canvas beside ours. So plain dicts, as JSON gives them back, are read in the same way.
How the parts of a canvas belong together is decided in `canvas`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum, auto
from itertools import islice
from typing import Any, Final, TypeAlias

from attrs import evolve, field, frozen
from celery.canvas import Signature

from dyrygent_core import Call, Condition, Edge, UsageError
from dyrygent_core.calls import Template
from dyrygent_core.errors import quoted
from dyrygent_core.refs import detach

__all__ = [
    "FAILED",
    "IS_TOLD",
    "Given",
    "Kind",
    "Part",
    "body_of",
    "call_of",
    "chunks_of",
    "errbacks_of",
    "header_of",
    "immutable",
    "inputs_of",
    "kind_of",
    "links_of",
    "task_id_of",
    "tasks_of",
]

Part: TypeAlias = Mapping[str, Any]
"""A signature, or a dict with the same keys."""


class Kind(Enum):
    """What a signature stands for."""

    TASK = auto()
    """One message: a task, and also map and starmap, which run in one task."""
    CHAIN = auto()
    GROUP = auto()
    CHORD = auto()
    CHUNKS = auto()
    """A group of starmaps in disguise."""


_KINDS: Final = {
    "chain": Kind.CHAIN,
    "group": Kind.GROUP,
    "chord": Kind.CHORD,
    "celery.chain": Kind.CHAIN,
    "celery.group": Kind.GROUP,
    "celery.chord": Kind.CHORD,
    "celery.chunks": Kind.CHUNKS,
}
"""By subtask type, and by name: map, starmap and chunks have no subtask type, and lose their class when cloned."""

_MAPS: Final = ("celery.map", "celery.starmap")

_OF_THE_FLOW: Final = frozenset(
    {
        "task_id",
        "link",
        "link_error",
        "chain",
        "chord",
        "group_id",
        "group_index",
        "reply_to",
        "root_id",
        "parent_id",
    }
)
"""Options that say what runs before and after: freezing and Celery's own canvas leave them, and we say it in edges."""
_OF_CONTAINERS: Final = frozenset({"use_link", "interval", "max_retries", "eager", "publisher", "producer"})
"""Options that chains and chords use up themselves."""
_OF_THE_HEADER: Final = frozenset({"countdown", "eta"})
"""A chord that is to run later delays its header; its body waits for that anyway."""
FAILED: Final = "dyrygent_failed"
"""An option of an error callback's call, never sent: the node whose failure it is told.

An id as an argument would be none that a digest knows as made up; so it is filled in when the call is sent.
"""
IS_TOLD: Final = "dyrygent_is_told"
"""Another one: whether the first argument is to be that node's id."""
_NO_OPTIONS: Final[Mapping[str, Any]] = {}


@frozen(eq=False)
class Given:
    """What a part of a canvas gets from what stands around it and before it."""

    args: tuple[Any, ...] = ()
    """They come before the part's own."""
    kwargs: Mapping[str, Any] = field(factory=dict)
    """They win over the part's own."""
    after: tuple[Edge, ...] = ()
    """What it waits for."""
    parent: str | None = None
    """The node before it; None for what leads a canvas."""
    options: Mapping[str, Any] = _NO_OPTIONS
    """Options of the containers around it, which win over its own, as in Celery."""
    task_id: str | None = None
    """An id that was set on a container: that of its last task."""
    links: tuple[Part, ...] = ()
    """Success callbacks of the containers that it ends."""
    errbacks: tuple[Part, ...] = ()
    """Error callbacks of the containers around it."""
    failed: str | None = None
    """Of an error callback, the node whose failure it is told; its id is filled in for the first of `args`, if any."""
    armed: tuple[Edge, ...] | None = None
    """What has to go well for its own failure to be its own, if that is not all that it waits for: the body of a
    chord answers for its header too."""

    @property
    def before(self) -> tuple[Edge, ...]:
        """The edges of whoever waits for its failure, beside that to itself: what fails earlier is none of its own."""
        edges = self.after if self.armed is None else self.armed
        return tuple(Edge(it.node, _MILD.get(it.condition, it.condition)) for it in edges)

    def inside(self, container: Part) -> Given:
        """Return what a chain, group or chord hands on to what leads it. An immutable one hands on nothing given."""
        own = _options(container)
        args = tuple(_args(container))
        kwargs = _partial_kwargs(container)
        if not container.get("immutable"):
            args, kwargs = (*self.args, *args), {**kwargs, **self.kwargs}
        options = {key: value for key, value in own.items() if key not in _OF_CONTAINERS}
        named = kind_of(container) in (Kind.CHAIN, Kind.CHORD)  # a group's task id is an id of the group
        return evolve(
            self,
            args=args,
            kwargs=kwargs,
            options=_overridden(options, self.options),
            task_id=(self.task_id or own.get("task_id")) if named else None,
            links=(*links_of(container), *self.links),
            errbacks=(*errbacks_of(container), *self.errbacks),
        )

    def options_of_body(self) -> Mapping[str, Any]:
        """Return the options that a chord hands on to its body."""
        return {key: value for key, value in self.options.items() if key not in _OF_THE_HEADER}


_MILD: Final = {None: Condition.IF_SUCCEEDED, Condition.SUCCEEDED: Condition.IF_SUCCEEDED}


def kind_of(part: object) -> Kind:
    """Tell what a part of a canvas stands for; raises `UsageError` for what is no signature."""
    if not isinstance(part, Mapping):
        raise UsageError(_unsupported(part))
    name = part.get("task")
    if not isinstance(name, str) or not name:
        message = (
            f"a canvas holds a {type(part).__name__} without the name of a task under 'task', so it is no signature; "
            f"write task.s(…), or signature('the.name')"
        )
        raise UsageError(message)
    return _KINDS.get(part.get("subtask_type") or name) or _KINDS.get(name, Kind.TASK)


def _unsupported(part: object) -> str:
    message = (
        f"a canvas is made of Celery's signatures, chains, groups, chords, maps and chunks, "
        f"and {quoted(type(part).__name__)} is none of these"
    )
    if isinstance(part, list | tuple):
        return f"{message}; write group([…]) or chain([…])"
    if hasattr(part, "apply_async"):
        return f"{message}; write .s(…) to make a signature of the task"
    if callable(part):
        return f"{message}; make it a task of the app, and write task.s(…)"
    return message


def tasks_of(container: Part) -> Sequence[Any]:
    """Return the parts of a chain or group. A generator of them is used up by this."""
    return _parts(container, "tasks")


def header_of(chord: Part) -> Part:
    """Return a chord's header as a group: Celery takes a group, a chain's tasks, a list, or one signature there."""
    kwargs = _kwargs(chord)
    header = kwargs.get("header")
    if isinstance(header, Mapping):
        kind = kind_of(header)
        if kind is Kind.GROUP:
            return header
        tasks = tasks_of(header) if kind is Kind.CHAIN else [header]
    else:
        tasks = _parts(chord, "header")
    return {"task": "celery.group", "kwargs": {"tasks": tasks}}


def body_of(chord: Part) -> Any:
    """Return a chord's body, or None."""
    return _kwargs(chord).get("body")


def chunks_of(chunks: Part) -> Sequence[Part]:
    """Return the starmaps that chunks stand for, in order."""
    kwargs = _kwargs(chunks)
    size = kwargs.get("n")
    if not isinstance(size, int) or size < 1:
        message = f"chunks are of a whole number of items, at least 1, not {size!r}"
        raise UsageError(message)
    items = iter(_parts(chunks, "it"))
    pieces = iter(lambda: list(islice(items, size)), [])
    return [
        {"task": "celery.starmap", "kwargs": {"task": kwargs.get("task"), "it": piece}, "immutable": True}
        for piece in pieces
    ]


def _parts(part: Part, key: str) -> Sequence[Any]:
    parts = _kwargs(part).get(key)
    if isinstance(parts, Mapping):
        return [parts]
    if not isinstance(parts, Iterable) or isinstance(parts, str | bytes):
        message = f"{_shown(part)} has {type(parts).__name__} as its {key!r}, where a list belongs"
        raise UsageError(message)
    return list(parts)


# One task


def task_id_of(part: Part) -> str | None:
    """Return the task id that is set on a signature."""
    task_id = _options(part).get("task_id")
    return task_id or None


def call_of(part: Part, given: Given, ids: Mapping[str, str]) -> Call:
    """Return the call of one task, with the arguments that it is given unless it is immutable.

    `ids` are options of its place in the canvas: `root_id` and `parent_id`. Nothing of the signature is shared.
    Raises `UsageError` for a result among the options, and as `refs.detach` does.
    """
    own = _options(part)
    options, references = detach(_overridden(own, given.options))
    if references:
        message = f"an option of {_shown(part)} is the result of another node; results may stand in arguments only"
        raise UsageError(message)
    if given.failed is not None:
        options[FAILED] = given.failed
        options[IS_TOLD] = bool(given.args) and not part.get("immutable")
    return Call(part["task"], Template.of(inputs_of(part, given)), {**options, **ids})


def inputs_of(part: Part, given: Given) -> dict[str, Any]:
    """Return the arguments of one task as `{"args": […], "kwargs": {…}}`, with those it is given."""
    args, kwargs = _args(part), _kwargs(part)
    if part["task"] in _MAPS and "it" in kwargs:
        kwargs = {**kwargs, "it": list(kwargs["it"])}
    if not part.get("immutable"):
        args, kwargs = [*given.args, *args], {**kwargs, **given.kwargs}
    return {"args": list(args), "kwargs": dict(kwargs)}


def _overridden(own: Mapping[str, Any], outer: Mapping[str, Any]) -> dict[str, Any]:
    """Merge options as Celery does: the outer ones win, but never over stamps that are there already."""
    options = {key: value for key, value in own.items() if key not in _OF_THE_FLOW}
    if outer:
        stamps = {"stamped_headers", *options["stamped_headers"]} if options.get("stamped_headers") else ()
        options.update((key, value) for key, value in outer.items() if key not in stamps)
    return options


# Callbacks


def links_of(part: Part) -> list[Part]:
    """Return the success callbacks of a part; raises `UsageError` for one that is no signature."""
    return _callbacks(part, "link")


def errbacks_of(part: Part) -> list[Part]:
    """Return the error callbacks of a part; raises `UsageError` for one that is no signature."""
    return _callbacks(part, "link_error")


def _callbacks(part: Part, key: str) -> list[Part]:
    found = _options(part).get(key)
    if not found:
        return []
    callbacks = list(found) if isinstance(found, list | tuple) else [found]
    for callback in callbacks:
        try:
            kind_of(callback)
        except UsageError as problem:
            message = f"{_shown(part)} has a callback ({key}) that is no signature: {problem}"
            raise UsageError(message) from None
    return callbacks


def immutable(part: Part) -> Part:
    """Return a copy of a signature that takes no arguments but its own."""
    return {**part, "immutable": True}


# Fields


def _args(part: Part) -> Sequence[Any]:
    args = part.get("args") or ()
    if not isinstance(args, list | tuple):
        message = f"{_shown(part)} has {type(args).__name__} as its 'args', where a list belongs"
        raise UsageError(message)
    return args


def _kwargs(part: Part) -> Mapping[str, Any]:
    return _mapping(part, "kwargs")


def _options(part: Part) -> Mapping[str, Any]:
    return _mapping(part, "options")


def _mapping(part: Part, key: str) -> Mapping[str, Any]:
    value = part.get(key) or _NO_OPTIONS
    if not isinstance(value, Mapping):
        message = f"{_shown(part)} has {type(value).__name__} as its {key!r}, where a dict belongs"
        raise UsageError(message)
    return value


_PARTS: Final = frozenset({"tasks", "header", "body", "kwargs"})


def _partial_kwargs(container: Part) -> dict[str, Any]:
    """Return the keyword arguments that a container itself was given, by `clone`, or for a chord by its maker."""
    kwargs = _kwargs(container)
    own = {key: value for key, value in kwargs.items() if key not in _PARTS}
    return {**(kwargs.get("kwargs") or {}), **own}


def _shown(part: Part) -> str:
    kind = kind_of(part)
    if kind is Kind.TASK:
        return f"the task {quoted(part['task'])}"
    return f"a {kind.name.lower()}" if isinstance(part, Signature) else f"a {kind.name.lower()} written as a dict"
