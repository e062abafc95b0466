"""Eager: with `task_always_eager` the tasks of a workflow are applied here and now, by whoever starts it.

How a workflow is worked on in one thread is `dyrygent_runtime.inline`'s matter. Here each task is applied, and Celery's
signals tell the conductor how it ended, since `Task.apply` sends them too. What Celery does not mind when it is eager
is not minded here either: countdowns, delays between attempts, time limits and time-outs.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from celery import Celery
from celery.exceptions import NotRegistered, Retry

from celery_dyrygent.ends import end_of
from celery_dyrygent.identity import HEADER
from dyrygent_core import Attempt, WorkflowState
from dyrygent_core.ports import Dispatch, Journal, Refusal, WorkflowKey
from dyrygent_runtime.failures import failure_of
from dyrygent_runtime.identity import Identity
from dyrygent_runtime.inline import Inline
from dyrygent_runtime.journals import MemoryJournal
from dyrygent_runtime.reports import raised

if TYPE_CHECKING:
    from celery_dyrygent.adapter import CeleryAdapter

__all__ = ["Eager", "applying", "eager_journal", "is_eager"]

_NO_OPTIONS_OF_APPLY: Final = frozenset({"args", "kwargs", "task_id", "throw", "retries", "link", "link_error"})


def is_eager(app: Celery) -> bool:
    """Tell whether the app applies its tasks where they are called."""
    return bool(app.conf.task_always_eager)


_JOURNALS: weakref.WeakKeyDictionary[Celery, MemoryJournal] = weakref.WeakKeyDictionary()


def eager_journal(app: Celery) -> Journal | None:
    """Give the memory journal of an eager app: one for all of its adapters, unless it names another itself."""
    if not is_eager(app) or app.conf.get("dyrygent_journal") is not None:
        return None
    return _JOURNALS.setdefault(app, MemoryJournal(app.conf.get("dyrygent_namespace") or app.main or "celery"))


_HERE = threading.local()


def applying(app: Celery) -> CeleryAdapter | None:
    """Give the adapter whose workflow this thread is working on, if it is one of this app."""
    adapter: CeleryAdapter | None = getattr(_HERE, "adapter", None)
    return adapter if adapter is not None and adapter.app is app else None


@contextmanager
def _applied_by(adapter: CeleryAdapter) -> Generator[None]:
    before = getattr(_HERE, "adapter", None)
    _HERE.adapter = adapter
    try:
        yield
    finally:
        _HERE.adapter = before


class Eager(Inline):
    """What an eager adapter has to apply, by workflow."""

    def __init__(self, adapter: CeleryAdapter) -> None:
        super().__init__(adapter)
        self._celery = adapter
        self._problems: dict[WorkflowKey, dict[Attempt, BaseException]] = {}

    def take(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        """Queue attempts; refuse those whose task is not registered in this process (A1)."""
        refusals: list[Refusal] = []
        for item in batch:
            if self._knows(item.call.target):
                self.put(item)
            else:
                refusals.append(Refusal(item.attempt, failure_of(NotRegistered(item.call.target))))
        return tuple(refusals)

    def settle(self, key: WorkflowKey) -> bool:
        """Apply what is queued of a workflow, and what follows from that, see `Inline.settle`.

        With `task_eager_propagates` it raises the exception of the first failed node when the workflow has ended in
        failure.
        """
        with _applied_by(self._celery):
            is_mine = super().settle(key)
        if not is_mine:
            return False
        problems = self._problems.pop(key, {})
        if self._celery.app.conf.task_eager_propagates:
            self._propagate(key, problems)
        return True

    def run(self, item: Dispatch) -> None:
        """Apply one task; its signals report its outcome."""
        problem: BaseException | None
        try:
            result = self._applied_to_the_end(item).result
        except Exception as let_out:  # noqa: BLE001  # of a retry, which Celery lets out with `task_eager_propagates`
            self._celery.outbox.report(item.workflow, [raised(item.attempt, let_out)])
            problem = let_out
        else:
            problem = result if isinstance(result, BaseException) else None
        if problem is not None:
            self._problems.setdefault(item.workflow, {})[item.attempt] = problem

    def _applied_to_the_end(self, item: Dispatch) -> Any:
        """Apply a task and its retries; Celery's own way with them lets the second out with `task_eager_propagates`."""
        inputs = item.call.inputs.value
        options = {key: value for key, value in item.call.options.items() if key not in _NO_OPTIONS_OF_APPLY}
        options["headers"] = {**(options.get("headers") or {}), HEADER: Identity.of(item).as_text()}
        task = self._celery.app.tasks[item.call.target]
        signature = task.signature(inputs["args"], inputs["kwargs"], task_id=item.attempt_id, **options)
        while True:
            try:
                return signature.apply(throw=False)
            except Retry as again:
                signature = again.sig

    def _propagate(self, key: WorkflowKey, problems: Mapping[Attempt, BaseException]) -> None:
        """Raise what the first failed node has raised, if the workflow has failed."""
        state = self._celery.conductor.refresh(key).state
        if not state.is_finished or state.workflow_state not in (WorkflowState.FAILURE, WorkflowState.ERROR):
            return
        attempt = state.first_failed_attempt
        if attempt is not None and attempt in problems:
            raise problems[attempt]
        raise end_of(self._celery, key)["result"]

    def _knows(self, name: str) -> bool:
        app = self._celery.app
        if name not in app.tasks:
            app.loader.import_default_modules()  # as a worker does at its start
        return name in app.tasks
