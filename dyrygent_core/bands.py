"""The instances of one mapped node that has started: cells, numbers and delays of their own.

`Band` is the value that a state keeps; `OpenBand` is what one step makes of it.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve, field, frozen

from dyrygent_core import cells
from dyrygent_core.sparse import SparseMap
from dyrygent_core.statuses import Status
from dyrygent_core.tries import Tries

__all__ = ["Band", "OpenBand"]

_READY: Final = int(Status.READY)
_KEPT: Final = (Status.SUCCEEDED, Status.SKIPPED)


@frozen
class Band:
    """Where each instance of one mapped node stands."""

    width: int
    pages: cells.Pages = field(repr=False)
    left: int
    """How many instances are not final."""
    in_flight: int = 0
    tries: SparseMap[Tries] = field(factory=SparseMap[Tries])
    """Of those instances that were tried more often than the node says."""
    due_ms: SparseMap[int] = field(factory=SparseMap[int])
    held_from: int = field(default=0, eq=False)
    """No instance before this one is held."""

    @classmethod
    def of(cls, width: int) -> Band:
        """Return the band of a node that has just become runnable: every instance is held."""
        return cls(width, cells.filled(width, _READY), width)

    @property
    def bits(self) -> int:
        """How many low bits of an index count within its page."""
        return cells.page_bits(self.width)

    def code(self, index: int) -> int:
        """Give the raw cell of an instance."""
        return cells.code_at(self.pages, self.bits, index)

    def count(self, status: Status) -> int:
        """Count the instances of one status."""
        return cells.count(self.pages, status)

    def find(self, status: Status) -> tuple[int, ...]:
        """Give the instances of one status, ascending."""
        return tuple(cells.find_all(self.pages, self.bits, status))

    def again(self, base: int) -> Band:
        """Return the band for another round: whoever did not succeed is held, with a number one higher."""
        again = [index for index in range(self.width) if cells.status_of(self.code(index)) not in _KEPT]
        opened = OpenBand(self)
        tries = [(index, Tries(self.tries.get(index, Tries(base)).number + 1)) for index in again]
        for index in again:
            opened.cells.write(index, _READY)
        return evolve(
            opened.freeze(), tries=self.tries.put_all(tries), left=len(again), due_ms=SparseMap[int](), held_from=0
        )

    def newest_number(self, base: int) -> int:
        """Return the highest number that any instance was tried under."""
        return max([base, *(tries.number for _, tries in self.tries.items())])


class OpenBand:
    """The band of one step: written to in place. Not a value."""

    def __init__(self, band: Band, *, writes: int = 1) -> None:
        self._old = band
        self.width = band.width
        self.cells = cells.Cells(band.pages, band.bits, writes=writes)
        self.left = band.left
        self.in_flight = band.in_flight
        self.tries = band.tries
        self.due_ms = band.due_ms
        self.held_from = band.held_from

    def hold(self, index: int) -> None:
        """Hold an instance back until it is released."""
        self.cells.write(index, _READY)
        self.held_from = min(self.held_from, index)

    def next_held(self) -> int | None:
        """Give the lowest instance that is held."""
        found = next(cells.find_code(self.cells.pages, self.cells.bits, _READY, self.held_from), None)
        self.held_from = self.width if found is None else found
        return found

    def stop(self, code: int) -> int:
        """Let every instance that is not in flight end with this code; give how many of them were delayed."""
        for waiting in (_READY, cells.DELAYED):
            for index in list(cells.find_code(self.cells.pages, self.cells.bits, waiting)):
                self.cells.write(index, code)
        delayed = len(self.due_ms)
        self.due_ms = SparseMap[int]()
        self.left = self.in_flight
        self.held_from = self.width
        return delayed

    @property
    def verdict(self) -> Status:
        """What becomes of the node now that all of these are final."""
        for status in (Status.FAILED, Status.CANCELLED):
            if any(int(status) in page for page in self.cells.pages):
                return status
        return Status.SUCCEEDED

    def freeze(self) -> Band:
        """Give the band after the step."""
        return Band(self.width, self.cells.freeze(), self.left, self.in_flight, self.tries, self.due_ms, self.held_from)
