"""Which nodes of a large graph are drawn as one, so that the picture is small and still true.

Theory
------
A *folding* puts each node into a group. The picture has a box for each group, and an arrow between two groups if an
edge leads from one to the other. It must be acyclic, which each way of folding sees to in its own manner:

    alike   the same kind, status and depth, and the same groups above and below. An edge leads from a lower depth
            to a higher one, and so does every arrow, since a group lies at one depth. So with all that is finer or
            coarser, as long as no group has two depths.
    rows    groups joined where each is the only one after the other and before it. Two ways between two groups
            would be needed to close a circle, and there is one only.
    bands   all nodes of several successive depths. An arrow leads from a lower band to a higher one.

Each way costs O(nodes + edges), but for sorting the neighbours of a node; none recurses; and what comes out depends on
nothing but the graph and the statuses.
Which folding is fine enough is decided by whoever draws; bands can be made as few as one likes.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import count
from typing import Final, TypeAlias

from attrs import frozen

from dyrygent_core.graph import Graph
from dyrygent_core.nodes import Node
from dyrygent_core.rules import Condition
from dyrygent_core.statuses import Status

__all__ = ["Groups", "Sketch", "bands", "foldings", "size", "sketch"]

Groups: TypeAlias = Sequence[int]
"""The group of each node; groups are numbered in the order of their first nodes."""


@frozen(eq=False)
class Sketch:
    """What folding looks at: a graph, the status of each node if there is a state, and whom each node waits for."""

    graph: Graph
    statuses: Sequence[Status] | None
    parents: Sequence[Sequence[int]]


def sketch(graph: Graph, statuses: Sequence[Status] | None) -> Sketch:
    """Prepare a graph for folding. Cost: O(nodes + edges)."""
    numbers = {node.id: number for number, node in enumerate(graph.nodes)}
    parents = [[numbers[edge.node] for edge in node.depends_on] for node in graph.nodes]
    return Sketch(graph, statuses, parents)


_DIGITS: Final = re.compile("[0-9]+")


def foldings(drawn: Sketch) -> Iterator[Groups]:
    """Yield the foldings of which no group has two statuses, finer ones first; the very first folds nothing."""
    nodes = drawn.graph.nodes
    yield range(len(nodes))
    kinds = _kinds(drawn)
    names = (_DIGITS.sub("0", node.id) for node in nodes)
    yield from _with_rows(drawn, _alike(drawn, _numbered(zip(kinds, names, strict=True))))
    yield from _with_rows(drawn, _alike(drawn, kinds))
    looks = zip(_depths(drawn), drawn.statuses or kinds, (node.role for node in nodes), strict=True)
    yield from _with_rows(drawn, _numbered(looks))


def size(groups: Groups) -> int:
    """Return how many groups there are. Cost: O(nodes)."""
    return max(groups, default=-1) + 1


def bands(drawn: Sketch, most: int) -> Groups:
    """Fold a graph into at most so many bands; those of the whole workflow are apart, by their roles."""
    roles = [node.role for node in drawn.graph.nodes]
    depths = _depths(drawn)
    height = max(depths, default=0) + 1
    most = min(most, height)
    return _numbered((role, depth * most // height) for role, depth in zip(roles, depths, strict=True))


def _kinds(drawn: Sketch) -> Groups:
    statuses = drawn.statuses or [Status.WAITING] * len(drawn.graph.nodes)
    return _numbered(
        (status, node.role, node.trigger, node.allow_failure, node.each is not None)
        for status, node in zip(statuses, drawn.graph.nodes, strict=True)
    )


def _alike(drawn: Sketch, kinds: Groups) -> Groups:
    """Group nodes of one kind that stand below the same groups, and then, of those, what stands above the same."""
    known: dict[tuple[int, ...], int] = {}  # flat tuples of numbers: the garbage collector does not look at them
    below: list[int] = []
    for node, kind, parents in zip(drawn.graph.nodes, kinds, drawn.parents, strict=True):
        below.append(known.setdefault((kind, *_above(node, parents, below)), len(known)))
    known = {}
    groups = below.copy()
    for number in reversed(range(len(groups))):
        after = sorted({groups[child] for child in drawn.graph.successors[number]})
        groups[number] = known.setdefault((below[number], *after), len(known))
    return _numbered(groups)


def _above(node: Node, parents: Sequence[int], groups: Sequence[int]) -> list[int]:
    """Give a number for each group above and what is asked of it."""
    return sorted(
        {
            groups[parent] * _ASKED + (0 if edge.condition is None else _CODES[edge.condition])
            for edge, parent in zip(node.depends_on, parents, strict=True)
        }
    )


_CODES: Final = {condition: code for code, condition in enumerate(Condition, start=1)}
_ASKED: Final = len(_CODES) + 1


def _with_rows(drawn: Sketch, groups: Groups) -> Iterator[Groups]:
    """Yield a folding, then with rows of groups of one size joined, then with rows of any groups of one status."""
    yield groups
    statuses: list[Status | None] = [None] * size(groups)
    sizes = [0] * size(groups)
    for number, group in enumerate(groups):
        sizes[group] += 1
        if drawn.statuses is not None:
            statuses[group] = drawn.statuses[number]
    before, after = _neighbours(drawn, groups)
    yield _joined(groups, before, after, list(zip(statuses, sizes, strict=True)))
    if drawn.statuses is not None:  # else whole graphs would become one box; this one tells how far they are
        yield _joined(groups, before, after, statuses)


_NONE: Final = -1
_SEVERAL: Final = -2


def _neighbours(drawn: Sketch, groups: Groups) -> tuple[list[int], list[int]]:
    """Find the only group before and after each group."""
    before, after = [_NONE] * size(groups), [_NONE] * size(groups)
    for number, children in enumerate(drawn.graph.successors):
        group = groups[number]
        for child in children:
            other = groups[child]
            if other != group:
                after[group] = other if after[group] in (_NONE, other) else _SEVERAL
                before[other] = group if before[other] in (_NONE, group) else _SEVERAL
    return before, after


def _joined(groups: Groups, before: Sequence[int], after: Sequence[int], looks: Sequence[Hashable]) -> Groups:
    heads = list(range(len(before)))
    for group in range(len(before)):
        if _is_joined(before[group], group, after, looks):
            continue
        at, following = group, after[group]
        while following >= 0 and before[following] == at and looks[at] == looks[following]:
            heads[following] = group
            at, following = following, after[following]
    return _numbered(heads[group] for group in groups)


def _is_joined(above: int, group: int, after: Sequence[int], looks: Sequence[Hashable]) -> bool:
    return above >= 0 and after[above] == group and looks[above] == looks[group]


def _depths(drawn: Sketch) -> list[int]:
    """Measure the longest way to each node."""
    depths: list[int] = []
    for parents in drawn.parents:
        depths.append(1 + max([depths[parent] for parent in parents], default=-1))
    return depths


def _numbered(values: Iterable[Hashable]) -> list[int]:
    known: dict[Hashable, int] = {}
    fresh = count()
    return [known[value] if value in known else known.setdefault(value, next(fresh)) for value in values]
