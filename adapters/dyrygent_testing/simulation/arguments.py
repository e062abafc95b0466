"""What a user tells `simulate`, checked against the workflow: a name that is not there would be left out in silence."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence

from dyrygent_core import Call, Graph, UnknownNodeError, UsageError
from dyrygent_core.checks import named
from dyrygent_core.errors import quoted
from dyrygent_testing.simulation.engine import Order, Ordering
from dyrygent_testing.simulation.tasks import Functions

__all__ = ["check_nodes", "functions_of", "ordering_of"]


def ordering_of(order: Order | str | Sequence[str], graph: Graph) -> Ordering:
    """Take an order by its name, or as node ids; raises `UsageError` for a node that is not there or stands twice."""
    if isinstance(order, Order | str):
        return named(Order, "order", order)
    check_nodes(order, graph)
    twice = next((node for place, node in enumerate(order) if node in order[:place]), None)
    if twice is not None:
        message = f"order has node {quoted(twice)} twice; name each node once, or leave it out to be last"
        raise UsageError(message)
    return tuple(order) or Order.FIFO


def check_nodes(nodes: Iterable[str], graph: Graph) -> None:
    """Raise `UnknownNodeError` for the first that is not in the graph."""
    for node in nodes:
        if node not in graph.numbers:
            raise UnknownNodeError(node, known=graph.numbers)


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
