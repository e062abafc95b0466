"""What is in a picture: boxes and arrows, in words, before any format has its say.

Which nodes share a box is decided in `folding`; how boxes and arrows are written, by each format.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from math import isqrt
from typing import Final, TypeAlias

from attrs import frozen

from dyrygent_core.checks import check_whole
from dyrygent_core.diagrams.folding import Groups, Sketch, bands, foldings, size, sketch
from dyrygent_core.diagrams.palette import BY_URGENCY
from dyrygent_core.diagrams.texts import MOST_SHOWN, visible
from dyrygent_core.errors import UsageError
from dyrygent_core.graph import Graph
from dyrygent_core.nodes import Node, Role
from dyrygent_core.rules import AND_RULES, ROWS, Condition, Row
from dyrygent_core.state import State
from dyrygent_core.statuses import Status

__all__ = [
    "ARROWS_PER_NODE",
    "EACH",
    "MOST_DRAWN",
    "Arrow",
    "Box",
    "Picture",
    "alike",
    "by_urgency",
    "picture",
    "tally",
]

MOST_DRAWN: Final = 100
"""Boxes of a picture, unless told otherwise: with more, a page shows their pattern, but no longer their names.

With `ARROWS_PER_NODE` it also keeps within what Mermaid draws without being configured: 500 edges (`maxEdges`), and
50,000 characters (`maxTextSize`) unless most ids are long and consist of signs, which take five characters each.
"""
ARROWS_PER_NODE: Final = 5
"""Most arrows of a picture, for each of its `max_nodes`. Real workflows have two or three."""

_LEAST_DRAWN: Final = 4
"""Nodes of the four roles are never drawn as one."""


Counts: TypeAlias = tuple[tuple[Status, int], ...]
"""How many there are of each status, the most urgent first."""


@frozen
class Box:
    """One node, or several that are drawn as one."""

    names: tuple[str, ...]
    """Its id; of several nodes, those of the first and the last, in topological order."""
    notes: tuple[str, ...]
    """What is special about it: its rule, its role, its instances."""
    size: int
    counts: Counts = ()
    """How many of its nodes have each status; nothing if no state is shown."""
    is_row: bool = False
    """Whether some of its nodes wait for others of them."""
    is_mapped: bool = False
    instances: Counts = ()
    """How many instances have each status; nothing if it is not mapped, has not started, or is several nodes."""
    role: Role = Role.NODE

    @property
    def status(self) -> Status | None:
        """The most urgent of its statuses."""
        return self.counts[0][0] if self.counts else None

    @property
    def name(self) -> str:
        """Its names on one line."""
        return (" → … → " if self.is_row else " … ").join(self.names)

    @property
    def lines(self) -> tuple[str, ...]:
        """What it says, line by line."""
        first, *last = self.names
        names = (
            (self.name,)
            if len(self.name) <= MOST_SHOWN or not last
            else (f"{first} {'→ ' if self.is_row else ''}…", *last)
        )
        size = () if self.size == 1 else (f"× {self.size:,}",)
        counts = () if self.status is None else (self.status.name if len(self.counts) == 1 else tally(self.counts),)
        return (*names, *self.notes, *size, *counts, *((tally(self.instances),) if self.instances else ()))


@frozen
class Arrow:
    """The edges from the nodes of one box to those of another; boxes are named by their places."""

    start: int
    end: int
    label: str
    """What is asked; nothing where it is success, or where the box at the end says its rule."""
    is_plain: bool
    """Whether it asks for success, and for no more."""


@frozen
class Picture:
    """Boxes, those of the whole workflow last, and the arrows between them, which form no circle."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def picture(graph: Graph, state: State | None, max_nodes: int) -> Picture:
    """Draw a graph in at most `max_nodes` boxes and `ARROWS_PER_NODE` times as many arrows.

    In a folded picture an arrow is left out if it asks for success only, and others lead from its start to its end.
    Raises `UsageError` for a `max_nodes` below 4, and for a state of another graph.
    """
    check_whole("max_nodes", max_nodes, _LEAST_DRAWN)
    drawn = _sketch(graph, state)
    most = ARROWS_PER_NODE * max_nodes
    for groups in foldings(drawn):
        if size(groups) <= max_nodes:
            arrows, rows = _arrows(drawn, groups)
            if size(groups) < len(graph):
                arrows = _without_implied(arrows, size(groups))
            if len(arrows) <= most:
                return Picture(_boxes(drawn, state, groups, rows), arrows)
    apart = {graph.nodes[number].role for number in graph.finalizers}
    groups = bands(drawn, min(max_nodes - len(apart), (1 + isqrt(1 + 8 * most)) // 2))
    arrows, rows = _arrows(drawn, groups)
    return Picture(_boxes(drawn, state, groups, rows), _without_implied(arrows, size(groups)))


def alike(graph: Graph, state: State | None, max_nodes: int) -> Picture:
    """Draw a graph in `max_nodes` boxes, or as few as may be where each has nodes of one status only, and all arrows.

    Raises `UsageError` for a state of another graph.
    """
    drawn = _sketch(graph, state)
    groups: Groups = ()
    for groups in foldings(drawn):
        if size(groups) <= max_nodes:
            break
    arrows, rows = _arrows(drawn, groups)
    return Picture(_boxes(drawn, state, groups, rows), arrows)


def by_urgency(found: Mapping[Status, int]) -> Counts:
    """Sort counts, the most urgent status first, without those that are zero."""
    return tuple((status, found[status]) for status in BY_URGENCY if found.get(status))


def tally(counts: Counts) -> str:
    """Say how many there are of each status."""
    return ", ".join(f"{number:,} {status.name}" for status, number in counts)


EACH: Final = "each"
"""The label of an arrow whose end is mapped over its start."""
_WORDS: Final = (*(row.value for row in ROWS), EACH)
_MOST_REDUCED: Final = 2_000
"""Above so many boxes no arrow is left out: it would take more than O(nodes + edges), and nobody reads it."""


def _sketch(graph: Graph, state: State | None) -> Sketch:
    if state is None:
        return sketch(graph, None)
    if state.graph is not graph and state.graph != graph:
        message = (
            f"this state is of another graph, {state.graph!r}, not of {graph!r}; give the two that belong together"
        )
        raise UsageError(message)
    return sketch(graph, tuple(state.statuses.values()))


def _arrows(drawn: Sketch, groups: Groups) -> tuple[tuple[Arrow, ...], frozenset[int]]:
    """Collect the edges between groups, and which groups have edges within."""
    asked: dict[tuple[int, int], set[str]] = {}
    for number, (node, parents) in enumerate(zip(drawn.graph.nodes, drawn.parents, strict=True)):
        rule: Row = AND_RULES.get(node.trigger, node.trigger)
        for edge, parent in zip(node.depends_on, parents, strict=True):
            words = asked.setdefault((groups[parent], groups[number]), set())
            words.add((edge.condition or rule).value)
            if node.each is not None and node.each.node == edge.node:
                words.add(EACH)
    rows = frozenset(start for start, end in asked if start == end)
    told = _told(drawn, groups)
    arrows = (
        Arrow(start, end, _label(words, told[end]), words == {Condition.SUCCEEDED.value})
        for (start, end), words in asked.items()
        if start != end
    )
    return tuple(arrows), rows


def _told(drawn: Sketch, groups: Groups) -> list[str]:
    """Give the rule that each group's box says among its notes, or nothing."""
    rules: list[set[str]] = [set() for _ in range(size(groups))]
    for node, group in zip(drawn.graph.nodes, groups, strict=True):
        rules[group].add("" if node.trigger in AND_RULES else node.trigger.value)
    return [rule.pop() if len(rule) == 1 else "" for rule in rules]


def _without_implied(arrows: tuple[Arrow, ...], boxes: int) -> tuple[Arrow, ...]:
    """Leave out the arrows that ask for success only, if others lead around: the transitive reduction."""
    if boxes > _MOST_REDUCED:
        return arrows
    above: list[list[int]] = [[] for _ in range(boxes)]
    for arrow in arrows:
        above[arrow.end].append(arrow.start)
    place = {box: at for at, box in enumerate(TopologicalSorter(dict(enumerate(above))).static_order())}
    reached = [0] * boxes  # for each box a set of all above it, as bits
    implied: set[tuple[int, int]] = set()
    for box in place:
        for start in sorted(above[box], key=place.__getitem__, reverse=True):
            if reached[box] >> start & 1:
                implied.add((start, box))
            reached[box] |= reached[start] | 1 << start
    return tuple(arrow for arrow in arrows if not arrow.is_plain or (arrow.start, arrow.end) not in implied)


def _label(words: set[str], told: str) -> str:
    """Say what is asked: nothing if that is success, or the rule that is told elsewhere."""
    asked = words - {EACH}
    shown = words - asked if asked in ({told}, {Condition.SUCCEEDED.value}) else words
    return ", ".join(word for word in _WORDS if word in shown)


def _boxes(drawn: Sketch, state: State | None, groups: Groups, rows: frozenset[int]) -> tuple[Box, ...]:
    members: list[list[int]] = [[] for _ in range(size(groups))]
    for number, group in enumerate(groups):
        members[group].append(number)
    return tuple(
        _one(drawn, state, numbers[0]) if len(numbers) == 1 else _several(drawn, numbers, is_row=group in rows)
        for group, numbers in enumerate(members)
    )


def _one(drawn: Sketch, state: State | None, number: int) -> Box:
    node = drawn.graph.nodes[number]
    width = None if state is None or node.each is None else state.width(node.id)
    return Box(
        (visible(node.id),),
        tuple(f"{note} × {width:,}" if note == _MAPPED and width is not None else note for note in _notes(node)),
        1,
        _counts(drawn, [number]),
        is_mapped=node.each is not None,
        instances=() if state is None or width is None else by_urgency(Counter(state.instance_statuses(node.id))),
        role=node.role,
    )


def _several(drawn: Sketch, numbers: Sequence[int], *, is_row: bool) -> Box:
    nodes = [drawn.graph.nodes[number] for number in numbers]
    common = set(_notes(nodes[0])).intersection(*map(_notes, nodes))
    return Box(
        (visible(nodes[0].id, _MOST_OF_TWO), visible(nodes[-1].id, _MOST_OF_TWO)),
        tuple(note for note in _notes(nodes[0]) if note in common),
        len(nodes),
        _counts(drawn, numbers),
        is_row=is_row,
        is_mapped=_MAPPED in common,
        role=nodes[0].role,
    )


def _counts(drawn: Sketch, numbers: Sequence[int]) -> Counts:
    statuses = drawn.statuses
    return () if statuses is None else by_urgency(Counter([statuses[number] for number in numbers]))


_MAPPED: Final = "mapped"
_MOST_OF_TWO: Final = 40
"""Characters of an id that shares its box with another."""


def _notes(node: Node) -> tuple[str, ...]:
    role = () if node.role is Role.NODE else (node.role.value,)
    rule = () if node.trigger in AND_RULES else (node.trigger.value,)
    allowed = ("failure allowed",) if node.allow_failure else ()
    mapped = (_MAPPED,) if node.each is not None else ()
    return (*role, *rule, *allowed, *mapped)
