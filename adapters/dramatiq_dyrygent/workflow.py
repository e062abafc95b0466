"""`Workflow`: the core's builder, that takes Dramatiq's messages and compositions beside calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, TypeAlias, Unpack

from attrs import evolve, field, frozen
from dramatiq import Message, group, pipeline

import dyrygent_core
from dramatiq_dyrygent.composition import Plan, Planned, Value, call_of, leaves, plan_composition
from dyrygent_core import Call, Definition, NodeHandle, ResultRef, Role, UsageError, call
from dyrygent_core.calls import Template
from dyrygent_core.errors import quoted
from dyrygent_core.wiring import After, edges_of
from dyrygent_core.workflow import FinalizerPolicies

__all__ = ["Composition", "Imported", "Workflow"]

Composition: TypeAlias = "Message[Any] | pipeline | group"


@frozen
class Imported:
    """A composition that was added: its nodes as they are written, those that end it, and its value.

    `result`: for `returns`, and inside later calls' arguments: the last message's, or of a group the list of its
    members', nested as the groups are.
    """

    nodes: tuple[NodeHandle, ...]
    last: tuple[NodeHandle, ...]
    result: Any = field(repr=False)


class Workflow(dyrygent_core.Workflow):
    """Collects nodes: pipelines, groups, messages, and calls as the core has them, in any mixture.

    The workflow's own result is the composition's, if one is all there is; else as in the core.
    """

    engine: ClassVar[str] = "Dramatiq"
    _imported: Imported | None = None

    def add_composition(self, composition: Composition, *, after: Iterable[After] | After = ()) -> Imported:
        """Add the nodes of a pipeline, a group, or a message with what it is piped to; see `composition`.

        `after`: what the first of them wait for, as in `add`. Nodes are named by their actors.
        Raises, and nothing is added: `UsageError` and `LimitError` as `plan_composition` does; `UsageError` for options
        that no call can have.
        """
        edges = edges_of(after)
        plan = plan_composition(composition)
        handles: list[NodeHandle] = []
        try:
            for planned in plan.nodes:
                before = edges if planned.after is None else tuple(handles[number] for number in planned.after)
                handles.append(super().add(_given(planned, handles), after=before))
        except Exception:
            for handle in handles:
                del self._nodes[handle.id], self._calls[handle.id]
                self._generated.discard(handle.id)
            raise
        return self._keep(plan, handles)

    def _keep(self, plan: Plan, handles: list[NodeHandle]) -> Imported:
        last = tuple(handles[number] for number in leaves(plan.value))
        imported = Imported(tuple(handles), last, _with_results(plan.value, handles))
        if len(self) == len(handles):
            self._imported = imported
        return imported

    def add(self, what: Call | Message[Any], *, id: str | None = None, **policies: Any) -> NodeHandle:  # noqa: A002  # as in the core
        """Add a node that runs a call, or one message, and return its handle; see the core's `add`.

        Results may stand in a message's arguments as in a call's: `add(actor.message(node.result))`.
        """
        return super().add(_as_call(what), id=id, **policies)

    def finally_(
        self,
        what: Call | Message[Any],
        *,
        id: str | None = None,  # noqa: A002  # as in the core
        **policies: Unpack[FinalizerPolicies],
    ) -> NodeHandle:
        """Add a node that runs once all others are final, whatever became of them; see the core's `finally_`."""
        return self._add_finalizer(Role.FINALLY, _as_call(what), id, policies)

    def on_error(
        self,
        what: Call | Message[Any],
        *,
        id: str | None = None,  # noqa: A002  # as in the core
        **policies: Unpack[FinalizerPolicies],
    ) -> NodeHandle:
        """Add a node that runs once all others are final, if the workflow failed; see the core's `on_error`."""
        return self._add_finalizer(Role.ON_ERROR, _as_call(what), id, policies)

    def on_success(
        self,
        what: Call | Message[Any],
        *,
        id: str | None = None,  # noqa: A002  # as in the core
        **policies: Unpack[FinalizerPolicies],
    ) -> NodeHandle:
        """Add a node that runs once all others are final, if nothing failed; see the core's `on_success`."""
        return self._add_finalizer(Role.ON_SUCCESS, _as_call(what), id, policies)

    def build(self) -> tuple[Definition, tuple[Call, ...]]:
        """Return the definition as it stands, and the calls, as the core's `build` does."""
        definition, calls = super().build()
        whole = self._imported
        if whole is None or self._output is not None or len(whole.nodes) != len(self):
            return definition, calls
        output = Template.of(whole.result)
        kept = definition.kept | {reference.node for reference in output.references}
        return evolve(definition, output=output, kept=kept), calls


def _as_call(what: object) -> Call:
    if isinstance(what, Call):
        return what
    if not isinstance(what, Message):
        message = f"a node runs a call or an actor's message, not a {quoted(type(what).__name__)}"
        if isinstance(what, pipeline | group):
            message = f"{message}; add that with add_composition(…)"
        raise UsageError(message)
    if what.options.get("pipe_target") is not None:
        message = f"the message of {quoted(what.actor_name)} is piped to another; add both with add_composition(…)"
        raise UsageError(message)
    return call_of(what)


def _given(planned: Planned, handles: list[NodeHandle]) -> Call:
    """Return a planned call with the result that is passed to it, behind its own arguments as Dramatiq has it."""
    if planned.gets is None:
        return planned.call
    inputs, result = planned.call.inputs, handles[planned.gets].result
    if inputs.references:
        message = (
            f"the message of {quoted(planned.call.target)} gets a result and refers to others; "
            f"add it as a node: workflow.add(call(…), after=…)"
        )
        raise UsageError(message)
    return call(planned.call.target, *inputs.value["args"], result, **inputs.value["kwargs"]).with_options(
        **planned.call.options
    )


def _with_results(value: Value, handles: list[NodeHandle]) -> ResultRef | list[Any]:
    """Put results where the numbers of their nodes are; lists may be nested deeply."""
    whole: list[Any] = []
    todo: list[tuple[Value, list[Any]]] = [(value, whole)]
    while todo:
        item, into = todo.pop()
        if isinstance(item, int):
            into.append(handles[item].result)
            continue
        inner: list[Any] = []
        into.append(inner)
        todo += [(it, inner) for it in reversed(item)]
    first: ResultRef | list[Any] = whole[0]
    return first
