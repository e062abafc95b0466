"""What Dramatiq's own results say of attempts, where the Results middleware keeps them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from dramatiq import Actor, Broker, Message, MessageProxy
from dramatiq.results import ResultFailure, ResultMissing, Results

from dramatiq_dyrygent.brokers import queue_of
from dyrygent_core import Attempt, SkipNode
from dyrygent_core.errors import AdapterUnavailableError
from dyrygent_core.ports import Finding, Submission, ValueCodec
from dyrygent_runtime.failures import failure_told
from dyrygent_runtime.reports import finding_of, told

__all__ = ["look_up", "results_of", "store_exception", "ttl_ms_of"]

_LOG = logging.getLogger("dyrygent")


def results_of(broker: Broker) -> Results | None:
    """Return the middleware that keeps a broker's results, if it has one."""
    return next((it for it in broker.middleware if isinstance(it, Results)), None)


def ttl_ms_of(actor: Actor[Any, Any], message: MessageProxy) -> int | None:
    """Return for how long a message's result is kept, or None for not at all (dramatiq/results/middleware.py)."""
    results = results_of(actor.broker)
    if results is None:
        return None
    options = {"store_results": results.store_results, "result_ttl": results.result_ttl}
    options = {**options, **actor.options, **message.options}
    return int(options["result_ttl"]) if options["store_results"] else None


def store_exception(broker: Broker, message: MessageProxy, problem: Exception, ttl_ms: int) -> None:
    """Keep an exception as a message's result; where that fails it is logged, as Dramatiq does of its own."""
    results: Any = results_of(broker)
    try:
        results.backend.store_exception(message, problem, ttl_ms)
    except Exception:  # noqa: BLE001  # each backend raises its client's own errors
        _LOG.exception("the result of message %s is not stored", message.message_id)


def look_up(broker: Broker, submissions: Sequence[Submission], values: ValueCodec) -> Mapping[Attempt, Finding]:
    """Read what is kept of these attempts, one by one; most actors' results are not, and none for long.

    Raises `AdapterUnavailableError` if the backend cannot be asked.
    """
    results = results_of(broker)
    if results is None:
        return {}
    found = ((it.attempt, _finding(broker, results.backend, it, values)) for it in submissions)
    return {attempt: finding for attempt, finding in found if finding is not None}


def _finding(broker: Broker, backend: Any, it: Submission, values: ValueCodec) -> Finding | None:
    queue = queue_of(broker, it.target, it.queue)
    if queue is None:
        return None
    message: Message[Any] = Message(queue, it.target, (), {}, {}, it.attempt_id)
    try:
        value = backend.get_result(message)
    except ResultMissing:
        return None
    except ResultFailure as failure:
        kind = failure.orig_exc_type
        module = SkipNode.__module__ if kind == SkipNode.__name__ else ""  # which Dramatiq does not keep
        return Finding(told(it.attempt, failure_told(kind, failure.orig_exc_msg, module)))
    except Exception as problem:
        text = f"the result backend cannot be asked: {type(problem).__name__}: {problem}"
        raise AdapterUnavailableError(text) from problem
    return finding_of(it.attempt, value, values)
