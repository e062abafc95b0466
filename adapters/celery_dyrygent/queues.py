"""How many messages wait in the queues that attempts were sent to, as far as the broker tells.

An empty queue says that a message which was sent, and never started, is in a worker's hands or is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from amqp.exceptions import ChannelError
from celery import Celery

from dyrygent_core import Attempt
from dyrygent_core.errors import AdapterUnavailableError
from dyrygent_core.ports import Submission
from dyrygent_runtime.forks import no_fork

__all__ = ["waiting"]


@no_fork()
def waiting(app: Celery, submissions: Sequence[Submission]) -> Mapping[Attempt, int]:
    """Count the messages that wait in each attempt's queue; an attempt whose queue is not known is left out.

    What a worker has taken and not acknowledged does not wait. Raises `AdapterUnavailableError`.
    """
    queues = {it.attempt: _queue_of(app, it) for it in submissions}
    names = {name for name in queues.values() if name is not None}
    if not names:
        return {}
    try:
        with app.pool.acquire(block=True) as connection:
            counts = {name: _count(connection, name) for name in names}
    except Exception as problem:  # each transport raises its client's own errors
        message = f"the broker cannot be reached: {type(problem).__name__}: {problem}"
        raise AdapterUnavailableError(message) from problem
    return {attempt: counts[name] for attempt, name in queues.items() if name is not None}


def _queue_of(app: Celery, submission: Submission) -> str | None:
    """Give the queue that this attempt was routed to; None if it went to an exchange or a routing key."""
    task_type = app.tasks.get(submission.target)
    asked = {} if submission.queue is None else {"queue": submission.queue}
    declared = task_type._get_exec_options() if task_type is not None else {}  # noqa: SLF001  # as `publishing` does
    routed = {key: declared[key] for key in ("queue", "exchange", "routing_key") if declared.get(key) is not None}
    options = app.amqp.router.route({**routed, **asked}, submission.target, (), {}, task_type)
    queue = options.get("queue")
    if queue is None and (options.get("exchange") or options.get("routing_key")):
        return None
    name = getattr(queue, "name", queue) or app.conf.task_default_queue
    return str(name)


def _count(connection: Any, name: str) -> int:
    """Ask for one queue; one that is not there has no messages (to Redis, an empty queue is not there)."""
    with connection.channel() as channel:  # its own: an answer of "not found" closes it
        try:
            return int(channel.queue_declare(queue=name, passive=True).message_count)
        except (ChannelError, *connection.channel_errors):
            return 0
