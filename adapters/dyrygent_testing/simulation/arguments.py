"""What a user tells `simulate`, checked against the workflow: a name that is not there would be left out in silence."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from dyrygent_core import Call, Graph, Outcome, UnknownNodeError, UsageError
from dyrygent_core.checks import items_of, named, shown
from dyrygent_core.errors import quoted
from dyrygent_testing.simulation.engine import Order, Ordering
from dyrygent_testing.simulation.tasks import Functions

__all__ = ["check_nodes", "check_outcomes", "functions_of", "ordering_of"]


_MOST: Final = 1_000_000


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
