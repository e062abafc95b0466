"""A glance as lines for a terminal: a picture of fixed size, whatever the size of the workflow.

All text is given to `rich` as `Text`, never as markup, so ids are not interpreted; what is foreign is made printable
first. Colour is never the only sign: each status has its own character, and its word below.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import frozen
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from celery_dyrygent.command_line.glance import Glance
from celery_dyrygent.command_line.stages import Stage
from celery_dyrygent.command_line.texts import shown, took
from dyrygent_core import Attempt, Status

__all__ = ["View"]

_BAR: Final = 40
_FRAME: Final = 6
"""Lines beside stages, running and failed nodes."""
_LEAST: Final = 2
_MOST_LISTED: Final = 8
_STYLES: Final = {
    Status.SUCCEEDED: ("█", "#", "green"),
    Status.SKIPPED: ("▒", "=", "bright_black"),
    Status.FAILED: ("✗", "x", "bold red"),
    Status.UPSTREAM_FAILED: ("⊘", "u", "red"),
    Status.CANCELLED: ("■", "c", "magenta"),
    Status.SCHEDULED: ("▶", ">", "cyan"),
    Status.READY: ("○", "o", "yellow"),
    Status.WAITING: ("·", ".", "bright_black"),
}
"""In the order in which they stand in a bar: how each is drawn, in Unicode and in ASCII."""


@frozen
class View:
    """What `watch` shows: the whole, the stages, what runs, what failed; `note` says what hinders the looking."""

    glance: Glance
    note: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Give as many lines as fit."""
        height = max(options.height or console.size.height, _FRAME + _LEAST) - _FRAME
        for line in self._lines(height, is_ascii=options.ascii_only):
            drawn = _in_ascii(line) if options.ascii_only else line
            drawn.no_wrap, drawn.overflow = True, "crop" if options.ascii_only else "ellipsis"
            yield drawn

    def _lines(self, height: int, *, is_ascii: bool) -> Iterator[Text]:
        it = self.glance
        yield _headline(it)
        yield _counts(it, is_ascii=is_ascii)
        failed = list(_failed(it, min(_MOST_LISTED, max(1, height // 3))))
        height -= len(failed)
        running = list(_running(it, min(_MOST_LISTED, max(1, height // 2))))
        height -= len(running)
        stages = it.stages if len(it.stages) <= height else ()
        for stage in stages:
            yield _bar(stage, f"{stage.label:>9}", is_ascii=is_ascii)
        if not stages:
            yield _bar(it.whole, "all".rjust(9), is_ascii=is_ascii)
        yield from running
        yield from failed
        if self.note:
            yield Text(self.note, style="yellow")


def _in_ascii(line: Text) -> Text:
    """Write a line in what every terminal has; colours are dropped where characters must be."""
    if line.plain.isascii():
        return line
    return Text(line.plain.replace("…", "...").encode("ascii", "backslashreplace").decode("ascii"))


def _headline(it: Glance) -> Text:
    line = Text("workflow ", style="bold")
    line.append(shown(it.key.id, 60), style="bold")
    if it.name:
        line.append(f" ({shown(it.name, 40)})")
    line.append(f"  {it.state.name}", style=_STATE_STYLES.get(it.state.name, "cyan"))
    if not it.state.is_final:
        line.append(f"{' paused' if it.is_paused else ''}{' stopping' if it.is_ending else ''}", style="yellow")
    if it.round > 1:
        line.append(f"  round {it.round}")
    line.append(f"  {took(it.elapsed_ms)}")
    return line


_STATE_STYLES: Final = {"SUCCESS": "bold green", "FAILURE": "bold red", "ERROR": "bold red", "CANCELLED": "magenta"}


def _counts(it: Glance, *, is_ascii: bool) -> Text:
    line = Text(f"{it.whole.done:,} of {it.whole.total:,} nodes are final")
    if it.per_s is not None:
        line.append(f", {it.per_s:,.1f} a second")
    separator = "  "
    for status, (drawn, plain, style) in _STYLES.items():
        if number := it.whole.counts.get(status):
            line.append(separator)
            line.append(f"{plain if is_ascii else drawn} {number:,} {status.name}", style=style)
    return line


def _bar(stage: Stage, label: str, *, is_ascii: bool) -> Text:
    """Draw one bar: every status that is there has one character at least, so that a single failure is seen."""
    line = Text(f"{label} ", style="bright_black")
    for status, width in _widths(stage):
        drawn, plain, style = _STYLES[status]
        line.append((plain if is_ascii else drawn) * width, style=style)
    line.append(f" {stage.done:,}/{stage.total:,}")
    return line


def _widths(stage: Stage) -> list[tuple[Status, int]]:
    present = [(status, stage.counts[status]) for status in _STYLES if stage.counts.get(status)]
    widths = {status: max(1, number * _BAR // stage.total) for status, number in present}
    if not widths:
        return []
    widest = max(widths, key=lambda status: widths[status])
    widths[widest] += _BAR - sum(widths.values())
    return list(widths.items())


def _running(it: Glance, most: int) -> Iterator[Text]:
    if it.state.is_final:
        return
    known = len(it.running)
    where = "" if it.looked_at >= it.in_flight else f" (of the {it.looked_at:,} that were sent first)"
    yield Text(f"running: {known:,}{where}, in flight: {it.in_flight:,}", style="bold")
    for node in it.running[: max(0, most - 1)]:
        line = Text("  ")
        line.append(_named(node.attempt), style="cyan")
        line.append(f"  {took(node.for_ms)} on {shown(node.worker, 60)}")
        yield line
    if known > most - 1 > 0:
        yield Text(f"  and {known - (most - 1):,} more", style="bright_black")


def _failed(it: Glance, most: int) -> Iterator[Text]:
    number = it.whole.counts.get(Status.FAILED, 0)
    if not number:
        return
    yield Text(f"failed: {number:,}", style="bold red")
    for node in it.failed[:most]:
        line = Text("  ")
        line.append(shown(node.node, 60), style="red")
        line.append(f"  {shown(node.reason)}")
        yield line
    if number > most:
        yield Text(f"  and {number - most:,} more", style="bright_black")


def _named(attempt: Attempt) -> str:
    index = f"[{attempt.index}]" if attempt.index else ""
    again = f" (attempt {attempt.number})" if attempt.number > 1 else ""
    return f"{shown(attempt.node, 60)}{index}{again}"
