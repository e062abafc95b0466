"""An immutable map from node numbers, for what few nodes have.

Two levels of dicts: a change copies one page of at most 512 items and the list of pages, so its cost is O(√n) of the
largest number, and little if few nodes have anything. Equal contents are equal maps, however they came about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Generic, TypeVar, overload

from attrs import field, frozen

__all__ = ["SparseMap"]

_BITS: Final = 9

_Value = TypeVar("_Value")
_Other = TypeVar("_Other")


@frozen
class SparseMap(Generic[_Value]):
    """A map from whole numbers to values; `put` and `drop` return another."""

    _pages: Mapping[int, Mapping[int, _Value]] = field(factory=dict[int, Mapping[int, _Value]])

    @classmethod
    def of(cls, items: Mapping[int, _Value]) -> SparseMap[_Value]:
        """Return a map of these items."""
        return cls().put_all(items.items())

    def __bool__(self) -> bool:
        return bool(self._pages)

    def __len__(self) -> int:
        return sum(map(len, self._pages.values()))

    def __contains__(self, key: object) -> bool:
        return isinstance(key, int) and key in self._pages.get(key >> _BITS, ())

    def __iter__(self) -> Iterator[int]:
        """Give the keys, ascending."""
        for number in sorted(self._pages):
            yield from sorted(self._pages[number])

    def __hash__(self) -> int:
        return hash(tuple(self))

    @overload
    def get(self, key: int) -> _Value | None: ...
    @overload
    def get(self, key: int, default: _Other) -> _Value | _Other: ...
    def get(self, key: int, default: _Other | None = None) -> _Value | _Other | None:
        """Return the value of a key, or the default."""
        page = self._pages.get(key >> _BITS)
        return default if page is None else page.get(key, default)

    def items(self) -> Iterator[tuple[int, _Value]]:
        """Give keys and values, by ascending key."""
        for key in self:
            yield key, self._pages[key >> _BITS][key]

    def put(self, key: int, value: _Value) -> SparseMap[_Value]:
        """Return a map with this value too."""
        number = key >> _BITS
        return SparseMap({**self._pages, number: {**self._pages.get(number, {}), key: value}})

    def put_all(self, items: Iterable[tuple[int, _Value]]) -> SparseMap[_Value]:
        """Return a map with these values too; copies each page once."""
        pages = dict(self._pages)
        own: dict[int, dict[int, _Value]] = {}
        for key, value in items:
            number = key >> _BITS
            if number not in own:
                pages[number] = own[number] = dict(pages.get(number, {}))
            own[number][key] = value
        return SparseMap(pages)

    def drop(self, key: int) -> SparseMap[_Value]:
        """Return a map without this key."""
        if key not in self:
            return self
        number = key >> _BITS
        page = {other: value for other, value in self._pages[number].items() if other != key}
        pages = {**self._pages, number: page}
        if not page:
            del pages[number]
        return SparseMap(pages)
