"""The task functions of the adapter suite, for an engine to register by name, or its workers to import from here.

They are plain functions of JSON values. What they do is seen in files: `place`, their first argument, is the path of a
folder that the test and the worker both see, and each execution leaves one file of its own there.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NoReturn

from dyrygent_core import SkipNode, Take

__all__ = ["OPEN", "TASKS", "Unspeakable", "executions"]

OPEN: Final = "open"
"""The file that lets go on what waits in a place."""
_LONGEST_S: Final = 90.0
_PAUSE_S: Final = 0.01


class Unspeakable(Exception):  # noqa: N818  # a user's, and they name them as they like
    """An exception that cannot be told in text."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class TwoParts(Exception):  # noqa: N818  # as above
    """An exception that is not made of its text alone, as many of users' own."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(code, detail)


def echo(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return what it was called with."""
    return {"args": list(args), "kwargs": kwargs}


def give(value: Any, *_: Any) -> Any:
    """Return the first argument."""
    return value


def letters(count: int) -> str:
    """Return a text of so many characters."""
    return "x" * count


def fail(kind: str, *args: Any) -> NoReturn:
    """Raise an exception of a kind, made of these arguments."""
    kinds: Mapping[str, Callable[..., Exception]] = {
        "ValueError": ValueError,
        "KeyError": KeyError,
        "TwoParts": TwoParts,
        "Unspeakable": Unspeakable,
    }
    raise kinds[kind](*args)


def skip(reason: str) -> NoReturn:
    """End as skipped."""
    raise SkipNode(reason)


def take(value: Any, branches: Sequence[str]) -> Take:
    """Return a value, and go on with these branches only."""
    return Take(value, branches)


def unwritable() -> object:
    """Return what no serialisation writes."""
    return object()


def leave() -> NoReturn:
    """Leave as a script does, by an exception that is no `Exception`."""
    sys.exit(3)


def note(place: str, name: str, value: Any = None, *_: Any) -> Any:
    """Leave a trace, and return a value."""
    _begin(place, name)
    return value


def hold(place: str, name: str, value: Any = None) -> Any:
    """Leave a trace, and wait until the place is opened."""
    _begin(place, name)
    _wait(place)
    return value


def hold_first(place: str, name: str) -> int:
    """Return which execution of this name it is, counted from 1; the first waits until the place is opened."""
    number = _begin(place, name)
    if number == 1:
        _wait(place)
    return number


def fail_until(place: str, name: str, times: int) -> int:
    """Fail so many times, and then return which execution this is."""
    number = _begin(place, name)
    if number <= times:
        raise ValueError(f"execution {number} of {name}")
    return number


def fail_unless_open(place: str, name: str) -> str:
    """Fail as long as the place is not open."""
    _begin(place, name)
    if not Path(place, OPEN).exists():
        raise ValueError(f"{name} finds it closed")
    return name


def act(place: str, name: str, acts: Sequence[Any], inputs: Any, index: int | None = None) -> Any:
    """Do what is written for this execution of a name: `["give", value]`, `["fail", text]`, `["skip", text]`, ….

    Of a mapped node there is such a list for each `index`. A value is given together with the inputs.
    """
    script = acts if index is None else acts[index]
    number = _begin(place, name if index is None else f"{name}.{index}")
    kind, what = script[min(number, len(script)) - 1]
    match kind:
        case "fail":
            raise ValueError(what)
        case "skip":
            raise SkipNode(what)
        case "spread":
            return list(range(what))
        case "take":
            return Take([name, index, inputs], what)
        case _:
            return [name, index, inputs]


TASKS: Final[Mapping[str, Callable[..., Any]]] = MappingProxyType(
    {
        function.__name__: function
        for function in (
            echo,
            give,
            letters,
            fail,
            skip,
            take,
            unwritable,
            leave,
            note,
            hold,
            hold_first,
            fail_until,
            fail_unless_open,
            act,
        )
    }
)
"""All of them by the name that the suite calls them by."""


def executions(place: Path, name: str) -> int:
    """Count the executions of a name that have begun in a place."""
    return sum(1 for _ in place.glob(f"{name}@*"))


def _begin(place: str, name: str) -> int:
    """Count this execution: exactly one of those that begin at once gets each number."""
    number = 1
    while True:
        try:
            handle = os.open(Path(place, f"{name}@{number}"), os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            number += 1
            continue
        os.close(handle)
        return number


def _wait(place: str) -> None:
    """Wait until a place is opened, or is gone with its test."""
    end = time.monotonic() + _LONGEST_S
    while not Path(place, OPEN).exists():
        if time.monotonic() > end or not Path(place).exists():
            raise TimeoutError(f"{place} was not opened")
        time.sleep(_PAUSE_S)
