"""Nodes, edges, and the graph that they form: immutable, validated when made.

A graph that exists is acyclic, names only its own nodes, and holds no rule that contradicts itself.
Inside, nodes are numbered in topological order, declaration order deciding ties; `node_number` and `node_ids`
translate. Every algorithm is iterative and O(nodes + edges): a chain of 100,000 nodes is an ordinary input.
How a workflow moves along the graph is decided in `advance`; what a node runs is no business of the graph's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, TypeVar

import attrs
from attrs import field, frozen
from attrs.validators import instance_of

from dyrygent_core import cells
from dyrygent_core.errors import CycleError, DuplicateNodeError, LimitError, UnknownNodeError, UsageError, quoted
from dyrygent_core.rules import AND_RULES, Condition, Row, Trigger

__all__ = ["MAX_ID_CHARACTERS", "MAX_NODES", "Edge", "Graph", "Node", "OnLoss", "RetryPolicy"]

MAX_NODES: Final = 1_000_000
"""Most nodes of one graph; the runtime accepts fewer."""
MAX_ID_CHARACTERS: Final = 255
MAX_WHOLE: Final = 2**53 - 1
"""Largest whole number in a policy: the largest that every reader of JSON keeps exactly (RFC 8259, section 6)."""

_MOST_SHOWN: Final = 3

_Member = TypeVar("_Member", bound=Enum)


class OnLoss(Enum):
    """What to do when an attempt is lost."""

    RETRY = "retry"
    FAIL = "fail"


def _named(kind: type[_Member], what: str, value: _Member | str) -> _Member:
    if isinstance(value, kind):
        return value
    try:
        return kind(value)
    except ValueError:
        names = ", ".join(repr(member.value) for member in kind)
        message = f"{what} {value!r} is none of {names}"
        raise UsageError(message) from None


def check_id(value: object) -> str:
    """Return `value` if it may be an id: 1 to 255 characters of any text but NUL and lone surrogates.

    Raises `UsageError` otherwise. PostgreSQL cannot store the one, UTF-8 cannot write the other.
    """
    if not isinstance(value, str):
        message = f"an id must be a str, not {type(value).__name__}: {quoted(repr(value))}"
        raise UsageError(message)
    if not 1 <= len(value) <= MAX_ID_CHARACTERS:
        message = f"an id must have 1 to {MAX_ID_CHARACTERS} characters; {quoted(value)} has {len(value)}"
        raise UsageError(message)
    if "\0" in value or not _is_utf_8(value):
        message = f"an id must not contain NUL or a lone surrogate: {quoted(value)}"
        raise UsageError(message)
    return value


def _is_utf_8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_whole(what: str, value: object, least: int) -> None:
    """Raise `UsageError` unless `value` is a whole number from `least` to `MAX_WHOLE`."""
    if not isinstance(value, int) or isinstance(value, bool):
        message = f"{what} must be a whole number, not {type(value).__name__}"
        raise UsageError(message)
    if value > MAX_WHOLE:
        message = f"{what} must be at most {MAX_WHOLE}"
        raise UsageError(message)
    if value < least:
        message = f"{what} must be at least {least}, not {max(value, -MAX_WHOLE)}"
        raise UsageError(message)


def _whole(least: int) -> Callable[[object, attrs.Attribute[int], object], None]:
    return lambda _, attribute, value: check_whole(attribute.name, value, least)


def _check_factor(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, int | float) or not 1 <= value <= MAX_WHOLE:  # which NaN is not either
        message = f"{attribute.name} must be a number from 1 to {MAX_WHOLE}"
        raise UsageError(message)


def _condition(value: Condition | str | None) -> Condition | None:
    return None if value is None else _named(Condition, "condition", value)


def _trigger(value: Trigger | str) -> Trigger:
    return _named(Trigger, "trigger", value)


def _on_loss(value: OnLoss | str) -> OnLoss:
    return _named(OnLoss, "on_loss", value)


def _check_text(_: object, __: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str):
        message = f"a dependency is named by its id, not by a value of type {type(value).__name__}"
        raise UsageError(message)


@frozen
class Edge:
    """A dependency on `node`, and what is asked of it; no condition means the waiting node's rule."""

    node: str = field(validator=_check_text)
    condition: Condition | None = field(default=None, converter=_condition)


@frozen
class RetryPolicy:
    """How long to wait before attempt 2, 3, …: `delay_ms * factor ** (failures - 1)`, at most `max_delay_ms`."""

    delay_ms: int = field(default=0, validator=_whole(0))
    factor: float = field(default=2.0, validator=_check_factor)
    max_delay_ms: int = field(default=3_600_000, validator=_whole(0))

    def delay_after_ms(self, failures: int) -> int:
        """Give the delay after so many failures (one or more), in whole milliseconds."""
        delay = self.delay_ms
        for _ in range(failures - 1):
            longer = int(min(delay * self.factor, self.max_delay_ms))
            if longer <= delay:  # it grows no more
                break
            delay = longer
        return min(delay, self.max_delay_ms)


def _edges(value: Iterable[str | Edge]) -> tuple[Edge, ...]:
    if isinstance(value, str):
        message = f"depends_on must be a sequence of ids, not the single id {quoted(value)}; write ({value!r},)"
        raise UsageError(message)
    return tuple(edge if isinstance(edge, Edge) else Edge(edge) for edge in value)


@frozen
class Node:
    """A position in the graph: whom it waits for, under which rule, and its policies.

    `depends_on`: ids, or `Edge`s where an edge has a condition of its own.
    `trigger`: the rule over all edges; edges with conditions go with AND-rules only.
    `allow_failure`: its FAILED satisfies whoever waits for success, and does not fail the workflow.
    `max_attempts`: 1 leaves retries to the engine; more make us retry after `retry`'s delay.
    `on_loss`, `max_losses`: what follows a lost attempt; the `max_losses`-th loss fails the node.

    Raises `UsageError` for values out of range, and for those that contradict each other.
    """

    id: str = field(converter=check_id)
    depends_on: tuple[Edge, ...] = field(default=(), converter=_edges)
    trigger: Trigger = field(default=Trigger.ALL_SUCCESS, converter=_trigger, kw_only=True)
    allow_failure: bool = field(default=False, kw_only=True)
    max_attempts: int = field(default=1, validator=_whole(1), kw_only=True)
    retry: RetryPolicy = field(default=RetryPolicy(), validator=instance_of(RetryPolicy), kw_only=True)
    on_loss: OnLoss = field(default=OnLoss.RETRY, converter=_on_loss, kw_only=True)
    max_losses: int = field(default=3, validator=_whole(1), kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Refuse what no outcome could satisfy."""
        repeated = [name for name, times in Counter(edge.node for edge in self.depends_on).items() if times > 1]
        if repeated:
            message = f"node {quoted(self.id)} lists the dependency {quoted(repeated[0])} twice; name it once"
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

    def row(self, edge: Edge) -> Row:
        """Give the row of `rules.EDGE_EFFECTS` that one of this node's edges follows."""
        if self.trigger not in AND_RULES:
            return self.trigger
        return edge.condition or AND_RULES[self.trigger]


@frozen(init=False, eq=False, repr=False)
class Graph:
    """An immutable, validated DAG of nodes.

    Cost of making one: O(nodes + edges). Two graphs are equal if they hold equal nodes in the same order.

    Raises, and nothing is made: `DuplicateNodeError`; `UnknownNodeError` with the closest known id; `CycleError`
    with the path of one cycle; `LimitError` beyond a million nodes; `UsageError` for a `deadline_ms` below 1.
    """

    nodes: tuple[Node, ...]
    """In topological order; a node's place here is its *number*."""
    deadline_ms: int | None
    """How long the workflow may take from `Begin`, or None."""
    numbers: Mapping[str, int]
    successors: tuple[tuple[int, ...], ...]
    rows: tuple[tuple[Row, ...], ...]
    """For each of `successors`, the row of the edge."""
    roots: tuple[int, ...]
    page_bits: int
    initial_pages: cells.Pages
    initial_blocks: Mapping[int, int]

    def __init__(self, nodes: Iterable[Node], *, deadline_ms: int | None = None) -> None:
        declared = tuple(nodes)
        if len(declared) > MAX_NODES:
            message = f"a graph has at most {MAX_NODES:,} nodes, this one {len(declared):,}; split the workflow"
            raise LimitError(message)
        if deadline_ms is not None:
            check_whole("deadline_ms", deadline_ms, 1)
        place = _places(declared)
        parents = [_parents(node, place) for node in declared]
        order = _topological_order(declared, parents)
        number_of = [0] * len(order)
        for number, declared_at in enumerate(order):
            number_of[declared_at] = number
        ordered = tuple(declared[at] for at in order)
        children: list[list[int]] = [[] for _ in order]
        rows: list[list[Row]] = [[] for _ in order]
        for number, at in enumerate(order):
            for edge, parent in zip(declared[at].depends_on, parents[at], strict=True):
                children[number_of[parent]].append(number)
                rows[number_of[parent]].append(declared[at].row(edge))
        pages, blocks = cells.initial([len(node.depends_on) for node in ordered])
        self.__attrs_init__(  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]  # attrs makes it
            nodes=ordered,
            deadline_ms=deadline_ms,
            numbers={node.id: number for number, node in enumerate(ordered)},
            successors=tuple(map(tuple, children)),
            rows=tuple(map(tuple, rows)),
            roots=tuple(number for number, node in enumerate(ordered) if not node.depends_on),
            page_bits=cells.page_bits(len(ordered)),
            initial_pages=pages,
            initial_blocks=blocks,
        )

    def __len__(self) -> int:
        return len(self.nodes)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Graph):
            return NotImplemented
        return (self.nodes, self.deadline_ms) == (other.nodes, other.deadline_ms)

    def __hash__(self) -> int:
        return hash((self.nodes, self.deadline_ms))

    def __repr__(self) -> str:
        edges = sum(map(len, self.successors))
        shown = ", ".join(quoted(node.id) for node in self.nodes[:_MOST_SHOWN])
        return f"<Graph of {len(self)} nodes, {edges} edges: {shown}{', …' if len(self) > _MOST_SHOWN else ''}>"

    def node(self, node_id: str) -> Node:
        """Return the node with this id; raises `UnknownNodeError`."""
        return self.nodes[self.number(node_id)]

    def number(self, node_id: str) -> int:
        """Return the topological number of the node with this id; raises `UnknownNodeError`."""
        try:
            return self.numbers[node_id]
        except KeyError:
            raise UnknownNodeError(node_id, known=self.numbers) from None

    def dependents(self, node_id: str) -> tuple[str, ...]:
        """Return the ids of the nodes that wait directly for this one."""
        return tuple(self.nodes[child].id for child in self.successors[self.number(node_id)])

    @property
    def sinks(self) -> tuple[str, ...]:
        """The ids of the nodes that nothing waits for."""
        return tuple(node.id for node, below in zip(self.nodes, self.successors, strict=True) if not below)


def _places(nodes: Sequence[Node]) -> dict[str, int]:
    place: dict[str, int] = {}
    for at, node in enumerate(nodes):
        if place.setdefault(node.id, at) != at:
            raise DuplicateNodeError(node.id)
    return place


def _parents(node: Node, place: Mapping[str, int]) -> list[int]:
    try:
        return [place[edge.node] for edge in node.depends_on]
    except KeyError:
        missing = next(edge.node for edge in node.depends_on if edge.node not in place)
        raise UnknownNodeError(missing, wanted_by=node.id, known=place) from None


def _topological_order(nodes: Sequence[Node], parents: Sequence[Sequence[int]]) -> list[int]:
    """Order by Kahn's algorithm, first declared first among the free."""
    children: list[list[int]] = [[] for _ in nodes]
    for at, above in enumerate(parents):
        for parent in above:
            children[parent].append(at)
    left = [len(above) for above in parents]
    order = [at for at, above in enumerate(parents) if not above]
    for at in order:  # grows while it is read: the list is the queue
        for child in children[at]:
            left[child] -= 1
            if not left[child]:
                order.append(child)
    if len(order) < len(nodes):
        raise CycleError(tuple(nodes[at].id for at in _cycle(left, parents)))
    return order


def _cycle(left: Sequence[int], parents: Sequence[Sequence[int]]) -> list[int]:
    """Walk up from an undecided node to undecided parents until one repeats; give that circle along its edges."""
    at = next(node for node, count in enumerate(left) if count)
    seen: dict[int, int] = {}
    walk: list[int] = []
    while at not in seen:
        seen[at] = len(walk)
        walk.append(at)
        at = next(parent for parent in parents[at] if left[parent])
    circle = walk[seen[at] :]
    return [circle[0], *reversed(circle)]
