"""What a user tells `simulate`, checked against the workflow: a name that is not there would be left out in silence."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, cast

from dyrygent_core import Attempt, Call, Graph, Observation, Outcome, RerunRequested, SkipRequested, UsageError
from dyrygent_core.checks import check_whole, items_of, named, shown
from dyrygent_core.errors import quoted
from dyrygent_core.ports import Journal
from dyrygent_testing.node_names import Ids
from dyrygent_testing.simulation.engine import Order, Ordering
from dyrygent_testing.simulation.errbacks import target_of
from dyrygent_testing.simulation.names import by_id, outcomes_by_id, requests_by_id
from dyrygent_testing.simulation.tasks import Functions
from dyrygent_testing.subjects import check_kind, check_nodes, check_outcomes

__all__ = [
    "functions_of",
    "journals_of",
    "lengths_of",
    "ordering_of",
    "outcomes_of",
    "requests_of",
]


_MOST: Final = 1_000_000


def ordering_of(order: Order | str | Sequence[str], graph: Graph, ids: Ids) -> Ordering:
    """Take an order by its name, or as node ids; raises `UsageError` for a node that is not there or stands twice."""
    if isinstance(order, str) and ids.get(order, order) in graph.numbers:
        message = f"order has one node only, {quoted(order)}; nodes are named in a list: order=[{order!r}]"
        raise UsageError(message)
    if isinstance(order, Order | str):
        return named(Order, "order", order)
    nodes = tuple(ids.get(it, it) if isinstance(it, str) else it for it in items_of("order", order, "node ids", _MOST))
    check_nodes(nodes, graph)
    twice = next((node for place, node in enumerate(nodes) if node in nodes[:place]), None)
    if twice is not None:
        message = f"order has node {quoted(twice)} twice; name each node once, or leave it out to be last"
        raise UsageError(message)
    return nodes or Order.FIFO


def lengths_of(durations: Any, graph: Graph, usual_ms: int, ids: Ids) -> Callable[[Attempt], int]:
    """Return what says how long an attempt takes; what is not named takes the usual time.

    Raises `UsageError` for what is no whole number of milliseconds, and for a node that is not there.
    """
    if callable(durations):
        return lambda attempt: _whole_ms(f"what durations returns for {attempt}", durations(attempt))
    if not isinstance(durations, Mapping):
        length_ms = _whole_ms("durations", durations)
        return lambda _: length_ms
    by_node = by_id(cast("Mapping[str, Any]", durations), ids)
    check_nodes(by_node, graph)
    lengths_ms = {node: _whole_ms(f"durations[{node!r}]", it) for node, it in by_node.items()}
    return lambda attempt: lengths_ms.get(attempt.node, usual_ms)


def _whole_ms(what: str, value: Any) -> int:
    if isinstance(value, timedelta):
        value = value // timedelta(milliseconds=1)
    check_whole(f"{what} in milliseconds", value, 0)
    return cast("int", value)


def outcomes_of(outcomes: Any, graph: Graph, ids: Ids) -> Mapping[str, Sequence[Outcome]]:
    """Return outcomes by id; raises `UsageError` for those of another node, and for what is none."""
    if ids and isinstance(outcomes, Mapping):
        outcomes = outcomes_by_id(cast("Mapping[str, Sequence[Outcome]]", outcomes), ids)
    check_outcomes(outcomes, graph)
    return cast("Mapping[str, Sequence[Outcome]]", outcomes)


def requests_of(requests: Any, graph: Graph, ids: Ids) -> list[tuple[int, Observation]]:
    """Return requests about nodes by id.

    Raises `UsageError` for what is no request at a time, and for one that names a node that is not there.
    """
    its = items_of("requests", requests, "(milliseconds, request)", _MOST)
    asked: list[tuple[int, Observation]] = []
    for it in cast("tuple[object, ...]", its):
        what = shown(it)
        pair = cast("Sequence[object]", it) if isinstance(it, tuple | list) else ()
        if len(pair) != 2:  # a pair
            message = f"a request is a pair such as (1_000, CancelRequested()), not {what}"
            raise UsageError(message)
        at_ms, request = _whole_ms("the time of a request", pair[0]), cast("Observation", pair[1])
        if isinstance(request, SkipRequested):
            check_nodes([ids.get(request.node, request.node)], graph)
        if isinstance(request, RerunRequested):
            check_nodes([ids.get(node, node) for node in request.nodes], graph)
        asked.append((at_ms, request))
    return requests_by_id(asked, ids)


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
    check_kind("functions", made, Mapping, "{target name: function}, or a function that makes that")
    targets = dict.fromkeys(map(target_of, calls))
    for name in made:
        if name not in targets:
            close = difflib.get_close_matches(str(name), targets, n=1)
            hint = f"; did you mean {quoted(close[0])}?" if close else f"; it calls {', '.join(map(quoted, targets))}"
            message = f"no node of this workflow calls {quoted(str(name))}, which functions name{hint}"
            raise UsageError(message)
    return made


def journals_of(journal: Any) -> Callable[[Callable[[], int]], Journal]:
    """Return what makes the journal, and refuses what it makes if that is none."""
    repair = "a function that makes a journal: journal=lambda clock: MyJournal(now_ms=clock)"
    if not callable(journal):
        message = f"journal must be {repair}, not {shown(journal)}"
        raise UsageError(message)

    def made(clock: Callable[[], int]) -> Journal:
        store = journal(clock)
        if not callable(getattr(store, "append", None)):
            message = f"journal must be {repair}; it made {shown(store)}"
            raise UsageError(message)
        return cast("Journal", store)

    return made
