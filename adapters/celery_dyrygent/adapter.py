"""The Celery adapter: attempts as task messages, outcomes from signals and, behind them, from the result backend.

One adapter serves one app in one process. It is made at the first use, so registering a workflow processor reads
no configuration; signal handlers (`signals`) and the worker's sweeper (`worker`) find it by their app.
"""

from __future__ import annotations

import secrets
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Final, Protocol, TypeAlias, runtime_checkable

from celery import Celery

from celery_dyrygent.backend import has_backend, look_up, store_outcome
from celery_dyrygent.configuration import check_configuration, journal_of, listeners_of, settings_of
from celery_dyrygent.eager import Eager, applying, eager_journal, is_eager
from celery_dyrygent.errbacks import with_failures
from celery_dyrygent.foreign import check_options
from celery_dyrygent.publishing import publish, publish_one
from celery_dyrygent.queues import waiting
from celery_dyrygent.registered import unwrapped
from celery_dyrygent.values import KombuValues
from dyrygent_core import Attempt, Call, Workflow, WorkflowState
from dyrygent_core.errors import AdapterUnavailableError
from dyrygent_core.ports import (
    Capability,
    Created,
    Dispatch,
    Finding,
    Journal,
    Refusal,
    Submission,
    WorkflowKey,
    WorkflowOutcome,
)
from dyrygent_runtime import Conductor, EngineAdapter, Notification, Run, Settings
from dyrygent_runtime.forks import no_fork
from dyrygent_runtime.inline import InlineConductor
from dyrygent_runtime.listeners import Listener
from dyrygent_runtime.settings import CHUNK

__all__ = [
    "PROCESSOR",
    "PROCESSOR_OPTIONS",
    "CeleryAdapter",
    "Noted",
    "Told",
    "adapter_of",
    "name_processor",
    "processor_name",
    "settle_all",
    "tell_every_adapter",
]

PROCESSOR: Final = "workflow-processor"
"""The name of our own task, the predecessor's."""
PROCESSOR_OPTIONS: Final = "processor_options"
"""The annotation that holds a workflow's own options for that task."""
_PROCESSOR_EXPIRES_S: Final = 60

Told: TypeAlias = Notification | WorkflowOutcome
"""What handlers may be told of: what a turn has changed; that a round begins, before anything of it is sent; and, at
least once, how it ended."""
_NOTED: Final = "noted"
"""The annotation that says that a workflow's notes are there."""


@runtime_checkable
class Noted(Protocol):
    """A workflow with notes of its own, which are beside its journal before anything of it is sent."""

    def notes(self) -> Mapping[str, Any]:
        """Return them by name, as JSON values."""
        ...


class CeleryAdapter(EngineAdapter):
    """Runs workflows on a Celery app.

    `journal` and `settings` are taken from the app's configuration where they are not given, and `listeners` are told
    besides those that it names. If the app is eager when the adapter is made (`task_always_eager`), nothing is sent:
    whoever starts a workflow runs it, see `eager`.
    Raises `UsageError` for a setting of ours that does not exist or cannot be; see `configuration`.
    """

    engine: ClassVar[str] = "Celery"

    def __init__(
        self,
        app: Celery,
        *,
        journal: Journal | None = None,
        settings: Settings | None = None,
        listeners: Iterable[Listener] = (),
    ) -> None:
        app = unwrapped(app)
        check_configuration(app)
        self.app = app
        self.inline = Eager(self) if is_eager(app) else None
        self._values = KombuValues(app)
        super().__init__(
            journal or eager_journal(app) or journal_of(app),
            settings=settings or settings_of(app),
            listeners=[*listeners_of(app), *listeners],
            send_limit=CHUNK,
            conductor=Conductor if self.inline is None else partial(InlineConductor, self.inline),
        )
        _ALIVE.add(self)
        for tell in _TELLING:
            self.conductor.listeners.add(partial(tell, self))

    def __repr__(self) -> str:
        return f"<CeleryAdapter of {self.app!r}>"

    def _start(self, workflow: Workflow, **options: Any) -> Run:
        notes = workflow.notes() if isinstance(workflow, Noted) else {}
        return super()._start(workflow, prepare=partial(self._prepare, notes), **options)

    def _prepare(self, notes: Mapping[str, Any], created: Created) -> None:
        """Write the notes, unless an earlier start under this id did, and tell that the workflow begins."""
        if notes and (created.is_new or _NOTED not in self.journal.annotations(created.key)):
            self.journal.annotate(created.key, {**notes, _NOTED: True})
        if created.is_new:
            self._tell(WorkflowOutcome(created.key, WorkflowState.RUNNING))

    def _tell(self, told: Told) -> None:
        for tell in _TELLING:
            tell(self, told)

    # The adapter port

    @property
    def capabilities(self) -> frozenset[Capability]:
        """All but stopping what runs; an eager app sends nothing, and without a result backend nothing is kept."""
        if self.inline is not None:
            return frozenset({Capability.REPORTS_START})
        kept = {Capability.LOOKUP, Capability.PUBLISHES}
        missing = {Capability.REVOKE_RUNNING} | (set() if has_backend(self.app) else kept)
        return frozenset(Capability) - missing

    @property
    def values(self) -> KombuValues:
        """The app's result serialiser."""
        return self._values

    @property
    def keeps_results(self) -> bool:
        """Whether the result backend is told of ends: an eager app does so only with `task_store_eager_result`."""
        return self.inline is None or bool(self.app.conf.task_store_eager_result)

    def check(self, call: Call) -> None:
        """Accept any name, for a task may be registered in the workers only; refuse another engine's options."""
        check_options(call)

    def dispatch(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        """Publish task messages (A1)."""
        batch = with_failures(self.app, self.conductor, batch)
        return publish(self.app, batch) if self.inline is None else self.inline.take(batch)

    def lookup(self, submissions: Sequence[Submission]) -> Mapping[Attempt, Finding]:
        """Read the result backend (A3)."""
        return look_up(self.app, submissions, self._values) if self.inline is None else {}

    def waiting(self, submissions: Sequence[Submission]) -> Mapping[Attempt, int]:
        """Ask the broker how long the queues are (A6)."""
        return waiting(self.app, submissions) if self.inline is None else {}

    def revoke(self, submissions: Sequence[Submission]) -> None:
        """Tell the workers to drop what they have not started (A4)."""
        if self.inline is not None:
            return  # it is dropped when its turn comes
        try:
            with no_fork():
                self.app.control.revoke([it.attempt_id for it in submissions])
        except Exception as problem:  # each transport raises its client's own errors
            message = f"the broker cannot be reached: {type(problem).__name__}: {problem}"
            raise AdapterUnavailableError(message) from problem

    def hand_over(self, key: WorkflowKey, position: int, offset: int) -> bool:
        """Let any worker's processor send the rest."""
        if self.inline is not None:
            return False
        arguments = [key.id, key.incarnation, position, offset]
        chosen = self.journal.annotations(key).get(PROCESSOR_OPTIONS, {})
        options = {"expires": _PROCESSOR_EXPIRES_S, **chosen, "ignore_result": True}
        publish_one(self.app, processor_name(self.app), secrets.token_hex(16), arguments, options)
        return True

    def publish(self, outcome: WorkflowOutcome) -> None:
        """Store the workflow's end in the result backend (A5), and tell the handlers of this process."""
        if self.keeps_results:
            store_outcome(self.app, outcome)
        self._tell(outcome)


_ALIVE: weakref.WeakSet[CeleryAdapter] = weakref.WeakSet()
_TELLING: list[Callable[[CeleryAdapter, Told], object]] = []


def tell_every_adapter(tell: Callable[[CeleryAdapter, Told], object]) -> None:
    """Let the adapters of this process, also those to come, tell this function; once, however often it is called."""
    if tell in _TELLING:
        return
    _TELLING.append(tell)
    for adapter in list(_ALIVE):
        adapter.conductor.listeners.add(partial(tell, adapter))


_NAMES: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def name_processor(app: Celery, name: str) -> None:
    """Remember what an app calls our task."""
    _NAMES[app] = name


def processor_name(app: Celery) -> str:
    """Return what an app calls our task: `PROCESSOR`, unless it was registered under another name."""
    return _NAMES.get(app, PROCESSOR)


_ADAPTERS: weakref.WeakKeyDictionary[Any, dict[bool, CeleryAdapter]] = weakref.WeakKeyDictionary()
"""By app, and by whether it is eager: tests change that."""
_MAKING = threading.Lock()


def settle_all() -> None:
    """Hand to the journals what this process has not handed over yet: it is about to end."""
    for adapter in [it for adapters in list(_ADAPTERS.values()) for it in adapters.values()]:
        adapter.settle()


def adapter_of(app: Celery) -> CeleryAdapter:
    """Return the app's adapter in this process, made at the first call; in an eager task, the one that applies it.

    Raises `UsageError` if its configuration names no usable journal.
    """
    app = unwrapped(app)
    if (mine := applying(app)) is not None:
        return mine
    with _MAKING:
        adapters, eager = _ADAPTERS.setdefault(app, {}), is_eager(app)
        if eager not in adapters:
            adapters[eager] = CeleryAdapter(app)
        return adapters[eager]
