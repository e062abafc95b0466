"""One workflow's whole journal together with what it is a journal of, so that it can be folded anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import overload

from attrs import field, frozen

from dyrygent_core.calls import Call
from dyrygent_core.records import Entry
from dyrygent_core.workflow import Definition

__all__ = ["History"]


@frozen
class History(Sequence[Entry]):
    """All entries of one workflow so far, in order: a sequence of them that also knows the workflow.

    `calls`: what the nodes run, by their numbers, references not resolved; those that could not be read are left out.
    """

    id: str
    definition: Definition = field(repr=False)
    entries: tuple[Entry, ...]
    calls: Mapping[int, Call] = field(factory=dict[int, Call], repr=False, hash=False)

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    @overload
    def __getitem__(self, at: int) -> Entry: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Entry, ...]: ...
    def __getitem__(self, at: int | slice) -> Entry | tuple[Entry, ...]:
        return self.entries[at]
