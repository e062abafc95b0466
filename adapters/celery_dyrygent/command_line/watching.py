"""`watch`: a workflow as it runs, until it has ended.

In a terminal it is one picture that changes; elsewhere, or without rich, a line whenever something has changed, so that
a log stays a log. Watching is reading only: whoever stops watching stops nothing else.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import Any, Final, TypeAlias

import click

from celery_dyrygent.command_line.asking import adapter_here, command, run_of
from celery_dyrygent.command_line.glance import FailedNode, Glance, Looker
from celery_dyrygent.command_line.texts import escaped, shown, took
from dyrygent_core import Status, WorkflowState
from dyrygent_core.errors import JournalUnavailableError, quoted
from dyrygent_core.phrases import clock
from dyrygent_core.ports import Journal, WorkflowKey
from dyrygent_runtime import Run

__all__ = ["watch_command"]

_LEAST_S: Final = 0.25
"""Between two looks: more often nobody can read."""
_MOST_S: Final = 1.0
"""So often the clock on the screen goes on."""
_SHARE: Final = 10
"""A look that takes long is followed by a rest of so many times as long."""
_BETWEEN_LINES_S: Final = 2.0
_MOST_FAILED_LINES: Final = 20
_MOST_ENTRIES: Final = 50_000
"""Of a longer journal no critical path is told at the end."""
_MOST_STEPS: Final = 5

_FAILED, _TIMED_OUT, _INTERRUPTED = 1, 124, 130

Teller: TypeAlias = Callable[[Glance, str], None]
"""Shows a glance, and a note on what hinders the looking."""


@command("watch")
@click.argument("id")
@click.option("--timeout", type=click.FloatRange(0), help="Seconds to watch at most; then the exit code is 124.")
@click.option("--plain", is_flag=True, help="Lines instead of a picture, also in a terminal.")
def watch_command(context: Any, id: str, *, timeout: float | None, plain: bool) -> None:  # noqa: A002  # the argument's name
    """Show a workflow as it runs, until it has ended.

    The exit code is 0 if it ends in SUCCESS, and 1 if it ends otherwise. Ctrl-C ends the watching, not the workflow.
    """
    run = run_of(context, id)
    conductor = adapter_here(context).conductor
    try:
        with _teller(context, plain=plain) as tell:
            last = _watch(Looker(conductor, run.key), conductor.journal, run.key, tell, timeout)
    except KeyboardInterrupt:
        click.echo(f"workflow {quoted(run.id)} goes on; only the watching has ended", err=True)
        sys.exit(_INTERRUPTED)
    _tell_end(run, last)
    if not last.state.is_final:
        sys.exit(_TIMED_OUT)
    if last.state is not WorkflowState.SUCCESS:
        sys.exit(_FAILED)


def _watch(looker: Looker, journal: Journal, key: WorkflowKey, tell: Teller, timeout: float | None) -> Glance:
    """Look until it has ended, or for so many seconds; return the last glance."""
    end_s = None if timeout is None else time.monotonic() + timeout
    glance = looker.look()
    tell(glance, "")
    while not glance.state.is_final:
        left_s = _MOST_S if end_s is None else end_s - time.monotonic()
        if left_s <= 0:
            break
        began_s = time.monotonic()
        try:
            journal.watch(key, after=glance.position, timeout_ms=int(min(left_s, _MOST_S) * 1000) + 1)
            looked_s = time.monotonic()
            glance = looker.look()
        except JournalUnavailableError as problem:
            tell(glance, f"the journal is away, trying again: {escaped(str(problem))}")
            time.sleep(_MOST_S)
            continue
        tell(glance, "")
        if not glance.state.is_final:
            rest_s = max(_LEAST_S - (time.monotonic() - began_s), (time.monotonic() - looked_s) * _SHARE)
            time.sleep(max(0.0, min(rest_s, left_s)))
    return glance


# In a terminal


def _teller(context: Any, *, plain: bool) -> AbstractContextManager[Teller]:
    """Choose how to show: a picture needs a terminal, and rich."""
    if plain or not sys.stdout.isatty():
        return nullcontext(PlainTeller())
    if find_spec("rich") is None:
        click.echo("for a live picture instead of lines: pip install 'dyrygent[cli]'", err=True)
        return nullcontext(PlainTeller())
    return _picture(no_color=bool(context.no_color))


@contextmanager
def _picture(*, no_color: bool) -> Generator[Teller]:
    from rich.console import Console  # noqa: PLC0415  # an extra
    from rich.live import Live  # noqa: PLC0415  # an extra

    from celery_dyrygent.command_line.view import View  # noqa: PLC0415  # it needs the extra

    console = Console(markup=False, emoji=False, highlight=False, no_color=no_color or None)
    with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:

        def tell(glance: Glance, note: str) -> None:
            live.update(View(glance, note), refresh=True)

        yield tell


# In a log


class PlainTeller:
    """Prints a line when something has changed, every two seconds at most, and one for each of the first failures."""

    def __init__(self, *, between_s: float = _BETWEEN_LINES_S) -> None:
        self._between_s = between_s
        self._told_s = -between_s
        self._told: object = None
        self._note = ""
        self._failed: set[str] = set()

    def __call__(self, glance: Glance, note: str) -> None:
        """Tell what is new."""
        if bool(note) != bool(self._note):
            click.echo(note or "the journal is back", err=True)
        self._note = note
        what = (glance.state, glance.round, glance.is_paused, glance.is_ending, dict(glance.whole.counts))
        is_time = time.monotonic() - self._told_s >= self._between_s
        if what == self._told or not (is_time or glance.state.is_final):
            return
        self._told, self._told_s = what, time.monotonic()
        click.echo(_line(glance))
        self._tell_failures(glance)

    def _tell_failures(self, glance: Glance) -> None:
        for node in glance.failed:
            if node.node not in self._failed and len(self._failed) < _MOST_FAILED_LINES:
                self._failed.add(node.node)
                click.echo(_failure(node))


def _line(glance: Glance) -> str:
    flags = f"{', paused' if glance.is_paused else ''}{', stopping' if glance.is_ending else ''}"
    again = f", round {glance.round}" if glance.round > 1 else ""
    whole = glance.whole
    counts = ", ".join(f"{number:,} {status.name}" for status, number in whole.counts.items())
    state = f"{glance.state.name}{'' if glance.state.is_final else flags}{again}"
    return f"{clock(glance.elapsed_ms)} {state}: {whole.done:,} of {whole.total:,} nodes are final: {counts}"


def _failure(node: FailedNode) -> str:
    return f"  failed: {shown(node.node, 60)}  {shown(node.reason)}"


# At the end


def _tell_end(run: Run, last: Glance) -> None:
    """Say how it ended, and which chain of nodes it had to wait for."""
    if not last.state.is_final:
        click.echo(f"workflow {quoted(run.id)} has not ended yet; it goes on")
        return
    click.echo(f"workflow {quoted(run.id)} ended in {last.state.name} after {took(last.elapsed_ms)}")
    if last.whole.counts.get(Status.FAILED):
        first = last.failed[0].node
        click.echo(f"to learn more: workflow explain {shown(run.id)} {shown(first)}")
    if last.position <= _MOST_ENTRIES:
        _tell_path(run)


def _tell_path(run: Run) -> None:
    steps = run.critical_path()
    if not steps:
        return
    longest = sorted(steps, key=lambda step: -(step.held_ms + step.queued_ms + step.ran_ms))[:_MOST_STEPS]
    named = [step for step in steps if step in longest]
    what = f"{len(steps):,} nodes" if len(steps) > 1 else "one node"
    click.echo(f"it had to wait for a chain of {what}; most of the time went to")
    for step in named:
        parts = [("held back", step.held_ms), ("queued", step.queued_ms), ("ran", step.ran_ms)]
        click.echo(f"  {shown(step.node, 60)}  " + ", ".join(f"{what} {took(ms)}" for what, ms in parts if ms))
