"""The file of a long run: what has been counted so far, so that the run goes on wherever it was interrupted.

It is replaced as a whole, so that a process that is killed leaves the older one or the newer one, and never half.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from property_tests.lives import fingerprint
from property_tests.tally import Tally

__all__ = ["Counts", "CountsError"]

_VERSION: Final = 1
_NOTHING: Final = "0" * 32


class CountsError(ValueError):
    """A file of counts that does not go on with this run."""


@define
class Counts:
    """Schedules `first` to `next` of a seed, counted in their order."""

    seed: int
    nodes: int
    first: int
    tally: Tally = field(factory=Tally)
    digest: str = _NOTHING
    """Of all traces."""

    @property
    def next(self) -> int:
        """The first schedule that is not counted yet."""
        return self.first + self.tally.schedules

    def add(self, tally: Tally) -> None:
        """Count what comes next."""
        self.tally.add(tally)
        self.digest = self.tally.fold(self.digest)

    def save(self, path: Path) -> None:
        """Write them, in the place of what was there."""
        beside = path.with_name(f"{path.name}.{os.getpid()}")
        with beside.open("w", encoding="utf-8") as file:
            json.dump(self._written(), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)

    def go_on_with(self, path: Path) -> None:
        """Take what was counted before, if there is such a file.

        Raises `CountsError` for one of another form or of other parameters, and for one that was written when the same
        numbers were other schedules: by another release of this or of Hypothesis.
        """
        if not path.exists():
            return
        try:
            read = json.loads(path.read_text(encoding="utf-8"))
            expected = {name: self._written()[name] for name in _SAME}
            found = {name: read.get(name) for name in _SAME}
        except (ValueError, AttributeError) as problem:
            raise CountsError(f"{path} is no file of counts: {problem}; name another") from problem
        if found != expected:
            odd = [name for name in _SAME if found[name] != expected[name]]
            told = ", ".join(f"{name} {found[name]!r}, not {expected[name]!r}" for name in odd)
            raise CountsError(f"{path} has counts of another run: {told}; name another file, or remove it")
        self.digest = read["digest"]
        self.tally = Tally(
            schedules=read["schedules"],
            seconds=read["seconds"],
            states=Counter(read["states"]),
            executions=read["executions"],
            entries=read["entries"],
            struck=Counter({(place, kind): n for place, its in read["struck"].items() for kind, n in its.items()}),
            broken={int(number): tuple(told) for number, told in read["broken"].items()},
        )

    def _written(self) -> dict[str, Any]:
        tally = self.tally
        struck: dict[str, dict[str, int]] = {}
        for (place, kind), count in sorted(tally.struck.items()):
            struck.setdefault(place, {})[kind] = count
        return {
            "version": _VERSION,
            "schedules_of": fingerprint(self.seed, self.nodes),
            "seed": self.seed,
            "nodes": self.nodes,
            "first": self.first,
            "schedules": tally.schedules,
            "seconds": round(tally.seconds, 1),
            "digest": self.digest,
            "broken": {str(number): list(told) for number, told in sorted(tally.broken.items())},
            "states": dict(sorted(tally.states.items())),
            "executions": tally.executions,
            "entries": tally.entries,
            "struck": struck,
        }


_SAME: Final = ("version", "schedules_of", "seed", "nodes", "first")
