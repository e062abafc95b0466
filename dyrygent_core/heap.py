"""A priority queue that is a value: old heaps stay as they are, so old states do.

A leftist heap (Crane 1972; Okasaki, "Purely Functional Data Structures", 1998, section 3.1): of two siblings the left
one has the longer way to an empty place, so the way along the right is at most log2(n) steps, and that is all that
merging walks. None is the empty heap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

__all__ = ["Heap", "iter_keys", "of_sorted", "pop"]

Heap: TypeAlias = "tuple[int, int, Heap, Heap] | None"
"""How many steps along the right to an empty place, the least key, and the two heaps of the rest."""


def pop(heap: Heap) -> Heap:
    """Return the heap without its least key, which is `heap[1]`. Cost: O(log n)."""
    return None if heap is None else _merge(heap[2], heap[3])


def of_sorted(keys: Sequence[int], heap: Heap = None) -> Heap:
    """Return the heap with these ascending keys too. Cost: O(len(keys) + log n)."""
    spine: Heap = None
    for key in reversed(keys):
        spine = (1, key, spine, None)
    return _merge(heap, spine)


def iter_keys(heap: Heap) -> Iterator[int]:
    """Give all keys, in no order."""
    todo = [heap]
    while todo:
        top = todo.pop()
        if top is not None:
            yield top[1]
            todo += top[2:]


def _merge(one: Heap, other: Heap) -> Heap:
    """Walk down both along the right, the lesser key first; then build back up. No recursion."""
    path: list[tuple[int, Heap]] = []
    while one is not None and other is not None:
        if other[1] < one[1]:
            one, other = other, one
        path.append((one[1], one[2]))
        one = one[3]
    merged = one if other is None else other
    for key, left in reversed(path):
        shorter, longer = (left, merged) if _steps(left) < _steps(merged) else (merged, left)
        merged = (_steps(shorter) + 1, key, longer, shorter)
    return merged


def _steps(heap: Heap) -> int:
    return 0 if heap is None else heap[0]
