"""`WorkflowNode`: the handle of a node that runs a signature.

A node of a workflow keeps nothing itself but its id: what it waits for, its signature and its payload are the
workflow's. So a handle that was kept and one that is made later say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from celery.canvas import Signature

from celery_dyrygent.signatures import task_id_of
from celery_dyrygent.workflows.exceptions import WorkflowException
from dyrygent_core import Condition, Edge, NodeHandle, UsageError
from dyrygent_core.errors import quoted

__all__ = ["Home", "Nodes", "WorkflowException", "WorkflowNode"]


class Home(Protocol):
    """What a node asks of the workflow that it is in."""

    def edges_of(self, node_id: str) -> tuple[Edge, ...]:
        """Return what a node waits for."""
        ...

    def add_edge(self, node_id: str, dependency: NodeHandle | Edge | str) -> None:
        """Let a node wait for another one too."""
        ...

    def signature_of(self, node_id: str) -> Signature:
        """Return what a node runs, as a signature."""
        ...

    def payload_of(self, node_id: str) -> dict[str, Any]:
        """Return a node's payload, to be changed in place."""
        ...

    def set_payload_of(self, node_id: str, payload: dict[str, Any]) -> None:
        """Put another payload in the place of a node's."""
        ...


class WorkflowNode(NodeHandle):
    """A node of a workflow: its id, what it runs, what it waits for, and data of your own.

    It is a `NodeHandle`, so `node.result`, `node.done` and the other edges may be used wherever those may.
    `add_signature` and its like make nodes; one that is made by hand belongs to no workflow.
    """

    __setattr__ = object.__setattr__  # handles are frozen; the predecessor's `custom_payload` may be assigned

    def __init__(self, signature: Signature) -> None:
        """Make a node that belongs to no workflow; raises `UsageError` for a signature that is not frozen."""
        if not isinstance(signature, Signature):
            message = f"a node runs a task's signature, not a {quoted(type(signature).__name__)}"
            raise UsageError(message)
        task_id = task_id_of(signature)
        if task_id is None:
            message = f"the signature of {quoted(signature['task'])} has no task id; call its freeze() first"
            raise UsageError(message)
        super().__init__(task_id)
        self._home: Home = _Alone(signature)

    @classmethod
    def at(cls, home: Home, node_id: str) -> WorkflowNode:
        """Return the node of a workflow that has this id."""
        node = cls.__new__(cls)
        NodeHandle.__init__(node, node_id)
        node._home = home  # noqa: SLF001  # one of ourselves
        return node

    def is_at(self, home: Home) -> bool:
        """Tell whether this is its workflow."""
        return self._home is home

    @property
    def signature(self) -> Signature:
        """What it runs. Options that you set on it count until the workflow is started; arguments stay as they are.

        It is your own signature where that was given its id here; of nodes that are no signature's, and of canvases
        that were frozen before, it is one like it. Results stand in its arguments as None.
        """
        return self._home.signature_of(self.id)

    @property
    def dependencies(self) -> dict[str, dict[str, Any] | None]:
        """The ids of the nodes that it waits for; where an edge has a condition of its own, with that. A copy."""
        return {edge.node: _options(edge) for edge in self._home.edges_of(self.id)}

    @property
    def custom_payload(self) -> dict[str, Any]:
        """Data of your own: a dict of what JSON can carry. It is kept in the journal, and handlers may change it."""
        return self._home.payload_of(self.id)

    @custom_payload.setter
    def custom_payload(self, payload: dict[str, Any]) -> None:
        self._home.set_payload_of(self.id, payload)

    def add_dependency(self, other_node: NodeHandle | Edge | str, options: Mapping[str, Any] | None = None) -> None:
        """Let it wait for another node of its workflow too, which brings no result.

        `options`: `{"condition": "done"}`, or any other `Condition`, for an edge with a condition of its own.

        Raises `UsageError`, and nothing is changed: for a node that it waits for already, itself, a node of another
        workflow, unknown options, and once the workflow was started. A cycle is refused when the workflow is built or
        started.
        """
        self._home.add_edge(self.id, _with_options(other_node, options))

    def to_dict(self) -> dict[str, Any]:
        """Write the node down as a dict of plain values."""
        return {
            "id": self.id,
            "signature": dict(self.signature),
            "dependencies": self.dependencies,
            "custom_payload": self.custom_payload,
        }

    @classmethod
    def from_dict(cls, data_dict: Mapping[str, Any]) -> WorkflowNode:
        """Read a node that belongs to no workflow; raises as `WorkflowNode` does."""
        node = cls(Signature(data_dict["signature"]))
        for other, options in data_dict["dependencies"].items():
            node.add_dependency(other, options)
        node.custom_payload = data_dict.get("custom_payload", {})
        return node


class Nodes(Mapping[str, WorkflowNode]):  # like any mapping, it has no hash
    """The nodes of a workflow by id, in the order in which they were added; made when they are asked for."""

    def __init__(self, home: Home, ids: Mapping[str, object]) -> None:
        self._home = home
        self._ids = ids

    def __getitem__(self, node_id: str) -> WorkflowNode:
        if node_id not in self._ids:
            raise KeyError(node_id)
        return WorkflowNode.at(self._home, node_id)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __repr__(self) -> str:
        return f"<Nodes {list(self)!r}>"


class _Alone:
    """The home of a node that belongs to no workflow."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._edges: dict[str, Edge] = {}
        self._payload: dict[str, Any] = {}

    def edges_of(self, node_id: str) -> tuple[Edge, ...]:
        return tuple(self._edges.values())

    def add_edge(self, node_id: str, dependency: NodeHandle | Edge | str) -> None:
        edge = edge_of(dependency)
        check_edge(node_id, edge, self._edges)
        self._edges[edge.node] = edge

    def signature_of(self, node_id: str) -> Signature:
        return self._signature

    def payload_of(self, node_id: str) -> dict[str, Any]:
        return self._payload

    def set_payload_of(self, node_id: str, payload: dict[str, Any]) -> None:
        self._payload = payload


def edge_of(dependency: object) -> Edge:
    """Read what a node is to wait for; raises `UsageError`."""
    match dependency:
        case Edge():
            return dependency
        case NodeHandle(id=node_id) | str(node_id):
            return Edge(node_id)
        case _:
            message = (
                f"a node waits for a node, its id or an edge such as node.done, not {quoted(type(dependency).__name__)}"
            )
            raise UsageError(message)


def check_edge(node_id: str, edge: Edge, known: Mapping[str, Edge]) -> None:
    """Raise `UsageError` for an edge that is there, and for one to the node itself."""
    if edge.node in known:
        message = f"node {quoted(node_id)} waits for {quoted(edge.node)} already; add that dependency once"
        raise UsageError(message)
    if edge.node == node_id:
        message = f"node {quoted(node_id)} cannot wait for itself"
        raise UsageError(message)


def _with_options(dependency: NodeHandle | Edge | str, options: Mapping[str, Any] | None) -> NodeHandle | Edge | str:
    if not options:
        return dependency
    if set(options) != {"condition"}:
        message = f"the options of a dependency are {{'condition': …}}, and {quoted(str(sorted(options)))} is not that"
        raise UsageError(message)
    return Edge(edge_of(dependency).node, options["condition"])


def _options(edge: Edge) -> dict[str, Any] | None:
    return {"condition": edge.condition.value} if isinstance(edge.condition, Condition) else None
