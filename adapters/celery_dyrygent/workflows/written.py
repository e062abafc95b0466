"""A workflow as a dict of plain values, and back: what travels in the message of a frozen workflow.

The keys are the predecessor's, and so are the values, apart from `dyrygent`, which holds what the predecessor had no
word for: the graph with its rules and policies, and where results go. Where it is there the graph is read from it, and
what a node runs from `nodes`, so that options may be changed in the dict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from celery.canvas import Signature

from celery_dyrygent.workflows.node import WorkflowNode
from dyrygent_core import Call, Definition, Edge, UsageError
from dyrygent_core.calls import Template
from dyrygent_core.codec import decode_definition, encode_definition
from dyrygent_core.codec.references import read_template, write_references
from dyrygent_core.errors import quoted

__all__ = ["KEYS", "check_not_begun", "edges_in", "read_calls", "read_definition", "write_calls", "write_definition"]

KEYS: Final[Mapping[str, Any]] = {
    "running": {},
    "finished": {},
    "processing_limit_ts": None,
    "version": 1,
    "retry_policy": ["random", 10, 30],
    "id": None,
    "state": "INITIAL",
    "tasks_options": {},
    "workflow_options": {},
    "custom_payload": {},
}
"""The predecessor's keys beside `nodes` and `stats`, with what they are before anything happens."""


def write_definition(definition: Definition, generated: frozenset[str]) -> dict[str, Any]:
    """Write what the predecessor had no word for."""
    return {"definition": encode_definition(definition).decode(), "generated": sorted(generated)}


def read_definition(written: Mapping[str, Any]) -> tuple[Definition, frozenset[str]]:
    """Read what `write_definition` wrote; raises `UnsupportedVersionError`."""
    return decode_definition(written["definition"].encode()), frozenset(written["generated"])


def write_calls(nodes: Mapping[str, WorkflowNode], calls: Mapping[str, Call]) -> dict[str, Any]:
    """Write each node with what it runs, and where in that results go."""
    return {node_id: _write_node(nodes[node_id], call) for node_id, call in calls.items()}


def _write_node(node: WorkflowNode, call: Call) -> dict[str, Any]:
    inputs = call.inputs.value
    signature = Signature(call.target, inputs["args"], inputs["kwargs"], {**call.options, "task_id": node.id})
    references = write_references(call.inputs.references, {})
    return {
        "id": node.id,
        "signature": dict(signature),
        "dependencies": node.dependencies,
        "custom_payload": node.custom_payload,
        **({"references": references} if references else {}),
    }


def read_calls(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, Call]:
    """Read what each node runs; raises `UsageError`, naming the node."""
    return {node_id: _read_call(node_id, node) for node_id, node in nodes.items()}


def _read_call(node_id: str, node: Mapping[str, Any]) -> Call:
    signature = node["signature"]
    inputs = {"args": list(signature["args"] or ()), "kwargs": dict(signature["kwargs"] or {})}
    try:
        template: Template = read_template(inputs, node.get("references", []))
    except ValueError as problem:
        message = f"node {quoted(node_id)} of this workflow cannot be read: {problem}"
        raise UsageError(message) from problem
    options = {name: value for name, value in (signature["options"] or {}).items() if name != "task_id"}
    return Call(signature["task"], template, options)


def edges_in(node: Mapping[str, Any]) -> list[Edge]:
    """Read what a node of the predecessor's waits for, which is all the graph that there is."""
    return [Edge(dependency) for dependency in node["dependencies"]]


def check_not_begun(written: Mapping[str, Any]) -> None:
    """Raise `UsageError` for a dict of a workflow that runs or ran, ours or the predecessor's."""
    state = written.get("state", KEYS["state"])
    ticks = written.get("stats", {}).get("ticks", 0)
    if state == KEYS["state"] and not written.get("running") and not ticks:
        return
    shown = f"workflow {quoted(str(written.get('id')))} is in {state}"
    if "dyrygent" in written:
        message = f"{shown}; it has been started, and goes on by itself: read it with Workflow.from_id(id)"
    else:
        message = (
            f"{shown}, and was started by celery-dyrygent, which keeps how far it is in its messages; let its own "
            f"workers finish it before the last of them is replaced, or start it again"
        )
    raise UsageError(message)
