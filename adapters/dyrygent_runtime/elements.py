"""Lists that mapped nodes map over: how long they are, and where each of their elements is kept.

Such a list is stored in blocks, so that sending one of a hundred thousand instances reads one block, and not all of
the list. A block is a result as any other, inserted if absent in the append of its outcome (J7). It lies under the
attempt that returned the list, but with an index from 1 on, which no attempt of an unmapped node has.

The blocks of one list follow those of the list before it, in the order of `Graph.measured_paths`. Where an element
lies is told by the sizes that were recorded with the outcome: what a late outcome of the same attempt would add lies
beyond, where nobody looks (P5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from dyrygent_core import Attempt
from dyrygent_core.nodes import MAX_WIDTH, Path
from dyrygent_core.observations import NOT_A_LIST
from dyrygent_core.ports import ValueCodec

__all__ = ["BLOCK", "block_of", "blocks_of", "list_at", "measured", "written"]

BLOCK: Final = 32
"""Elements in a block: a chunk of 100 instances reads 4 or 5 of them, and a list of 100,000 is 3,125 results.

It is part of the stored format: with another number, lists that were stored before would be misread.
"""


def list_at(value: Any, path: Path) -> Sequence[Any] | None:  # payloads
    """Return the list or tuple at a path, or None if there is something else, or nothing."""
    for key in path:
        if not isinstance(value, list | tuple | Mapping):
            return None
        try:
            value = cast("Any", value)[key]
        except (LookupError, TypeError):
            return None
    return cast("Sequence[Any]", value) if isinstance(value, list | tuple) else None


def measured(value: Any, paths: Sequence[Path]) -> tuple[int, ...]:  # a payload
    """Return how long the lists at these paths are, `NOT_A_LIST` where there is none."""
    lists = [list_at(value, path) for path in paths]
    return tuple(NOT_A_LIST if found is None else len(found) for found in lists)


def written(attempt: Attempt, value: Any, paths: Sequence[Path], values: ValueCodec) -> dict[Attempt, bytes]:
    """Write down what an attempt returned: the lists that others map over in blocks, and the whole of it.

    A value that is such a list itself is its blocks, and not stored a second time.
    Raises `EncodingError`.
    """
    results: dict[Attempt, bytes] = {}
    sizes = measured(value, paths)
    for place, path in enumerate(paths):
        found = list_at(value, path) or ()
        for number, block in enumerate(_blocks(sizes, place)):
            elements = found[number * BLOCK : (number + 1) * BLOCK]
            results[_under(attempt, block)] = values.encode(list(elements))
    if () not in paths or not _blocks(sizes, paths.index(())):
        results[attempt] = values.encode(value)
    return results


def blocks_of(attempt: Attempt, sizes: Sequence[int], place: int) -> list[Attempt]:
    """Return under which names the blocks of the `place`-th list lie; none of a list that is empty or too long."""
    return [_under(attempt, block) for block in _blocks(sizes, place)]


def block_of(attempt: Attempt, sizes: Sequence[int], place: int, index: int) -> tuple[Attempt, int]:
    """Return the name of the block with one element of the `place`-th list, and which of that block it is."""
    return _under(attempt, _blocks(sizes, place)[index // BLOCK]), index % BLOCK


def _blocks(sizes: Sequence[int], place: int) -> range:
    first = sum(map(_count, sizes[:place]))
    return range(first, first + _count(sizes[place]))


def _count(size: int) -> int:
    return -(-size // BLOCK) if 0 < size <= MAX_WIDTH else 0


def _under(attempt: Attempt, block: int) -> Attempt:
    return Attempt(attempt.node, block + 1, attempt.number)
