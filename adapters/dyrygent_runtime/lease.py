"""A worker's lease: its word that it lives, renewed by a thread that does nothing else.

So neither a long sweep turn nor a long task makes a worker look dead; only a process that is stopped does, and one that
cannot reach the journal.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from dyrygent_core.errors import JournalUnavailableError
from dyrygent_core.ports import Clock, Journal, Lease
from dyrygent_runtime.settings import Settings

__all__ = ["LeaseKeeper"]

_LOG = logging.getLogger("dyrygent")
_SHORTEST_MS: Final = 1_000
"""Between two renewals: what a worker holds may change with every task."""


class LeaseKeeper:
    """Renews one worker's lease, in a daemon thread from `start` to `stop`, or whenever it is told to.

    `lease` tells which attempts run in this worker and which it holds.
    """

    def __init__(self, journal: Journal, settings: Settings, clock: Clock, lease: Callable[[], Lease]) -> None:
        self._journal = journal
        self._settings = settings
        self._clock = clock
        self._lease = lease
        self._lock = threading.Lock()
        self._renewed: tuple[int, Lease] | None = None
        self._stopping = threading.Event()
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name="dyrygent-lease", daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self, timeout: float | None) -> None:
        """Renew no more. A worker that holds nothing gives its lease back: its end is no death, see `holders`.

        The lease of one that still holds something runs out by itself.
        """
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        try:
            self.give_back()
        except Exception as problem:  # noqa: BLE001  # whatever ends here must end
            _LOG.warning("this worker's lease is not given back, so it runs out: %s", problem)

    def give_back(self) -> None:
        """Give the lease back if it names nothing; it may be begun again. Raises `JournalUnavailableError`."""
        with self._lock:
            lease = self._lease()
            if self._renewed is not None and not lease.active and not lease.reserved:
                self._journal.renew_lease(lease, ttl_ms=0)
                self._renewed = None

    @property
    def is_due(self) -> bool:
        """Whether `renew` would tell the journal something."""
        with self._lock:
            return self._is_due(self._lease(), self._clock.monotonic_ms())

    def renew(self) -> None:
        """Renew the lease every third of its time; when what the worker holds has changed, once a second.

        Raises `JournalUnavailableError`.
        """
        with self._lock:
            lease, now_ms = self._lease(), self._clock.monotonic_ms()
            if not self._is_due(lease, now_ms):
                return
            self._journal.renew_lease(lease, ttl_ms=self._settings.lease_ms)
            self._renewed = now_ms, lease

    def _is_due(self, lease: Lease, now_ms: int) -> bool:
        if self._renewed is None:
            return True
        renewed_ms, before = self._renewed
        age_ms = now_ms - renewed_ms
        is_fresh = age_ms < self._settings.renewal_ms
        return not is_fresh or (not lease.reserved <= before.reserved and age_ms >= _SHORTEST_MS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._safely_renew()
            self._stopping.wait(min(self._settings.poll_ms, self._settings.renewal_ms) / 1000)

    def _safely_renew(self) -> None:
        try:
            self.renew()
        except JournalUnavailableError as problem:
            if not self._is_away:
                _LOG.error("no lease is renewed: whoever reaches the journal takes this worker for dead: %s", problem)
            self._is_away = True
        except Exception:  # noqa: BLE001  # a thread that dies would make the worker look dead
            _LOG.exception("a renewal of this worker's lease failed; the next one begins anew")
        else:
            self._is_away = False
