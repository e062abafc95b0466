"""Values in the place of what tasks return: each has what the rest of the workflow reads from it.

Without that, whoever reads a part of a result would fail in every simulation, and nothing behind it would be tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

from dyrygent_core import Call, Definition, Graph
from dyrygent_core.nodes import Path
from dyrygent_core.ports import Dispatch
from dyrygent_core.refs import ITEM, Reference

__all__ = ["Read", "made_up", "what_is_read"]

Read = Mapping[str, Sequence[Path]]
"""The places in each node's result, or in that of each of its instances, at which others read."""

_USUAL_SIZE: Final = 2
_LARGEST_SIZE: Final = 8
"""Longer lists are made none at all: to the workflow, both are nothing that it could map over."""
_LARGEST_INDEX: Final = 1_000
"""What is read further on in a list is not made."""
_ANY: Final = 0
"""Stands in a path for the index of an element, since what is read of one is made for all."""


def what_is_read(definition: Definition, calls: Sequence[Call]) -> Read:
    """Collect what calls, and the workflow's own result, read from results."""
    graph = definition.graph
    read: dict[str, dict[Path, None]] = {}
    readers = [(node.id, call.inputs.references) for node, call in zip(graph.nodes, calls, strict=True)]
    for reader, references in [*readers, ("", definition.output.references)]:
        for node, path in _read_by(graph, reader, references):
            read.setdefault(node, {})[path] = None
    return {node: sorted(paths, key=len) for node, paths in read.items()}


def _read_by(graph: Graph, reader: str, references: Iterable[Reference]) -> Iterator[tuple[str, Path]]:
    for reference in references:
        if reference.node == ITEM:
            each = graph.node(reader).each
            assert each is not None
            is_whole = graph.node(each.node).each is not None  # its instances are the elements
            yield each.node, reference.path if is_whole else (*each.path, _ANY, *reference.path)
        elif reference.node in graph.numbers:
            is_mapped = graph.node(reference.node).each is not None
            yield reference.node, reference.path[1:] if is_mapped else reference.path


def made_up(item: Dispatch, sizes: Sequence[int], whose: str, read: Sequence[Path]) -> Any:
    """Make a value that has what is read, and the lists that others map over, of these lengths where that can be.

    `read`: shorter paths first. Where two of them contradict each other, the later one is served.
    """
    name = f"{item.attempt.node}[{item.attempt.index}]{whose}"
    lists: dict[Path, Any] = {}
    for path, size in zip_longest(item.measure, sizes, fillvalue=_USUAL_SIZE):
        if isinstance(path, tuple):
            its = _of_elements(path, read)
            is_list = 0 <= size <= _LARGEST_SIZE
            lists[path] = [_value(f"{name} {at}", its) for at in range(size)] if is_list else f"{name}: no list"
    if () in lists:
        return lists[()]
    return _value(name, [*read, *lists], lists)


def _of_elements(path: Path, read: Sequence[Path]) -> list[Path]:
    size = len(path)
    return [it[size + 1 :] for it in read if it[:size] == path and len(it) > size + 1 and isinstance(it[size], int)]


def _value(name: str, paths: Sequence[Path], given: Mapping[Path, Any] | None = None) -> Any:
    """Make a value that has these places; what is not given is called after the whole."""
    its = [path for path in paths if path]
    is_list = bool(its) and all(isinstance(path[0], int) for path in its)
    if not its and given is None:
        return name
    value: Any = [] if is_list else {"by": name}
    for path in its:
        if isinstance(path[0], int) is is_list:
            _put(value, path, (given or {}).get(path, name))
    return value


def _put(holder: Any, path: Path, found: Any) -> None:
    """Put something at a path, on the way to which are dicts, and lists that are long enough."""
    for key, following in zip(path, (*path[1:], None), strict=True):
        if isinstance(key, int):
            if abs(key) > _LARGEST_INDEX:
                return
            holder += [None] * (max(key + 1, -key) - len(holder))
        if following is None:
            holder[key] = found
            return
        inner: Any = holder[key] if isinstance(key, int) else holder.get(key)
        if not isinstance(inner, list if isinstance(following, int) else dict):
            holder[key] = [] if isinstance(following, int) else {}
        holder = holder[key]
