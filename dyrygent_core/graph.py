"""Nodes, edges, and the graph that they form: immutable, validated when made.

A graph that exists is acyclic, names only its own nodes, and holds no rule that contradicts itself.
Inside, nodes are numbered: the ordinary ones in topological order, declaration order deciding ties, then those of
the whole workflow. Every algorithm is iterative and O(nodes + edges): a chain of 100,000 nodes is an ordinary input.
How a workflow moves along the graph is decided in `advance`; what a node runs is no business of the graph's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, TypeAlias, TypeVar

import attrs
from attrs import field, frozen
from attrs.validators import instance_of, optional

from dyrygent_core import cells
from dyrygent_core.errors import CycleError, DuplicateNodeError, LimitError, UnknownNodeError, UsageError, quoted
from dyrygent_core.observations import Attempt
from dyrygent_core.rules import (
    AND_RULES,
    EDGE_EFFECTS,
    OUTCOME_COLUMNS,
    ROWS,
    TRIGGERS,
    Condition,
    Effect,
    Row,
    Trigger,
)
from dyrygent_core.sparse import SparseMap

__all__ = [
    "MAX_ID_CHARACTERS",
    "MAX_NODES",
    "MAX_WIDTH",
    "Each",
    "Edge",
    "Graph",
    "Mode",
    "Node",
    "OnLoss",
    "RetryPolicy",
    "Role",
]

MAX_NODES: Final = 1_000_000
"""Most nodes of one graph; the runtime accepts fewer."""
MAX_WIDTH: Final = 100_000
"""Most instances of one mapped node."""
MAX_ID_CHARACTERS: Final = 255
MAX_WHOLE: Final = 2**53 - 1
"""Largest whole number in a policy: the largest that every reader of JSON keeps exactly (RFC 8259, section 6)."""

_MOST_SHOWN: Final = 3
_MOST_PRETTY: Final = 50

_Member = TypeVar("_Member", bound=Enum)


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


class Mode(Enum):
    """What a failure that is not allowed means to the nodes that do not depend on it."""

    RUN_INDEPENDENT = "run_independent"
    FAIL_FAST = "fail_fast"


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


def _optional_whole(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None:
        check_whole(attribute.name, value, 1)


def _check_share(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, int | float) or not 0 <= value <= 1:  # which NaN is not either
        message = f"{attribute.name} must be a number from 0 to 1"
        raise UsageError(message)


def _role(value: Role | str) -> Role:
    return _named(Role, "role", value)


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
    """How long to wait before attempt 2, 3, …: `delay_ms * factor ** (failures - 1)`, at most `max_delay_ms`.

    `jitter`: up to which share of a delay chance may take away, from 0 to 1, so that what failed together does not
    come back together.
    """

    delay_ms: int = field(default=0, validator=_whole(0))
    factor: float = field(default=2.0, validator=_check_factor)
    max_delay_ms: int = field(default=3_600_000, validator=_whole(0))
    jitter: float = field(default=0.0, validator=_check_share)

    def delay_after_ms(self, failures: int, chance: float = 0.0) -> int:
        """Give the delay after so many failures (one or more), in whole milliseconds; `chance` is from 0 to 1."""
        delay = self.delay_ms
        for _ in range(failures - 1):
            longer = int(min(delay * self.factor, self.max_delay_ms))
            if longer <= delay:  # it grows no more
                break
            delay = longer
        longest = min(delay, self.max_delay_ms)
        return longest - int(longest * self.jitter * chance)


Path: TypeAlias = tuple[str | int, ...]


def _path(value: Iterable[str | int]) -> Path:
    return tuple(value)


@frozen
class Each:
    """What a mapped node maps over: the list at `path` in the result of `node`, one instance for each element."""

    node: str = field(validator=_check_text)
    path: Path = field(default=(), converter=_path)


def _each(value: Each | str | None) -> Each | None:
    return Each(value) if isinstance(value, str) else value


def _edges(value: Iterable[str | Edge]) -> tuple[Edge, ...]:
    if isinstance(value, str):
        message = f"depends_on must be a sequence of ids, not the single id {quoted(value)}; write ({value!r},)"
        raise UsageError(message)
    return tuple(edge if isinstance(edge, Edge) else Edge(edge) for edge in value)


@frozen(repr=False)
class Node:
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
    allow_failure: bool = field(default=False, kw_only=True)
    max_attempts: int = field(default=1, validator=_whole(1), kw_only=True)
    retry: RetryPolicy = field(default=RetryPolicy(), validator=instance_of(RetryPolicy), kw_only=True)
    on_loss: OnLoss = field(default=OnLoss.RETRY, converter=_on_loss, kw_only=True)
    max_losses: int = field(default=3, validator=_whole(1), kw_only=True)
    timeout_ms: int | None = field(default=None, validator=_optional_whole, kw_only=True)
    priority: int = field(default=0, validator=_whole(-MAX_WHOLE), kw_only=True)
    each: Each | None = field(default=None, converter=_each, validator=optional(instance_of(Each)), kw_only=True)
    role: Role = field(default=Role.NODE, converter=_role, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Refuse what no outcome could satisfy."""
        if self.role is not Role.NODE:
            self._check_role()
        if self.each is not None:
            self._check_each(self.each)
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
            message = (
                f"node {quoted(self.id)} maps over the result of {quoted(each.node)}, so it needs that node's success, "
                f"but asks for {asked!r}; use the rule 'all_success', or give that edge the condition 'succeeded'"
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

    `max_in_flight`: most attempts in flight at a time. `mode`: what a failure that is not allowed does to the rest.
    `deadline_ms`: how long a round may take, from `Begin` or from the rerun.
    Cost of making one: O(nodes + edges). Two graphs are equal if they hold equal nodes in the same order, and equal
    settings.

    Raises, and nothing is made: `DuplicateNodeError`; `UnknownNodeError` with the closest known id; `CycleError`
    with the path of one cycle; `LimitError` beyond a million nodes; `UsageError` for settings out of range, for a
    dependency on a node of the whole workflow, and for a map over what may end without a list.
    """

    nodes: tuple[Node, ...]
    """Ordinary nodes in topological order, then those of the whole workflow; a node's place is its *number*."""
    max_in_flight: int | None
    mode: Mode
    deadline_ms: int | None
    numbers: Mapping[str, int]
    successors: tuple[tuple[int, ...], ...]
    """For each node, the numbers of the nodes that wait for it, ascending."""
    rows: tuple[bytes, ...]
    """For each of `successors`, the place in `rules.ROWS` of the edge's row."""
    triggers: bytes
    """For each node, the place in `rules.TRIGGERS` of its rule."""
    is_plain: bytes
    """For each node, 1 if its success can do no more than count down, and let unmapped nodes run."""
    roots: tuple[int, ...]
    finalizers: range
    """The numbers of the nodes of the whole workflow."""
    mapped: Mapping[int, Source]
    """Where each mapped node has its width from."""
    ranks: tuple[int, ...] | None
    """For each node, its place in the order of release, where priorities make that another than by number."""
    ranked: tuple[int, ...] | None
    """The nodes in the order of release."""
    is_free: bool
    """Whether nothing but edges holds a node back: no limit, no priorities, no nodes of the whole workflow."""
    page_bits: int
    page_mask: int
    initial_pages: cells.Pages
    initial_blocks: SparseMap[int]
    _first_attempts: list[Attempt | None]
    """Made when they are first asked for, and then shared: most attempts are first ones."""

    def __init__(
        self,
        nodes: Iterable[Node],
        *,
        max_in_flight: int | None = None,
        mode: Mode | str = Mode.RUN_INDEPENDENT,
        deadline_ms: int | None = None,
    ) -> None:
        declared = tuple(nodes)
        if len(declared) > MAX_NODES:
            message = f"a graph has at most {MAX_NODES:,} nodes, this one {len(declared):,}; split the workflow"
            raise LimitError(message)
        for name, value in (("max_in_flight", max_in_flight), ("deadline_ms", deadline_ms)):
            if value is not None:
                check_whole(name, value, 1)
        ordered, parents = _in_order(declared)
        children: list[list[int]] = [[] for _ in ordered]
        rows: list[bytearray] = [bytearray() for _ in ordered]
        for number, node in enumerate(ordered):
            for edge, parent in zip(node.depends_on, parents[number], strict=True):
                children[parent].append(number)
                rows[parent].append(_ROW_CODE[node.row(edge)])
        pages, blocks = cells.initial([len(node.depends_on) if node.role is Role.NODE else None for node in ordered])
        ranks, ranked = _release_order(ordered)
        first_finalizer = next((at for at, node in enumerate(ordered) if node.role is not Role.NODE), len(ordered))
        shared: dict[bytes, bytes] = {}
        self.__attrs_init__(  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]  # attrs makes it
            nodes=ordered,
            max_in_flight=max_in_flight,
            mode=_named(Mode, "mode", mode),
            deadline_ms=deadline_ms,
            numbers={node.id: number for number, node in enumerate(ordered)},
            successors=tuple(map(tuple, children)),
            rows=tuple(shared.setdefault(row, row) for row in map(bytes, rows)),
            triggers=bytes(_TRIGGER_CODE[node.trigger] for node in ordered),
            is_plain=_plain(ordered, children, rows),
            roots=tuple(at for at, node in enumerate(ordered[:first_finalizer]) if not node.depends_on),
            finalizers=range(first_finalizer, len(ordered)),
            mapped=_sources(ordered, parents),
            ranks=ranks,
            ranked=ranked,
            is_free=max_in_flight is None and ranks is None and first_finalizer == len(ordered),
            page_bits=cells.page_bits(len(ordered)),
            page_mask=(1 << cells.page_bits(len(ordered))) - 1,
            initial_pages=pages,
            initial_blocks=SparseMap[int].of(blocks),
            first_attempts=[None] * len(ordered),
        )

    def __len__(self) -> int:
        return len(self.nodes)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Graph):
            return NotImplemented
        return self._written() == other._written()

    def __hash__(self) -> int:
        return hash(self._written())

    def _written(self) -> tuple[object, ...]:
        return (self.nodes, self.max_in_flight, self.mode, self.deadline_ms)

    def __repr__(self) -> str:
        edges = sum(map(len, self.successors))
        shown = ", ".join(quoted(node.id) for node in self.nodes[:_MOST_SHOWN])
        return f"<Graph of {len(self)} nodes, {edges} edges: {shown}{', …' if len(self) > _MOST_SHOWN else ''}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001  # as IPython and Hypothesis call it
        """Show a small graph as the code that makes it, where there is room for that."""
        if cycle or len(self) > _MOST_PRETTY:
            printer.text(repr(self))
            return
        settings = {"max_in_flight": self.max_in_flight, "mode": self.mode.value, "deadline_ms": self.deadline_ms}
        written = [f", {name}={value!r}" for name, value in settings.items() if value not in (None, "run_independent")]
        printer.text(f"Graph({list(self.nodes)}{''.join(written)})")

    def node(self, node_id: str) -> Node:
        """Return the node with this id; raises `UnknownNodeError`."""
        return self.nodes[self.number(node_id)]

    def number(self, node_id: str) -> int:
        """Return the topological number of the node with this id; raises `UnknownNodeError`."""
        try:
            return self.numbers[node_id]
        except KeyError:
            raise UnknownNodeError(node_id, known=self.numbers) from None

    def first_attempt(self, number: int) -> Attempt:
        """Return attempt 1 of the node with this number."""
        attempt = self._first_attempts[number]
        if attempt is None:
            attempt = self._first_attempts[number] = Attempt(self.nodes[number].id)
        return attempt

    def row_code(self, number: int, edge: Edge) -> int:
        """Return the place in `rules.ROWS` of the row of an edge to this node."""
        return _ROW_CODE[self.nodes[number].row(edge)]

    def dependents(self, node_id: str) -> tuple[str, ...]:
        """Return the ids of the nodes that wait directly for this one."""
        return tuple(self.nodes[child].id for child in self.successors[self.number(node_id)])

    @property
    def sinks(self) -> tuple[str, ...]:
        """The ids of the ordinary nodes that nothing waits for."""
        ordinary = zip(self.nodes[: self.finalizers.start], self.successors, strict=False)
        return tuple(node.id for node, below in ordinary if not below)

    def measured_paths(self, node_id: str) -> tuple[Path, ...]:
        """Return at which paths other nodes map over this one's result: what `Succeeded.sizes` is to tell.

        A mapped node's own result is its width long, so that is never measured.
        """
        return _measured(self.nodes, self.successors, self.number(node_id))


@frozen
class Source:
    """Where a mapped node has its width from: the dependency, and which of its sizes; None if that is mapped too."""

    node: int
    size: int | None


def _measured(nodes: Sequence[Node], successors: Sequence[Sequence[int]], number: int) -> tuple[Path, ...]:
    node = nodes[number]
    if node.each is not None:
        return ()
    wanted = (nodes[below].each for below in successors[number])
    return tuple(dict.fromkeys(each.path for each in wanted if each is not None and each.node == node.id))


def _sources(nodes: Sequence[Node], parents: Sequence[Sequence[int]]) -> dict[int, Source]:
    """Find where mapped nodes have their widths from; refuse those that might have none."""
    paths: dict[int, dict[Path, int]] = {}
    sources: dict[int, Source] = {}
    for number, node in enumerate(nodes):
        if node.each is None:
            continue
        above = next(
            parent for edge, parent in zip(node.depends_on, parents[number], strict=True) if edge.node == node.each.node
        )
        _check_mappable(node, node.each, nodes[above])
        known = paths.setdefault(above, {})
        size = None if nodes[above].each is not None else known.setdefault(node.each.path, len(known))
        sources[number] = Source(above, size)
    return sources


def _check_mappable(node: Node, each: Each, above: Node) -> None:
    if above.allow_failure:
        message = (
            f"node {quoted(node.id)} maps over {quoted(above.id)}, whose failure is allowed, so that there may be "
            f"no list; drop allow_failure there, or put a node between that always returns a list"
        )
        raise UsageError(message)
    if above.each is not None and each.path:
        message = (
            f"node {quoted(node.id)} maps over a part of {quoted(above.id)}, which is mapped itself; "
            f"map over the whole of it, one instance for each of its instances"
        )
        raise UsageError(message)


def _plain(nodes: Sequence[Node], children: Sequence[Sequence[int]], rows: Sequence[bytes | bytearray]) -> bytes:
    is_easy = bytes(node.trigger in AND_RULES and node.each is None for node in nodes)
    return bytes(
        node.each is None and not row.strip(_EASY_ROWS) and all(map(is_easy.__getitem__, below))
        for node, below, row in zip(nodes, children, rows, strict=True)
    )


def _release_order(nodes: Sequence[Node]) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    if len({node.priority for node in nodes}) <= 1:
        return None, None
    ranked = sorted(range(len(nodes)), key=lambda number: (-nodes[number].priority, number))
    ranks = [0] * len(ranked)
    for rank, number in enumerate(ranked):
        ranks[number] = rank
    return tuple(ranks), tuple(ranked)


_ROW_CODE: Final = {row: code for code, row in enumerate(ROWS)}
_TRIGGER_CODE: Final = {trigger: code for code, trigger in enumerate(TRIGGERS)}
_EASY_ROWS: Final = bytes(
    _ROW_CODE[row] for row in Condition if EDGE_EFFECTS[row][OUTCOME_COLUMNS.index("SUCCEEDED")] is Effect.HOLD
)


def _in_order(declared: Sequence[Node]) -> tuple[tuple[Node, ...], list[list[int]]]:
    """Give the nodes in the order of their numbers, and the numbers of those that each waits for."""
    place = _places(declared)
    parents = [_parents(node, place) for node in declared]
    for at, node in enumerate(declared):
        for parent in parents[at]:
            if declared[parent].role is not Role.NODE:
                message = (
                    f"node {quoted(node.id)} waits for {quoted(declared[parent].id)}, which is for the whole workflow "
                    f"({declared[parent].role.value!r}) and starts after all others; give both the same role"
                )
                raise UsageError(message)
    order = _topological_order(declared, parents)
    order.sort(key=lambda at: declared[at].role is not Role.NODE)  # stable: those of the whole workflow come last
    number_of = [0] * len(order)
    for number, at in enumerate(order):
        number_of[at] = number
    return tuple(declared[at] for at in order), [[number_of[parent] for parent in parents[at]] for at in order]


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
