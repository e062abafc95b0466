"""The order in which nodes are numbered: topological, and given by the declaration. Iterative, O(nodes + edges)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dyrygent_core.errors import CycleError, DuplicateNodeError, UnknownNodeError, UsageError, quoted
from dyrygent_core.nodes import Node, Role

__all__ = ["in_order"]


def in_order(declared: Sequence[Node]) -> tuple[tuple[Node, ...], list[list[int]]]:
    """Give the nodes in the order of their numbers, and the numbers of those that each waits for.

    Raises `DuplicateNodeError`, `UnknownNodeError`, `CycleError`, and `UsageError` for a dependency on a node of the
    whole workflow.
    """
    place = _places(declared)
    parents = [_parents(node, place) for node in declared]
    for at, node in enumerate(declared):
        for parent in parents[at]:
            if declared[parent].role is not Role.NODE:
                message = (
                    f"node {quoted(node.id)} waits for {quoted(declared[parent].id)}, which is for the whole workflow "
                    f"({declared[parent].role.value!r}) and starts after all others; drop that dependency, or make "
                    f"{quoted(declared[parent].id)} an ordinary node"
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
    """Order by Kahn's algorithm: who is free first comes first; of those that one node frees, the first declared."""
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
