"""Nodes and edges: who waits for whom, under which rule, and with which policies. Validated when made.

A node that exists holds no value out of range and no rule that contradicts itself. Whether nodes fit together is
decided in `graph`; what a node runs is no business of theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum
from typing import Final, TypeAlias

import attrs
from attrs import field, frozen
from attrs.validators import optional

from dyrygent_core.checks import MAX_WHOLE, check_id, instance, is_key, items_of, named, number, shown, whole
from dyrygent_core.errors import UsageError, quoted
from dyrygent_core.refs import MAX_NESTING
from dyrygent_core.rules import AND_RULES, Condition, Row, Trigger

__all__ = [
    "MAX_NODES",
    "MAX_WIDTH",
    "Each",
    "Edge",
    "Node",
    "OnLoss",
    "Path",
    "RetryPolicy",
    "Role",
    "node_like",
    "plain_edge",
]

MAX_WIDTH: Final = 100_000
"""Most instances of one mapped node."""
MAX_NODES: Final = 1_000_000
"""Most nodes of one graph, and so most dependencies of one node; the runtime accepts fewer."""


class OnLoss(Enum):
    """What to do when an attempt is lost."""

    RETRY = "retry"
    FAIL = "fail"


class Role(Enum):
    """When a node's time comes: those of the whole workflow start once all ordinary ones are final."""

    NODE = "node"
    FINALLY = "finally"
    ON_ERROR = "on_error"
    ON_SUCCESS = "on_success"


def _condition(value: Condition | str | None) -> Condition | None:
    return None if value is None else named(Condition, "condition", value)


def _trigger(value: Trigger | str) -> Trigger:
    return named(Trigger, "trigger", value)


def _on_loss(value: OnLoss | str) -> OnLoss:
    return named(OnLoss, "on_loss", value)


def _role(value: Role | str) -> Role:
    return named(Role, "role", value)


def _check_text(_: object, __: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str):
        message = f"a dependency is named by its id, not by a value of type {type(value).__name__}: {shown(value)}"
        raise UsageError(message)


class _EdgeFields:
    """The fields of an edge, while it is made."""

    __slots__ = ("condition", "node")

    node: str
    condition: Condition | None


@frozen(weakref_slot=False)
class Edge(_EdgeFields):
    """A dependency on `node`, and what is asked of it; no condition means the waiting node's rule."""

    node: str = field(validator=_check_text)
    condition: Condition | None = field(default=None, converter=_condition)


@frozen
class RetryPolicy:
    """How long to wait before attempt 2, 3, …: `delay_ms * factor ** (failures - 1)`, at most `max_delay_ms`.

    `jitter`: up to which share of a delay chance may take away, from 0 to 1, so that what failed together does not
    come back together.
    """

    delay_ms: int = field(default=0, validator=whole(0))
    factor: float = field(default=2.0, validator=number(1, MAX_WHOLE))
    max_delay_ms: int = field(default=3_600_000, validator=whole(0))
    jitter: float = field(default=0.0, validator=number(0, 1))

    def delay_after_ms(self, failures: int, chance: float = 0.0) -> int:
        """Give the delay after so many failures (one or more), in whole milliseconds; `chance` is from 0 to 1."""
        delay = float(self.delay_ms)
        for _ in range(failures - 1):  # and no power: its last digit is another on other platforms
            if self.factor == 1 or not 0 < delay < self.max_delay_ms:  # it grows no more
                break
            delay *= self.factor
        longest = int(min(delay, self.max_delay_ms))
        return longest - int(longest * self.jitter * chance)


Path: TypeAlias = tuple[str | int, ...]


def _path(value: Iterable[str | int]) -> Path:
    path = items_of("path", value, "keys", MAX_NESTING)
    odd = [key for key in path if not is_key(key)]
    if odd:
        message = f"a path has keys that are str and indexes that are int, not {type(odd[0]).__name__}: {shown(odd[0])}"
        raise UsageError(message)
    return path


@frozen
class Each:
    """What a mapped node maps over: the list at `path` in the result of `node`, one instance for each element."""

    node: str = field(validator=_check_text)
    path: Path = field(default=(), converter=_path)


def _each(value: Each | str | None) -> Each | None:
    return Each(value) if isinstance(value, str) else value


def _edges(value: Iterable[str | Edge]) -> tuple[Edge, ...]:
    items = items_of("depends_on", value, "ids or edges", MAX_NODES)
    return tuple(item if isinstance(item, Edge) else Edge(item) for item in items)


_IS_BOOL: Final = instance(bool, "True or False")
_IS_POLICY: Final = instance(RetryPolicy, "a RetryPolicy(delay_ms, …)")
_IS_EACH: Final = instance(Each, "an id or Each(id, path)")


class _NodeFields:
    """The fields of a node, while it is made."""

    __slots__ = (
        "allow_failure",
        "depends_on",
        "each",
        "id",
        "max_attempts",
        "max_losses",
        "on_loss",
        "priority",
        "retry",
        "role",
        "timeout_ms",
        "trigger",
    )

    id: str
    depends_on: tuple[Edge, ...]
    trigger: Trigger
    allow_failure: bool
    max_attempts: int
    retry: RetryPolicy
    on_loss: OnLoss
    max_losses: int
    timeout_ms: int | None
    priority: int
    each: Each | None
    role: Role


@frozen(repr=False, weakref_slot=False)
class Node(_NodeFields):
    """A position in the graph: whom it waits for, under which rule, and its policies.

    `depends_on`: ids, or `Edge`s where an edge has a condition of its own.
    `trigger`: the rule over all edges; edges with conditions go with AND-rules only.
    `allow_failure`: its FAILED satisfies whoever waits for success, and does not fail the workflow.
    `max_attempts`: 1 leaves retries to the engine; more make us retry after `retry`'s delay.
    `timeout_ms`: how long an attempt may take; who tells the time is the runtime.
    `on_loss`, `max_losses`: what follows a lost attempt; the `max_losses`-th loss fails the node.
    `priority`: who goes first among those that may run, the highest.
    `each`: makes it a *mapped* node, which has one instance for each element of that dependency's result.
    `role`: one other than NODE makes it a node of the whole workflow, which waits for all ordinary ones.

    Raises `UsageError` for values out of range, and for those that contradict each other.
    """

    id: str = field(converter=check_id)
    depends_on: tuple[Edge, ...] = field(default=(), converter=_edges)
    trigger: Trigger = field(default=Trigger.ALL_SUCCESS, converter=_trigger, kw_only=True)
    allow_failure: bool = field(default=False, validator=_IS_BOOL, kw_only=True)
    max_attempts: int = field(default=1, validator=whole(1), kw_only=True)
    retry: RetryPolicy = field(default=RetryPolicy(), validator=_IS_POLICY, kw_only=True)
    on_loss: OnLoss = field(default=OnLoss.RETRY, converter=_on_loss, kw_only=True)
    max_losses: int = field(default=3, validator=whole(1), kw_only=True)
    timeout_ms: int | None = field(default=None, validator=optional(whole(1)), kw_only=True)
    priority: int = field(default=0, validator=whole(-MAX_WHOLE), kw_only=True)
    each: Each | None = field(default=None, converter=_each, validator=optional(_IS_EACH), kw_only=True)
    role: Role = field(default=Role.NODE, converter=_role, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Refuse what no outcome could satisfy."""
        if self.role is not Role.NODE:
            self._check_role()
        if self.each is not None:
            self._check_each(self.each)
        if len({edge.node for edge in self.depends_on}) < len(self.depends_on):
            counted = Counter(edge.node for edge in self.depends_on)
            repeated = next(name for name, times in counted.items() if times > 1)
            message = f"node {quoted(self.id)} lists the dependency {quoted(repeated)} twice; name it once"
            raise UsageError(message)
        if self.trigger in AND_RULES:
            return
        if not self.depends_on:
            message = f"node {quoted(self.id)}: {self.trigger.value!r} needs at least one dependency"
            raise UsageError(message)
        conditional = next((edge for edge in self.depends_on if edge.condition is not None), None)
        if conditional is not None:
            message = (
                f"node {quoted(self.id)}: {self.trigger.value!r} looks at all dependencies together, so the edge from "
                f"{quoted(conditional.node)} cannot have a condition of its own; drop one of the two"
            )
            raise UsageError(message)

    def __repr__(self) -> str:
        """Show what was written, and no defaults."""
        written = [repr(self.id)]
        for attribute in attrs.fields(type(self))[1:]:
            value = getattr(self, attribute.name)
            if value == attribute.default:
                continue
            if attribute.name == "depends_on":
                value = [edge if edge.condition is not None else edge.node for edge in self.depends_on]
            shown = repr(value.value) if isinstance(value, Enum) else repr(value)
            written.append(shown if attribute.name == "depends_on" else f"{attribute.name}={shown}")
        return f"Node({', '.join(written)})"

    def _check_role(self) -> None:
        if not self.depends_on and self.each is None:
            return
        message = (
            f"node {quoted(self.id)} is for the whole workflow ({self.role.value!r}), so it waits for every ordinary "
            f"node; drop its dependencies, or make it an ordinary node"
        )
        raise UsageError(message)

    def _check_each(self, each: Each) -> None:
        edge = next((edge for edge in self.depends_on if edge.node == each.node), None)
        if edge is None:
            message = f"node {quoted(self.id)} maps over {quoted(each.node)}; name that among its dependencies too"
            raise UsageError(message)
        if self.row(edge) is not Condition.SUCCEEDED:
            asked = self.row(edge).value
            other = ", or give that edge the condition 'succeeded'" if self.trigger in AND_RULES else ""
            message = (
                f"node {quoted(self.id)} maps over the result of {quoted(each.node)}, so it needs that node's success, "
                f"but asks for {asked!r}; use the rule 'all_success'{other}"
            )
            raise UsageError(message)

    def row(self, edge: Edge) -> Row:
        """Give the row of the rules' tables that one of this node's edges follows."""
        if self.trigger not in AND_RULES:
            return self.trigger
        return edge.condition or AND_RULES[self.trigger]


def plain_edge(node_id: str) -> Edge:
    """Return `Edge(node_id)`, at a third of its cost: nothing is checked."""
    edge = _EdgeFields()
    edge.node = node_id
    edge.condition = None
    edge.__class__ = Edge  # from here on nobody can write to it
    return edge  # type: ignore[return-value]


def node_like(other: Node, node_id: str, depends_on: tuple[Edge, ...]) -> Node:
    """Return a node with the policies of another, at a tenth of what `Node` costs: nothing is checked.

    For whoever reads many nodes and knows that the id may be one, that the dependencies are distinct, and that they go
    with the policies.
    """
    node = _NodeFields()
    node.id = node_id
    node.depends_on = depends_on
    node.trigger = other.trigger
    node.allow_failure = other.allow_failure
    node.max_attempts = other.max_attempts
    node.retry = other.retry
    node.on_loss = other.on_loss
    node.max_losses = other.max_losses
    node.timeout_ms = other.timeout_ms
    node.priority = other.priority
    node.each = other.each
    node.role = other.role
    node.__class__ = Node  # from here on nobody can write to it
    return node  # type: ignore[return-value]
