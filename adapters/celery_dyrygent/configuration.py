"""The keys of an app's configuration that are ours, read when the first workflow starts and when a worker does.

Celery lets any key be set, so a key that is spelt wrong would do nothing, and nobody would notice. Hence all that begin
with `dyrygent_` are looked through once: what is not in `KEYS`, or is of another type, is refused. With a namespace, as
in Django (`config_from_object("django.conf:settings", namespace="CELERY")`), `dyrygent_journal` is written as
`CELERY_DYRYGENT_JOURNAL`; Celery translates that itself, but only in the one spelling.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

import attrs
from attrs import frozen
from celery import Celery
from celery.utils.text import match_case

from dyrygent_core import UsageError
from dyrygent_core.checks import shown
from dyrygent_core.errors import quoted
from dyrygent_core.ports import Journal
from dyrygent_runtime import Settings
from dyrygent_runtime.journals import open_journal
from dyrygent_runtime.listeners import Listener

__all__ = ["KEYS", "Key", "check_configuration", "journal_of", "listeners_of", "settings_of"]

_PREFIX: Final = "dyrygent_"
_STORES: Final = ("redis://", "rediss://", "unix://", "redis+socket://", "db+", "sqlite://")


@frozen
class Key:
    """A key of `app.conf`: what it says, what holds without it, and what its value may be."""

    name: str
    what: str
    default: str
    kind: str
    is_right: Callable[[Any], bool]


def _is_journal(value: Any) -> bool:
    return isinstance(value, str) or all(hasattr(value, name) for name in ("append", "definition", "namespace"))


KEYS: Final[Mapping[str, Key]] = {
    key.name: key
    for key in (
        Key(
            "dyrygent_journal",
            "where workflows are kept: `redis://…`, `rediss://…`, `unix://…`, `redis+cluster://…`, `sqlite:///…`, "
            "`postgresql://…`, `mysql://…`, or a journal object",
            "the result backend's store, if that is Redis or SQL",
            "a URL or a journal",
            _is_journal,
        ),
        Key(
            "dyrygent_namespace",
            "which workflows belong together, and are swept by the same workers",
            "the app's name",
            "a text that is not empty",
            lambda value: isinstance(value, str) and bool(value),
        ),
        Key(
            "dyrygent_settings",
            "waiting times, as a `dyrygent_runtime.Settings` or a dict of some of them",
            "the defaults",
            "a dyrygent_runtime.Settings or a dict",
            lambda value: isinstance(value, Settings | Mapping),
        ),
        Key(
            "dyrygent_listeners",
            "functions that are [told what changes](../how-to/follow-a-workflow.md), in each process of the app",
            "none",
            "a list of functions",
            lambda _: True,  # looked at by `listeners_of`, which can say more
        ),
        Key(
            "dyrygent_pass_results",
            "`False` keeps results out of the arguments of imported canvases, as celery-dyrygent does",
            "`True`",
            "True or False",
            lambda value: isinstance(value, bool),
        ),
    )
}
"""All that there are, by name. A value of None is as if the key were not set."""


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
            f"this Celery app has no result backend, so there is nowhere to keep workflows; set "
            f"{_written(app, 'dyrygent_journal')} = 'redis://…' or 'sqlite:///…'"
        )
        raise UsageError(message)
    if not isinstance(backend, str) or not backend.startswith(_STORES):
        kind = str(backend).partition(":")[0]
        message = (
            f"the result backend {kind!r} of this Celery app cannot keep workflows; set "
            f"{_written(app, 'dyrygent_journal')} = 'redis://…' or 'sqlite:///…'"
        )
        raise UsageError(message)
    return open_journal(backend, namespace)


def settings_of(app: Celery) -> Settings:
    """Return the app's waiting times; raises `UsageError` for one that is not known, or of a value that cannot be."""
    chosen = app.conf.get("dyrygent_settings")
    if chosen is None or isinstance(chosen, Settings):
        return chosen or Settings()
    known = {it.name: it.name for it in attrs.fields(Settings)}
    for name in chosen:
        if name not in known:
            message = f"{_written(app, 'dyrygent_settings')} has no waiting time {shown(name)}{_hint(name, known)}"
            raise UsageError(message)
    try:
        return Settings(**chosen)
    except (TypeError, ValueError) as problem:
        message = f"{_written(app, 'dyrygent_settings')} cannot be {shown(chosen)}: {problem.args[0]}"
        raise UsageError(message) from problem


def listeners_of(app: Celery) -> tuple[Listener, ...]:
    """Return whom the app wants to be told; raises `UsageError` for what is no sequence of functions."""
    listeners: object = app.conf.get("dyrygent_listeners") or ()
    if not isinstance(listeners, list | tuple):
        message = f"{_written(app, 'dyrygent_listeners')} must be a list of functions, not {type(listeners).__name__}"
        raise UsageError(message)
    for listener in cast("Sequence[object]", listeners):
        if not callable(listener):
            kind = type(listener).__name__
            message = (
                f"{_written(app, 'dyrygent_listeners')} holds a value of type {kind}; put the function itself there"
            )
            raise UsageError(message)
    return tuple(cast("Sequence[Listener]", listeners))


def check_configuration(app: Celery) -> None:
    """Raise `UsageError` for a key of ours that does not exist, is not read as it is written, or is of another type."""
    app.conf.get(_PREFIX)  # which makes Celery read its configuration, namespace and all
    for written, name in _ours(app):
        if name not in KEYS:
            known = {key.removeprefix(_PREFIX): _in_conf(app, key) for key in KEYS}
            message = f"there is no setting {quoted(written)}{_hint(name.removeprefix(_PREFIX), known)}"
            raise UsageError(message)
        if written not in (name, _in_conf(app, name)):
            message = f"the setting {quoted(written)} is not read as it is written; write {_in_conf(app, name)}"
            raise UsageError(message)
    for key in KEYS.values():
        value = app.conf.get(key.name)
        if value is not None and not key.is_right(value):
            message = f"{_written(app, key.name)} must be {key.kind}, not {shown(value)}"
            raise UsageError(message)
    settings_of(app)
    listeners_of(app)


def _ours(app: Celery) -> Iterator[tuple[str, str]]:
    """Give the keys that are set and meant for us, as they are written and as they are called.

    The settings may belong to others too, as Django's do: `DYRYGENT_TEAM` there is theirs, `DYRYGENT_JOURNAL` is a
    mistake.
    """
    namespace = _namespace(app).lower()
    for written in map(str, list(app.conf.keys())):
        name = written.lower().removeprefix(namespace)
        if not name.startswith(_PREFIX):
            continue
        is_prefixed = bool(namespace) and written.lower() != name
        if is_prefixed or written == name or name in KEYS:
            yield written, name


def _namespace(app: Celery) -> str:
    """Return what stands before each key of Celery's in the settings, such as `CELERY_`."""
    return str(app.conf.prefix or "")


def _in_conf(app: Celery, name: str) -> str:
    """Write a key as it is to be written in the app's settings (celery/utils/collections.py, `_to_keys`)."""
    namespace = _namespace(app)
    return match_case(f"{namespace}{name}", namespace) if namespace else name


def _written(app: Celery, name: str) -> str:
    """Name a setting where its user will find it."""
    return _in_conf(app, name) if _namespace(app) else f"app.conf.{name}"


def _hint(wanted: object, known: Mapping[str, str]) -> str:
    """Name the nearest of the known names, or all of them; each as it is to be written."""
    close = difflib.get_close_matches(str(wanted), known, n=1)
    return f"; did you mean {known[close[0]]}?" if close else f"; there are {', '.join(known.values())}"
