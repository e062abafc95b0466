"""The app's result backend: what became of attempts, and the outcome of whole workflows for `AsyncResult`.

Many states in it are no facts: PENDING means nothing at all, RETRY and REVOKED may be followed by SUCCESS. Only
SUCCESS and FAILURE are taken as outcomes, and only if they are not older than the attempt.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from celery import Celery, states
from celery.backends.base import DisabledBackend
from celery.backends.rpc import RPCBackend
from celery.exceptions import WorkerLostError

from dyrygent_core import Attempt, Failure, Lost, WorkflowState
from dyrygent_core.errors import AdapterUnavailableError
from dyrygent_core.ports import Finding, Submission, ValueCodec, WorkflowOutcome
from dyrygent_runtime.failures import failure_of, failure_told
from dyrygent_runtime.forks import no_fork
from dyrygent_runtime.reports import finding_of, told

__all__ = ["as_result", "exception_told", "has_backend", "look_up", "store_failure", "store_outcome"]

_CLOCK_TOLERANCE_MS: Final = 60_000
"""A result may look this much older than its attempt: workers and the journal's store have clocks of their own."""


def has_backend(app: Celery) -> bool:
    """Tell whether the app keeps results where every process can read them; `rpc://` sends them to one of them."""
    return not isinstance(app.backend, DisabledBackend | RPCBackend)


@no_fork()
def look_up(app: Celery, submissions: Sequence[Submission], values: ValueCodec) -> Mapping[Attempt, Finding]:
    """Read what the backend has of these attempts, in one read where it can.

    Raises `AdapterUnavailableError` if the backend cannot be asked.
    """
    if not has_backend(app):
        return {}
    try:
        metas = _metas(app.backend, [it.attempt_id for it in submissions])
    except Exception as problem:  # each backend raises its client's own errors
        message = f"the result backend cannot be asked: {type(problem).__name__}: {problem}"
        raise AdapterUnavailableError(message) from problem
    found: dict[Attempt, Finding] = {}
    for it in submissions:
        meta = metas.get(it.attempt_id)
        if meta is not None and meta["status"] != states.PENDING and not _is_stale(meta, it.since_ms):
            found[it.attempt] = _finding(it.attempt, meta, values)
    return found


def _metas(backend: Any, task_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    if hasattr(backend, "mget") and hasattr(backend, "get_key_for_task"):
        keys = [backend.get_key_for_task(task_id) for task_id in task_ids]
        found = backend.mget(keys)
        if isinstance(found, Mapping):  # as caches answer
            found = [found.get(key) for key in keys]
        return {task_id: backend.decode_result(data) for task_id, data in zip(task_ids, found, strict=True) if data}
    return {task_id: backend.get_task_meta(task_id, cache=False) for task_id in task_ids}


def _is_stale(meta: Mapping[str, Any], since_ms: int) -> bool:
    """Tell whether a result was there before the attempt: a task id that was used before."""
    done = meta.get("date_done")
    if isinstance(done, str):
        done = datetime.fromisoformat(done)
    if not isinstance(done, datetime):
        return False
    aware = done if done.tzinfo is not None else done.replace(tzinfo=UTC)
    return aware.timestamp() * 1000 + _CLOCK_TOLERANCE_MS < since_ms


def _finding(attempt: Attempt, meta: Mapping[str, Any], values: ValueCodec) -> Finding:
    if meta["status"] == states.SUCCESS:
        return finding_of(attempt, meta["result"], values)
    if meta["status"] == states.FAILURE:
        failure = _failure(meta["result"])
        if failure.type == WorkerLostError.__name__:
            return Finding(Lost(attempt, failure.message))
        return Finding(told(attempt, failure))
    return Finding()


def _failure(stored: Any) -> Failure:
    if isinstance(stored, BaseException):
        return failure_of(stored)
    if not isinstance(stored, Mapping):
        return failure_told("Exception", str(stored))
    message = stored.get("exc_message")
    args = tuple(message) if isinstance(message, list | tuple) else (message,)
    text = str(args[0]) if len(args) == 1 else str(args)
    return failure_told(str(stored.get("exc_type")), text, str(stored.get("exc_module") or ""), args)


@no_fork()
def store_outcome(app: Celery, outcome: WorkflowOutcome) -> None:
    """Store a workflow's end under its id, and failures under the ids of nodes that never told their end.

    While it runs there is no end, so an earlier one is forgotten.
    Raises `AdapterUnavailableError` if the backend cannot be reached.
    """
    if not has_backend(app):
        return
    try:
        if outcome.state is WorkflowState.RUNNING:
            app.backend.forget(outcome.key.id)
            return
        _store(app, outcome.key.id, *as_result(outcome))
        for task_id, failure in outcome.untold:
            _store(app, task_id, exception_told(failure), states.FAILURE)
    except Exception as problem:  # as above
        message = f"the result backend cannot be written: {type(problem).__name__}: {problem}"
        raise AdapterUnavailableError(message) from problem


def store_failure(app: Celery, task_id: str, failure: Failure) -> None:
    """Store a failure under a task's id; raises `AdapterUnavailableError` if the backend cannot be reached."""
    try:
        _store(app, task_id, exception_told(failure), states.FAILURE)
    except Exception as problem:  # as above
        message = f"the result backend cannot be written: {type(problem).__name__}: {problem}"
        raise AdapterUnavailableError(message) from problem


def as_result(outcome: WorkflowOutcome) -> tuple[Any, str]:
    """Give what is stored of a workflow's end, an exception as backends write it, and Celery's state."""
    match outcome.state:
        case WorkflowState.SUCCESS:
            return outcome.value, states.SUCCESS
        case WorkflowState.CANCELLED:
            return _exception("TaskRevokedError", "celery.exceptions", ("cancelled",)), states.REVOKED
        case _ if outcome.failure is not None:
            return exception_told(outcome.failure), states.FAILURE
        case _:
            text = f"workflow {outcome.key.id!r} ended in {outcome.state.name}"
            return _exception("WorkflowFailedError", "dyrygent_core.errors", (text,)), states.FAILURE


def _store(app: Celery, task_id: str, result: Any, state: str) -> None:
    app.backend.store_result(task_id, result, state)


def exception_told(failure: Failure) -> dict[str, Any]:
    """Tell a failure as Celery's backends tell an exception."""
    return _exception(failure.type, failure.module, failure.args if failure.args is not None else (failure.message,))


def _exception(kind: str, module: str, args: Sequence[object]) -> dict[str, Any]:
    """Write an exception as Celery's backends do (celery/backends/base.py, `prepare_exception`)."""
    return {"exc_type": kind, "exc_message": json.loads(json.dumps(list(args), default=repr)), "exc_module": module}
