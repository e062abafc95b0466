"""What the toolkit is told to try, checked where it is told, not where it is first drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, TypeVar, cast

from hypothesis.strategies import SearchStrategy

from dyrygent_core import Attempt, Graph, Outcome, UsageError, Workflow
from dyrygent_core.checks import check_whole, items_of, named, shown
from dyrygent_core.errors import quoted

__all__ = [
    "check_kind",
    "check_nodes",
    "check_outcomes",
    "check_size",
    "check_strategy",
    "check_workflow_kind",
    "graph_of",
    "list_of",
    "members_of",
    "some_of",
]

_Member = TypeVar("_Member", bound=Enum)

_MOST: Final = 10_000
_MOST_OUTCOMES: Final = 1_000_000


def graph_of(subject: object, name: str) -> Graph:
    """Return the graph of a workflow, or one that is given as such; raises `UsageError`, and as `build` does."""
    if isinstance(subject, Workflow):
        return subject.build()[0].graph
    if not isinstance(subject, Graph):
        message = f"{name} takes a Workflow or its graph, not {shown(subject)}"
        raise UsageError(message)
    return subject


def check_kind(what: str, value: object, kind: Any, repair: str) -> None:
    """Raise `UsageError` unless `value` is one of a class; `repair` says what to write."""
    if not isinstance(value, kind):
        message = f"{what} must be {repair}, not {type(value).__name__}: {shown(value)}"
        raise UsageError(message)


def check_workflow_kind(value: object) -> None:
    """Raise `UsageError` for what is no workflow; a canvas of Celery's is none, but can be put into one."""
    is_canvas = type(value).__module__.partition(".")[0] == "celery"
    repair = "a Workflow whose add_celery_canvas has taken it" if is_canvas else "a Workflow"
    check_kind("the workflow", value, Workflow, repair)


def check_nodes(nodes: Iterable[str], graph: Graph) -> None:
    """Raise `UnknownNodeError` for the first that is not in the graph, and `UsageError` for what is no id."""
    for node in nodes:
        graph.number(node)


def check_outcomes(outcomes: Mapping[str, Sequence[Outcome]], graph: Graph) -> None:
    """Raise `UsageError` for an outcome of another node's attempt, and for what is no sequence of outcomes."""
    check_kind("outcomes", outcomes, Mapping, "{node id: [outcome, …]}")
    check_nodes(outcomes, graph)
    for node, its in outcomes.items():
        for it in items_of(f"outcomes[{node!r}]", its, "outcomes", _MOST_OUTCOMES):
            if not isinstance(it, Outcome):
                message = f"outcomes[{node!r}] are outcomes, such as Failed(Attempt({node!r})), not {shown(it)}"
                raise UsageError(message)
            if not isinstance(cast("object", it.attempt), Attempt):
                message = (
                    f"outcomes[{node!r}] are of attempts, such as Failed(Attempt({node!r})), not of {shown(it.attempt)}"
                )
                raise UsageError(message)
            if it.attempt.node != node:
                message = f"outcomes[{node!r}] has one of {quoted(it.attempt.node)}; write it under that node's id"
                raise UsageError(message)


def list_of(name: str, given: object, items: str) -> tuple[Any, ...]:
    """Return the items of what is given as a sequence; raises `UsageError` for what is none."""
    return items_of(name, given, items, _MOST)


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
