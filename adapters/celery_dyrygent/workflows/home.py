"""What a workflow knows of its nodes beside the graph: their signatures as the user may change them, and payloads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, Final

from attrs import evolve, frozen
from celery.canvas import Signature

from celery_dyrygent.workflows.node import WorkflowNode, check_edge, edge_of
from dyrygent_core import Call, Edge, Node, NodeHandle, UsageError
from dyrygent_core.errors import UnknownNodeError, quoted

__all__ = ["WorkflowHome"]

_OF_THE_FLOW: Final = ("task_id", "link", "link_error", "chain", "chord")
"""Options that say what a task is called and what follows it, which the workflow knows already."""
_OF_THE_PLACE: Final = ("root_id", "parent_id")


@frozen(eq=False)
class _Shown:
    """A signature that the user may have changed since, and how it was."""

    signature: Signature
    before: Mapping[str, Any]


class WorkflowHome:
    """The home of a workflow's nodes. `nodes` and `calls` are the workflow's own, and change with it."""

    def __init__(self, nodes: dict[str, Node], calls: Mapping[str, Call], check_open: Callable[[], None]) -> None:
        self.nodes = nodes
        self.payloads: dict[str, dict[str, Any]] = {}
        self._calls = calls
        self._check_open = check_open
        self._signatures: dict[str, Signature] = {}
        self._shown: dict[str, _Shown] = {}

    def node(self, node_id: str) -> WorkflowNode:
        """Return the handle of a node; raises `UnknownNodeError`."""
        if node_id not in self.nodes:
            raise UnknownNodeError(node_id, known=self.nodes)
        return WorkflowNode.at(self, node_id)

    def keep(self, node_id: str, signature: Signature) -> None:
        """Remember the user's own signature of a node."""
        self._signatures[node_id] = signature

    def edges_of(self, node_id: str) -> tuple[Edge, ...]:
        """Return what a node waits for."""
        return self.nodes[node_id].depends_on

    def add_edge(self, node_id: str, dependency: NodeHandle | Edge | str) -> None:
        """Let a node wait for another one too; raises `UsageError`, and nothing is changed."""
        self._check_open()
        if isinstance(dependency, WorkflowNode) and not dependency.is_at(self):
            message = f"node {quoted(dependency.id)} is not a node of the workflow of {quoted(node_id)}; add it there"
            raise UsageError(message)
        edge, node = edge_of(dependency), self.nodes[node_id]
        check_edge(node_id, edge, {it.node: it for it in node.depends_on})
        self.nodes[node_id] = evolve(node, depends_on=(*node.depends_on, edge))

    def signature_of(self, node_id: str) -> Signature:
        """Return what a node runs; the same object every time, since the user may set options on it."""
        if node_id not in self._shown:
            signature = self._signatures.get(node_id)
            if signature is None:
                signature = _signature(node_id, self._calls[node_id])
            self._shown[node_id] = _Shown(signature, _copied(signature))
        return self._shown[node_id].signature

    def payload_of(self, node_id: str) -> dict[str, Any]:
        """Return a node's payload, to be changed in place."""
        return self.payloads.setdefault(node_id, {})

    def set_payload_of(self, node_id: str, payload: dict[str, Any]) -> None:
        """Put another payload in the place of a node's."""
        self.payloads[node_id] = payload

    def changed_calls(self, calls: Mapping[str, Call]) -> dict[str, Call]:
        """Return those of the calls on whose nodes' signatures options were set since they were added.

        Raises `UsageError` for a signature on which something else was changed.
        """
        changed: dict[str, Call] = {}
        for node_id, shown in self._shown.items():
            now = _copied(shown.signature)
            if now != shown.before:
                changed[node_id] = _changed(node_id, calls[node_id], shown.before, now)
        return changed


def _signature(node_id: str, call: Call) -> Signature:
    inputs = deepcopy(call.inputs.value)
    options = {name: value for name, value in call.options.items() if name not in _OF_THE_PLACE}
    return Signature(call.target, tuple(inputs["args"]), inputs["kwargs"], {**options, "task_id": node_id})


def _copied(signature: Signature) -> dict[str, Any]:
    return {"options": dict(signature["options"] or {}), "rest": deepcopy(_rest(signature))}


def _rest(signature: Signature) -> dict[str, Any]:
    return {"task": signature["task"], "args": list(signature["args"] or ()), "kwargs": dict(signature["kwargs"] or {})}


def _changed(node_id: str, call: Call, before: Mapping[str, Any], now: Mapping[str, Any]) -> Call:
    was, is_ = before["options"], now["options"]
    differing = {name for name in {*was, *is_} if was.get(name) != is_.get(name)}
    if before["rest"] != now["rest"]:
        message = f"the arguments of node {quoted(node_id)} were changed after it was added; change them before"
        raise UsageError(message)
    in_the_way = sorted(differing.intersection(_OF_THE_FLOW))
    if in_the_way:
        message = (
            f"{in_the_way[0]!r} was set on the signature of node {quoted(node_id)} after it was added; set it before, "
            f"or add what follows as a node of its own"
        )
        raise UsageError(message)
    kept = {name: value for name, value in call.options.items() if name not in differing}
    return evolve(call, options={**kept, **{name: is_[name] for name in differing if name in is_}})
