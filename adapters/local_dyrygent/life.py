"""The life of one local adapter among those that share its journal: its lease, and what it knows of the others.

What was sent to a local adapter is in the memory of its process and nowhere else. Hence one that finds no other alive
when it opens knows that nobody holds anything that was sent before, and need not wait until that shows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dyrygent_core import WorkflowState
from dyrygent_core.errors import JournalError
from dyrygent_core.ports import Clock, Journal, Query, WorkflowKey
from dyrygent_runtime import Settings
from dyrygent_runtime.holdings import Holdings
from local_dyrygent.presence import Presence

__all__ = ["Life"]

_LOG: Final = logging.getLogger("dyrygent")
_BETWEEN_LOOKS_MS: Final = 1_000
_PAGE: Final = 500


class Life:
    """Holds the lease of one adapter; ends the leases of processes that have died on the same file."""

    def __init__(self, journal: Journal, settings: Settings, clock: Clock, holdings: Holdings) -> None:
        self._journal = journal
        self._settings = settings
        self._clock = clock
        self._holdings = holdings
        self._looked_ms = clock.monotonic_ms()
        file: Path | None = getattr(journal, "file", None)
        self._presence = None if file is None else Presence(file, holdings.boot.boot)
        self.found: tuple[WorkflowKey, ...] = ()
        """What was unfinished when this life began, the newest first."""
        self.alone_since_ms: int | None = None
        """A time of the journal's: what was sent before is held by nobody. None if others were there, or nothing was
        unfinished."""

    def begin(self) -> None:
        """Take the lease, and have everything looked at that only the dead have held."""
        try:
            born_ms = self._journal.renew_lease(self._holdings.lease(), ttl_ms=self._settings.lease_ms)
            self.found = tuple(self.open_workflows())
            for key in self.found if self.is_alone() else ():
                self.alone_since_ms = born_ms
                self._journal.remind(key, in_ms=0)
        except JournalError as problem:
            _LOG.warning("what is unfinished in the journal is found only by and by: %s", problem)

    def look(self) -> None:
        """Look for processes that have died, once a second."""
        now_ms = self._clock.monotonic_ms()
        if self._presence is not None and now_ms - self._looked_ms >= _BETWEEN_LOOKS_MS:
            self._looked_ms = now_ms
            self._bury(self._presence)

    def is_alone(self) -> bool:
        """Tell whether no other worker of the journal lives."""
        out = {self._holdings.boot.boot}
        if self._presence is not None:
            out |= self._bury(self._presence)
        views, now_ms = self._journal.leases()
        return all(view.lease.boot in out or view.expires_ms <= now_ms for view in views)

    def open_workflows(self) -> Iterator[WorkflowKey]:
        """Give the workflows that have not been closed, the newest first."""
        after: str | None = None
        while True:
            page = self._journal.list(Query(states=frozenset({WorkflowState.RUNNING})), limit=_PAGE, after=after)
            yield from [it.key for it in page.items]
            after = page.following
            if after is None:
                return

    def end(self) -> None:
        """Give the lease back, naming what is left."""
        try:
            self._journal.renew_lease(self._holdings.lease(), ttl_ms=0)
        except JournalError as problem:
            _LOG.warning("this adapter's lease runs out by itself: %s", problem)
        if self._presence is not None:
            self._presence.leave()

    def _bury(self, presence: Presence) -> frozenset[str]:
        """End the leases of those that have died, and return who they are."""
        gone = presence.gone()
        if not gone:
            return gone
        views, now_ms = self._journal.leases()
        for view in views:
            if view.lease.boot in gone and view.expires_ms > now_ms:
                _LOG.warning("%s has died; what it held is taken over", view.lease.worker)
                self._journal.renew_lease(view.lease, ttl_ms=1)  # not 0: it was not given back (`holders`)
        for name in gone:
            presence.forget(name)
        return gone
