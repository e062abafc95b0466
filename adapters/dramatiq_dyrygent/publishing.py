"""Sending attempts as messages. Each carries who it is in an option, which retries and delays keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from dramatiq import Broker, Message
from dramatiq.errors import QueueNotFound
from dramatiq.middleware import MiddlewareError

from dramatiq_dyrygent.brokers import Kind, kind_of
from dramatiq_dyrygent.options import unknown_actor
from dyrygent_core.errors import AdapterUnavailableError
from dyrygent_core.ports import Dispatch, Refusal
from dyrygent_runtime.failures import failure_of
from dyrygent_runtime.identity import Identity

__all__ = ["OPTION", "send"]

OPTION: Final = "dyrygent"


def send(broker: Broker, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
    """Enqueue a batch; give what can never be sent.

    Raises `AdapterUnavailableError` if the broker cannot be reached: any of the batch may have been sent.
    """
    refusals: list[Refusal] = []
    for item in batch:
        try:
            message = _message(broker, item)
            message.encode()  # an encoder raises what it likes, and so do clients: this tells the two apart
        except Exception as problem:  # noqa: BLE001  # as above
            refusals.append(Refusal(item.attempt, failure_of(problem)))
            continue
        try:
            broker.enqueue(message, delay=item.call.options.get("delay"))
        except (QueueNotFound, MiddlewareError) as problem:
            refusals.append(Refusal(item.attempt, failure_of(problem)))
        except Exception as problem:
            message_ = f"the broker cannot be reached: {type(problem).__name__}: {problem}"
            raise AdapterUnavailableError(message_) from problem
    return tuple(refusals)


def _message(broker: Broker, item: Dispatch) -> Message[Any]:
    """Make a message of an attempt; raises `UnknownActorError` for an actor whose queue is known to nobody here."""
    inputs, options = item.call.inputs.value, {**item.call.options}
    queue, _ = options.pop("queue", None), options.pop("delay", None)
    options[OPTION] = Identity.of(item).as_text()
    args, kwargs = tuple(inputs["args"]), inputs["kwargs"]
    actor = broker.actors.get(item.call.target)
    if actor is not None:
        made = actor.message_with_options(args=args, kwargs=kwargs, **options)
        return made.copy(message_id=item.attempt_id, queue_name=queue or made.queue_name)
    if queue is None:
        raise unknown_actor(broker, item.call.target)
    _let_be(broker, queue)
    return Message(queue, item.call.target, args, kwargs, options, item.attempt_id)


def _let_be(broker: Any, queue: str) -> None:
    """Let a queue of somebody else's be sent to without consuming it.

    RabbitMQ's broker declares a queue that it does not know, and a worker consumes all that are declared in its process
    (dramatiq/worker.py, `_WorkerMiddleware`); so it is told that this one is known, and not yet made on the server.
    """
    if kind_of(broker) is Kind.RABBITMQ and queue not in broker.queues:
        broker.queues_pending.add(queue)
        broker.queues.add(queue)
