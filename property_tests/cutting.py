"""A life without one of its nodes: its edges, references, outcomes and requests are gone with it.

What read its result gets None, what mapped over it runs once, and a workflow with a result of its own has that of its
sinks. Where it had a part in what was wrong, something else happens, or nothing does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import evolve

from dyrygent_core import (
    Call,
    Edge,
    Graph,
    Node,
    Observation,
    Outcome,
    RerunRequested,
    ResultRef,
    Role,
    SkipRequested,
    Succeeded,
    Workflow,
)
from dyrygent_core.calls import Template
from dyrygent_core.refs import ITEM
from property_tests.lives import Life

__all__ = ["without"]


def without(life: Life, gone: str) -> Life:
    """Leave a node out; raises `UsageError` where nobody could have built the rest."""
    workflow = _rest(life.workflow, gone)
    graph = workflow.build()[0].graph
    its = {node: told for node, told in life.outcomes.items() if node != gone}
    outcomes = {node: tuple(_outcomes(graph, told, gone)) for node, told in its.items()}
    requests = tuple((at_ms, fewer) for at_ms, it in life.requests if (fewer := _request(it, gone)) is not None)
    return evolve(life, workflow=workflow, outcomes=outcomes, requests=requests)


def _rest(workflow: Workflow, gone: str) -> Workflow:
    definition, calls = workflow.build()
    graph = definition.graph
    rest = Workflow(workflow.name, deadline=graph.deadline_ms, max_in_flight=graph.max_in_flight, mode=graph.mode)
    for node, call in zip(graph.nodes, calls, strict=True):
        if node.id != gone:
            _add(rest, node, _call(call, node, gone), [edge for edge in node.depends_on if edge.node != gone])
    return rest


def _add(rest: Workflow, node: Node, call: Call, after: list[Edge]) -> None:
    policies: dict[str, Any] = {
        "id": node.id,
        "allow_failure": node.allow_failure,
        "max_attempts": node.max_attempts,
        "retry": node.retry,
        "on_loss": node.on_loss,
        "max_losses": node.max_losses,
        "timeout": node.timeout_ms,
        "priority": node.priority,
    }
    match node.role:
        case Role.FINALLY:
            rest.finally_(call, **policies)
        case Role.ON_ERROR:
            rest.on_error(call, **policies)
        case Role.ON_SUCCESS:
            rest.on_success(call, **policies)
        case Role.NODE:
            is_mapped = node.each is not None and node.each.node in rest
            each = ResultRef(node.each.node, node.each.path) if node.each is not None and is_mapped else None
            rest.add(call, after=after, trigger=node.trigger if after else "all_success", each=each, **policies)


def _call(call: Call, node: Node, gone: str) -> Call:
    """Let None stand in the place of what is not there any more."""
    lost = {gone} if node.each is None or node.each.node != gone else {gone, ITEM}
    left = tuple(it for it in call.inputs.references if it.node not in lost)
    return evolve(call, inputs=Template(call.inputs.value, left))


def _outcomes(graph: Graph, its: Sequence[Outcome], gone: str) -> Iterator[Outcome]:
    for it in its:
        node = graph.node(it.attempt.node)
        if not isinstance(it, Succeeded):
            yield it
            continue
        sizes = it.sizes if len(it.sizes) == len(graph.measured_paths(node.id)) else ()
        branches = None if it.branches is None else tuple(branch for branch in it.branches if branch != gone)
        yield evolve(it, sizes=sizes, branches=branches)


def _request(request: Observation, gone: str) -> Observation | None:
    match request:
        case SkipRequested() if request.node == gone:
            return None
        case RerunRequested():
            return evolve(request, nodes=[node for node in request.nodes if node != gone])
        case _:
            return request
