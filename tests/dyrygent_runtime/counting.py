"""A journal that counts what it is asked, around a real one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from dyrygent_core.ports import Journal


class CountingJournal:
    """Passes everything on, and counts the calls of each operation of the port."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.counts: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._journal, name)
        if not callable(found):
            return found
        return self._counted(name, found)

    def _counted(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.counts[name] += 1
            return operation(*args, **kwargs)

        return call

    def take(self) -> dict[str, int]:
        """Give what was called since the last time, and how often."""
        counts = dict(self.counts)
        self.counts.clear()
        return counts
