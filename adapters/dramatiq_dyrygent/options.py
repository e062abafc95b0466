"""What a node's call may say to Dramatiq, checked when its workflow starts.

A message may carry any option, and nothing complains of one that nobody reads. So here, as where an actor is declared,
an option must be one of the broker's middlewares', or of these:

    queue            the queue that the message goes to, instead of its actor's
    delay            milliseconds before it may run
    broker_priority  RabbitMQ's priority of the message
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from typing import Any, Final

import dramatiq.broker
from dramatiq import Broker

from dramatiq_dyrygent.brokers import Kind, kind_of
from dyrygent_core import Call, UnknownNodeError, UsageError
from dyrygent_core.checks import shown
from dyrygent_core.errors import quoted

__all__ = ["UnknownActorError", "check_call"]

_OWN: Final = frozenset({"broker_priority", "delay", "queue"})
_INSTEAD: Final = {
    "pipe_ignore": "the graph's edges say what is passed on",
    "pipe_target": "the graph's edges say what comes next",
    "priority": (
        "Dramatiq takes the priority from the actor: declare it there, @dramatiq.actor(priority=…), or on RabbitMQ "
        "write broker_priority"
    ),
    "queue_name": "write queue",
    "retry_when": "it is a function, which no message carries: declare it at the actor",
    "throws": "it is classes, which no message carries: declare it at the actor",
}
_LONGEST_DELAY_MS: Final = 7 * 86_400_000
"""Dramatiq's own limit (dramatiq/brokers/redis.py, `enqueue`)."""


class UnknownActorError(UnknownNodeError):
    """A call names an actor that is not declared on the adapter's broker."""

    def __init__(self, name: str, broker: str, elsewhere: str = "", known: Iterable[str] = ()) -> None:
        super().__init__(name, known=known)
        self.args = (*self.args, broker, elsewhere)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (type(self), self.args)

    def __str__(self) -> str:
        """Say which, and the closest that there is."""
        name, _, close, broker, elsewhere = self.args
        if elsewhere:
            hint = f"it is declared on {elsewhere}, so that is the one to make the DramatiqAdapter of"
        elif close:
            hint = f"did you mean {quoted(close[0])}?"
        else:
            hint = "import its module first, or say where it waits: call(…).with_options(queue=…)"
        return f"no actor named {quoted(name)} is declared on this {broker}; {hint}"


def _unpickled(kind: type[UnknownActorError], args: tuple[Any, ...]) -> UnknownActorError:
    error = kind.__new__(kind)
    error.node, error.wanted_by, error.args = args[0], args[1], args
    return error


def unknown_actor(broker: Broker, name: str) -> UnknownActorError:
    """Say that a broker does not know an actor, and whether the global one does."""
    other = dramatiq.broker.global_broker
    is_there = other is not None and other is not broker and name in other.actors
    elsewhere = f"the global {type(other).__name__}" if is_there else ""
    return UnknownActorError(name, type(broker).__name__, elsewhere, broker.actors)


def check_call(broker: Broker, call: Call, more: Collection[str]) -> None:
    """Raise `UsageError` for a call that this broker cannot run; `more`: options that others read."""
    queue = call.options.get("queue")
    if call.target not in broker.actors and (queue is None or kind_of(broker) is Kind.STUB):
        raise unknown_actor(broker, call.target)
    for name, value in call.options.items():
        _check_name(broker, call, name, more)
        _check_value(call, name, value)
    if queue is not None and call.target in broker.actors:
        _check_queue(broker, call, queue)


def _check_name(broker: Broker, call: Call, name: str, more: Collection[str]) -> None:
    known = {*(broker.actor_options - _INSTEAD.keys()), *_OWN, *more}
    if name in known:
        return
    subject = f"the call of {quoted(call.target)} has the option {quoted(name)}"
    if name in _INSTEAD:
        message = f"{subject}: {_INSTEAD[name]}"
        raise UsageError(message)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {quoted(close[0])}?" if close else f"there are {', '.join(sorted(known))}"
    message = f"{subject}, which no middleware of this broker knows; {hint}; others are named by Dyrygent(options=…)"
    raise UsageError(message)


def _check_value(call: Call, name: str, value: Any) -> None:
    is_right, wanted = _is_right(name, value)
    if not is_right:
        message = f"the option {name!r} of the call of {quoted(call.target)} must be {wanted}, not {shown(value)}"
        raise UsageError(message)


def _is_right(name: str, value: Any) -> tuple[bool, str]:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    match name:
        case "delay":
            return is_whole and 0 <= value <= _LONGEST_DELAY_MS, "milliseconds, from 0 to those of 7 days"
        case "max_retries":
            return value is None or (is_whole and value >= 0), "a whole number from 0, or None for no limit"
        case "queue":
            return isinstance(value, str) and bool(value), "a queue's name"
        case "time_limit" | "max_age" | "min_backoff" | "max_backoff" | "result_ttl":
            return isinstance(value, int | float) and not isinstance(value, bool) and value > 0, "milliseconds"
        case _:
            return True, ""


def _check_queue(broker: Broker, call: Call, queue: str) -> None:
    """Refuse a queue that no worker consumes: workers have those that are declared, by actors or by themselves."""
    declared = broker.get_declared_queues()
    if queue in declared:
        return
    close = difflib.get_close_matches(queue, declared, n=1)
    hint = f"did you mean {quoted(close[0])}? " if close else ""
    message = (
        f"the call of {quoted(call.target)} goes to the queue {quoted(queue)}, which no worker consumes; {hint}if "
        f"it is meant, declare it where the actors are: broker.declare_queue({queue!r})"
    )
    raise UsageError(message)
