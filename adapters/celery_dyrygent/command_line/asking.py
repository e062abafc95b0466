"""From a command's words to the run that it is about, and from our exceptions to what a terminal is told."""

from __future__ import annotations

import functools
import io
import os
import sys
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

import click

from celery_dyrygent.adapter import CeleryAdapter, adapter_of
from celery_dyrygent.command_line.texts import escaped
from dyrygent_core import UsageError
from dyrygent_core.checks import check_id
from dyrygent_core.errors import (
    AdapterUnavailableError,
    DyrygentError,
    InvariantError,
    JournalUnavailableError,
    UnknownNodeError,
    UnknownWorkflowError,
    quoted,
)
from dyrygent_runtime import Run, runs

__all__ = ["CommandError", "UnavailableError", "adapter_here", "command", "run_of"]

_MOST_SEARCHED: Final = 10_000
"""Workflows that are looked through, newest first, for one whose id begins as is said."""
_MOST_NAMED: Final = 8


class CommandError(click.ClickException):
    """The command cannot be right as it stands."""

    exit_code = 2


class UnavailableError(click.ClickException):
    """A store or broker cannot be reached."""

    exit_code = getattr(os, "EX_UNAVAILABLE", 69)


def command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command of a function that takes Celery's context; what it raises of ours is told in one line."""

    def made(function: Callable[..., Any]) -> click.Command:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a character gets its number
            try:
                return function(*args, **kwargs)
            except (JournalUnavailableError, AdapterUnavailableError) as problem:
                raise UnavailableError(escaped(str(problem))) from problem
            except InvariantError:
                raise
            except UnknownNodeError as problem:
                close = problem.args[2]
                hint = f"did you mean {quoted(close[0])}?" if close else "'workflow show' tells its nodes"
                raise CommandError(f"the workflow has no node {quoted(problem.node)}; {hint}") from problem
            except DyrygentError as problem:
                raise CommandError(escaped(str(problem))) from problem

        return click.command(name)(click.pass_obj(guarded))

    return made


def adapter_here(context: Any) -> CeleryAdapter:
    """Return the adapter of the app that the command line names, with its tasks known.

    A task that is registered here may say which queue it goes to, so whatever a request sets off is sent as an app
    that has imported its tasks would.
    """
    app = context.app
    try:
        adapter = adapter_of(app)
    except UsageError as problem:
        hint = "" if app.main else "; name your app: celery -A proj workflow …"
        raise CommandError(escaped(f"{problem}{hint}")) from problem
    app.loader.import_default_modules()
    app.finalize(auto=True)
    return adapter


def run_of(context: Any, wanted: str) -> Run:
    """Return the run of the workflow with this id, or of the only one whose id begins so."""
    adapter = adapter_here(context)
    try:
        return Run(adapter.conductor, adapter.journal.definition(check_id(wanted)).key)
    except UnknownWorkflowError:
        newest = (item.key for item in islice(runs(adapter.journal), _MOST_SEARCHED))
        found = [key for key in newest if key.id.startswith(wanted)]
    if len(found) == 1:
        return Run(adapter.conductor, found[0])
    if not found:
        message = (
            f"no workflow {quoted(wanted)} is in the journal of namespace {quoted(adapter.journal.namespace)}; "
            f"'workflow list' shows those there are"
        )
        raise CommandError(message)
    named = ", ".join(quoted(key.id) for key in found[:_MOST_NAMED])
    rest = f" and {len(found) - _MOST_NAMED:,} more" if len(found) > _MOST_NAMED else ""
    message = f"{len(found):,} workflows have ids that begin with {quoted(wanted)}: {named}{rest}; write more of it"
    raise CommandError(message)
