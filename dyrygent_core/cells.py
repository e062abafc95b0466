"""One byte per node, in shared immutable pages: all the byte work of the core is here and in `kernel`.

A cell holds either a code or how many edges are undecided:

    0           a node of the whole workflow, whose time has not come
    1..100      so many are left
    101..200    so many (less 100) are left, and the node is tainted
    201..209    a status (`Status`), or one that more is known about: `DELAYED`, `ALLOWED`

In-degrees above 100 lend from a side map of blocks, each worth 100 edges; it is touched once per 100 countings.
A state keeps its pages as a tuple of `bytes`. `Cells` thaws the pages that one step touches and freezes them once,
so two successive states share every other page. A graph of up to 16,384 nodes is one page; larger ones use pages
of 4,096 or 8,192 bytes: copying those is cheaper than copying a longer tuple of smaller pages. A step that
observes so much that it would thaw most pages works on one copy of all of them.

The instances of a mapped node are cells of their own, in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, cast

from dyrygent_core.statuses import Status

__all__ = [
    "ALLOWED",
    "BLOCK",
    "DELAYED",
    "FIRST_CODE",
    "Cells",
    "Pages",
    "blocks_of",
    "cancel_waiting",
    "cell_of",
    "code_at",
    "count",
    "filled",
    "find_all",
    "find_code",
    "initial",
    "is_final",
    "iter_statuses",
    "page_bits",
    "paged",
    "status_of",
]

Pages = tuple[bytes, ...]

BLOCK: Final = 100
FIRST_CODE: Final = int(Status.READY)
DELAYED: Final = 208
"""READY, but for a retry whose time has not come."""
ALLOWED: Final = 209
"""FAILED, where that is allowed."""

_LAST_OPEN: Final = int(Status.SCHEDULED)
_LARGEST_SINGLE_PAGE: Final = 16_384
_PAGE_BITS: Final = 12
_LARGER_PAGE_BITS: Final = 13
_LARGE: Final = 250_000
"""From so many nodes on, pages of 8,192 bytes keep the list of pages short, which is copied once a step."""
_ALL_BITS: Final = 40
"""One page for everything."""
_FLAT_SHARE: Final = 20_000
"""From one observation for so many nodes on, one copy of all pages is cheaper than thawing them one by one.

Measured: copying, and comparing afterwards, takes 24 µs at 100,000 nodes and 315 µs at a million."""

_STATUS_OF: Final = tuple(
    {DELAYED: Status.READY, ALLOWED: Status.FAILED}.get(code)
    or (Status(code) if code in set(Status) else Status.WAITING)
    for code in range(256)
)
_CODES_OF: Final = {status: [code for code in range(256) if _STATUS_OF[code] is status] for status in Status}
_CANCEL: Final = bytes(
    Status.CANCELLED if 1 <= code <= 2 * BLOCK or code in (Status.READY, DELAYED) else code for code in range(256)
)


def page_bits(size: int) -> int:
    """Give the number of low bits of a node number that count within its page."""
    if size <= _LARGEST_SINGLE_PAGE:
        return max(1, (size - 1).bit_length())
    return _PAGE_BITS if size < _LARGE else _LARGER_PAGE_BITS


def paged(cells: bytes) -> Pages:
    """Cut cells into pages."""
    step = 1 << page_bits(len(cells))
    return tuple(cells[start : start + step] for start in range(0, len(cells), step))


def initial(degrees: Sequence[int | None]) -> tuple[Pages, dict[int, int]]:
    """Give the pages and the blocks of a graph with these in-degrees, nothing decided yet.

    Roots are waiting for nothing, so they stand at one: `Begin` is what they wait for. None is for the nodes of the
    whole workflow.
    """
    cells = bytes(
        0 if degree is None else _CELLS[degree] if degree <= BLOCK else cell_of(degree, is_tainted=False)
        for degree in degrees
    )
    blocks = {node: blocks_of(degree) for node, degree in enumerate(degrees) if degree and degree > BLOCK}
    return paged(cells), blocks


def cell_of(left: int, *, is_tainted: bool) -> int:
    """Give the cell of a node with so many edges undecided; a root's is that of one."""
    return (max(left, 1) - 1) % BLOCK + 1 + BLOCK * is_tainted


_CELLS: Final = bytes(cell_of(left, is_tainted=False) for left in range(BLOCK + 1))


def blocks_of(left: int) -> int:
    """Give how many blocks of 100 edges stand behind that cell."""
    return (max(left, 1) - 1) // BLOCK


def filled(width: int, code: int) -> Pages:
    """Give pages of so many cells of one code."""
    return paged(bytes([code]) * width)


def status_of(code: int) -> Status:
    """Give the status that a cell stands for."""
    return _STATUS_OF[code]


def is_final(code: int) -> bool:
    """Tell whether a cell stands for a final status."""
    return code > _LAST_OPEN and code != DELAYED


def code_at(pages: Pages, bits: int, node: int) -> int:
    """Give the raw cell of one node."""
    return pages[node >> bits][node & ((1 << bits) - 1)]


def iter_statuses(pages: Pages) -> Iterator[Status]:
    """Give the status of every node, in the order of their numbers."""
    for page in pages:
        yield from map(_STATUS_OF.__getitem__, page)


def count(pages: Pages, status: Status) -> int:
    """Count the nodes of one status, at about a nanosecond a node."""
    if status is Status.WAITING:
        return sum(map(len, pages)) - sum(count(pages, other) for other in Status if other is not status)
    return sum(page.count(code) for page in pages for code in _CODES_OF[status])


def find_all(pages: Pages, bits: int, status: Status) -> Iterator[int]:
    """Give the numbers of the nodes of one status (not WAITING), ascending."""
    first, *more = _CODES_OF[status]
    if not more:
        return find_code(pages, bits, first)
    return iter(sorted(number for code in (first, *more) for number in find_code(pages, bits, code)))


def find_code(pages: Sequence[bytes | bytearray], bits: int, code: int, start: int = 0) -> Iterator[int]:
    """Give the numbers of the cells with one code, ascending, from `start` on."""
    mask = (1 << bits) - 1
    for number in range(start >> bits, len(pages)):
        page = pages[number]
        at = page.find(code, start & mask if number == start >> bits else 0)
        while at >= 0:
            yield (number << bits) + at
            at = page.find(code, at + 1)


def cancel_waiting(pages: Sequence[bytes | bytearray]) -> Pages:
    """Make every ordinary node that is neither in flight nor final CANCELLED."""
    return tuple(bytes(page.translate(_CANCEL)) for page in pages)


class Cells:
    """The cells of one step: reads through to the old pages, writes to thawed copies.

    Not a value: it lives within one call of `advance`.
    """

    __slots__ = ("_old", "_old_bits", "bits", "mask", "pages", "thawed")

    def __init__(self, pages: Pages, bits: int, *, writes: int = 1) -> None:
        """Stand before a step that is expected to write so many cells."""
        self._old = pages
        self._old_bits = bits
        self.pages: list[bytes | bytearray] = list(pages)
        self.bits = bits
        self.thawed: list[int] = []
        if len(pages) > 1 and writes * _FLAT_SHARE > len(pages) << bits:
            self.pages = [bytearray().join(pages)]
            self.bits = _ALL_BITS
        self.mask = (1 << self.bits) - 1

    def code(self, node: int) -> int:
        """Give the raw cell."""
        return self.pages[node >> self.bits][node & self.mask]

    def write(self, node: int, code: int) -> None:
        """Write a raw cell."""
        self.page(node >> self.bits)[node & self.mask] = code

    def page(self, number: int) -> bytearray:
        """Give a page to write to."""
        page = self.pages[number]
        if isinstance(page, bytes):
            page = self.pages[number] = bytearray(page)
            self.thawed.append(number)
        return page

    def replace(self, pages: Pages) -> None:
        """Put other pages in place of all of these."""
        self.pages = list(pages)
        self.thawed = []

    def freeze(self) -> Pages:
        """Give the pages after the step; those that nobody wrote to are the old objects."""
        if self.bits != self._old_bits:
            return self._freeze_flat()
        for number in self.thawed:
            self.pages[number] = bytes(self.pages[number])
        self.thawed = []
        return cast("Pages", tuple(self.pages))

    def _freeze_flat(self) -> Pages:
        whole = bytes(self.pages[0])
        step = 1 << self._old_bits
        pages = (whole[start : start + step] for start in range(0, len(whole), step))
        return tuple(old if old == new else new for old, new in zip(self._old, pages, strict=True))
