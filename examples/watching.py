"""Live progress of a run: a bar, how many nodes have which status, and what runs now."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from attrs import define, field
from engines import Engine
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dyrygent_core import State, Status, WorkflowState
from dyrygent_runtime import Run

__all__ = ["plain", "watch"]

_REFRESH_S: Final = 0.2
_MARKS_EVERY_S: Final = 1.0
_MOST_MARKED_NODES: Final = 2_000
"""Marks are read whole; of larger workflows it is told what is in flight, not what of that runs."""
_MOST_SHOWN: Final = 4
_COLOURS: Final = {
    Status.SUCCEEDED: "green",
    Status.FAILED: "red",
    Status.UPSTREAM_FAILED: "red",
    Status.SCHEDULED: "cyan",
}


def watch(run: Run, engine: Engine, console: Console) -> WorkflowState:
    """Show the run until it has ended; raises what `engine.check` raises if the engine is gone."""
    view = _View(run, engine)
    with Live(view, console=console, auto_refresh=False) as live:
        while True:
            try:
                state = run.wait(_REFRESH_S)
            except TimeoutError:
                engine.check()
                view.look()
                live.refresh()
                continue
            view.look()
            live.refresh()
            break
    if not console.is_terminal:
        console.print()  # there the last lines were not ended
    return state


@define(eq=False)
class _View:
    """What is shown, as of the last look."""

    run: Run
    engine: Engine
    _state: State = field(init=False)
    _running: tuple[str, ...] = ()
    _began_s: float = field(factory=time.monotonic)
    _marked_s: float = 0.0

    def __attrs_post_init__(self) -> None:
        self._state = self.run.state

    def look(self) -> None:
        self._state = self.run.state
        if len(self._state.graph) <= _MOST_MARKED_NODES and time.monotonic() - self._marked_s > _MARKS_EVERY_S:
            self._marked_s = time.monotonic()
            in_flight = self._state.attempts_in_flight
            marks = self.engine.adapter.journal.marks(self.run.key, in_flight)
            self._running = tuple(it.node for it in in_flight if it in marks and marks[it].started_ms is not None)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Group(*self._lines())

    def _lines(self) -> Iterator[RenderableType]:
        state = self._state
        counts = {status: number for status, number in state.counts.items() if number}
        total = len(state.graph)
        done = sum(number for status, number in counts.items() if status.is_final)
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=total, completed=done, width=40),
            f"{done:,} of {total:,} nodes",
            f"{time.monotonic() - self._began_s:.1f} s",
        )
        yield bar
        yield Text(" · ").join(
            Text(f"{number:,} {status.name}", style=_COLOURS.get(status, "")) for status, number in counts.items()
        )
        if not state.is_finished:
            yield Text(self._now(), style="dim", overflow="ellipsis", no_wrap=True)

    def _now(self) -> str:
        still = set(self._running)
        running = [it.node for it in self._state.attempts_in_flight if it.node in still]
        what = "running" if running else "in flight"
        nodes = running or [it.node for it in self._state.attempts_in_flight[:_MOST_SHOWN]]
        more = f" and {len(nodes) - _MOST_SHOWN} more" if len(nodes) > _MOST_SHOWN else ""
        return f"{what}: {', '.join(map(plain, nodes[:_MOST_SHOWN]))}{more}" if nodes else ""


def plain(text: str) -> str:
    """Show foreign text without control characters."""
    return text if text.isprintable() else ascii(text)
