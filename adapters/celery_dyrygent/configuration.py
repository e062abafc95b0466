"""Which journal an app uses, read from its configuration when it is first needed.

dyrygent_journal     a URL; without it the result backend's store is used, if that is Redis or SQL
dyrygent_namespace   which workflows belong together; without it the app's name
dyrygent_settings    a `dyrygent_runtime.Settings`, for other waiting times
dyrygent_listeners   functions that are told what changes, in each process of the app
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from celery import Celery

from dyrygent_core import UsageError
from dyrygent_core.ports import Journal
from dyrygent_runtime import Settings
from dyrygent_runtime.journals import open_journal
from dyrygent_runtime.listeners import Listener

__all__ = ["journal_of", "listeners_of", "settings_of"]

_STORES = ("redis://", "rediss://", "unix://", "redis+socket://", "db+", "sqlite://")


def journal_of(app: Celery) -> Journal:
    """Open the app's journal.

    Raises `UsageError`, naming the setting, if there is none to be had or its store is not supported.
    """
    chosen = app.conf.get("dyrygent_journal")
    namespace = app.conf.get("dyrygent_namespace") or app.main or "celery"
    if chosen is not None:
        return open_journal(chosen, namespace) if isinstance(chosen, str) else chosen
    backend = app.conf.result_backend
    if not backend:
        message = (
            "this Celery app has no result backend, so there is nowhere to keep workflows; set "
            "app.conf.dyrygent_journal = 'redis://…' or 'sqlite:///…'"
        )
        raise UsageError(message)
    if not isinstance(backend, str) or not backend.startswith(_STORES):
        kind = str(backend).partition(":")[0]
        message = (
            f"the result backend {kind!r} of this Celery app cannot keep workflows; set "
            f"app.conf.dyrygent_journal = 'redis://…' or 'sqlite:///…'"
        )
        raise UsageError(message)
    return open_journal(backend, namespace)


def listeners_of(app: Celery) -> tuple[Listener, ...]:
    """Return whom the app wants to be told; raises `UsageError` for what is no sequence of functions."""
    listeners: object = app.conf.get("dyrygent_listeners") or ()
    if not isinstance(listeners, list | tuple):
        message = f"app.conf.dyrygent_listeners must be a list of functions, not {type(listeners).__name__}"
        raise UsageError(message)
    for listener in cast("Sequence[object]", listeners):
        if not callable(listener):
            kind = type(listener).__name__
            message = f"app.conf.dyrygent_listeners holds a value of type {kind}; put the function itself there"
            raise UsageError(message)
    return tuple(cast("Sequence[Listener]", listeners))


def settings_of(app: Celery) -> Settings:
    """Return the app's waiting times; raises `UsageError` for a value of another type."""
    settings = app.conf.get("dyrygent_settings") or Settings()
    if not isinstance(settings, Settings):
        message = f"app.conf.dyrygent_settings must be a dyrygent_runtime.Settings, not {type(settings).__name__}"
        raise UsageError(message)
    return settings
