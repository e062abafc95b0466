"""The builder: collects nodes and what they run, and yields a `Definition` and its calls.

The core never looks into a `Call`; it is kept here, beside the graph, because the two are written down together.
Which engine runs a definition is decided by the adapter that it is given to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, ClassVar, Final, TypedDict, Unpack

import attrs
from attrs import field, frozen

from dyrygent_core.calls import Call, Template
from dyrygent_core.checks import check_id, check_text, check_whole, named
from dyrygent_core.errors import DuplicateNodeError, UnknownNodeError, UsageError
from dyrygent_core.graph import Graph, Mode
from dyrygent_core.nodes import Edge, Node, OnLoss, RetryPolicy, Role
from dyrygent_core.refs import ITEM, SUMMARY, Default, Reference, ResultRef
from dyrygent_core.rules import Condition, Trigger
from dyrygent_core.wiring import (
    OTHER_AND_RULES,
    PLACES,
    After,
    NodeHandle,
    check_call,
    check_references,
    each_of,
    edges_of,
    with_item,
    with_referred,
)

__all__ = ["Definition", "FinalizerPolicies", "Workflow"]


@frozen
class Definition:
    """What a journal keeps of a workflow beside its calls: the graph, and the shape of the workflow's own result."""

    graph: Graph
    output: Template = field(factory=Template)
    kept: frozenset[str] = frozenset()
    """The nodes whose results somebody refers to, so that they are stored."""
    engine_named: frozenset[str] = frozenset()
    """The nodes whose id is an id of the engine's: their first attempt runs under it."""
    name: str = ""

    @property
    def rules_version(self) -> int:
        """The version of the rules that the workflow follows to its end."""
        return self.graph.rules.version


class FinalizerPolicies(TypedDict, total=False):
    """What a node of the whole workflow takes beside its call: see `Node`."""

    allow_failure: bool
    max_attempts: int
    retry: RetryPolicy | None
    on_loss: OnLoss | str
    max_losses: int
    timeout: timedelta | int | None
    priority: int


class Workflow:
    """Collects nodes, each with the call that it runs.

    A node may be added before those it waits for, if these are named by id; whether all of them are there, and
    form no cycle, is checked when the workflow is built or started.
    """

    engine: ClassVar[str] = ""
    """The only engine that it runs on, of a builder that takes what is an engine's own; empty for all."""

    def __init__(
        self,
        name: str = "",
        *,
        deadline: timedelta | int | None = None,
        max_in_flight: int | None = None,
        mode: Mode | str = Mode.RUN_INDEPENDENT,
    ) -> None:
        """Begin an empty workflow.

        `deadline`: a `timedelta`, or milliseconds, from its start. `max_in_flight`: most attempts in flight at a
        time. `mode`: `"fail_fast"` lets nothing more start after the first failure that is not allowed.

        Raises `UsageError` for a name that is no text, a deadline below a millisecond, a limit below 1 and an unknown
        mode.
        """
        check_text("a workflow's name", name)
        self.name = name
        self._settings = Graph(
            (), max_in_flight=max_in_flight, mode=mode, deadline_ms=_milliseconds("deadline", deadline)
        )
        self._nodes: dict[str, Node] = {}
        self._calls: dict[str, Call] = {}
        self._generated: set[str] = set()
        self._engine_named: set[str] = set()
        self._output: Template | None = None
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._nodes

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} of {len(self)} nodes>"

    def add(
        self,
        what: Call,
        *,
        id: str | None = None,  # noqa: A002  # the word a user expects here
        after: Iterable[After] | After = (),
        trigger: Trigger | str = Trigger.ALL_SUCCESS,
        allow_failure: bool = False,
        max_attempts: int = 1,
        retry: RetryPolicy | None = None,
        on_loss: OnLoss | str = OnLoss.RETRY,
        max_losses: int = 3,
        timeout: timedelta | int | None = None,
        priority: int = 0,
        each: NodeHandle | ResultRef | str | None = None,
    ) -> NodeHandle:
        """Add a node that runs `what`, and return its handle.

        `after`: the nodes it waits for, as handles, ids or edges such as `node.done`. Those whose results the call
        refers to need not be named: the node then needs their success, or, where the reference has a default,
        what its rule says. `id`: made from the call's target where it is not given.
        `each`: a node, or a part of its result, whose value is a list: the call then runs once for each element,
        which is its first argument unless the call places `workflow.item`; the node's own result is the list of
        what they return. `timeout`: a `timedelta`, or milliseconds. The rest are the node's policies, see `Node`.

        Raises, and nothing is added: `DuplicateNodeError`; `UsageError` for a reference to a node that may have
        no result when this one runs, unless the reference has a default, and for what `Node` refuses.
        """
        rule = named(Trigger, "trigger", trigger)
        source = None if each is None else each_of(each)
        what = with_item(what, source)
        edges = with_referred(edges_of(after), what.inputs.references, rule)
        if source is not None and all(edge.node != source.node for edge in edges):
            edges = (*edges, Edge(source.node, Condition.SUCCEEDED if rule in OTHER_AND_RULES else None))
        return self._add(
            what,
            id,
            depends_on=edges,
            trigger=rule,
            allow_failure=allow_failure,
            max_attempts=max_attempts,
            retry=RetryPolicy() if retry is None else retry,
            on_loss=on_loss,
            max_losses=max_losses,
            timeout_ms=_milliseconds("timeout", timeout),
            priority=priority,
            each=source,
        )

    def finally_(self, what: Call, *, id: str | None = None, **policies: Unpack[FinalizerPolicies]) -> NodeHandle:  # noqa: A002
        """Add a node that runs once all others are final, whatever became of them, also after a cancel.

        Its call may place `workflow.summary`, and results with defaults; it waits for nothing by name. `policies`
        are those of `add`: `allow_failure`, `max_attempts`, `retry`, `on_loss`, `max_losses`, `timeout`, `priority`.
        If it fails, a workflow that would be SUCCESS is FAILURE, unless its failure is allowed.

        Raises `UsageError`, and nothing is added, as `add` does.
        """
        return self._add_finalizer(Role.FINALLY, what, id, policies)

    def on_error(self, what: Call, *, id: str | None = None, **policies: Unpack[FinalizerPolicies]) -> NodeHandle:  # noqa: A002
        """Add a node that runs once all others are final, if the workflow failed or passed its deadline.

        The rest as for `finally_`.
        """
        return self._add_finalizer(Role.ON_ERROR, what, id, policies)

    def on_success(self, what: Call, *, id: str | None = None, **policies: Unpack[FinalizerPolicies]) -> NodeHandle:  # noqa: A002
        """Add a node that runs once all others are final, if nothing failed.

        The rest as for `finally_`.
        """
        return self._add_finalizer(Role.ON_SUCCESS, what, id, policies)

    @property
    def item(self) -> ResultRef:
        """Stands for the element inside the call of a mapped node; `workflow.item["key"]` is a part of it."""
        return ResultRef(ITEM)

    @property
    def summary(self) -> ResultRef:
        """Stands for what became of the workflow, inside the call of a node of the whole workflow.

        A dict: `workflow_id`, `state`, `failed` (at most 100 of `{"node": …, "error": …}`) and `failed_count`.
        """
        return ResultRef(SUMMARY)

    def _add_finalizer(self, role: Role, what: Call, given: str | None, policies: FinalizerPolicies) -> NodeHandle:
        known = FinalizerPolicies.__optional_keys__
        unknown = sorted(set(policies) - known)
        if unknown:
            message = (
                f"{unknown[0]!r} is nothing that a node of the whole workflow takes: it waits for all ordinary nodes, "
                f"and takes {', '.join(sorted(known))}"
            )
            raise UsageError(message)
        check_call(what)
        fields: dict[str, Any] = {**policies}
        timeout_ms = _milliseconds("timeout", fields.pop("timeout", None))
        if fields.get("retry") is None:  # as `add` takes it
            fields.pop("retry", None)
        return self._add(what, given, role=role, timeout_ms=timeout_ms, **fields)

    def _add(self, what: Call, given: str | None, **fields: Any) -> NodeHandle:
        node_id = check_id(given) if given is not None else self._free_id(what.target)
        if node_id in self._nodes:
            raise DuplicateNodeError(node_id)
        node = Node(node_id, **fields)
        check_references(node, what.inputs.references, self._nodes)
        self._nodes[node_id] = node
        self._calls[node_id] = what
        if given is None:
            self._generated.add(node_id)
        return NodeHandle(node_id)

    def returns(self, value: Any) -> None:  # a payload
        """Say what the workflow's own result is: a value with references to results anywhere in it.

        Without this it is the result of the only sink, or `{node id: result}` of the sinks.
        A node without a result gives None, or the reference's default.
        """
        self._output = Template.of(value)

    @property
    def generated(self) -> frozenset[str]:
        """The ids that were made up rather than given."""
        return frozenset(self._generated)

    def build(self) -> tuple[Definition, tuple[Call, ...]]:
        """Return the definition as it stands, and the calls in the order of its graph's nodes.

        Raises `UnknownNodeError` and `CycleError` as `Graph` does, `UsageError` for a reference that may find no
        result.
        """
        settings = self._settings
        graph = Graph(
            self._nodes.values(),
            max_in_flight=settings.max_in_flight,
            mode=settings.mode,
            deadline_ms=settings.deadline_ms,
        )
        for node in graph.nodes:  # again: a node may have been added before those it refers to
            check_references(node, self._calls[node.id].inputs.references, self._nodes)
        output = self._output if self._output is not None else _of_sinks(graph.sinks)
        for reference in output.references:
            _check_output(reference, self._nodes)
        output = Template(output.value, tuple(map(_with_none, output.references)))
        calls = tuple(self._calls[node.id] for node in graph.nodes)
        templates = (*(item.inputs for item in calls), output)
        kept = {reference.node for template in templates for reference in template.references}
        kept |= {node.each.node for node in graph.nodes if node.each is not None}
        kept -= {ITEM, SUMMARY}
        return Definition(graph, output, frozenset(kept), frozenset(self._engine_named), self.name), calls

    def _free_id(self, target: str) -> str:
        """Make an id from a call's target, the same whenever the same workflow is built."""
        base = target[:_LONGEST_BASE]
        if base not in self._nodes:
            return base
        number = self._numbers.get(base, 2)
        while f"{base}#{number}" in self._nodes:
            number += 1
        self._numbers[base] = number  # all below are taken, so the next search begins here
        return f"{base}#{number}"


_LONGEST_BASE: Final = 240
"""Leaves room for `#` and a number within the 255 characters of an id."""


def _check_output(reference: Reference, nodes: Mapping[str, Node]) -> None:
    if reference.node in (ITEM, SUMMARY):
        message = f"returns takes results of nodes; {PLACES[reference.node]}"
        raise UsageError(message)
    if reference.node not in nodes:
        raise UnknownNodeError(reference.node, known=nodes)


def _of_sinks(sinks: tuple[str, ...]) -> Template:
    if len(sinks) == 1:
        return Template.of(ResultRef(sinks[0]))
    return Template.of({sink: ResultRef(sink) for sink in sinks})


def _with_none(reference: Reference) -> Reference:
    """Let the workflow's own result have None where a node has no value."""
    return reference if reference.fallback is not None else attrs.evolve(reference, fallback=Default(None))


def _milliseconds(what: str, duration: timedelta | int | None) -> int | None:
    if duration is None:
        return None
    whole = duration // timedelta(milliseconds=1) if isinstance(duration, timedelta) else duration
    check_whole(what, whole, 1)
    return whole
