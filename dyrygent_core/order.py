"""The order in which nodes are numbered: topological, and given by the declaration. Iterative, O(nodes + edges)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import accumulate, pairwise

from dyrygent_core.errors import CycleError, DuplicateNodeError, UnknownNodeError, UsageError, quoted
from dyrygent_core.nodes import Node, Role

__all__ = ["in_order"]


def in_order(declared: Sequence[Node]) -> tuple[tuple[Node, ...], list[list[int]]]:
    """Give the nodes in the order of their numbers, and the numbers of those that each waits for.

    Raises `DuplicateNodeError`, `UnknownNodeError`, `CycleError`, and `UsageError` for a dependency on a node of the
    whole workflow.
    """
    place = _places(declared)
    parents = _parents(declared, place)
    late = {at for at, node in enumerate(declared) if node.role is not Role.NODE}
    if late:
        _check_none_waits_for(late, declared, parents)
    if _is_in_order(parents, late):
        return tuple(declared), parents
    order = _topological_order(declared, parents)
    order.sort(key=late.__contains__)  # stable: those of the whole workflow come last
    number_of = [0] * len(order)
    for number, at in enumerate(order):
        number_of[at] = number
    return tuple(declared[at] for at in order), [[number_of[parent] for parent in parents[at]] for at in order]


def _check_none_waits_for(late: AbstractSet[int], declared: Sequence[Node], parents: Sequence[Sequence[int]]) -> None:
    for at, above in enumerate(parents):
        for parent in above:
            if parent in late:
                name, role = quoted(declared[parent].id), declared[parent].role.value
                message = (
                    f"node {quoted(declared[at].id)} waits for {name}, which is for the whole workflow ({role!r}) and "
                    f"starts after all others; drop that dependency, or make {name} an ordinary node"
                )
                raise UsageError(message)


def _is_in_order(parents: Sequence[Sequence[int]], late: AbstractSet[int]) -> bool:
    """Tell whether nodes stand already as Kahn's algorithm below would put them, as those do that were written down.

    They do if the last node that each waits for comes before it, and not before the last that any earlier one waits
    for: it is that one which frees it. Those of the whole workflow wait for none, and come last.
    """
    ordinary = len(parents) - len(late)
    freed_by = -1
    for at in range(ordinary):
        above = parents[at]
        last = (above[0] if len(above) == 1 else max(above)) if above else -1
        if not freed_by <= last < at:
            return False
        freed_by = last
    return not late or min(late) == ordinary


def _places(nodes: Sequence[Node]) -> dict[str, int]:
    place: dict[str, int] = {}
    for at, node in enumerate(nodes):
        if place.setdefault(node.id, at) != at:
            raise DuplicateNodeError(node.id)
    return place


def _parents(nodes: Sequence[Node], place: Mapping[str, int]) -> list[list[int]]:
    try:
        flat = [place[edge.node] for node in nodes for edge in node.depends_on]  # at half of what a list each costs
    except KeyError:
        missing, by = next((edge.node, it.id) for it in nodes for edge in it.depends_on if edge.node not in place)
        raise UnknownNodeError(missing, wanted_by=by, known=place) from None
    ends = list(accumulate([len(node.depends_on) for node in nodes], initial=0))
    return [flat[start:end] for start, end in pairwise(ends)]


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
