"""The builder: collects nodes and what they run, and yields a `Definition` and its calls.

The core never looks into a `Call`; it is kept here, beside the graph, because the two are written down together.
Which engine runs a definition is decided by the adapter that it is given to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeAlias, cast

import attrs
from attrs import evolve, field, frozen

from dyrygent_core.errors import DuplicateNodeError, UnknownNodeError, UsageError, quoted
from dyrygent_core.graph import Edge, Graph, Node, OnLoss, RetryPolicy, check_id, check_whole
from dyrygent_core.refs import Default, Reference, ResultRef, detach
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


class Workflow:
    """Collects nodes, each with the call that it runs.

    A node may be added before those it waits for, if these are named by id; whether all of them are there, and
    form no cycle, is checked when the workflow is built or started.
    """

    def __init__(self, name: str = "", *, deadline: timedelta | int | None = None) -> None:
        """Begin an empty workflow; `deadline` is a `timedelta`, or milliseconds, from its start.

        Raises `UsageError` for a deadline below a millisecond.
        """
        self.name = name
        self._deadline_ms = _milliseconds(deadline)
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
    ) -> NodeHandle:
        """Add a node that runs `what`, and return its handle.

        `after`: the nodes it waits for, as handles, ids or edges such as `node.done`. Those whose results the call
        refers to need not be named: the node then needs their success, or, where the reference has a default,
        what its rule says. `id`: made from the call's target where it is not given. The rest are the
        node's policies, see `Node`.

        Raises, and nothing is added: `DuplicateNodeError`; `UsageError` for a reference to a node that may have
        no result when this one runs, unless the reference has a default.
        """
        _check_call(what)
        node_id = check_id(id) if id is not None else self._free_id(what.target)
        if node_id in self._nodes:
            raise DuplicateNodeError(node_id)
        edges = _with_referred(_edges(after), what.inputs.references, trigger)
        node = Node(
            node_id,
            edges,
            trigger=trigger,
            allow_failure=allow_failure,
            max_attempts=max_attempts,
            retry=retry or RetryPolicy(),
            on_loss=on_loss,
            max_losses=max_losses,
        )
        _check_references(node, what.inputs.references, self._nodes)
        self._nodes[node_id] = node
        self._calls[node_id] = what
        if id is None:
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
        graph = Graph(self._nodes.values(), deadline_ms=self._deadline_ms)
        for node in graph.nodes:  # again: a node may have been added before those it refers to
            _check_references(node, self._calls[node.id].inputs.references, self._nodes)
        output = self._output if self._output is not None else _of_sinks(graph.sinks)
        for reference in output.references:
            if reference.node not in self._nodes:
                raise UnknownNodeError(reference.node, known=self._nodes)
        output = Template(output.value, tuple(map(_with_none, output.references)))
        calls = tuple(self._calls[node.id] for node in graph.nodes)
        kept = (
            reference.node
            for template in (*(item.inputs for item in calls), output)
            for reference in template.references
        )
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


def _milliseconds(duration: timedelta | int | None) -> int | None:
    if duration is None:
        return None
    whole = duration // timedelta(milliseconds=1) if isinstance(duration, timedelta) else duration
    check_whole("deadline", whole, 1)
    return whole
