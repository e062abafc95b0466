"""The builder: collects nodes and what they run, and yields a `Definition` and its calls.

The core never looks into a `Call`; it is kept here, beside the graph, because the two are written down together.
Which engine runs a definition is decided by the adapter that it is given to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeAlias, TypedDict, Unpack, cast

import attrs
from attrs import evolve, field, frozen

from dyrygent_core.errors import DuplicateNodeError, UnknownNodeError, UsageError, quoted
from dyrygent_core.graph import Each, Edge, Graph, Mode, Node, OnLoss, RetryPolicy, Role, check_id, check_whole
from dyrygent_core.refs import ITEM, SUMMARY, Default, Reference, ResultRef, detach
from dyrygent_core.rules import AND_RULES, RULES_VERSION, Condition, Trigger

__all__ = ["Call", "Definition", "NodeHandle", "Template", "Workflow", "call"]


@frozen
class Template:
    """A value with holes, and the references that fill them."""

    value: Any = field(default=None, hash=False)
    references: tuple[Reference, ...] = ()

    @classmethod
    def of(cls, value: Any) -> Template:  # a payload
        """Take the references out of a value; raises `UsageError` as `refs.detach` does."""
        return cls(*detach(value))


@frozen
class Call:
    """What a node runs, engine-neutral: a target's name, its arguments, and options for the engine.

    `inputs` holds `{"args": […], "kwargs": {…}}` with the references taken out.
    """

    target: str
    inputs: Template = field(factory=lambda: Template({"args": [], "kwargs": {}}))
    options: Mapping[str, Any] = field(factory=dict[str, Any], hash=False)

    def with_options(self, **options: Any) -> Call:  # the engine's own
        """Return the same call with more options for the engine, such as `queue="mail"` on Celery."""
        return evolve(self, options={**self.options, **options})


def call(target: str, /, *args: Any, **kwargs: Any) -> Call:  # payloads
    """Say what a node runs: `call("mail.welcome", user.result["id"], lang="pl")`.

    References to results may stand anywhere in the arguments, inside lists and dicts too.
    Raises `UsageError` for an empty name, and as `refs.detach` does.
    """
    check_target(target)
    return Call(target, Template.of({"args": list(args), "kwargs": kwargs}))


def check_target(target: object) -> None:
    """Raise `UsageError` unless this can be a target's name."""
    if not isinstance(target, str) or not target:
        message = f"a call names its target by a non-empty str, not {quoted(repr(target))}"
        raise UsageError(message)


@frozen
class NodeHandle:
    """A node just added: its id, references to its result, and edges to it under each condition."""

    id: str

    @property
    def result(self) -> ResultRef:
        """Stands for the node's result inside a later call's arguments."""
        return ResultRef(self.id)

    @property
    def done(self) -> Edge:
        """For `after=`: whatever became of the node."""
        return Edge(self.id, Condition.DONE)

    @property
    def failed(self) -> Edge:
        """For `after=`: only if the node failed."""
        return Edge(self.id, Condition.FAILED)

    @property
    def skipped(self) -> Edge:
        """For `after=`: only if the node was skipped."""
        return Edge(self.id, Condition.SKIPPED)

    @property
    def not_failed(self) -> Edge:
        """For `after=`: unless the node failed."""
        return Edge(self.id, Condition.NOT_FAILED)


After: TypeAlias = NodeHandle | Edge | str


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
    rules_version: int = RULES_VERSION


class FinalizerPolicies(TypedDict, total=False):
    """What a node of the whole workflow takes beside its call: see `Node`."""

    allow_failure: bool
    max_attempts: int
    retry: RetryPolicy
    on_loss: OnLoss | str
    max_losses: int
    timeout: timedelta | int | None
    priority: int


class Workflow:
    """Collects nodes, each with the call that it runs.

    A node may be added before those it waits for, if these are named by id; whether all of them are there, and
    form no cycle, is checked when the workflow is built or started.
    """

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

        Raises `UsageError` for a deadline below a millisecond, a limit below 1 and an unknown mode.
        """
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
        source = None if each is None else _each(each)
        what = _with_item(what, source)
        edges = _with_referred(_edges(after), what.inputs.references, trigger)
        if source is not None and all(edge.node != source.node for edge in edges):
            edges = (*edges, Edge(source.node, Condition.SUCCEEDED if trigger in _OTHER_AND_RULES else None))
        return self._add(
            what,
            id,
            depends_on=edges,
            trigger=trigger,
            allow_failure=allow_failure,
            max_attempts=max_attempts,
            retry=retry or RetryPolicy(),
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
        _check_call(what)
        timeout_ms = _milliseconds("timeout", policies.get("timeout"))
        rest = {name: value for name, value in policies.items() if name != "timeout"}
        return self._add(what, given, role=role, timeout_ms=timeout_ms, **rest)

    def _add(self, what: Call, given: str | None, **fields: Any) -> NodeHandle:
        node_id = check_id(given) if given is not None else self._free_id(what.target)
        if node_id in self._nodes:
            raise DuplicateNodeError(node_id)
        node = Node(node_id, **fields)
        _check_references(node, what.inputs.references, self._nodes)
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
            _check_references(node, self._calls[node.id].inputs.references, self._nodes)
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


def _each(each: object) -> Each:
    match each:
        case NodeHandle(id=node):
            return Each(node)
        case ResultRef(node=node, path=path, fallback=None):
            return Each(node, path)
        case str():
            return Each(each)
        case ResultRef(node=node):
            message = (
                f"each= maps over a result of {quoted(node)} that has a default, but a node that it maps over always "
                f"has succeeded; drop the default"
            )
            raise UsageError(message)
        case _:
            message = f"each= takes a node or a part of its result, not a value of type {type(each).__name__}"
            raise UsageError(message)


def _with_item(what: Call, each: Each | None) -> Call:
    """Make the element the first argument of a mapped node's call, unless the call places it."""
    _check_call(what)
    is_placed = any(reference.node == ITEM for reference in what.inputs.references)
    if each is None or is_placed:
        return what
    value, references = what.inputs.value, what.inputs.references
    moved = (evolve(it, at=("args", int(it.at[1]) + 1, *it.at[2:])) if it.at[0] == "args" else it for it in references)
    inputs = Template({**value, "args": [None, *value["args"]]}, (Reference(("args", 0), ITEM), *moved))
    return evolve(what, inputs=inputs)


def _check_output(reference: Reference, nodes: Mapping[str, Node]) -> None:
    if reference.node in (ITEM, SUMMARY):
        message = f"returns takes results of nodes; {_PLACES[reference.node]}"
        raise UsageError(message)
    if reference.node not in nodes:
        raise UnknownNodeError(reference.node, known=nodes)


def _check_call(what: object) -> None:
    if not isinstance(what, Call):
        message = f"add takes what a node runs as call(name, …), not a value of type {type(what).__name__}"
        raise UsageError(message)


def _edges(after: object) -> tuple[Edge, ...]:
    items: Iterable[object] = (after,)
    if isinstance(after, Iterable) and not isinstance(after, str | ResultRef):
        items = cast("Iterable[object]", after)
    edges: dict[str, Edge] = {}
    for item in items:
        edge = _edge(item)
        if edges.setdefault(edge.node, edge) != edge:
            message = f"after= names {quoted(edge.node)} under two conditions; name it once"
            raise UsageError(message)
    return tuple(edges.values())


def _edge(item: object) -> Edge:
    match item:
        case Edge():
            return item
        case NodeHandle(id=node_id):
            return Edge(node_id)
        case str():
            return Edge(item)
        case ResultRef(node=node_id):
            message = f"after= takes nodes, not results; write the node {quoted(node_id)} itself"
            raise UsageError(message)
        case _:
            message = f"after= takes node handles, ids and edges such as node.done, not {type(item).__name__}"
            raise UsageError(message)


def _with_referred(
    edges: tuple[Edge, ...], references: Iterable[Reference], trigger: Trigger | str
) -> tuple[Edge, ...]:
    """Add an edge to each node that is referred to and not named.

    It needs success, unless all references to that node have a default: then they are for a node that may run
    without the value, and when it runs is left to its rule. OR-rules leave no choice.
    """
    named = {edge.node: edge for edge in edges}
    references = [reference for reference in references if reference.node not in (ITEM, SUMMARY)]
    strict = {reference.node for reference in references if reference.fallback is None}
    condition = Condition.SUCCEEDED if trigger in _OTHER_AND_RULES else None
    for reference in references:
        named.setdefault(reference.node, Edge(reference.node, condition if reference.node in strict else None))
    return tuple(named.values())


_OTHER_AND_RULES: Final = frozenset(
    name for rule in AND_RULES if AND_RULES[rule] is not Condition.SUCCEEDED for name in (rule, rule.value)
)


def _check_references(node: Node, references: Iterable[Reference], nodes: Mapping[str, Node]) -> None:
    """Refuse a reference that may find no result when the node runs."""
    edges = {edge.node: edge for edge in node.depends_on}
    for reference in references:
        if reference.node in (ITEM, SUMMARY):
            _check_place(node, reference.node)
            continue
        if node.role is not Role.NODE:
            _check_late_reference(node, reference, nodes)
            continue
        why = _why_perhaps_missing(node, edges[reference.node], nodes.get(reference.node))
        if why is None:
            continue
        if node.trigger in (Trigger.ONE_SUCCESS, Trigger.ONE_FAILED):
            message = (
                f"node {quoted(node.id)} refers to the result of {quoted(reference.node)}, but {node.trigger.value!r} "
                f"runs before its other dependencies are decided; read results in a node after it"
            )
            raise UsageError(message)
        if reference.fallback is None:
            message = (
                f"node {quoted(node.id)} refers to the result of {quoted(reference.node)}, which may have none: {why}; "
                f"write .result.default(value) to say what to use then"
            )
            raise UsageError(message)


_PLACES: Final = {
    ITEM: "workflow.item is for the call of a mapped node: add it with each=",
    SUMMARY: "workflow.summary is for the call of finally_, on_error or on_success",
}


def _check_place(node: Node, place: str) -> None:
    if (node.each is None) if place == ITEM else (node.role is Role.NODE):
        message = f"node {quoted(node.id)}: {_PLACES[place]}"
        raise UsageError(message)


def _check_late_reference(node: Node, reference: Reference, nodes: Mapping[str, Node]) -> None:
    """Refuse a reference of a node of the whole workflow to what may not be there."""
    referred = nodes.get(reference.node)
    if referred is None:
        raise UnknownNodeError(reference.node, known=nodes)
    if referred.role is not Role.NODE:
        message = (
            f"node {quoted(node.id)} refers to the result of {quoted(referred.id)}, which is for the whole workflow "
            f"too and starts at the same time; do both in one task"
        )
        raise UsageError(message)
    if reference.fallback is None:
        message = (
            f"node {quoted(node.id)} runs whatever became of {quoted(referred.id)}, so its result may be missing; "
            f"write .result.default(value) to say what to use then"
        )
        raise UsageError(message)


def _why_perhaps_missing(node: Node, edge: Edge, dependency: Node | None) -> str | None:
    if node.trigger not in AND_RULES:
        return f"the rule {node.trigger.value!r} runs without some dependencies"
    condition = node.row(edge)
    if condition is not Condition.SUCCEEDED:
        return f"the edge asks for {condition.value!r} only"
    if dependency is not None and dependency.allow_failure:
        return "its failure is allowed"
    return None


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
