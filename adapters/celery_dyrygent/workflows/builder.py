"""Adding nodes of Celery to a workflow: signatures beside the calls that the core has.

What a canvas means is decided in `canvas`; here its plan is added, all of it or nothing, and only then do the user's
signatures get their task ids. Whole canvases, and the workflow's own result, are the matter of `canvases`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from datetime import timedelta
from typing import Any, Final, Self, TypeAlias, Unpack

from celery.canvas import Signature

import dyrygent_core
from celery_dyrygent.canvas import Planned, plan_task
from celery_dyrygent.registered import registered_app
from celery_dyrygent.workflows.home import WorkflowHome
from celery_dyrygent.workflows.node import Nodes, WorkflowNode
from celery_dyrygent.workflows.skipping import calls_without, without_nodes, without_results
from dyrygent_core import Call, Definition, DuplicateNodeError, Edge, Graph, Mode, NodeHandle, Role, UsageError
from dyrygent_core.errors import quoted
from dyrygent_core.wiring import edges_of
from dyrygent_core.workflow import FinalizerPolicies

__all__ = ["DEFAULT_DEADLINE", "Dependencies", "NodeBuilder", "edges_to"]

DEFAULT_DEADLINE: Final = timedelta(days=7)
"""As in celery-dyrygent."""

Dependencies: TypeAlias = "NodeHandle | Edge | str | Iterable[Dependencies] | None"
"""Nodes to wait for: handles, ids, edges such as `node.done`, and lists of these, as the methods here return them."""


class NodeBuilder(dyrygent_core.Workflow):
    """The core's builder, that also takes signatures, and whose handles are `WorkflowNode`s."""

    def __init__(
        self,
        name: str = "",
        *,
        deadline: timedelta | int | None = None,
        max_in_flight: int | None = None,
        mode: Mode | str = Mode.RUN_INDEPENDENT,
    ) -> None:
        super().__init__(name, deadline=deadline, max_in_flight=max_in_flight, mode=mode)
        self._home = WorkflowHome(self._nodes, self._calls, self._check_open)
        self._skipped: frozenset[str] = frozenset()
        self._asides: set[str] = set()
        """The nodes of callbacks: they count neither in the state nor in the result."""

    @property
    def nodes(self) -> Mapping[str, WorkflowNode]:
        """The nodes by id, in the order in which they were added."""
        return Nodes(self._home, self._nodes)

    def add_signature(self, signature: Signature, dependencies: Dependencies = None) -> WorkflowNode:
        """Add one task with its own arguments, to which nothing is prepended; return its node.

        Its id is the signature's task id, which the signature is given if it has none.
        Raises, and nothing is added or changed: as `add_celery_canvas`; `UsageError` for a chain, group or chord.
        """
        planned = plan_task(signature, edges_to(dependencies), registered_app())
        self._add_all(planned)
        self._home.keep(planned[0].id, signature)
        return self._home.node(planned[0].id)

    def add(self, what: Call | Signature, *, id: str | None = None, **policies: Any) -> WorkflowNode:  # noqa: A002  # as in the core
        """Add a node that runs a call, or one task's signature, and return its handle; see the core's `add`.

        Results may stand in a signature's arguments as in a call's: `add(task.s(node.result))`.
        Without `id`, the node of a signature is named by its task id, as by `add_signature`; but with `each` it is
        named by its task, since it is run as many tasks.
        """
        if isinstance(what, Call):
            return self._home.node(super().add(what, id=id, **policies).id)
        planned, *callbacks = _planned(what, policies.get("after", ()))
        is_one_task = policies.get("each") is None
        if callbacks and (id is not None or not is_one_task or "trigger" in policies):
            message = (
                f"the signature of {quoted(what['task'])} has callbacks, which go with a node that is named by its "
                f"task id and waits for success; add them as nodes: workflow.add(callback, after=[node.if_succeeded]), "
                f"or after=[node.failed]"
            )
            raise UsageError(message)
        if id is None and is_one_task:
            self._add_all([planned, *callbacks], **policies)
            return self._home.node(planned.id)
        if planned.unfrozen is None:
            why = "it stands for many tasks" if not is_one_task else f"id={quoted(id or '')} is given"
            message = f"the signature has the task id {quoted(planned.id)}, but {why}; drop one of the two"
            raise UsageError(message)
        return self._home.node(super().add(planned.call, id=id, **policies).id)

    def finally_(
        self,
        what: Call | Signature,
        *,
        id: str | None = None,  # noqa: A002  # as in the core
        **policies: Unpack[FinalizerPolicies],
    ) -> WorkflowNode:
        """Add a node that runs once all others are final, whatever became of them; see the core's `finally_`.

        Without `id`, the node of a signature is named by its task id, as by `add`.
        """
        return self._add_finalizer(Role.FINALLY, what, id, policies)

    def on_error(
        self,
        what: Call | Signature,
        *,
        id: str | None = None,  # noqa: A002  # as in the core
        **policies: Unpack[FinalizerPolicies],
    ) -> WorkflowNode:
        """Add a node that runs once all others are final, if the workflow failed; see the core's `on_error`."""
        return self._add_finalizer(Role.ON_ERROR, what, id, policies)

    def on_success(
        self,
        what: Call | Signature,
        *,
        id: str | None = None,  # noqa: A002  # as in the core
        **policies: Unpack[FinalizerPolicies],
    ) -> WorkflowNode:
        """Add a node that runs once all others are final, if nothing failed; see the core's `on_success`."""
        return self._add_finalizer(Role.ON_SUCCESS, what, id, policies)

    def _add_finalizer(
        self, role: Role, what: Call | Signature, given: str | None, policies: FinalizerPolicies
    ) -> WorkflowNode:
        if isinstance(what, Call):
            return self._home.node(super()._add_finalizer(role, what, given, policies).id)
        planned, *callbacks = _planned(what)
        if callbacks:
            message = (
                f"the signature of {quoted(what['task'])} has callbacks, but a node of the whole workflow is the last; "
                f"do what they do in its task"
            )
            raise UsageError(message)
        if given is not None and planned.unfrozen is None:
            message = f"the signature has the task id {quoted(planned.id)}, and id={quoted(given)} is given; drop one"
            raise UsageError(message)
        handle = super()._add_finalizer(role, planned.call, given or planned.id, policies)
        if given is None:
            self._freeze(planned)
        return self._home.node(handle.id)

    def _add(self, what: Call, given: str | None, **fields: Any) -> NodeHandle:
        self._check_open()
        return super()._add(what, given, **fields)

    def _check_open(self) -> None:
        """Raise `UsageError` once nothing can be added any more: here always something can."""

    def build(self) -> tuple[Definition, tuple[Call, ...]]:
        """Return the definition as it stands, and the calls, as the core's `build` does.

        Options that were set on the nodes' signatures count; nodes that are taken for done are left out.
        """
        changed = self._home.changed_calls(self._calls)
        if not changed and not self._skipped:
            return super().build()
        twin = self._twin({**self._calls, **changed})
        if self._skipped:
            twin._nodes = without_nodes(self._nodes, self._skipped)  # noqa: SLF001  # a copy of ourselves
            twin._calls = calls_without(twin._calls, self._skipped)  # noqa: SLF001
            output = self._output
            twin._output = None if output is None else without_results(output, self._skipped)  # noqa: SLF001
            twin._engine_named = self._engine_named - self._skipped  # noqa: SLF001
        return dyrygent_core.Workflow.build(twin)

    def restore(self, definition: Definition, generated: frozenset[str], calls: Mapping[str, Call]) -> None:
        """Be the workflow that was built into this; raises `KeyError` for a node without a call. For internal use."""
        graph = definition.graph
        self.name = definition.name
        self._settings = Graph((), max_in_flight=graph.max_in_flight, mode=graph.mode, deadline_ms=graph.deadline_ms)
        self._calls.update({node.id: calls[node.id] for node in graph.nodes})
        self._nodes.update({node.id: node for node in graph.nodes})
        self._output = definition.output
        self._generated |= generated
        self._engine_named |= definition.engine_named

    def _twin(self, calls: dict[str, Call]) -> Self:
        """Return a copy with other calls."""
        twin = copy(self)
        twin._calls = calls  # noqa: SLF001  # a copy of ourselves
        return twin

    def _add_all(self, planned: Sequence[Planned], **policies: Any) -> None:
        """Add nodes and freeze their signatures, or raise and change nothing. `policies` are not those of callbacks."""
        if self._settings.mode is Mode.FAIL_FAST and any(node.is_errback for node in planned):
            message = (
                "this canvas has an error callback (link_error), and mode='fail_fast' lets nothing start after a "
                "failure; write workflow.on_error(errback), or leave the mode out"
            )
            raise UsageError(message)
        taken = next((node.id for node in planned if node.id in self), None)
        if taken is not None:
            raise DuplicateNodeError(taken)
        added: list[str] = []
        try:
            for node in planned:
                if node.is_aside:
                    super().add(node.call, id=node.id, after=node.after, allow_failure=True)
                    self._asides.add(node.id)
                else:
                    after = policies.get("after", node.after)
                    super().add(node.call, id=node.id, **{**policies, "after": after})
                added.append(node.id)
        except Exception:
            for node_id in added:
                del self._nodes[node_id], self._calls[node_id]  # in place: the home has these dicts too
                self._asides.discard(node_id)
            raise
        for node in planned:
            self._freeze(node)

    def _freeze(self, node: Planned) -> None:
        """Let the first attempt of a node run under its own id, and give its signature that id."""
        if not (node.is_aside and node.is_generated):  # whose id nobody can know
            self._engine_named.add(node.id)
        if node.is_generated:
            self._generated.add(node.id)
        if node.unfrozen is not None:
            self._home.keep(node.id, node.unfrozen)
            node.unfrozen["options"] = {**(node.unfrozen["options"] or {}), "task_id": node.id}


def _planned(what: object, after: object = ()) -> tuple[Planned, ...]:
    if isinstance(what, Signature):
        return plan_task(what, edges_of(after), registered_app())
    message = f"a node runs a call or a task's signature, not a {quoted(type(what).__name__)}"
    raise UsageError(message)


def edges_to(dependencies: Dependencies) -> tuple[Edge, ...]:
    """Flatten what a node is to wait for."""
    edges: list[Edge] = []
    todo: list[Any] = [dependencies]
    while todo:
        match todo.pop():
            case None:
                pass
            case Edge() as edge:
                edges.append(edge)
            case NodeHandle(id=node_id) | str(node_id):
                edges.append(Edge(node_id))
            case Iterable() as several if not isinstance(several, Mapping):
                todo += reversed(list(several))
            case other:
                message = (
                    f"dependencies are node handles, ids, edges such as node.done, and lists of these, "
                    f"not {quoted(type(other).__name__)}"
                )
                raise UsageError(message)
    return tuple(edges)
