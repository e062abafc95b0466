"""What Dramatiq's own results say of attempts, where the Results middleware keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dramatiq import Broker, Message
from dramatiq.results import ResultFailure, ResultMissing, Results

from dramatiq_dyrygent.brokers import queue_of
from dyrygent_core import Attempt
from dyrygent_core.errors import AdapterUnavailableError
from dyrygent_core.ports import Finding, Submission, ValueCodec
from dyrygent_runtime.failures import failure_told
from dyrygent_runtime.reports import finding_of, told

__all__ = ["look_up", "results_of"]


def results_of(broker: Broker) -> Results | None:
    """Return the middleware that keeps a broker's results, if it has one."""
    return next((it for it in broker.middleware if isinstance(it, Results)), None)


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
        return Finding(told(it.attempt, failure_told(failure.orig_exc_type, failure.orig_exc_msg)))
    except Exception as problem:
        text = f"the result backend cannot be asked: {type(problem).__name__}: {problem}"
        raise AdapterUnavailableError(text) from problem
    return finding_of(it.attempt, value, values)
