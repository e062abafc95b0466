"""Runs an imported canvas on the pure core alone: tasks are functions here, and there is no queue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from attrs import evolve, frozen
from celery import signature

from celery_dyrygent.errbacks import filled
from celery_dyrygent.signatures import FAILED
from celery_dyrygent.workflows import Workflow as CeleryWorkflow
from celery_dyrygent.workflows import WorkflowNode
from dyrygent_core import Begin, Call, Failed, Failure, State, Succeeded, Workflow, WorkflowState, advance
from dyrygent_core.calls import Template
from dyrygent_core.refs import NO_VALUE, resolve


@frozen
class Evaluated:
    """What a workflow's run gave."""

    result: Any
    """The workflow's own."""
    order: tuple[str, ...]
    """The nodes in the order in which they ran."""
    results: Mapping[str, Any]
    calls: Mapping[str, Call]
    state: State
    ran: tuple[tuple[str, list[Any]], ...]
    """What ran, in order: the tasks' names, each with the arguments that it got."""


def evaluate(workflow: Workflow) -> Evaluated:
    """Run a workflow of tasks that `run_task` knows, and give what came of it. Tasks named `fail…` fail."""
    definition, calls = workflow.build()
    graph = definition.graph
    results: dict[str, Any] = {}
    state, todo = advance(graph, State.initial(graph), [Begin()])
    queue = list(todo)
    ran: list[tuple[str, list[Any]]] = []
    for attempt in queue:  # grows while it is read
        call = calls[graph.number(attempt.node)]
        inputs = _resolved(call.inputs, results)
        if FAILED in call.options:
            inputs = filled(evolve(call, inputs=Template(inputs)), Failure("Boom", "boom")).inputs.value
        ran.append((call.target, inputs["args"]))
        has_failed = call.target.startswith("fail")
        if not has_failed:
            results[attempt.node] = json.loads(json.dumps(run_task(call.target, inputs["args"], inputs["kwargs"])))
        state, todo = advance(graph, state, [Failed(attempt) if has_failed else Succeeded(attempt)])
        queue += todo
    assert state.is_finished
    by_id = {node.id: call for node, call in zip(graph.nodes, calls, strict=True)}
    has_succeeded = state.workflow_state is WorkflowState.SUCCESS
    result = _resolved(definition.output, results) if has_succeeded else None
    return Evaluated(result, tuple(it.node for it in queue), results, by_id, state, tuple(ran))


def run_task(name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Do what a task of this name does: `pack` and its like show what they were given."""
    match name:
        case "celery.map":
            return [run_task(kwargs["task"]["task"], [item], {}) for item in kwargs["it"]]
        case "celery.starmap":
            return [run_task(kwargs["task"]["task"], item, {}) for item in kwargs["it"]]
        case "const":
            return args[0]
        case "add":
            return sum(args)
        case "pack" | "told" | "workflow-errback":
            return args
        case "packkw":
            return [args, kwargs]
        case _:
            raise AssertionError(name)


def _resolved(template: Any, results: Mapping[str, Any]) -> Any:
    return resolve(deepcopy(template.value), template.references, lambda node: results.get(node, NO_VALUE))


def s(name: str, *args: Any, **kwargs: Any) -> Any:
    """Make a signature by name."""
    return signature(name, args, kwargs)


def si(name: str, *args: Any, **kwargs: Any) -> Any:
    """Make an immutable signature by name."""
    return signature(name, args, kwargs, immutable=True)


def imported(canvas: Any, **given: Any) -> CeleryWorkflow:
    """Import one canvas into a workflow of its own."""
    workflow = CeleryWorkflow()
    workflow.add_celery_canvas(canvas, **given)
    return workflow


def result_of(canvas: Any, **given: Any) -> Any:
    """Give the result of a workflow of one canvas."""
    return evaluate(imported(canvas, **given)).result


def edges(workflow: Workflow) -> dict[str, tuple[str, ...]]:
    """Give the nodes that each node waits for."""
    graph = workflow.build()[0].graph
    return {node.id: tuple(edge.node for edge in node.depends_on) for node in graph.nodes}


def named(name: str, task_id: str, *args: Any) -> Any:
    """Make a signature under a task id."""
    return s(name, *args).set(task_id=task_id)


def diamond() -> tuple[CeleryWorkflow, list[WorkflowNode]]:
    """Give a before b and c before d."""
    workflow = CeleryWorkflow()
    a = workflow.add_signature(named("pack", "a"))
    b, c = workflow.add_signature(named("pack", "b"), [a]), workflow.add_signature(named("pack", "c"), [a])
    return workflow, [a, b, c, workflow.add_signature(named("pack", "d"), [b, c])]
