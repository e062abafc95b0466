"""Importing pipelines and groups: from Dramatiq's compositions to nodes that name those they wait for.

    message                 a node; what its `pipe_target` says comes next is part of it
    pipeline                a node for each message: each waits for the one before, and gets its result behind its own
                            arguments, unless either says `pipe_ignore`
    group                   all its members, at once; its value is the list of theirs
    completion callbacks    nodes that wait for the success of every member of their group, and get nothing

A pipeline has no groups in it, which Dramatiq cannot build; a group's members are messages, pipelines and groups,
nested as deeply as their makers like, also where it has callbacks. Nothing here calls itself, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeAlias

from attrs import frozen
from dramatiq import Broker, Message, group, pipeline
from dramatiq.common import q_name

from dyrygent_core import Call, LimitError, UsageError, call
from dyrygent_core.checks import shown
from dyrygent_core.errors import quoted
from dyrygent_core.graph import MAX_NODES

__all__ = ["Plan", "Planned", "Value", "call_of", "leaves", "plan_composition"]

Value: TypeAlias = "int | list[Value]"
"""The value of a part: that of a planned node, by its number, or a list of values."""

_DROPPED: Final = frozenset(
    {
        "eta",
        "group_completion_callbacks",
        "group_completion_uuid",
        "pipe_ignore",
        "pipe_target",
        "redis_message_id",
        "requeue_timestamp",
        "retries",
        "traceback",
    }
)
"""What the graph says instead, and what Dramatiq writes into messages that it has sent."""
_MOST_PARTS: Final = 2 * MAX_NODES
"""A group that holds another twice, which holds another twice, and so on, is small and has no end."""


@frozen
class Planned:
    """A node that is to be added. `after`: numbers of planned nodes, or None for what the whole composition waits for.

    `gets`: the number of the one whose result is passed to it, if one is.
    """

    call: Call
    after: tuple[int, ...] | None
    gets: int | None = None


@frozen
class Plan:
    """A composition as nodes, each after those that it waits for, and what its own value is."""

    nodes: tuple[Planned, ...]
    value: Value


def call_of(message: Message[Any]) -> Call:
    """Return what a message runs, in the queue that it names; its id is Dramatiq's, and is not used."""
    options = {name: value for name, value in message.options.items() if name not in _DROPPED}
    if isinstance(delay := options.get("delay"), timedelta):
        options["delay"] = delay // timedelta(milliseconds=1)
    if options.get("delay") is None:
        options.pop("delay", None)
    made = call(message.actor_name, *message.args, **message.kwargs)
    return made.with_options(**options, queue=q_name(message.queue_name))


def plan_composition(composition: object) -> Plan:
    """Plan the nodes of a message, pipeline or group. O(messages).

    Raises `UsageError` for anything else, for an empty pipeline or group, and for what contains itself; `LimitError`
    for more messages than a graph may have nodes.
    """
    nodes: list[Planned] = []
    whole: list[Value] = []
    todo: list[tuple[object, list[Value], Broker | None]] = [(composition, whole, None)]
    within: set[int] = set()
    for _ in range(_MOST_PARTS):
        if not todo:
            return Plan(tuple(nodes), whole[0])
        part, into, broker = todo.pop()
        match part:
            case group():
                if id(part) in within:
                    raise UsageError("this group contains itself; Dramatiq would run it for ever")
                within.add(id(part))
                members: list[Value] = []
                into.append(members)
                todo.append((_Callbacks(part.completion_callbacks, members, id(part)), [], part.broker))
                todo += [(child, members, part.broker) for child in reversed(_members(part))]
            case pipeline():
                into.append(_plan_line(nodes, _first(part), None, part.broker))
            case Message():
                into.append(_plan_line(nodes, part, None, broker))
            case _Callbacks():
                within.discard(part.of)
                for first in part.messages:
                    _plan_line(nodes, _message(first), tuple(leaves(part.members)), broker)
            case _:
                message = (
                    f"a composition is a pipeline, a group or a message (actor.message(…)), not a value of type "
                    f"{type(part).__name__}: {shown(part)}"
                )
                raise UsageError(message)
    message = f"this composition has more than {MAX_NODES:,} messages; split it"
    raise LimitError(message)


def leaves(value: Value) -> Iterator[int]:
    """Give the numbers in a value, in order."""
    stack: list[Iterator[Value]] = [iter([value])]
    while stack:
        for item in stack[-1]:
            if isinstance(item, list):
                stack.append(iter(item))
                break
            yield item
        else:
            stack.pop()


@frozen
class _Callbacks:
    messages: Sequence[Mapping[str, Any]]
    members: list[Value]
    of: int


def _plan_line(nodes: list[Planned], first: Message[Any], after: tuple[int, ...] | None, broker: Broker | None) -> int:
    """Plan a message and all that its `pipe_target` says comes after it; return the number of the last."""
    nodes.append(Planned(call_of(first), after))
    before, last = first, len(nodes) - 1
    seen = {id(first.options)}
    while (target := before.options.get("pipe_target")) is not None:
        following = _message(target)
        if id(following.options) in seen:
            message = f"the message of {quoted(following.actor_name)} is piped to itself; Dramatiq cannot encode it"
            raise UsageError(message)
        seen.add(id(following.options))
        is_ignored = following.options.get("pipe_ignore") or _ignores(before, broker)
        nodes.append(Planned(call_of(following), (last,), None if is_ignored else last))
        before, last = following, len(nodes) - 1
        if len(nodes) > MAX_NODES:
            message = f"this pipeline has more than {MAX_NODES:,} messages; split it"
            raise LimitError(message)
    return last


def _ignores(message: Message[Any], broker: Broker | None) -> bool:
    """Tell whether a message's actor says that its result is passed to nobody (dramatiq/middleware/pipelines.py)."""
    actor = None if broker is None else broker.actors.get(message.actor_name)
    return actor is not None and bool(actor.options.get("pipe_ignore"))


def _message(written: Mapping[str, Any]) -> Message[Any]:
    return Message(**written)


def _first(part: pipeline) -> Message[Any]:
    if not part.messages:
        raise UsageError("this pipeline is empty; give it at least one message")
    return part.messages[0]


def _members(part: group) -> Sequence[object]:
    if not part.children:
        raise UsageError("this group is empty; give it at least one message, pipeline or group")
    return part.children
