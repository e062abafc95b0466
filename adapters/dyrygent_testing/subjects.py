"""What the toolkit is told to try, checked where it is told, not where it is first drawn from."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final, TypeVar

from hypothesis.strategies import SearchStrategy

from dyrygent_core import Graph, UsageError, Workflow
from dyrygent_core.checks import check_whole, items_of, named, shown

__all__ = ["check_size", "check_strategy", "graph_of", "members_of", "some_of"]

_Member = TypeVar("_Member", bound=Enum)

_MOST: Final = 10_000


def graph_of(subject: object, name: str) -> Graph:
    """Return the graph of a workflow, or one that is given as such; raises `UsageError`, and as `build` does."""
    if isinstance(subject, Workflow):
        return subject.build()[0].graph
    if not isinstance(subject, Graph):
        message = f"{name} takes a Workflow or its graph, not {shown(subject)}"
        raise UsageError(message)
    return subject


def members_of(kind: type[_Member], name: str, given: Iterable[_Member | str]) -> tuple[_Member, ...]:
    """Return members of an enumeration, each given as such or by its value; raises `UsageError` for another."""
    return tuple(named(kind, f"one of {name},", it) for it in items_of(name, given, f"{kind.__name__} members", _MOST))


def some_of(kind: type[_Member], name: str, given: Iterable[_Member | str]) -> tuple[_Member, ...]:
    """Return members of an enumeration, at least one; raises `UsageError` for none, and for one that there is not."""
    members = members_of(kind, name, given)
    if not members:
        message = f"{name}=() leaves nothing to draw; name one, or leave {name} out to draw any"
        raise UsageError(message)
    return members


def check_size(name: str, given: object, least: int = 0) -> None:
    """Raise `UsageError` unless this is a whole number from `least` on."""
    check_whole(name, given, least)


def check_strategy(name: str, given: object, example: str) -> None:
    """Raise `UsageError` unless this is a strategy; `example` is one that would do."""
    if not isinstance(given, SearchStrategy):
        message = f"{name} must be a strategy, such as {example}, not {shown(given)}"
        raise UsageError(message)
