"""What a user tells `simulate`, checked against the workflow: a name that is not there would be left out in silence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dyrygent_core import UnknownNodeError, UsageError, Workflow
from dyrygent_core.checks import named
from dyrygent_core.errors import quoted
from dyrygent_testing.simulation.engine import Order, Ordering

__all__ = ["ordering_of"]


def ordering_of(order: Order | str | Sequence[str], workflow: Workflow) -> Ordering:
    """Take an order by its name, or as node ids; raises `UsageError` for a node that is not there or stands twice."""
    if isinstance(order, Order | str):
        return named(Order, "order", order)
    check_nodes(order, workflow)
    twice = next((node for place, node in enumerate(order) if node in order[:place]), None)
    if twice is not None:
        message = f"order has node {quoted(twice)} twice; name each node once, or leave it out to be last"
        raise UsageError(message)
    return tuple(order) or Order.FIFO


def check_nodes(nodes: Iterable[str], workflow: Workflow) -> None:
    """Raise `UnknownNodeError` for the first that is not in the workflow."""
    known = workflow.build()[0].graph.numbers
    for node in nodes:
        if node not in known:
            raise UnknownNodeError(node, known=known)
