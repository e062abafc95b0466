"""Sending attempts as task messages: straight to the broker, and batched where kombu can.

`Task.apply_async` is not used, on purpose: outside prefork children it subscribes to a channel of the result
backend for every task, and it blocks for many seconds while that backend is down (celery/backends/redis.py,
`on_task_call`). What it does for routing and for the defaults of a task that is registered here is done here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any, Final

from attrs import frozen
from celery import Celery
from kombu.exceptions import EncodeError, KombuError
from kombu.exceptions import OperationalError as BrokerError

from celery_dyrygent.errbacks import ERRBACK
from celery_dyrygent.identity import HEADER
from dyrygent_core.errors import AdapterUnavailableError
from dyrygent_core.ports import Dispatch, Refusal
from dyrygent_runtime.failures import failure_of
from dyrygent_runtime.forks import no_fork
from dyrygent_runtime.identity import Identity

__all__ = ["publish", "publish_one"]

_BATCH: Final = 100
_LONGEST_REPR: Final = 256
_TRANSPORT_ERRORS: Final = (BrokerError, ConnectionError, TimeoutError, OSError)
_MAPS: Final = ("celery.map", "celery.starmap")
_IN_MESSAGE: Final = (
    "countdown",
    "eta",
    "group_id",
    "group_index",
    "expires",
    "retries",
    "time_limit",
    "soft_time_limit",
    "root_id",
    "parent_id",
    "shadow",
    "ignore_result",
    "argsrepr",
    "kwargsrepr",
    "stamped_headers",
)
"""Options that become part of the message itself; the others say how it is sent."""


@no_fork()
def publish(app: Celery, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
    """Send a batch; give what can never be sent.

    Raises `AdapterUnavailableError` if the broker cannot be reached: any of the batch may have been sent.
    """
    refusals: list[Refusal] = []
    try:
        with app.producer_or_acquire() as producer, _batched(producer, len(batch)):
            for item in batch:
                try:
                    _send(app, producer, _message(item))
                except _TRANSPORT_ERRORS:
                    raise
                except (EncodeError, TypeError, ValueError, LookupError) as problem:
                    refusals.append(Refusal(item.attempt, failure_of(problem)))
    except (*_TRANSPORT_ERRORS, KombuError) as problem:
        message = f"the broker cannot be reached: {type(problem).__name__}: {problem}"
        raise AdapterUnavailableError(message) from problem
    return tuple(refusals)


@no_fork()
def publish_one(app: Celery, name: str, task_id: str, args: Sequence[Any], options: dict[str, Any]) -> None:
    """Send one task of our own; raises `AdapterUnavailableError`."""
    try:
        with app.producer_or_acquire() as producer:
            _send(app, producer, _Message(name, task_id, list(args), {}, options, {}))
    except (*_TRANSPORT_ERRORS, KombuError) as problem:
        message = f"the broker cannot be reached: {type(problem).__name__}: {problem}"
        raise AdapterUnavailableError(message) from problem


def _batched(producer: Any, size: int) -> AbstractContextManager[Any]:
    """Batch several messages where this kombu can (5.7 on): a batch costs more than one message sent alone."""
    return producer.batch(max_size=_BATCH) if size > 1 and hasattr(producer, "batch") else nullcontext()


@frozen
class _Message:
    """One task message before routing."""

    name: str
    task_id: str
    args: Sequence[Any]
    kwargs: dict[str, Any]
    options: dict[str, Any]
    headers: dict[str, Any]


def _message(item: Dispatch) -> _Message:
    inputs = item.call.inputs.value
    return _Message(
        item.call.target,
        item.attempt_id,
        inputs["args"],
        inputs["kwargs"],
        {"root_id": item.workflow.id, **item.call.options},
        {HEADER: Identity.of(item).as_text()},
    )


def _send(app: Celery, producer: Any, it: _Message) -> None:
    task_type = app.tasks.get(it.name)
    options = {**_defaults(task_type), **it.options}
    stamps = {stamp: options.pop(stamp) for stamp in options.get("stamped_headers") or () if stamp in options}
    headers = {**(options.pop("headers", None) or {}), **it.headers}
    in_message = {key: options.pop(key) for key in _IN_MESSAGE if key in options}
    in_message.setdefault("ignore_result", getattr(task_type, "ignore_result", False))
    in_message.setdefault("argsrepr", _short_repr(it.args))
    in_message.setdefault("kwargsrepr", _short_repr(it.kwargs))
    options = app.amqp.router.route(options, _route_name(it), it.args, it.kwargs, task_type)
    if (seconds := _expiration(app, in_message.get("expires"))) is not None:
        options["expiration"] = seconds
    message = app.amqp.create_task_message(
        it.task_id,
        it.name,
        it.args,
        it.kwargs,
        create_sent_event=app.conf.task_send_sent_event,
        **in_message,
        **stamps,
    )
    app.amqp.send_task_message(producer, it.name, message, headers=headers, **options)


def _route_name(it: _Message) -> str:
    """Give the name by which it is routed.

    A map's is that of the task it maps (celery/canvas.py, `_basemap`); an error callback's that of the failed task, in
    whose worker Celery calls it.
    """
    if it.name == ERRBACK:
        return str(it.args[1]["task"])
    inner = it.kwargs.get("task") if it.name in _MAPS else None
    return str(inner["task"]) if isinstance(inner, dict) else it.name


def _defaults(task_type: Any) -> dict[str, Any]:
    """Give the execution options that a task registered here declares."""
    declared = task_type._get_exec_options() if task_type is not None else {}  # noqa: SLF001  # as send_task does
    return {key: value for key, value in declared.items() if value is not None}


def _expiration(app: Celery, expires: Any) -> float | None:
    """Give what the broker is told: seconds from now, never below 0."""
    if expires is None:
        return None
    if isinstance(expires, str):
        expires = datetime.fromisoformat(expires)
    if isinstance(expires, datetime):
        now = app.now() if expires.tzinfo is not None else app.now().replace(tzinfo=None)
        expires = (expires - now).total_seconds()
    return max(0.0, float(expires))


def _short_repr(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_REPR else text[: _LONGEST_REPR - 1] + "…"
