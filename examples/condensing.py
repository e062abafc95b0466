"""Turn a graph that may have cycles into one that has none: what requires each other becomes one component."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from attrs import field, frozen

__all__ = ["Component", "condense"]

_LONGEST_ID = 200


@frozen
class Component:
    """Nodes that can all be reached from one another; most often one node. In order of their names."""

    members: tuple[str, ...]
    requires: tuple[str, ...]
    """The ids of the components that this one's nodes require."""

    @property
    def id(self) -> str:
        """The name of its only node, or the names of several; unique, since a node is in one component only."""
        names = " + ".join(self.members)
        return names if len(names) <= _LONGEST_ID else f"{self.members[0]} + {len(self.members) - 1} more"


def condense(requires: Mapping[str, Collection[str]]) -> tuple[Component, ...]:
    """Return the components, each after those that it requires. Cost: O(nodes + edges), no recursion.

    `requires` names every node, and for each those that it requires. The algorithm is Tarjan's (1972).
    """
    groups = tuple(_components(requires))
    home = {node: index for index, members in enumerate(groups) for node in members}
    done: list[Component] = []
    for index, members in enumerate(groups):
        below = sorted({home[node] for member in members for node in requires[member]} - {index})
        done.append(Component(members, tuple(done[number].id for number in below)))
    return tuple(done)


@frozen
class _Walk:
    """Tarjan's bookkeeping."""

    place: dict[str, int] = field(factory=dict[str, int])
    """In which order nodes were met."""
    low: dict[str, int] = field(factory=dict[str, int])
    """The earliest node on the stack that is known to be reachable."""
    stack: list[str] = field(factory=list[str])
    is_open: set[str] = field(factory=set[str])


def _components(requires: Mapping[str, Collection[str]]) -> Iterator[tuple[str, ...]]:
    walk = _Walk()
    for start in requires:
        if start not in walk.place:
            yield from _components_from(start, requires, walk)


def _components_from(start: str, requires: Mapping[str, Collection[str]], walk: _Walk) -> Iterator[tuple[str, ...]]:
    path = [(start, _enter(start, requires, walk))]
    while path:
        node, rest = path[-1]
        child = next(rest, None)
        if child is None:
            path.pop()
            if path:
                above = path[-1][0]
                walk.low[above] = min(walk.low[above], walk.low[node])
            if walk.low[node] == walk.place[node]:
                yield _leave(node, walk)
        elif child not in walk.place:
            path.append((child, _enter(child, requires, walk)))
        elif child in walk.is_open:
            walk.low[node] = min(walk.low[node], walk.place[child])


def _enter(node: str, requires: Mapping[str, Collection[str]], walk: _Walk) -> Iterator[str]:
    walk.place[node] = walk.low[node] = len(walk.place)
    walk.stack.append(node)
    walk.is_open.add(node)
    return iter(sorted(requires[node]))


def _leave(node: str, walk: _Walk) -> tuple[str, ...]:
    members = [walk.stack.pop()]
    while members[-1] != node:
        members.append(walk.stack.pop())
    walk.is_open.difference_update(members)
    return tuple(sorted(members))
