"""The sweeper: a daemon thread that sweeps what is due and deletes what is old, and another for the worker's lease.

Any process that asks for it may have one; a worker always does. While nothing is due it asks the store once in every
`poll_ms`, renews its lease every third of the lease's time, and looks once a minute for what is old: 1.07 store
operations a second by default. It must survive everything: a journal that is away, a workflow that cannot be read, an
engine that fails. Each is logged once, and the next round tries again. A workflow of a newer release is left to that
release's sweepers: it rests as long as any other, so that these come to it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from dyrygent_core.errors import JournalUnavailableError, UnknownWorkflowError, UnsupportedVersionError, quoted
from dyrygent_core.ports import Due, Lease, WorkflowKey
from dyrygent_runtime.conductor import Conductor
from dyrygent_runtime.faults import FaultPoint
from dyrygent_runtime.lease import LeaseKeeper
from dyrygent_runtime.sweep import sweep_workflow
from dyrygent_runtime.watch import Watch

__all__ = ["Sweeper"]

_LOG = logging.getLogger("dyrygent")
_MOST_CLAIMED: Final = 10
_BETWEEN_PURGES_MS: Final = 60_000
_MOST_LEFT: Final = 10_000
"""Of so many workflows at a time it is remembered that they cannot be read; of more, that is logged again."""
_MOST_PURGED: Final = 500
"""Workflows deleted at a time, so 720,000 a day by each sweeper."""


class Sweeper:
    """Sweeps in a daemon thread from `start` to `stop`.

    `lease` tells which attempts run in this worker and which it holds; None for a process that runs none.
    `before`: what each round begins with.
    """

    def __init__(
        self,
        conductor: Conductor,
        *,
        lease: Callable[[], Lease] | None = None,
        before: Callable[[], object] | None = None,
        name: str = "dyrygent-sweeper",
    ) -> None:
        self._conductor = conductor
        self._before = before
        self._lease = lease
        self._keeper = lease and LeaseKeeper(conductor.journal, conductor.settings, conductor.clock, lease)
        self._watch = Watch(conductor.settings, conductor.clock)
        self._purged_ms: int | None = None
        self._left: set[WorkflowKey] = set()
        self._wake = threading.Event()
        self._is_stopping = False
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to sweep."""
        if self._keeper is not None:
            self._keeper.start()
        self._thread.start()

    def stop(self, timeout: float | None = 5.0) -> None:
        """Let the round under way end, and sweep no more."""
        self._is_stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        if self._keeper is not None:
            self._keeper.stop(timeout)

    @property
    def is_purge_due(self) -> bool:
        """Whether the next round looks for what is old."""
        if self._conductor.settings.retention_ms is None:
            return False
        now_ms = self._conductor.clock.monotonic_ms()
        return self._purged_ms is None or now_ms - self._purged_ms >= _BETWEEN_PURGES_MS

    def round(self) -> int:
        """Renew the lease if it is time, sweep what is due, delete what is old; return how many workflows were swept.

        Raises `JournalUnavailableError`.
        """
        try:
            return self._round()
        except JournalUnavailableError:
            self._watch.lose()
            raise

    def skip_round(self) -> None:
        """Take it that a round has found nothing to do, and the journal in its place."""
        self._watch.see()

    def _round(self) -> int:
        if self._keeper is not None:
            self._keeper.renew()
        if self._before is not None:
            self._before()
        settings, claimed_ms = self._conductor.settings, self._conductor.clock.monotonic_ms()
        claimed = self._conductor.journal.due(limit=_MOST_CLAIMED, claim_ms=settings.claim_ms)
        self._watch.see()
        for due in claimed:
            if self._conductor.clock.monotonic_ms() - claimed_ms >= settings.claim_ms:
                break  # those before took so long that others may have it now
            self._sweep(due, claimed_ms)
            self._watch.see()
        self.purge()
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

    def _sweep(self, due: Due, claimed_ms: int) -> None:
        try:
            here = None if self._lease is None else self._lease()
            watched_ms = self._watch.since_ms
            sweep_workflow(self._conductor, due, claimed_ms=claimed_ms, here=here, watched_ms=watched_ms)
        except JournalUnavailableError:
            raise
        except UnknownWorkflowError:
            return  # deleted while we looked
        except UnsupportedVersionError as problem:
            self._leave(due.key, problem)
        except Exception:  # noqa: BLE001  # one workflow that cannot be read must not stop the others; it is due again later
            _LOG.exception("workflow %s: its sweep turn failed", quoted(due.key.id))

    def _leave(self, key: WorkflowKey, problem: UnsupportedVersionError) -> None:
        """Let a workflow rest that cannot be read here, so that whoever can has it soon, not after our whole claim."""
        if key not in self._left:
            if len(self._left) >= _MOST_LEFT:
                self._left.clear()
            self._left.add(key)
            _LOG.error("workflow %s: its sweep is left to a release that can read it: %s", quoted(key.id), problem)
        try:
            self._conductor.journal.rest(key, in_ms=self._conductor.settings.sweep_interval_ms)
        except UnknownWorkflowError:
            return

    def purge(self) -> None:
        """Delete some of the workflows that ended too long ago, once a minute."""
        retention_ms, now_ms = self._conductor.settings.retention_ms, self._conductor.clock.monotonic_ms()
        if retention_ms is None or not self.is_purge_due:
            return
        self._conductor.reach(FaultPoint.SWEEP_BEFORE_PURGE)
        self._purged_ms = now_ms
        purged = self._conductor.journal.purge(closed_for_ms=retention_ms, limit=_MOST_PURGED)
        if purged:
            _LOG.info("%d workflows that ended long ago were deleted", purged)
