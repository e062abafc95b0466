"""How commands say things: foreign text as one printable line, times and tables that can be read.

Ids, names, tags, reasons and errors are foreign: whoever wrote a task may have put anything into them, and a terminal
obeys what it is sent. Nothing of it is printed but through `shown` or `escaped`.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

from dyrygent_core.diagrams.texts import visible
from dyrygent_core.phrases import duration

__all__ = ["echo_json", "escaped", "instant", "rows", "shown", "took"]

_LONGEST_REASON: Final = 300
_SECOND_MS: Final = 1_000
_TENTH_MS: Final = 100


def shown(text: str, most: int = _LONGEST_REASON) -> str:
    """Show foreign text on one line, in at most so many printable characters."""
    return visible(text, most)


def escaped(text: str) -> str:
    """Show a message of ours, in which foreign text may stand: only what is not printable is written otherwise."""
    return "".join(it if it.isprintable() or it == "\n" else ascii(it)[1:-1] for it in text)


def took(ms: int) -> str:
    """Say how long something took: from a second on, to a tenth of one."""
    return duration(ms if ms < _SECOND_MS else round(ms / _TENTH_MS) * _TENTH_MS)


def instant(at_ms: int | None) -> str:
    """Say when something was, in the time of this machine's zone."""
    if at_ms is None:
        return "-"
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone().isoformat(" ", "seconds")


def rows(head: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lay out a table; the last column is as wide as it is."""
    table = [tuple(head), *map(tuple, lines)]
    widths = [max(map(_columns, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = [cell + " " * (width - _columns(cell)) for cell, width in zip(line, widths, strict=True)]
        yield "  ".join(cells).rstrip()


def echo_json(value: Any) -> None:
    """Print a value as one line of JSON, in ASCII: no control character gets through."""
    click.echo(json.dumps(value))


def _columns(text: str) -> int:
    """Count the columns that a text takes in a terminal."""
    return sum(0 if unicodedata.combining(it) else 2 if unicodedata.east_asian_width(it) in "WF" else 1 for it in text)
