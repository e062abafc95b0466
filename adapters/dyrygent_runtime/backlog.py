"""Whether a queue moves: what tells a message that waits in a long queue from one that is lost.

The sign is another attempt of the same workflow, sent later to the same queue, that has started. Where a workflow has
none, its queue counts as one that may merely be long, unless it is empty, as the engine says (A6), and no
worker has what was in it (`absence`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

from dyrygent_core import Attempt, Status
from dyrygent_core.ports import Marks
from dyrygent_runtime.conductor import Conductor
from dyrygent_runtime.fold import Folded

__all__ = ["moved_on"]

_MOST_ASKED: Final = 1_000
"""Attempts whose marks are read: those of the highest numbers, which as a rule were sent last."""
_TRIED: Final = (Status.SCHEDULED, Status.SUCCEEDED, Status.FAILED, Status.SKIPPED)


def moved_on(conductor: Conductor, folded: Folded, waiting: Mapping[Attempt, Marks]) -> frozenset[Attempt]:
    """Return those of the waiting attempts that something was sent after, to the same queue, which has started."""
    if not waiting:
        return frozenset()
    others = list(islice(_tried(folded), _MOST_ASKED))
    routes = conductor.routes(folded, [*waiting, *others])
    numbers = folded.definition.graph.numbers
    lines = {attempt: routes[numbers[attempt.node]].line for attempt in [*waiting, *others]}
    wanted = {lines[attempt] for attempt in waiting}
    marks = conductor.journal.marks(folded.key, [it for it in others if lines[it] in wanted])
    newest: dict[tuple[str, str], tuple[int, int, int]] = {}
    for attempt, mark in marks.items():
        if mark.started_ms is not None:
            line, order = lines[attempt], _order(folded, attempt, mark)
            newest[line] = max(order, newest.get(line, order))
    return frozenset(
        attempt
        for attempt, mark in waiting.items()
        if lines[attempt] in newest and newest[lines[attempt]] > _order(folded, attempt, mark)
    )


def _order(folded: Folded, attempt: Attempt, mark: Marks) -> tuple[int, int, int]:
    """Say when it was sent; what was sent together went in the order of the numbers."""
    return mark.sent_ms or 0, folded.definition.graph.numbers[attempt.node], attempt.index


def _tried(folded: Folded) -> Iterator[Attempt]:
    """Give the newest attempts of nodes and instances that may have started, by number, the highest first."""
    state, graph = folded.state, folded.definition.graph
    for number in sorted((number for status in _TRIED for number in state.find(status)), reverse=True):
        node = graph.nodes[number].id
        if number not in graph.mapped:
            yield state.attempt(node)
            continue
        statuses = state.instance_statuses(node)
        for index in reversed(range(len(statuses))):
            if statuses[index] in _TRIED:
                yield state.attempt(node, index)
