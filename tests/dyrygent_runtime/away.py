"""A journal that is away when the test says so, for whoever has it; others may reach the same store."""

from __future__ import annotations

from typing import Any

from dyrygent_core.errors import JournalUnavailableError
from dyrygent_runtime.journals import MemoryJournal


class OutageJournal:
    """One process's way to the journal, which can be away: no call arrives then.

    `refuses`: the calls that never do.
    """

    def __init__(self, store: MemoryJournal) -> None:
        self._store = store
        self.is_away = False
        self.refuses: frozenset[str] = frozenset()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)

        def call(*args: Any, **options: Any) -> Any:
            if self.is_away or name in self.refuses:
                raise JournalUnavailableError(name)
            return found(*args, **options)

        return call if callable(found) else found
