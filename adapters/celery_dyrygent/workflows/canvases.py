"""Adding whole canvases to a workflow, and the workflow's own result, which is theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from attrs import frozen

from celery_dyrygent.canvas import Value, leaves, plan_canvas
from celery_dyrygent.registered import registered_app
from celery_dyrygent.signatures import Kind, kind_of
from celery_dyrygent.workflows.builder import Dependencies, NodeBuilder, edges_to
from celery_dyrygent.workflows.node import WorkflowNode
from dyrygent_core import Call, Definition, Mode, Role, UsageError
from dyrygent_core.calls import Template

__all__ = ["CeleryWorkflowMixin"]


@frozen
class _Canvas:
    """The value of an imported canvas, and its last nodes."""

    value: Value | None
    last: tuple[str, ...]


class CeleryWorkflowMixin(NodeBuilder):
    """Adds canvases; the name is the predecessor's."""

    def __init__(
        self,
        name: str = "",
        *,
        pass_results: bool = True,
        deadline: timedelta | int | None = None,
        max_in_flight: int | None = None,
        mode: Mode | str = Mode.RUN_INDEPENDENT,
    ) -> None:
        super().__init__(name, deadline=deadline, max_in_flight=max_in_flight, mode=mode)
        self._pass_results = pass_results
        self._canvases: list[_Canvas] = []

    def add_celery_canvas(
        self,
        canvas: Any,
        dependencies: Dependencies = None,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> list[WorkflowNode]:
        """Add a node for each task of a canvas, and return the last ones: those that whatever follows waits for.

        `canvas`: a signature, chain, group, chord, map, starmap or chunks, nested to any depth. Its first tasks wait
        for `dependencies`, whose results they do not get; they get `args` and `kwargs`, as from `apply_async`.
        A node's id is its signature's task id. Where none is set, the signature is given one, so that `signature.id`
        is known afterwards; a signature's second place in the canvas has an id of its own. Nothing else of the canvas
        is changed. An empty canvas adds nothing and returns `dependencies`.

        Its callbacks (link, link_error) become nodes beside it: the workflow ends when they have ended, but neither
        its state nor its result is theirs.

        Raises, and nothing is added or changed: `UsageError` for what is no canvas or contains itself, and for error
        callbacks if the mode is `fail_fast`, since they could never run; `DuplicateNodeError` for a task id that is
        taken; `LimitError`.
        """
        after = edges_to(dependencies)
        planned = plan_canvas(
            canvas, after=after, args=args, kwargs=kwargs, pass_results=self._passes_results(), app=registered_app()
        )
        self._add_all(planned.nodes)
        last = leaves(planned.value)
        self._canvases.append(_Canvas(planned.value, last))
        return [self._home.node(node) for node in last or (edge.node for edge in after)]

    def add_celery_signature(self, signature: Any, dependencies: Dependencies = None) -> list[WorkflowNode]:
        """Add a canvas that is one signature, as `add_celery_canvas` does; return its node in a list."""
        return self._add_kind(Kind.TASK, signature, dependencies)

    def add_celery_chain(self, chain: Any, dependencies: Dependencies = None) -> list[WorkflowNode]:
        """Add a chain, as `add_celery_canvas` does; return the nodes of its last step."""
        return self._add_kind(Kind.CHAIN, chain, dependencies)

    def add_celery_group(self, group: Any, dependencies: Dependencies = None) -> list[WorkflowNode]:
        """Add a group, as `add_celery_canvas` does; return the last nodes of all its members."""
        return self._add_kind(Kind.GROUP, group, dependencies)

    def add_celery_chord(self, chord: Any, dependencies: Dependencies = None) -> list[WorkflowNode]:
        """Add a chord, as `add_celery_canvas` does; return the nodes of its body."""
        return self._add_kind(Kind.CHORD, chord, dependencies)

    def build(self) -> tuple[Definition, tuple[Call, ...]]:
        """Return the definition as it stands, and the calls; its own result is that of the canvases which end it."""
        canvases = self._ends() if self._output is None else []
        if not canvases:
            return super().build()
        twin = self._twin(self._calls)
        twin._output = Template.of([it.value for it in canvases] if len(canvases) > 1 else canvases[0].value)  # noqa: SLF001  # a copy of ourselves
        return twin.build()

    def _ends(self) -> list[_Canvas]:
        """Return the canvases that end the workflow; none if another node does."""
        counted = [node for node in self._nodes.values() if node.id not in self._asides]
        awaited = {edge.node for node in counted for edge in node.depends_on}
        of_canvases = {node for canvas in self._canvases for node in canvas.last}
        ordinary = (node.id for node in counted if node.role is Role.NODE)
        if any(node not in awaited and node not in of_canvases for node in ordinary):
            return []
        return [it for it in self._canvases if not it.last or not awaited.issuperset(it.last)]

    def _add_kind(self, kind: Kind, canvas: Any, dependencies: Dependencies) -> list[WorkflowNode]:
        found = kind_of(canvas)
        if found is not kind:
            message = (
                f"add_celery_{_NAMES[kind]} takes a {_NAMES[kind]}, not a {_NAMES[found]}; add_celery_canvas takes both"
            )
            raise UsageError(message)
        return self.add_celery_canvas(canvas, dependencies)

    def _passes_results(self) -> bool:
        app = registered_app()
        return self._pass_results and (app is None or bool(app.conf.get("dyrygent_pass_results", True)))


_NAMES = {
    Kind.TASK: "signature",
    Kind.CHAIN: "chain",
    Kind.GROUP: "group",
    Kind.CHORD: "chord",
    Kind.CHUNKS: "chunks",
}
