"""What is in a picture: boxes and arrows, in words, before any format has its say.

Which nodes share a box is decided in `folding`; how boxes and arrows are written, by each format.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from graphlib import TopologicalSorter
from math import isqrt
from typing import Final

from attrs import frozen

from dyrygent_core.diagrams.folding import Groups, Sketch, bands, foldings, size, sketch
from dyrygent_core.diagrams.palette import BY_URGENCY
from dyrygent_core.diagrams.texts import visible
from dyrygent_core.errors import UsageError
from dyrygent_core.graph import Graph, Node, Role, check_whole
from dyrygent_core.rules import AND_RULES, ROWS, Condition, Row
from dyrygent_core.state import State
from dyrygent_core.statuses import Status

__all__ = ["ARROWS_PER_NODE", "EACH", "MOST_DRAWN", "Arrow", "Box", "Picture", "alike", "picture"]

MOST_DRAWN: Final = 100
"""Boxes of a picture, unless told otherwise: with more, a page shows their pattern, but no longer their names.

With `ARROWS_PER_NODE` it also keeps within what Mermaid draws without being configured: 500 edges (`maxEdges`) and
50,000 characters (`maxTextSize`), even if every id is as long and as awkward as can be.
"""
ARROWS_PER_NODE: Final = 5
"""Most arrows of a picture, for each of its `max_nodes`. Real workflows have two or three."""

_LEAST_DRAWN: Final = 4
"""Nodes of the four roles are never drawn as one."""


@frozen
class Box:
    """One node, or several that are drawn as one."""

    name: str
    """Its id; of several, those of the first and the last, in topological order."""
    notes: tuple[str, ...]
    """What is special about it: its rule, its role, its instances."""
    size: int
    counts: tuple[tuple[Status, int], ...] = ()
    """How many of its nodes have each status, the most urgent first; nothing if no state is shown."""
    is_mapped: bool = False
    role: Role = Role.NODE

    @property
    def status(self) -> Status | None:
        """The most urgent of its statuses."""
        return self.counts[0][0] if self.counts else None

    @property
    def lines(self) -> tuple[str, ...]:
        """What it says, line by line."""
        said = (self.name, *self.notes)
        if self.size == 1:
            return (*said, *(status.name for status, _ in self.counts))
        return (*said, f"× {self.size:,}", *([tally(self.counts)] if self.counts else []))


@frozen
class Arrow:
    """The edges from the nodes of one box to those of another; boxes are named by their places."""

    start: int
    end: int
    label: str
    """What is asked; nothing where it is success, or where the box at the end says its rule."""


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
    groups = bands(drawn, min(max_nodes + 1 - len(Role), (1 + isqrt(1 + 8 * most)) // 2))
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


def tally(counts: Iterable[tuple[Status, int]]) -> str:
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
    return tuple(Arrow(start, end, _label(words)) for (start, end), words in asked.items() if start != end), rows


def _without_implied(arrows: tuple[Arrow, ...], boxes: int) -> tuple[Arrow, ...]:
    """Leave out the arrows without a label that others lead around: the transitive reduction."""
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
    return tuple(arrow for arrow in arrows if arrow.label or (arrow.start, arrow.end) not in implied)


def _label(words: set[str]) -> str:
    is_usual = words <= {Condition.SUCCEEDED.value, EACH}
    if is_usual or words.isdisjoint(condition.value for condition in Condition):
        return EACH if EACH in words else ""
    return ", ".join(word for word in _WORDS if word in words)


def _boxes(drawn: Sketch, state: State | None, groups: Groups, rows: frozenset[int]) -> tuple[Box, ...]:
    members: list[list[int]] = [[] for _ in range(size(groups))]
    for number, group in enumerate(groups):
        members[group].append(number)
    return tuple(
        _box(drawn, state, numbers, " → … → " if group in rows else " … ") for group, numbers in enumerate(members)
    )


def _box(drawn: Sketch, state: State | None, numbers: Sequence[int], between: str) -> Box:
    nodes = [drawn.graph.nodes[number] for number in numbers]
    first, last = nodes[0], nodes[-1]
    statuses = drawn.statuses
    found = Counter(() if statuses is None else [statuses[number] for number in numbers])
    counts = _by_urgency(found)
    if len(nodes) == 1:
        return Box(
            visible(first.id), (*_notes(first), *_width(first, state)), 1, counts, first.each is not None, first.role
        )
    common = set(_notes(first)).intersection(*map(_notes, nodes))
    notes = tuple(note for note in _notes(first) if note in common)
    is_mapped = all(node.each is not None for node in nodes)
    name = f"{visible(first.id, _HALF)}{between}{visible(last.id, _HALF)}"
    return Box(name, notes, len(nodes), counts, is_mapped, first.role)


_HALF: Final = 40
"""Characters of an id that shares its line with another."""


def _notes(node: Node) -> tuple[str, ...]:
    role = () if node.role is Role.NODE else (node.role.value,)
    rule = () if node.trigger in AND_RULES else (node.trigger.value,)
    allowed = ("failure allowed",) if node.allow_failure else ()
    mapped = ("mapped",) if node.each is not None else ()
    return (*role, *rule, *allowed, *mapped)


def _width(node: Node, state: State | None) -> tuple[str, ...]:
    width = None if state is None or node.each is None else state.width(node.id)
    if state is None or width is None:
        return ()
    found = tally(_by_urgency(Counter(state.instance_statuses(node.id))))
    return (f"{width:,} instances", *([found] if found else []))


def _by_urgency(found: Mapping[Status, int]) -> tuple[tuple[Status, int], ...]:
    return tuple((status, found[status]) for status in BY_URGENCY if found.get(status))
