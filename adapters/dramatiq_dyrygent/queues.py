"""How many messages wait in the queues that attempts were sent to, delayed ones among them.

What a worker has taken and not acknowledged does not wait: it is in that worker's lease.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dramatiq import Broker
from dramatiq.common import dq_name

from dramatiq_dyrygent.brokers import Kind, kind_of, queue_of
from dyrygent_core import Attempt
from dyrygent_core.errors import AdapterUnavailableError
from dyrygent_core.ports import Submission

__all__ = ["waiting"]


def waiting(broker: Broker, submissions: Sequence[Submission]) -> Mapping[Attempt, int]:
    """Count the messages in each attempt's queue; an attempt whose queue is not known is left out.

    Raises `AdapterUnavailableError`.
    """
    queues = {it.attempt: queue_of(broker, it.target, it.queue) for it in submissions}
    names = sorted({name for name in queues.values() if name is not None})
    if not names:
        return {}
    try:
        counts = _counts(broker, names)
    except Exception as problem:  # each client raises its own errors
        message = f"the broker cannot be reached: {type(problem).__name__}: {problem}"
        raise AdapterUnavailableError(message) from problem
    return {attempt: counts[name] for attempt, name in queues.items() if name is not None and name in counts}


def _counts(broker: Any, names: Sequence[str]) -> Mapping[str, int]:
    match kind_of(broker):
        case Kind.REDIS:
            with broker.client.pipeline(transaction=False) as pipeline:
                for name in names:
                    pipeline.llen(f"{broker.namespace}:{name}")
                    pipeline.llen(f"{broker.namespace}:{dq_name(name)}")
                found = pipeline.execute()
            return {name: found[2 * at] + found[2 * at + 1] for at, name in enumerate(names)}
        case Kind.RABBITMQ:
            return {name: _ready(broker, name) + _ready(broker, dq_name(name)) for name in names}
        case Kind.STUB:
            queues = broker.queues
            return {name: queues[name].qsize() + queues[dq_name(name)].qsize() for name in names if name in queues}
        case Kind.OTHER:
            return {}


def _ready(broker: Any, name: str) -> int:
    """Ask RabbitMQ for one queue; one that is not there has no messages."""
    from pika.exceptions import ChannelClosedByBroker  # noqa: PLC0415  # an extra of Dramatiq's

    try:
        with broker.connection.channel() as channel:  # its own: an answer of "not found" closes it
            return int(channel.queue_declare(queue=name, passive=True).method.message_count)
    except ChannelClosedByBroker:
        return 0
    except Exception:
        del broker.connection  # this thread's, that may be dead: the next is a new one
        raise
