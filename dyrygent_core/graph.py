"""The graph that nodes form: immutable, validated when made.

A graph that exists is acyclic and names only its own nodes. Inside, nodes are numbered: the ordinary ones in a
topological order that follows from that of the declaration, then those of the whole workflow. Beside its nodes it
keeps what `advance` wants to look up by number. Every algorithm is iterative and O(nodes + edges): a chain of 100,000
nodes is an ordinary input. How a workflow moves along the graph is decided in `advance`.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final

from attrs import frozen

from dyrygent_core import cells
from dyrygent_core.checks import check_id, check_whole, items_of, named, shown
from dyrygent_core.errors import UnknownNodeError, UsageError, quoted
from dyrygent_core.nodes import MAX_NODES, Each, Edge, Node, Path, Role
from dyrygent_core.observations import Attempt, first_attempt
from dyrygent_core.order import in_order
from dyrygent_core.rules import AND_RULES, ROWS, TRIGGERS
from dyrygent_core.sparse import SparseMap
from dyrygent_core.versions import NEWEST_RULES, Rules

__all__ = ["MAX_NODES", "Graph", "Mode"]

_MOST_SHOWN: Final = 3
_MOST_PRETTY: Final = 50


class Mode(Enum):
    """What a failure that is not allowed means to the nodes that do not depend on it."""

    RUN_INDEPENDENT = "run_independent"
    FAIL_FAST = "fail_fast"


@frozen(init=False, eq=False, repr=False)
class Graph:
    """An immutable, validated DAG of nodes.

    `max_in_flight`: most attempts in flight at a time. `mode`: what a failure that is not allowed does to the rest.
    `deadline_ms`: how long a round may take, from `Begin` or from the rerun. `rules`: the version of the rules that it
    follows; another than the newest only if a journal says so.
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
    rules: Rules
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
    """Whether nothing but edges holds an ordinary node back: no limit, no priorities."""
    page_bits: int
    page_mask: int
    initial_pages: cells.Pages
    initial_blocks: SparseMap[int]
    _fingerprint: list[str]
    """Made when it is first asked for."""
    wide: frozenset[int]
    """The nodes with more dependencies than a cell can count, so that they have blocks to begin with."""

    def __init__(
        self,
        nodes: Iterable[Node],
        *,
        max_in_flight: int | None = None,
        mode: Mode | str = Mode.RUN_INDEPENDENT,
        deadline_ms: int | None = None,
        rules: Rules = NEWEST_RULES,
    ) -> None:
        declared = _declared(nodes)
        for name, value in (("max_in_flight", max_in_flight), ("deadline_ms", deadline_ms)):
            if value is not None:
                check_whole(name, value, 1)
        ordered, parents = in_order(declared)
        children: list[list[int]] = [[] for _ in ordered]
        for number, above in enumerate(parents):
            for parent in above:
                children[parent].append(number)
        rows = _rows(ordered, parents, children)
        pages, blocks = cells.initial([len(node.depends_on) if node.role is Role.NODE else None for node in ordered])
        ranks, ranked = _release_order(ordered)
        first_finalizer = next((at for at, node in enumerate(ordered) if node.role is not Role.NODE), len(ordered))
        self.__attrs_init__(  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]  # attrs makes it
            nodes=ordered,
            max_in_flight=max_in_flight,
            mode=named(Mode, "mode", mode),
            deadline_ms=deadline_ms,
            rules=rules,
            numbers={node.id: number for number, node in enumerate(ordered)},
            successors=tuple(map(tuple, children)),
            rows=rows,
            triggers=bytes(_TRIGGER_CODE[node.trigger] for node in ordered),
            is_plain=_plain(ordered, children, rows, rules),
            roots=tuple(at for at, node in enumerate(ordered[:first_finalizer]) if not node.depends_on),
            finalizers=range(first_finalizer, len(ordered)),
            mapped=_sources(ordered, parents),
            ranks=ranks,
            ranked=ranked,
            is_free=max_in_flight is None and ranks is None,
            page_bits=cells.page_bits(len(ordered)),
            page_mask=(1 << cells.page_bits(len(ordered))) - 1,
            initial_pages=pages,
            initial_blocks=SparseMap[int].of(blocks),
            fingerprint=[],
            wide=frozenset(blocks),
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
        return (self.nodes, self.max_in_flight, self.mode, self.deadline_ms, self.rules)

    def __repr__(self) -> str:
        edges = sum(map(len, self.successors))
        shown = ", ".join(quoted(node.id) for node in self.nodes[:_MOST_SHOWN])
        rules = "" if self.rules == NEWEST_RULES else f", rules {self.rules.version}"
        return f"<Graph of {len(self)} nodes, {edges} edges{rules}: {shown}{', …' if len(self) > _MOST_SHOWN else ''}>"

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
        except (KeyError, TypeError):
            raise UnknownNodeError(check_id(node_id), known=self.numbers) from None

    def first_attempt(self, number: int) -> Attempt:
        """Return attempt 1 of the node with this number."""
        return first_attempt(self.nodes[number].id)

    @property
    def fingerprint(self) -> str:
        """What tells this graph from others: 32 hexadecimal digits of its nodes' ids, edges, rules and roles."""
        if not self._fingerprint:
            roles = [self.nodes[number].role.value for number in self.finalizers]
            mapped = [[number, source.node, source.size] for number, source in self.mapped.items()]
            content = [list(self.numbers), self.successors, roles, mapped]
            digest = hashlib.blake2b(json.dumps(content).encode(), digest_size=16)
            digest.update(b"".join(self.rows))
            digest.update(self.triggers)
            self._fingerprint.append(digest.hexdigest())
        return self._fingerprint[0]

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
        number = self.number(node_id)
        return _measured(self.nodes, self.successors, number) if self.mapped else ()


@frozen
class Source:
    """Where a mapped node has its width from: the dependency, and which of its sizes; None if that is mapped too."""

    node: int
    size: int | None


def _declared(nodes: Iterable[Node]) -> tuple[Node, ...]:
    if isinstance(nodes, Node):
        message = f"a graph is made of a sequence of nodes, not of one; write [{nodes!r}]"
        raise UsageError(message)
    declared = items_of("a graph", nodes, "nodes", MAX_NODES, "; split the workflow")
    odd = [node for node in declared if not isinstance(node, Node)]
    if odd:
        message = f"a graph is made of nodes such as Node('load'), not of {type(odd[0]).__name__}: {shown(odd[0])}"
        raise UsageError(message)
    return declared


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


def _rows(
    nodes: Sequence[Node], parents: Sequence[Sequence[int]], children: Sequence[Sequence[int]]
) -> tuple[bytes, ...]:
    """Give the rows of the edges out of each node; equal ones are one object.

    Most edges ask for success, whose number is 0, so only the others are looked up.
    """
    asking = {number for number, node in enumerate(nodes) for edge in node.depends_on if edge.condition is not None}
    asking.update(number for number, node in enumerate(nodes) if _ROW_CODE_OF_RULE[node.trigger])
    other: dict[int, bytearray] = {}
    for number in asking:
        of_rule = _ROW_CODE_OF_RULE[nodes[number].trigger]
        for edge, parent in zip(nodes[number].depends_on, parents[number], strict=True):
            code = of_rule if edge.condition is None else _ROW_CODE[edge.condition]
            if code:
                row = other.get(parent) or other.setdefault(parent, bytearray(len(children[parent])))
                row[bisect_left(children[parent], number)] = code
    plain = {size: bytes(size) for size in set(map(len, children))}
    shared: dict[bytes, bytes] = {}
    odd = {number: shared.setdefault(row, row) for number, row in zip(other, map(bytes, other.values()), strict=True)}
    if not odd:
        return tuple(map(plain.__getitem__, map(len, children)))
    return tuple(odd.get(number) or plain[len(below)] for number, below in enumerate(children))


def _plain(nodes: Sequence[Node], children: Sequence[Sequence[int]], rows: Sequence[bytes], rules: Rules) -> bytes:
    hard = {number for number, node in enumerate(nodes) if node.each is not None or node.trigger not in AND_RULES}
    is_easy = {row: not row.strip(rules.easy_rows) for row in set(rows)}
    if not hard:
        return bytes(map(is_easy.__getitem__, rows))
    return bytes(
        node.each is None and is_easy[row] and hard.isdisjoint(below)
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
_ROW_CODE_OF_RULE: Final = {trigger: _ROW_CODE[AND_RULES.get(trigger, trigger)] for trigger in TRIGGERS}
"""Of an edge that has no condition of its own."""
_TRIGGER_CODE: Final = {trigger: code for code, trigger in enumerate(TRIGGERS)}
