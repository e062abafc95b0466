"""How the explanations say things: foreign text on one line, lists that end, times that can be read.

What there is to say is decided in `explain`, `causes` and `story`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from dyrygent_core.errors import quoted

__all__ = ["alternatives", "clock", "counted", "duration", "either", "enumerated", "in_brackets", "joined", "names"]

_MOST_SHOWN: Final = 3
_SECOND_MS: Final = 1_000
_MINUTE_MS: Final = 60 * _SECOND_MS
_HOUR_MS: Final = 60 * _MINUTE_MS


def enumerated(things: Sequence[str], word: str = "and") -> str:
    """Put things in one sentence, at most a few: "a, b and c", or "a, b, c and 97 more"."""
    shown = list(things[:_MOST_SHOWN])
    if len(things) > _MOST_SHOWN:
        shown.append(f"{len(things) - _MOST_SHOWN:,} more")
    return joined(shown, word)


def joined(things: Sequence[str], word: str = "and") -> str:
    """Put all of a few things in one sentence."""
    return f"{', '.join(things[:-1])} {word} {things[-1]}" if len(things) > 1 else "".join(things)


def names(ids: Iterable[str]) -> str:
    """Name nodes, at most a few."""
    return enumerated([quoted(node) for node in ids])


def either(ids: Sequence[str]) -> str:
    """Name nodes one of which it is."""
    return enumerated([quoted(node) for node in ids], "or")


def alternatives(things: Sequence[str]) -> str:
    """Put in one sentence all that it may have been."""
    return joined(things, "or")


def counted(number: int, thing: str) -> str:
    """Count things: "1 failure", "2,000 failures", "3 losses"."""
    ending = "" if number == 1 else "es" if thing.endswith("s") else "s"
    return f"{number:,} {thing}{ending}"


def in_brackets(text: str) -> str:
    """Show foreign text after a space; nothing where there is none."""
    return f" ({quoted(text)})" if text else ""


def duration(ms: int) -> str:
    """Say how long something takes: "250 ms", "1.5 s", "2 min 5 s", "3 h 20 min"."""
    if ms < _SECOND_MS:
        return f"{ms} ms"
    if ms < _MINUTE_MS:
        return f"{ms / _SECOND_MS:g} s"
    if ms < _HOUR_MS:
        return _both(ms // _MINUTE_MS, "min", ms % _MINUTE_MS // _SECOND_MS, "s")
    return _both(ms // _HOUR_MS, "h", ms % _HOUR_MS // _MINUTE_MS, "min")


def _both(long: int, longer: str, short: int, shorter: str) -> str:
    return f"{long:,} {longer} {short} {shorter}" if short else f"{long:,} {longer}"


def clock(ms: int) -> str:
    """Say when something was, seen from the beginning: "+0:00:01.500"."""
    sign, ms = ("-", -ms) if ms < 0 else ("+", ms)
    hours, ms = divmod(ms, _HOUR_MS)
    minutes, ms = divmod(ms, _MINUTE_MS)
    seconds, ms = divmod(ms, _SECOND_MS)
    return f"{sign}{hours}:{minutes:02}:{seconds:02}.{ms:03}"
