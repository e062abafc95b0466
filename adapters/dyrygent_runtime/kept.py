"""What waits in an outbox, named in a lease of its own, so that nobody takes it for lost until it is written.

What has ended is in no worker's lease any more, and the journal does not know its outcome yet. An outbox need not be in
the process that renews the worker's lease, and knows of no attempt's id: that would take the definition, and so the
journal. So it names attempts by node, and its lease stands beside the worker's, with the same boot where it is told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from dyrygent_core import Attempt
from dyrygent_core.errors import JournalUnavailableError
from dyrygent_core.ports import Lease, WorkflowKey
from dyrygent_runtime.conductor import Conductor
from dyrygent_runtime.holdings import Boot
from dyrygent_runtime.lease import LeaseKeeper

__all__ = ["Kept", "kept_name"]

_LOG = logging.getLogger("dyrygent")
_MOST_NAMED: Final = 1_000
"""Every sweep turn reads all leases. Of more, those are named that are written last."""


def kept_name(key: WorkflowKey, attempt: Attempt) -> str:
    """Return what an outbox calls an attempt whose outcome waits in it."""
    return f"kept/{key.incarnation}/{attempt.node}.{attempt.index}.{attempt.number}"


class Kept:
    """The lease of one outbox, from when something in it could not be written until nothing waits any more.

    `waiting`: the attempts whose outcomes wait, those first that are written last. `boot`: the worker's life, if the
    outbox is in it.
    """

    def __init__(
        self, conductor: Conductor, waiting: Callable[[], Iterable[tuple[WorkflowKey, Attempt]]], boot: Boot | None
    ) -> None:
        self._waiting = waiting
        self._boot = boot
        self._keeper = LeaseKeeper(conductor.journal, conductor.settings, conductor.clock, self._lease)
        self._is_told = False

    def tell(self, *, is_away: bool) -> None:
        """Name what waits, if it is time; what never had to be tried twice is not worth it."""
        if not is_away and not self._is_told:
            return
        try:
            self._keeper.renew()
        except JournalUnavailableError:
            return  # as is said of the outcomes
        except Exception:  # noqa: BLE001  # the outcomes must not wait for ever
            _LOG.exception("the lease of an outbox could not be renewed")
            return
        self._is_told = True

    def end(self) -> None:
        """Give the lease back: nothing waits any more."""
        if not self._is_told:
            return
        self._is_told = False
        try:
            self._keeper.give_back()
        except Exception as problem:  # noqa: BLE001  # nor those to come
            _LOG.warning("the lease of an outbox that is empty runs out by itself: %s", problem)

    def _lease(self) -> Lease:
        self._boot = here = self._boot or Boot.of_process("process")
        names = (kept_name(key, attempt) for key, attempt in islice(self._waiting(), _MOST_NAMED))
        return Lease(f"outbox of {here.worker}", here.boot, reserved=frozenset(names))
