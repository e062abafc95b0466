"""The sweeper: a daemon thread that renews this process's lease and sweeps what is due.

Any process that asks for it may have one; a worker always does. It must survive everything: a journal that is
away, a workflow that cannot be read, an engine that fails. Each is logged once, and the next round tries again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from dyrygent_core.errors import JournalUnavailableError, UnknownWorkflowError, quoted
from dyrygent_core.ports import Due, Lease
from dyrygent_runtime.conductor import Conductor
from dyrygent_runtime.sweep import sweep_workflow

__all__ = ["Sweeper"]

_LOG = logging.getLogger("dyrygent")
_MOST_CLAIMED: Final = 10
_SHORTEST_BETWEEN_RENEWALS_MS: Final = 1_000


class Sweeper:
    """Sweeps in a daemon thread from `start` to `stop`.

    `lease` tells which attempts run in this worker and which it holds; None for a process that runs none.
    """

    def __init__(
        self,
        conductor: Conductor,
        *,
        lease: Callable[[], Lease] | None = None,
        name: str = "dyrygent-sweeper",
    ) -> None:
        self._conductor = conductor
        self._lease = lease
        self._renewed: tuple[int, Lease] | None = None
        self._wake = threading.Event()
        self._is_stopping = False
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to sweep."""
        self._thread.start()

    def stop(self, timeout: float | None = 5.0) -> None:
        """Let the round under way end, and sweep no more."""
        self._is_stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def round(self) -> int:
        """Renew the lease, sweep what is due; return the number of workflows swept.

        Raises `JournalUnavailableError`.
        """
        self._renew()
        claimed = self._conductor.journal.due(limit=_MOST_CLAIMED, claim_ms=self._conductor.settings.claim_ms)
        for due in claimed:
            self._sweep(due)
            self._renew()
        return len(claimed)

    def _run(self) -> None:
        while not self._is_stopping:
            swept = self._safe_round()
            if swept < _MOST_CLAIMED:
                self._wake.wait(self._conductor.settings.poll_ms / 1000)
                self._wake.clear()

    def _safe_round(self) -> int:
        try:
            swept = self.round()
        except JournalUnavailableError as problem:
            if not self._is_away:
                _LOG.error("the journal is away, sweeping resumes when it is back: %s", problem)
            self._is_away = True
            return 0
        except Exception:  # noqa: BLE001  # a thread that dies would end all progress
            _LOG.exception("a round of the sweeper failed; the next one begins anew")
            return 0
        if self._is_away:
            _LOG.warning("the journal is back")
        self._is_away = False
        return swept

    def _sweep(self, due: Due) -> None:
        try:
            sweep_workflow(self._conductor, due)
        except JournalUnavailableError:
            raise
        except UnknownWorkflowError:
            return  # deleted while we looked
        except Exception:  # noqa: BLE001  # one workflow that cannot be read must not stop the others; it is due again later
            _LOG.exception("workflow %s: its sweep turn failed", quoted(due.key.id))

    def _renew(self) -> None:
        """Renew the lease every third of its time; when what the worker holds has changed, once a second."""
        if self._lease is None:
            return
        lease, now_ms = self._lease(), self._conductor.clock.monotonic_ms()
        if self._renewed is not None:
            renewed_ms, before = self._renewed
            age_ms = now_ms - renewed_ms
            is_fresh = age_ms < self._conductor.settings.lease_ms // 3
            if is_fresh and (lease.reserved <= before.reserved or age_ms < _SHORTEST_BETWEEN_RENEWALS_MS):
                return
        self._conductor.journal.renew_lease(lease, ttl_ms=self._conductor.settings.lease_ms)
        self._renewed = now_ms, lease
