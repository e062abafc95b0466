"""Error callbacks (`link_error`): in which style each is called, and how it learns what has failed.

Celery calls an error callback in one of two styles, decided by how many arguments its task takes:

style       takes                                   Celery                      here
old         the failed task's id, then its own      sends it as a task          a node that runs it
new         request, exc, traceback, then its own   calls it in the failed      a node that runs `ERRBACK`, which calls
                                                    task's worker               it; sent where the failed task was
immutable   its own only                            by its style                a node that runs it
canvas      as the old style, its first tasks       sends it                    the nodes of the canvas

A name that is not registered where the canvas is imported is decided by the worker that runs `ERRBACK`.
What has failed is known when the callback is sent, and filled in then (`with_failures`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from attrs import evolve, frozen
from celery import Celery, Task, states
from celery.app.task import Context
from celery.utils.functional import arity_greater

from celery_dyrygent.backend import exception_told, has_backend, store_failure
from celery_dyrygent.signatures import FAILED, IS_TOLD, Kind, Part, kind_of
from dyrygent_core import Call, Failure
from dyrygent_core.calls import Template
from dyrygent_core.ports import Dispatch
from dyrygent_runtime import Conductor
from dyrygent_runtime.fold import Folded, end_of
from dyrygent_runtime.summary import cause_of, failed_before

__all__ = ["ERRBACK", "FailedTask", "call_errback", "filled", "told", "with_failures"]

ERRBACK: Final = "workflow-errback"
"""The name of our own task that calls error callbacks of the new style."""
_PARENT: Final = "dyrygent_parent"
"""An option of its call, never sent: the parent of the task that failed."""
_ROUTING: Final = ("queue", "exchange", "routing_key", "priority")


# While a canvas is imported


@frozen
class FailedTask:
    """A task that may fail: what an error callback will be told of it beside the failure."""

    target: str
    inputs: Mapping[str, Any]
    options: Mapping[str, Any]


def told(errback: Part, failed: FailedTask, app: Celery | None) -> tuple[Part, tuple[Any, ...]]:
    """Return the signature that a node is to run for an error callback, and what it is given.

    Where it is given the failed task's id, None holds its place until it is sent (`filled`).
    """
    if errback.get("immutable"):
        return errback, ()
    if kind_of(errback) is Kind.TASK and _takes_failure(app, errback) is not False:
        return _in_place(errback, failed), ()
    return errback, (None,)


def _takes_failure(app: Celery | None, errback: Part) -> bool | None:
    """Tell whether a task is called in the new style; None if it is not registered here."""
    task = None if app is None else app.tasks.get(errback["task"])
    if task is None:
        return None
    header = getattr(task, "__header__", None)
    if header is None or isinstance(header, partial):  # of a class, or bound: those are sent
        return False
    try:
        return bool(arity_greater(partial(header, *(errback.get("args") or ()), **(errback.get("kwargs") or {})), 1))
    except (TypeError, ValueError):  # its own arguments do not fit
        return bool(arity_greater(header, 1))


def _in_place(errback: Part, failed: FailedTask) -> Part:
    where = {key: failed.options[key] for key in _ROUTING if key in failed.options}
    written = {"task": errback["task"], "args": list(errback.get("args") or ()), "kwargs": errback.get("kwargs") or {}}
    options = {"shadow": errback["task"], **where, **(errback.get("options") or {})}
    if "parent_id" in failed.options:
        options[_PARENT] = failed.options["parent_id"]
    request = {"task": failed.target, **failed.inputs}
    return {"task": ERRBACK, "args": [written, request], "options": options, "immutable": True}


# When it is sent


def with_failures(app: Celery, conductor: Conductor, batch: Sequence[Dispatch]) -> Sequence[Dispatch]:
    """Fill in what has failed, and let the engine know of the failures that it has not told itself.

    Raises `AdapterUnavailableError` if the result backend cannot be reached.
    """
    if not any(FAILED in item.call.options for item in batch):
        return batch
    folded = {key: conductor.refresh(key) for key in {item.workflow for item in batch}}
    return [_with_failure(app, folded[item.workflow], item) for item in batch]


def _with_failure(app: Celery, folded: Folded, item: Dispatch) -> Dispatch:
    node = item.call.options.get(FAILED)
    if node is None:
        return item
    failure, is_told = _failure_of(folded, node)
    if not is_told and node in folded.definition.engine_named and has_backend(app):
        store_failure(app, node, failure)
    return evolve(item, call=filled(item.call, failure))


def filled(call: Call, failure: Failure) -> Call:
    """Return an error callback's call, its references resolved, with what has failed put in its place."""
    options = dict(call.options)
    node, is_told, parent = options.pop(FAILED), options.pop(IS_TOLD), options.pop(_PARENT, None)
    args = list(call.inputs.value["args"])
    if is_told:
        args[0] = node
    if call.target == ERRBACK:
        ids = {"id": node, "root_id": options.get("root_id"), "parent_id": parent}
        args = [args[0], {**args[1], **ids}, exception_told(failure)]
    return evolve(call, inputs=Template({**call.inputs.value, "args": args}), options=options)


def _failure_of(folded: Folded, node: str) -> tuple[Failure, bool]:
    """Give why a node failed, or never ran, and whether the engine knows."""
    cause = cause_of(folded, node)
    if cause is not None:
        end = end_of(folded, folded.state.attempt(node))
        return cause, end is not None and not end.is_silent
    failed = failed_before(folded, node)
    cause = None if failed is None else cause_of(folded, failed)
    if cause is None:
        return Failure("ChordError", "a dependency failed", "celery.exceptions"), False
    arguments = ", ".join(map(repr, cause.args if cause.args is not None else (cause.message,)))
    text = f"Dependency {failed} raised {cause.type}({arguments})"
    return Failure("ChordError", text, "celery.exceptions", (text,)), False


# In the worker


def call_errback(
    task: Task, errback: Mapping[str, Any], request: Mapping[str, Any], failure: Mapping[str, Any]
) -> None:
    """Call an error callback of the new style; one of the old style, as it turns out here, takes our place."""
    app = task.app
    called = app.tasks.get(errback["task"])
    if called is None or not _takes_failure(app, errback):
        old = app.signature(errback["task"], args=(request["id"], *errback["args"]), kwargs=errback["kwargs"])
        raise task.replace(old)
    exc, traceback = _exception(app, request["id"], failure)
    called(Context({**request, "errbacks": []}), exc, traceback, *errback["args"], **errback["kwargs"])


def _exception(app: Celery, task_id: str, failure: Mapping[str, Any]) -> tuple[Any, str | None]:
    """Give the exception and its traceback as the backend has them, else the exception as the journal tells it."""
    if has_backend(app):
        meta = app.backend.get_task_meta(task_id)
        if meta["status"] == states.FAILURE and isinstance(meta["result"], BaseException):
            return meta["result"], meta.get("traceback")
    return app.backend.exception_to_python(dict(failure)), None
