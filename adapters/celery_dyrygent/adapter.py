"""The Celery adapter: attempts as task messages, outcomes from signals and, behind them, from the result backend.

One adapter serves one app in one process. It is made at the first use, so registering a workflow processor reads
no configuration; signal handlers (`signals`) and the worker's sweeper (`worker`) find it by their app.
"""

from __future__ import annotations

import secrets
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from celery import Celery

from celery_dyrygent.backend import look_up, store_outcome
from celery_dyrygent.configuration import check_configuration, journal_of, listeners_of, settings_of
from celery_dyrygent.publishing import publish, publish_one
from celery_dyrygent.queues import waiting
from celery_dyrygent.values import KombuValues
from dyrygent_core import Attempt, Call, Workflow
from dyrygent_core.errors import AdapterUnavailableError
from dyrygent_core.ports import Dispatch, Finding, Journal, Refusal, Submission, WorkflowKey, WorkflowOutcome
from dyrygent_runtime import Conductor, OnConflict, Run, Settings, start
from dyrygent_runtime.late_marks import LateMarks
from dyrygent_runtime.listeners import Listener
from dyrygent_runtime.outbox import Outbox
from dyrygent_runtime.settings import CHUNK
from dyrygent_runtime.settling import settle

__all__ = ["PROCESSOR", "PROCESSOR_OPTIONS", "CeleryAdapter", "adapter_of", "settle_all"]

PROCESSOR: Final = "workflow-processor"
"""The name of our own task, the predecessor's."""
PROCESSOR_OPTIONS: Final = "processor_options"
"""The annotation that holds a workflow's own options for that task."""
_PROCESSOR_EXPIRES_S: Final = 60


class CeleryAdapter:
    """Runs workflows on a Celery app.

    `journal` and `settings` are taken from the app's configuration where they are not given, and `listeners` are told
    besides those that it names.
    Raises `UsageError` for a setting of ours that does not exist or cannot be; see `configuration`.
    """

    def __init__(
        self,
        app: Celery,
        *,
        journal: Journal | None = None,
        settings: Settings | None = None,
        listeners: Iterable[Listener] = (),
    ) -> None:
        check_configuration(app)
        self.app = app
        self.journal = journal if journal is not None else journal_of(app)
        self._values = KombuValues(app)
        settings = settings or settings_of(app)
        self.marks = LateMarks(self.journal, settings)
        self.conductor = Conductor(
            self.journal,
            self,
            settings=settings,
            listeners=[*listeners_of(app), *listeners],
            mark=self.marks.add,
        )
        self.outbox = Outbox(self.conductor, send_limit=CHUNK)

    def __repr__(self) -> str:
        return f"<CeleryAdapter of {self.app!r}>"

    def start(
        self,
        workflow: Workflow,
        *,
        id: str | None = None,  # noqa: A002  # the word a user expects here
        on_conflict: OnConflict | str = OnConflict.EXISTING,
        tags: Sequence[str] = (),
    ) -> Run:
        """Start a workflow, see `dyrygent_runtime.start`."""
        return start(self, workflow, id=id, on_conflict=on_conflict, tags=tags)

    # The adapter port

    @property
    def values(self) -> KombuValues:
        """The app's result serialiser."""
        return self._values

    def check(self, call: Call) -> None:
        """Accept any name: a task may be registered in the workers only."""

    def dispatch(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        """Publish task messages (A1)."""
        return publish(self.app, batch)

    def lookup(self, submissions: Sequence[Submission]) -> Mapping[Attempt, Finding]:
        """Read the result backend (A3)."""
        return look_up(self.app, submissions, self._values)

    def waiting(self, submissions: Sequence[Submission]) -> Mapping[Attempt, int]:
        """Ask the broker how long the queues are (A6)."""
        return waiting(self.app, submissions)

    def revoke(self, submissions: Sequence[Submission]) -> None:
        """Tell the workers to drop what they have not started (A4)."""
        try:
            self.app.control.revoke([it.attempt_id for it in submissions])
        except Exception as problem:  # each transport raises its client's own errors
            message = f"the broker cannot be reached: {type(problem).__name__}: {problem}"
            raise AdapterUnavailableError(message) from problem

    def hand_over(self, key: WorkflowKey, position: int, offset: int) -> bool:
        """Let any worker's processor send the rest."""
        arguments = [key.id, key.incarnation, position, offset]
        chosen = self.journal.annotations(key).get(PROCESSOR_OPTIONS, {})
        options = {"expires": _PROCESSOR_EXPIRES_S, **chosen, "ignore_result": True}
        publish_one(self.app, PROCESSOR, secrets.token_hex(16), arguments, options)
        return True

    def publish(self, outcome: WorkflowOutcome) -> None:
        """Store the workflow's end in the result backend (A5)."""
        store_outcome(self.app, outcome)


_ADAPTERS: weakref.WeakKeyDictionary[Any, CeleryAdapter] = weakref.WeakKeyDictionary()
_MAKING = threading.Lock()


def settle_all() -> None:
    """Hand to the journals what this process has not handed over yet: it is about to end."""
    for adapter in list(_ADAPTERS.values()):
        settle(adapter.outbox, adapter.marks)


def adapter_of(app: Celery) -> CeleryAdapter:
    """Return the app's adapter in this process, made at the first call.

    Raises `UsageError` if its configuration names no usable journal.
    """
    app = app._get_current_object() if hasattr(app, "_get_current_object") else app  # noqa: SLF001  # a proxy's own way
    with _MAKING:
        adapter = _ADAPTERS.get(app)
        if adapter is None:
            adapter = _ADAPTERS[app] = CeleryAdapter(app)
        return adapter
