"""The names of a workflow's nodes whose ids were made up, and what a user tells of nodes under these names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from attrs import evolve

from dyrygent_core import Attempt, Call, Definition, Observation, Outcome, RerunRequested, SkipRequested, Workflow
from dyrygent_testing.node_names import Ids, free_name
from dyrygent_testing.simulation.errbacks import target_of

__all__ = ["by_id", "ids_of", "outcomes_by_id", "requests_by_id"]

_Value = TypeVar("_Value")


def ids_of(workflow: Workflow, definition: Definition, calls: Sequence[Call]) -> dict[str, str]:
    """Name the nodes whose ids the engine's way of importing has made up, in the order of the graph."""
    graph, ids = definition.graph, dict[str, str]()
    for node, call in zip(graph.nodes, calls, strict=True):
        if node.id in definition.engine_named and node.id in workflow.generated:
            ids[free_name(target_of(call), ids, graph.numbers)] = node.id
    return ids


def by_id(its: Mapping[str, _Value], ids: Ids) -> dict[str, _Value]:
    """Let a mapping be by ids."""
    return {ids.get(name, name): value for name, value in its.items()}


def outcomes_by_id(outcomes: Mapping[str, Sequence[Outcome]], ids: Ids) -> Mapping[str, Sequence[Outcome]]:
    """Let outcomes be of nodes by id."""
    its = by_id(outcomes, ids).items()
    return {node: [_outcome(it, ids) for it in told] if isinstance(told, list | tuple) else told for node, told in its}


def _outcome(outcome: Any, ids: Ids) -> Any:
    """Leave what is no outcome of an attempt as it is: it is refused later."""
    attempt: object = getattr(outcome, "attempt", None)
    if not isinstance(attempt, Attempt) or attempt.node not in ids:
        return outcome
    return evolve(outcome, attempt=evolve(attempt, node=ids[attempt.node]))


def requests_by_id(requests: Iterable[tuple[int, Observation]], ids: Ids) -> list[tuple[int, Observation]]:
    """Let requests be about nodes by id."""
    return [(at_ms, _request(it, ids)) for at_ms, it in requests]


def _request(request: Observation, ids: Ids) -> Observation:
    match request:
        case SkipRequested():
            return evolve(request, node=ids.get(request.node, request.node))
        case RerunRequested():
            return evolve(request, nodes=[ids.get(node, node) for node in request.nodes])
        case _:
            return request
