"""What is told at the end: of the environment, of the workflow, and of its time; for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from figures import Figures, Waits
from rich.console import Console
from rich.text import Text
from watching import plain

from dyrygent_core import Status, WorkflowState

__all__ = ["as_json", "tell_environment", "tell_figures", "tell_outcome"]

_MOST_SHOWN: Final = 20
_LONGEST_NAME: Final = 40
_MB: Final = 1_000_000


def tell_environment(console: Console, total: Mapping[str, Any]) -> None:
    """Tell what was verified, what does not match, and what rests on that."""
    _line(
        console,
        f"{total['distributions']:,} distributions: {total['files']:,} files hashed, "
        f"{total['bytes'] / _MB:,.1f} MB; {total['unhashed']:,} more files are recorded without a hash",
    )
    if total["without_record"]:
        _line(console, f"without a RECORD, so not verified: {_listed(total['without_record'])}", style="yellow")
    if not total["mismatch_count"]:
        _line(console, "every recorded hash matches", style="bold green")
    else:
        _line(console, f"files that do not match: {total['mismatch_count']:,}", style="bold red")
        for name, path, why in total["mismatches"][:_MOST_SHOWN]:
            _line(console, f"  {plain(name)}: {plain(path)} {plain(why)}", style="red")
        if total["mismatch_count"] > _MOST_SHOWN:
            _line(console, f"  and {total['mismatch_count'] - _MOST_SHOWN:,} more", style="red")
        if total["rests_on"]:
            _line(console, f"they match, but require what does not: {_listed(sorted(total['rests_on']))}")
    _line(console, f"longest chain of requirements ({len(total['chain'])}): {' <- '.join(total['chain'])}")


def tell_outcome(console: Console, state: WorkflowState, counts: Mapping[Status, int]) -> None:
    """Tell what became of the workflow."""
    told = ", ".join(f"{number:,} {status.name}" for status, number in counts.items() if number)
    style = "bold green" if state is WorkflowState.SUCCESS else "bold red"
    _line(console, f"workflow: {state.name} ({told})", style=style)


def tell_figures(console: Console, figures: Figures, workers: int) -> None:
    """Tell where the time went."""
    rows = {
        "wall time": _ms(figures.wall_ms),
        "work in all nodes": f"{_ms(figures.work_ms)}, so {figures.parallelism:.2f} at a time of {workers}",
        "longest path of work": _ms(figures.critical_ms),
        "slowest nodes": ", ".join(f"{_short(node)} {_ms(ms)}" for node, ms in figures.slowest),
        "start after the last dependency": _waits(figures.waits),
        "… and after a worker was free": _waits(figures.free_waits),
    }
    for name, value in rows.items():
        _line(console, f"{name:<33}{value}")


def as_json(
    state: WorkflowState, counts: Mapping[Status, int], result: Any, figures: Figures, workers: int
) -> dict[str, Any]:
    """Give the same as one JSON object; times in milliseconds."""
    return {
        "state": state.name,
        "counts": {status.name: number for status, number in counts.items() if number},
        "result": result,
        "workers": workers,
        "wall_ms": figures.wall_ms,
        "work_ms": figures.work_ms,
        "critical_ms": figures.critical_ms,
        "slowest": [{"node": node, "ms": ms} for node, ms in figures.slowest],
        "waits": _as_dict(figures.waits),
        "waits_after_a_worker_was_free": _as_dict(figures.free_waits),
    }


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)


def _as_dict(waits: Waits) -> dict[str, int | None]:
    return {"nodes": waits.nodes, "median_ms": waits.median_ms, "p99_ms": waits.p99_ms, "most_ms": waits.most_ms}


def _waits(waits: Waits) -> str:
    if waits.median_ms is None or waits.p99_ms is None:
        return "no node"
    return f"median {_ms(waits.median_ms)}, p99 {_ms(waits.p99_ms)}; nodes: {waits.nodes:,}"


def _ms(value: int) -> str:
    return f"{value:,} ms" if value < 10_000 else f"{value / 1000:,.1f} s"


def _short(name: str) -> str:
    return plain(name) if len(name) <= _LONGEST_NAME else plain(name[: _LONGEST_NAME - 1]) + "…"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return ", ".join(map(plain, names[:_MOST_SHOWN])) + more
