"""One byte per node, in shared immutable pages: all the byte work of the core is here.

A cell holds either a status (`Status`, 201 and up) or how many edges are undecided:

    1..100      so many are left
    101..200    so many (less 100) are left, and the node is tainted

In-degrees above 100 lend from a side map of blocks, each worth 100 edges; it is touched once per 100 countings.
A state keeps its pages as a tuple of `bytes`. `Cells` thaws the pages that one step touches and freezes them once,
so two successive states share every other page. A graph of up to 16,384 nodes is one page; larger ones use pages
of 4,096 bytes: copying 4 KiB is cheaper than copying a longer tuple of smaller pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from dyrygent_core.statuses import Status

__all__ = ["Cells", "Pages", "cancel_waiting", "cell_at", "count", "find_all", "initial", "iter_cells"]

Pages = tuple[bytes, ...]

_BLOCK: Final = 100
_LARGEST_SINGLE_PAGE: Final = 16_384
_PAGE_BITS: Final = 12
_FIRST_STATUS: Final = int(Status.READY)
_STATUS_OF: Final = (Status.WAITING,) * _FIRST_STATUS + tuple(sorted(set(Status) - {Status.WAITING}))
"""The status for each cell; the codes follow each other without a gap."""
_CANCEL: Final = bytes(
    int(Status.CANCELLED) if 1 <= cell <= 2 * _BLOCK or cell == Status.READY else cell for cell in range(256)
)


def page_bits(size: int) -> int:
    """Give the number of low bits of a node number that count within its page."""
    return max(1, (size - 1).bit_length()) if size <= _LARGEST_SINGLE_PAGE else _PAGE_BITS


def initial(degrees: Sequence[int]) -> tuple[Pages, dict[int, int]]:
    """Give the pages and the blocks of a graph with these in-degrees, nothing decided yet.

    Roots are waiting for nothing, so they stand at one: `Begin` is what they wait for.
    """
    cells = bytes((max(degree, 1) - 1) % _BLOCK + 1 for degree in degrees)
    blocks = {node: (degree - 1) // _BLOCK for node, degree in enumerate(degrees) if degree > _BLOCK}
    step = 1 << page_bits(len(cells))
    return tuple(cells[start : start + step] for start in range(0, len(cells), step)), blocks


def cell_at(pages: Pages, bits: int, node: int) -> Status:
    """Give the status of one node."""
    cell = pages[node >> bits][node & ((1 << bits) - 1)]
    return Status(cell) if cell >= _FIRST_STATUS else Status.WAITING


def iter_cells(pages: Pages) -> Iterator[Status]:
    """Give the status of every node, in the order of their numbers."""
    for page in pages:
        yield from map(_STATUS_OF.__getitem__, page)


def count(pages: Pages, status: Status) -> int:
    """Count the nodes of one status, at about a nanosecond a node."""
    if status is Status.WAITING:
        return sum(map(len, pages)) - sum(count(pages, other) for other in Status if other is not status)
    return sum(page.count(status) for page in pages)


def find_all(pages: Pages, bits: int, status: Status) -> Iterator[int]:
    """Give the numbers of the nodes of one status, ascending."""
    for number, page in enumerate(pages):
        at = page.find(status)
        while at >= 0:
            yield (number << bits) + at
            at = page.find(status, at + 1)


def cancel_waiting(pages: Pages) -> Pages:
    """Make every node that is neither in flight nor final CANCELLED."""
    return tuple(page.translate(_CANCEL) for page in pages)


class Cells:
    """The cells of one step: reads through to the old pages, writes to thawed copies.

    Not a value: it lives within one call of `advance`.
    """

    def __init__(self, pages: Pages, bits: int, blocks: Mapping[int, int]) -> None:
        self._pages: list[bytes | bytearray] = list(pages)
        self._bits = bits
        self._mask = (1 << bits) - 1
        self._thawed: list[int] = []
        self._blocks: Mapping[int, int] = blocks
        self._owned_blocks: dict[int, int] | None = None

    def code(self, node: int) -> int:
        """Give the raw cell."""
        return self._pages[node >> self._bits][node & self._mask]

    def is_waiting(self, node: int) -> bool:
        """Tell whether the node has undecided edges."""
        return self.code(node) < _FIRST_STATUS

    def is_tainted(self, node: int) -> bool:
        """Tell the taint bit of a waiting node."""
        return self.code(node) > _BLOCK

    def settle(self, node: int, status: Status) -> None:
        """Write a status."""
        self._page(node)[node & self._mask] = status

    def taint(self, node: int) -> None:
        """Set the taint bit of a waiting node."""
        if not self.is_tainted(node):
            self._page(node)[node & self._mask] += _BLOCK

    def count_down(self, node: int) -> bool:
        """Decide one more edge of a waiting node; tell whether it was the last.

        A node whose last edge is decided must be settled at once.
        """
        code = self.code(node)
        if code not in (1, _BLOCK + 1):
            self._page(node)[node & self._mask] = code - 1
            return False
        if not self._blocks.get(node):
            return True
        self._borrow(node)
        self._page(node)[node & self._mask] = code + _BLOCK - 1
        return False

    def replace(self, pages: Pages) -> None:
        """Put other pages in place of all of these."""
        self._pages = list(pages)
        self._thawed = []

    def freeze(self) -> tuple[Pages, Mapping[int, int]]:
        """Give the pages and blocks after the step; untouched pages are the old objects."""
        for number in self._thawed:
            self._pages[number] = bytes(self._pages[number])
        self._thawed = []
        return tuple(self._pages), self._blocks  # type: ignore[arg-type]  # all are bytes again

    def snapshot(self) -> Pages:
        """Give the pages as they stand, within the step."""
        return self.freeze()[0]

    def _page(self, node: int) -> bytearray:
        number = node >> self._bits
        page = self._pages[number]
        if isinstance(page, bytes):
            page = self._pages[number] = bytearray(page)
            self._thawed.append(number)
        return page

    def _borrow(self, node: int) -> None:
        if self._owned_blocks is None:
            self._owned_blocks = dict(self._blocks)
            self._blocks = self._owned_blocks
        self._owned_blocks[node] -= 1
