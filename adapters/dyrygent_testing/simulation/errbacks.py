"""Error callbacks of imported canvases: what Celery tells them of the failure, before their own arguments.

That is known only when one runs, so the builder of `celery_dyrygent` leaves it open, and says by options of the call
what is to be filled in (`celery_dyrygent.errbacks`). No adapter is imported here; its names are written again.

style      its function takes                           it gets
old        as many arguments as it has of its own, +1   the failed task's id
new        +3                                           request, exc, traceback
immutable  its own                                      nothing
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final, cast

from attrs import evolve

from dyrygent_core import Call, Failure
from dyrygent_core.calls import Template
from dyrygent_core.ports import Dispatch
from dyrygent_runtime.fold import Folded
from dyrygent_runtime.summary import cause_of, failed_before

__all__ = ["failed_of", "failure_in", "is_called_in_place", "run_in_place", "target_of", "told"]

_ERRBACK: Final = "workflow-errback"
_FAILED: Final = "dyrygent_failed"
_IS_TOLD: Final = "dyrygent_is_told"
_PARENT: Final = "dyrygent_parent"


def target_of(call: Call) -> str:
    """Give the name of the task that a call runs in the end."""
    return str(call.inputs.value["args"][0]["task"]) if is_called_in_place(call) else call.target


def is_called_in_place(call: Call) -> bool:
    """Tell whether a call is that of our own task that calls an error callback."""
    return call.target == _ERRBACK and _FAILED in call.options


def failed_of(call: Call) -> str | None:
    """Give the node whose failure an error callback is for; None for any other call."""
    return cast("str | None", call.options.get(_FAILED))


def failure_in(folded: Folded, node: str) -> Failure:
    """Give why a node failed, or, as Celery tells it of a chord, what it waited for did."""
    cause = cause_of(folded, node)
    if cause is not None:
        return cause
    failed = failed_before(folded, node)
    above = None if failed is None else cause_of(folded, failed)
    if above is None:
        return Failure("ChordError", "a dependency failed", "celery.exceptions")
    text = f"Dependency {failed} raised {above.type}({', '.join(map(repr, _args_of(above)))})"
    return Failure("ChordError", text, "celery.exceptions", (text,))


def told(item: Dispatch) -> Dispatch:
    """Put the failed task's id where an error callback of the old style has its place."""
    if not item.call.options.get(_IS_TOLD):
        return item
    value = item.call.inputs.value
    args = [item.call.options[_FAILED], *value["args"][1:]]
    return evolve(item, call=evolve(item.call, inputs=Template({**value, "args": args})))


def run_in_place(function: Callable[..., Any], item: Dispatch, failure: Failure) -> Any:
    """Call an error callback in the new style, or, as Celery does, in the old one if it takes too little for that."""
    written, asked = item.call.inputs.value["args"]
    args, kwargs, failed = written["args"], written["kwargs"], item.call.options[_FAILED]
    if not _takes(function, [None, None, None, *args], kwargs):
        return function(failed, *args, **kwargs)
    request_of = import_module("celery.app.task").Context  # whoever made such a call has it, and it has no types
    options = item.call.options
    ids = {"id": failed, "root_id": options.get("root_id"), "parent_id": options.get(_PARENT)}
    return function(request_of({**asked, **ids, "errbacks": []}), _exception(failure), None, *args, **kwargs)


def _takes(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return False
    return True


def _exception(failure: Failure) -> Exception:
    """Make an exception of what the journal tells of one."""
    args = _args_of(failure)
    found: object = getattr(sys.modules.get(failure.module), failure.type, None)
    is_known = isinstance(found, type) and issubclass(found, Exception)
    kind = cast("type[Exception]", found if is_known else type(failure.type, (Exception,), {}))
    try:
        return kind(*args)
    except Exception:  # noqa: BLE001  # a class of the user's that takes other arguments
        return Exception(f"{failure.type}{args!r}")


def _args_of(failure: Failure) -> tuple[Any, ...]:
    return tuple(failure.args) if failure.args is not None else (failure.message,)
