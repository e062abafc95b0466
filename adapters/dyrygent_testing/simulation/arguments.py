"""What a user tells `simulate`, checked against the workflow: a name that is not there would be left out in silence."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, cast

from dyrygent_core import Call, Graph, Outcome, RerunRequested, SkipRequested, UnknownNodeError, UsageError
from dyrygent_core.checks import check_text, check_whole, items_of, named, shown
from dyrygent_core.errors import quoted
from dyrygent_testing.simulation.engine import Order, Ordering
from dyrygent_testing.simulation.tasks import Functions

__all__ = [
    "check_durations",
    "check_kind",
    "check_nodes",
    "check_outcomes",
    "check_requests",
    "functions_of",
    "ordering_of",
]


_MOST: Final = 1_000_000


def ordering_of(order: Order | str | Sequence[str], graph: Graph) -> Ordering:
    """Take an order by its name, or as node ids; raises `UsageError` for a node that is not there or stands twice."""
    if isinstance(order, Order | str):
        return named(Order, "order", order)
    nodes = items_of("order", order, "node ids", _MOST)
    check_nodes(nodes, graph)
    twice = next((node for place, node in enumerate(nodes) if node in nodes[:place]), None)
    if twice is not None:
        message = f"order has node {quoted(twice)} twice; name each node once, or leave it out to be last"
        raise UsageError(message)
    return nodes or Order.FIFO


def check_kind(what: str, value: object, kind: type[Any], repair: str) -> None:
    """Raise `UsageError` unless `value` is one of a class; `repair` says what to write."""
    if not isinstance(value, kind):
        message = f"{what} must be {repair}, not {type(value).__name__}: {shown(value)}"
        raise UsageError(message)


def check_durations(durations: Any, graph: Graph) -> None:
    """Raise `UsageError` for lengths that are no whole numbers of milliseconds, and for a node that is not there."""
    if callable(durations):
        return
    if not isinstance(durations, Mapping):
        check_whole("durations in milliseconds", durations, 0)
        return
    by_node = cast("Mapping[str, object]", durations)
    check_nodes(by_node, graph)
    for node, length_ms in by_node.items():
        check_whole(f"durations[{node!r}] in milliseconds", length_ms, 0)


def check_requests(requests: Any, graph: Graph) -> None:
    """Raise `UsageError` for what is no request at a time, and for one that names a node that is not there."""
    for it in cast("tuple[object, ...]", items_of("requests", requests, "(milliseconds, request)", _MOST)):
        what = shown(it)
        pair = cast("Sequence[object]", it) if isinstance(it, tuple | list) else ()
        if len(pair) != 2:  # a pair
            message = f"a request is a pair such as (1_000, CancelRequested()), not {what}"
            raise UsageError(message)
        at_ms, request = pair
        check_whole("the time of a request in milliseconds", at_ms, 0)
        if isinstance(request, SkipRequested):
            check_nodes([request.node], graph)
        if isinstance(request, RerunRequested):
            check_nodes(request.nodes, graph)


def check_nodes(nodes: Iterable[str], graph: Graph) -> None:
    """Raise `UnknownNodeError` for the first that is not in the graph."""
    for node in nodes:
        check_text("a node id", node)
        if node not in graph.numbers:
            raise UnknownNodeError(node, known=graph.numbers)


def check_outcomes(outcomes: Mapping[str, Sequence[Outcome]], graph: Graph) -> None:
    """Raise `UsageError` for an outcome of another node's attempt, and for what is no sequence of outcomes."""
    check_nodes(outcomes, graph)
    for node, its in outcomes.items():
        for it in items_of(f"outcomes[{node!r}]", its, "outcomes", _MOST):
            if not isinstance(it, Outcome):
                message = f"outcomes[{node!r}] are outcomes, such as Failed(Attempt({node!r})), not {shown(it)}"
                raise UsageError(message)
            if it.attempt.node != node:
                message = f"outcomes[{node!r}] has one of {quoted(it.attempt.node)}; write it under that node's id"
                raise UsageError(message)


def functions_of(
    functions: Functions | Callable[[], Functions] | None, calls: Sequence[Call], outcomes: object
) -> Functions | None:
    """Take functions as they are, or have them made; raises `UsageError` for a name that no node of these calls."""
    if functions is None:
        return None
    if callable(outcomes):
        message = "outcomes is a function that is every task, so functions would never be called; leave out one of them"
        raise UsageError(message)
    made = functions() if callable(functions) else functions
    _check_mapping(made)
    targets = dict.fromkeys(call.target for call in calls)
    for name in made:
        if name not in targets:
            close = difflib.get_close_matches(str(name), targets, n=1)
            hint = f"; did you mean {quoted(close[0])}?" if close else f"; it calls {', '.join(map(quoted, targets))}"
            message = f"no node of this workflow calls {quoted(str(name))}, which functions name{hint}"
            raise UsageError(message)
    return made


def _check_mapping(made: object) -> None:
    if not isinstance(made, Mapping):
        message = f"functions are {{target name: function}}, or a function that makes that, not {type(made).__name__}"
        raise UsageError(message)
