"""What a number of schedules came to: counts that add up, whoever has counted them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import define, field

from dyrygent_testing import FaultKind, Trace, Violation, fault_places, kinds_at

__all__ = ["Tally", "Where", "possible", "table"]

Where = tuple[str, str]
"""A place, and a kind of fault."""


@define
class Tally:
    """Counts of schedules."""

    schedules: int = 0
    seconds: float = 0.0
    """Of one core's time."""
    states: Counter[str] = field(factory=Counter)
    """What the workflows came to."""
    executions: int = 0
    entries: int = 0
    """Of journals."""
    struck: Counter[Where] = field(factory=Counter)
    digests: bytes = b""
    """Of all traces, one behind the other; only of those that were counted since it was folded."""
    broken: dict[int, tuple[str, ...]] = field(factory=dict)
    """The numbers of schedules that violated something, and what."""

    def count(self, number: int, trace: Trace, violations: Iterable[Violation]) -> None:
        """Count one schedule."""
        self.schedules += 1
        self.states.update(state.workflow_state.name for state in trace.states)
        self.executions += len(trace.executed)
        self.entries += sum(len(history.entries) for history in trace.histories)
        self.struck.update((it.fault.place, it.fault.kind.value) for it in trace.struck)
        self.digests += bytes.fromhex(trace.digest)
        told = tuple(map(str, violations))
        if told:
            self.broken[number] = told

    def add(self, other: Tally) -> None:
        """Count what another has counted behind all this."""
        self.schedules += other.schedules
        self.seconds += other.seconds
        self.states += other.states
        self.executions += other.executions
        self.entries += other.entries
        self.struck += other.struck
        self.digests += other.digests
        self.broken |= other.broken

    def fold(self, digest: str) -> str:
        """Give a digest of the traces that were counted so far and a digest of those before them; then forget them."""
        size = hashlib.blake2b(digest_size=16).digest_size
        for at in range(0, len(self.digests), size):
            digest = hashlib.blake2b(bytes.fromhex(digest) + self.digests[at : at + size], digest_size=size).hexdigest()
        self.digests = b""
        return digest


def possible() -> set[Where]:
    """Give every kind of fault at every place where it can strike."""
    return {(place, kind.value) for place in fault_places() for kind in kinds_at(place)}


def table(struck: Mapping[Where, int]) -> str:
    """Show how often each kind of fault has struck at each place, as a table in Markdown; a dot where it cannot."""
    kinds = [kind.value for kind in FaultKind]
    head = ["| place |", *(f" {kind} |" for kind in kinds)]
    rows: list[list[Any]] = [head, ["| --- |", *([" --: |"] * len(kinds))]]
    for place in fault_places():
        can = {kind.value for kind in kinds_at(place)}
        rows.append([f"| `{place}` |", *(f" {_shown(struck, place, kind, kind in can)} |" for kind in kinds)])
    return "\n".join("".join(row) for row in rows)


def _shown(struck: Mapping[Where, int], place: str, kind: str, can: bool) -> str:  # noqa: FBT001
    return f"{struck.get((place, kind), 0):,}" if can else "·"
