"""From Celery's signals to observations.

Signals are hints: some ends of a task fire none, some fire twice, some fire in the worker's main process. Whatever
is missed here is found by the sweep, and whatever comes twice is ignored by the core.

    in the process that runs the task       publish   what replaces the task inherits its identity (`replacing`)
                                            prerun    the attempt is marked as started
                                            postrun   SUCCESS, FAILURE, IGNORED and REJECTED are outcomes; RETRY, a
                                                      requeue, a replacement and "no state" are not; nor is the
                                                      success of a step of what has replaced the attempt's task

    A `SkipNode` is an ordinary exception to Celery, which stores FAILURE, and the reason with it. That is left so:
    of an `Ignore` nothing is stored, and whoever waits for such a task waits for ever.

    in the main process                     failure   of a child that died or overran: Lost or Failed
                                            revoked, unknown

    in both, when they end in order         shutdown  what is not recorded yet is, for some seconds

Main-process observations are left to the outbox's own thread: prefork's main is an event loop that must
not wait for a journal.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from attrs import evolve, frozen
from celery import signals, states
from celery.exceptions import NotRegistered, TaskRevokedError, WorkerLostError
from celery.worker import state as worker_state
from kombu.exceptions import EncodeError

from celery_dyrygent.adapter import CeleryAdapter, adapter_of, settle_all
from celery_dyrygent.identity import HEADER, identity_in
from celery_dyrygent.replacing import inherit
from celery_dyrygent.worker import began, boot, left
from dyrygent_core import Attempt, Failed, Lost, Outcome, Ran, Skipped
from dyrygent_runtime.execution import Execution
from dyrygent_runtime.failures import failure_of
from dyrygent_runtime.identity import Identity
from dyrygent_runtime.reports import raised, returned

__all__ = ["connect"]

_REPLACED: Final = "replaced by new task"


def connect() -> None:
    """Connect the handlers; once, however often it is called."""
    for signal, handler in (
        (signals.before_task_publish, _on_publish),
        (signals.task_prerun, _on_prerun),
        (signals.task_postrun, _on_postrun),
        (signals.task_failure, _on_failure),
        (signals.task_revoked, _on_revoked),
        (signals.task_unknown, _on_unknown),
        (signals.worker_process_shutdown, _on_shutdown),
        (signals.worker_shutdown, _on_shutdown),
    ):
        signal.connect(handler, weak=False, dispatch_uid=f"dyrygent.{handler.__name__}")


@frozen
class _Running:
    """A task that runs in this thread, and the one that it runs inside."""

    task_id: str
    execution: Execution
    before: _Running | None
    is_handed_on: bool = False


_RUNNING = threading.local()  # gevent's monkey patch makes it local to the greenlet


# In the process that runs the task


def _on_publish(sender: Any = None, body: Any = None, headers: Any = None, **_: Any) -> None:
    running: _Running | None = getattr(_RUNNING, "task", None)
    if running is None or not isinstance(headers, dict):
        return
    execution, identity = running.execution, running.execution.identity
    is_itself = headers.get("id") == running.task_id
    if headers.get(HEADER) == identity.as_text() and identity.replaces is None and not is_itself:
        del headers[HEADER]  # a task that sends its own headers on does not send its identity
    inherit(identity, identity.replaces or running.task_id, str(sender), headers, body)
    goes_on = identity_in(headers)
    is_same = goes_on is not None and (goes_on.workflow, goes_on.attempt) == (identity.workflow, identity.attempt)
    if is_same and not running.is_handed_on:
        execution.adapter.take_back_start(identity)  # before whoever takes it on can mark its own start
        _RUNNING.task = evolve(running, is_handed_on=True)


def _on_prerun(sender: Any = None, task_id: str = "", **_: Any) -> None:
    identity = identity_in(sender.request)
    if identity is None:
        return
    adapter = _adapter(sender.app, identity)
    if adapter is None:
        return
    began(task_id)
    before = getattr(_RUNNING, "task", None) if sender.request.is_eager else None
    _RUNNING.task = _Running(task_id, Execution.begin(adapter, identity, boot()), before)


def _on_postrun(sender: Any = None, retval: Any = None, state: str | None = None, **_: Any) -> None:
    identity = identity_in(sender.request)
    if identity is None:
        return
    adapter = _adapter(sender.app, identity)
    if adapter is None:
        return
    running: _Running | None = getattr(_RUNNING, "task", None)
    try:
        _report_end(sender, adapter, identity, retval, state)
    finally:
        _RUNNING.task = running.before if running is not None else None


def _report_end(sender: Any, adapter: CeleryAdapter, identity: Identity, retval: Any, state: str | None) -> None:
    running: _Running | None = getattr(_RUNNING, "task", None)
    outcome, results = _outcome(adapter, identity, retval, state)
    if outcome is not None:
        adapter.outbox.report(identity.workflow, [outcome], results)
        is_own = identity.replaces is None and adapter.keeps_results
        if is_own and identity.first_id is not None and state in states.READY_STATES:
            sender.backend.store_result(identity.first_id, retval, state)  # for whoever waits for the first attempt
    elif state is None:
        left(sender.request.id)
    elif running is None or not running.is_handed_on:
        adapter.take_back_start(identity)


def _outcome(
    adapter: CeleryAdapter, identity: Identity, retval: Any, state: str | None
) -> tuple[Outcome | None, dict[Attempt, bytes]]:
    """Give what a finished execution means, or None where it decides nothing."""
    attempt = identity.attempt
    match state:
        case states.SUCCESS if identity.replaces is None:
            is_kept, measure, ran = identity.is_kept, identity.measure, _ran()
            return returned(attempt, retval, adapter.values, is_kept=is_kept, measure=measure, ran=ran)
        case states.FAILURE:
            return _failed(attempt, retval), {}
        case states.IGNORED if _REPLACED not in str(retval).lower():
            return Skipped(attempt, str(retval), _ran()), {}
        case states.REJECTED if not getattr(retval, "requeue", True):
            return Failed(attempt, failure_of(retval), _ran()), {}
        case _:
            return None, {}


def _failed(attempt: Attempt, problem: Any) -> Outcome:
    outcome = raised(attempt, problem, _ran())
    return evolve(outcome, is_final=True) if isinstance(outcome, Failed) and _is_of_its_result(problem) else outcome


def _is_of_its_result(problem: Any) -> bool:
    """Tell whether a task returned, and its value could not be written: another try would run it for nothing.

    Then the exception comes from the storing of the value, and not out of the task (celery/app/trace.py, `trace_task`).
    """
    below = getattr(problem.__traceback__, "tb_next", None) if isinstance(problem, EncodeError) else None
    return below is not None and below.tb_frame.f_code.co_name == "mark_as_done"


def _ran() -> Ran | None:
    running: _Running | None = getattr(_RUNNING, "task", None)
    return None if running is None else running.execution.ran


# In the main process


def _on_failure(sender: Any = None, task_id: str = "", exception: Any = None, **_: Any) -> None:
    running: _Running | None = getattr(_RUNNING, "task", None)
    if running is not None and running.task_id == task_id:
        return  # in the task itself: its postrun follows
    identity = identity_in(sender.request) or _identity_of_held(task_id)
    if identity is None:
        return
    if isinstance(exception, WorkerLostError):
        _later(sender.app, identity, Lost(identity.attempt, str(exception)))
    else:
        _later(sender.app, identity, Failed(identity.attempt, failure_of(exception)))


def _on_revoked(sender: Any = None, request: Any = None, expired: bool = False, **_: Any) -> None:
    identity = identity_in(_headers(request))
    if identity is not None:
        reason = TaskRevokedError("expired" if expired else "revoked")
        _later(sender.app, identity, Failed(identity.attempt, failure_of(reason), is_revoked=not expired))


def _on_unknown(sender: Any = None, message: Any = None, name: str = "", **_: Any) -> None:
    identity = identity_in(message.headers)
    if identity is not None:
        _later(sender.app, identity, Failed(identity.attempt, failure_of(NotRegistered(name)), is_final=True))


def _on_shutdown(**_: Any) -> None:
    settle_all()


def _later(app: Any, identity: Identity, outcome: Outcome) -> None:
    adapter = _adapter(app, identity)
    if adapter is not None:
        adapter.outbox.later(identity.workflow, [outcome])


def _headers(request: Any) -> Any:
    return getattr(request, "request_dict", None) or getattr(request, "headers", None) or request


def _identity_of_held(task_id: str) -> Identity | None:
    """Find the identity of a task whose request Celery hides, among those that this worker holds."""
    held = worker_state.requests.get(task_id)
    return None if held is None else identity_in(_headers(held))


def _adapter(app: Any, identity: Identity) -> CeleryAdapter | None:
    """Give the app's adapter if it keeps the task's workflow."""
    adapter = adapter_of(app)
    return adapter if adapter.keeps(identity) else None
