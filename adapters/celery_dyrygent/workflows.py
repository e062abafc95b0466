"""The workflow of Celery users: the builder of the core, that also takes signatures and whole canvases.

The names and what they return are celery-dyrygent's. What a canvas means is decided in `canvas`; here its plan is
added, all of it or nothing, and only then do the user's signatures get their task ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from datetime import timedelta
from typing import Any, Final, TypeAlias, Unpack

from attrs import evolve, frozen
from celery.canvas import Signature

import dyrygent_core
from celery_dyrygent.adapter import PROCESSOR_OPTIONS, adapter_of
from celery_dyrygent.canvas import Planned, Value, leaves, plan_canvas, plan_task
from celery_dyrygent.eager_results import EagerWorkflowResult
from celery_dyrygent.results import WorkflowResult
from celery_dyrygent.tasks import registered_app
from dyrygent_core import Call, Definition, DuplicateNodeError, Edge, Mode, NodeHandle, Role, UsageError
from dyrygent_core.errors import quoted
from dyrygent_core.workflow import FinalizerPolicies
from dyrygent_runtime import OnConflict

__all__ = ["DEFAULT_DEADLINE", "Dependencies", "Workflow"]

DEFAULT_DEADLINE: Final = timedelta(days=7)
"""As in celery-dyrygent."""

Dependencies: TypeAlias = "NodeHandle | Edge | str | Iterable[Dependencies] | None"
"""Nodes to wait for: handles, ids, edges such as `node.done`, and lists of these, as the methods here return them."""


@frozen
class _Canvas:
    """The value of an imported canvas, and its last nodes."""

    value: Value | None
    last: tuple[str, ...]


class Workflow(dyrygent_core.Workflow):
    """Collects nodes: canvases, single signatures, and calls as the core has them, in any mixture.

    The workflow's own result is the canvas's, if one canvas is all there is: a chain's is its last task's, a chord's
    its body's, a group's a list. Of several canvases it is the list of their results, in the order in which they were
    added, without those that another node waits for. Where a node that was added by hand ends the workflow, it is as
    in the core: the result of the only sink, or `{node id: result}` of the sinks. `returns` says otherwise.
    """

    def __init__(
        self,
        options: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        pass_results: bool = True,
        deadline: timedelta | int | None = DEFAULT_DEADLINE,
        max_in_flight: int | None = None,
        mode: Mode | str = Mode.RUN_INDEPENDENT,
    ) -> None:
        """Begin an empty workflow.

        `options`: Celery's, for the messages of the workflow itself. `pass_results=False` keeps results out of
        arguments, as celery-dyrygent does; so does `app.conf.dyrygent_pass_results = False`, for all workflows of the
        registered app. `deadline`: a `timedelta`, or milliseconds, from the start; None for none. `max_in_flight` and
        `mode`: as in the core.
        """
        super().__init__(name or "", deadline=deadline, max_in_flight=max_in_flight, mode=mode)
        self.options = dict(options or {})
        self._pass_results = pass_results
        self._canvases: list[_Canvas] = []

    def add_celery_canvas(
        self,
        canvas: Any,
        dependencies: Dependencies = None,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> list[NodeHandle]:
        """Add a node for each task of a canvas, and return the last ones: those that whatever follows waits for.

        `canvas`: a signature, chain, group, chord, map, starmap or chunks, nested to any depth. Its first tasks wait
        for `dependencies`, whose results they do not get; they get `args` and `kwargs`, as from `apply_async`.
        A node's id is its signature's task id. Where none is set, the signature is given one, so that `signature.id`
        is known afterwards; a signature's second place in the canvas has an id of its own. Nothing else of the canvas
        is changed. An empty canvas adds nothing and returns `dependencies`.

        Raises, and nothing is added or changed: `UsageError` for what is no canvas, contains itself, or has link or
        link_error callbacks; `DuplicateNodeError` for a task id that is taken; `LimitError`.
        """
        after = _edges(dependencies)
        planned = plan_canvas(canvas, after=after, args=args, kwargs=kwargs, pass_results=self._passes_results())
        self._add_all(planned.nodes)
        last = leaves(planned.value)
        self._canvases.append(_Canvas(planned.value, last))
        return [NodeHandle(node) for node in last or (edge.node for edge in after)]

    def add_signature(self, signature: Signature, dependencies: Dependencies = None) -> NodeHandle:
        """Add one task with its own arguments, to which nothing is prepended; return its handle.

        Its id is the signature's task id, which the signature is given if it has none.
        Raises, and nothing is added or changed: as `add_celery_canvas`; `UsageError` for a chain, group or chord.
        """
        planned = plan_task(signature, _edges(dependencies))
        self._add_all([planned])
        return NodeHandle(planned.id)

    def add(self, what: Call | Signature, *, id: str | None = None, **policies: Any) -> NodeHandle:  # noqa: A002  # as in the core
        """Add a node that runs a call, or one task's signature, and return its handle; see the core's `add`.

        Results may stand in a signature's arguments as in a call's: `add(task.s(node.result))`.
        Without `id`, the node of a signature is named by its task id, as by `add_signature`; but with `each` it is
        named by its task, since it is run as many tasks.
        """
        if isinstance(what, Call):
            return super().add(what, id=id, **policies)
        planned = _planned(what)
        is_one_task = policies.get("each") is None
        if id is None and is_one_task:
            self._add_all([planned], **policies)
            return NodeHandle(planned.id)
        if planned.unfrozen is None:
            why = "it stands for many tasks" if not is_one_task else f"id={quoted(id or '')} is given"
            message = f"the signature has the task id {quoted(planned.id)}, but {why}; drop one of the two"
            raise UsageError(message)
        return super().add(planned.call, id=id, **policies)

    def finally_(
        self,
        what: Call | Signature,
        *,
        id: str | None = None,  # noqa: A002  # as in the core
        **policies: Unpack[FinalizerPolicies],
    ) -> NodeHandle:
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
    ) -> NodeHandle:
        """Add a node that runs once all others are final, if the workflow failed; see the core's `on_error`."""
        return self._add_finalizer(Role.ON_ERROR, what, id, policies)

    def on_success(
        self,
        what: Call | Signature,
        *,
        id: str | None = None,  # noqa: A002  # as in the core
        **policies: Unpack[FinalizerPolicies],
    ) -> NodeHandle:
        """Add a node that runs once all others are final, if nothing failed; see the core's `on_success`."""
        return self._add_finalizer(Role.ON_SUCCESS, what, id, policies)

    def _add_finalizer(
        self, role: Role, what: Call | Signature, given: str | None, policies: FinalizerPolicies
    ) -> NodeHandle:
        if isinstance(what, Call):
            return super()._add_finalizer(role, what, given, policies)
        planned = _planned(what)
        if given is not None and planned.unfrozen is None:
            message = f"the signature has the task id {quoted(planned.id)}, and id={quoted(given)} is given; drop one"
            raise UsageError(message)
        handle = super()._add_finalizer(role, planned.call, given or planned.id, policies)
        if given is None:
            self._freeze(planned)
        return handle

    def apply_async(
        self,
        options: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,  # noqa: A002  # as in `start`
        on_conflict: OnConflict | str = OnConflict.EXISTING,
        tags: Sequence[str] = (),
    ) -> WorkflowResult:
        """Start the workflow on the registered app; return its result, an `AsyncResult` of Celery.

        `options`: Celery's, for every task; those of a signature win over them. `id`, `on_conflict` and `tags`: see
        `dyrygent_runtime.start`.

        Raises, and nothing is started: `UsageError` if no app was registered, and as `dyrygent_runtime.start`.
        """
        app = registered_app()
        if app is None:
            message = "no app runs workflows yet; call register_workflow_processor(app) where the app is made"
            raise UsageError(message)
        adapter = adapter_of(app)
        run = adapter.start(self._with_options(options or {}), id=id, on_conflict=on_conflict, tags=tags)
        if self.options:
            adapter.journal.annotate(run.key, {PROCESSOR_OPTIONS: self.options})
        return WorkflowResult(run.id, app=app) if adapter.inline is None else EagerWorkflowResult(run, adapter)

    def _with_options(self, options: Mapping[str, Any]) -> Workflow:
        if not options:
            return self
        twin = copy(self)
        merged = {node: evolve(what, options={**options, **what.options}) for node, what in self._calls.items()}
        twin._calls = merged  # noqa: SLF001  # a copy of ourselves
        return twin

    def build(self) -> tuple[Definition, tuple[Call, ...]]:
        """Return the definition as it stands, and the calls, as the core's `build` does."""
        canvases = self._ends() if self._output is None else []
        if not canvases:
            return super().build()
        twin = copy(self)
        twin.returns([it.value for it in canvases] if len(canvases) > 1 else canvases[0].value)
        return twin.build()

    def _ends(self) -> list[_Canvas]:
        """Return the canvases that end the workflow; none if another node does."""
        awaited = {edge.node for node in self._nodes.values() for edge in node.depends_on}
        of_canvases = {node for canvas in self._canvases for node in canvas.last}
        ordinary = (node.id for node in self._nodes.values() if node.role is Role.NODE)
        if any(node not in awaited and node not in of_canvases for node in ordinary):
            return []
        return [it for it in self._canvases if not it.last or not awaited.issuperset(it.last)]

    def _add_all(self, planned: Sequence[Planned], **policies: Any) -> None:
        """Add nodes and freeze their signatures, or raise and change nothing."""
        taken = next((node.id for node in planned if node.id in self), None)
        if taken is not None:
            raise DuplicateNodeError(taken)
        added: list[str] = []
        try:
            for node in planned:
                after = policies.get("after", node.after)
                super().add(node.call, id=node.id, **{**policies, "after": after})
                added.append(node.id)
        except Exception:
            for node_id in added:
                del self._nodes[node_id], self._calls[node_id]
            raise
        for node in planned:
            self._freeze(node)

    def _freeze(self, node: Planned) -> None:
        """Let the first attempt of a node run under its own id, and give its signature that id."""
        self._engine_named.add(node.id)
        if node.is_generated:
            self._generated.add(node.id)
        if node.unfrozen is not None:
            node.unfrozen["options"] = {**(node.unfrozen["options"] or {}), "task_id": node.id}

    def _passes_results(self) -> bool:
        app = registered_app()
        return self._pass_results and (app is None or bool(app.conf.get("dyrygent_pass_results", True)))


def _planned(what: object) -> Planned:
    if isinstance(what, Signature):
        return plan_task(what)
    message = f"a node runs a call or a task's signature, not a {quoted(type(what).__name__)}"
    raise UsageError(message)


def _edges(dependencies: Dependencies) -> tuple[Edge, ...]:
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
