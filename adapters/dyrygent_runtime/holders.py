"""Who holds which attempts, read from all leases at once.

A lease that is renewed for no time at all is given back. If it names nothing then, its worker has ended in order:
nobody died, and nothing that it named before is missed. What it does name is missed at once. What it had begun all the
same, and told no end of, was given back to its queue perhaps, and may wait there: it is missed after a lease's time.

A lease that has run out is over only if it could have been renewed: nobody can in an outage of the journal. Who lives
does so within a third of the lease's time once the journal is back, so until then the lease counts as one that runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from dyrygent_core.ports import Lease, LeaseView

__all__ = ["Holders", "has_ended_in_order", "holders_of"]


@frozen
class Holders:
    """The workers of a namespace as of one moment, by name and boot, and what they hold, by attempt id.

    `living`: what workers hold whose leases run. `dead_ms`: what others held, and when the last of them ran out.
    """

    views: Mapping[tuple[str, str], LeaseView]
    living: frozenset[str]
    dead_ms: Mapping[str, int]
    now_ms: int
    last_death_ms: int = 0
    """When the last of the leases that are over ran out."""
    asked_ms: int = 0
    """Since when each worker that lives has renewed its lease twice: what it held at that time it has named."""
    watched_ms: int = 0
    """Since when whoever asks has watched the journal without a gap."""

    def is_over(self, view: LeaseView) -> bool:
        """Tell whether a lease has run out, though it could have been renewed."""
        return _is_over(view, self.now_ms, self.watched_ms)


def holders_of(leases: Iterable[LeaseView], now_ms: int, here: Lease | None = None, *, watched_ms: int = 0) -> Holders:
    """Sort leases by what they name. Cost: O(names in them).

    `here`: what the worker that asks holds itself, just now. `watched_ms`: since when, by the store's clock, it has
    watched the journal without a gap.
    """
    views = {(view.lease.worker, view.lease.boot): view for view in leases}
    living: set[str] = set() if here is None else {*here.active, *here.reserved}
    dead_ms: dict[str, int] = {}
    last_death_ms, asked_ms = 0, now_ms
    for worker, view in views.items():
        if has_ended_in_order(view):
            continue
        names = _names(view)
        if not _is_over(view, now_ms, watched_ms):
            living |= names
            if here is None or worker != (here.worker, here.boot):
                asked_ms = min(asked_ms, view.previous_ms or 0)
            continue
        last_death_ms = max(view.expires_ms, last_death_ms)
        for name in names:
            dead_ms[name] = max(view.expires_ms, dead_ms.get(name, 0))
    return Holders(views, frozenset(living), dead_ms, now_ms, last_death_ms, asked_ms, watched_ms)


def _is_over(view: LeaseView, now_ms: int, watched_ms: int) -> bool:
    renewal_ms = (view.expires_ms - view.renewed_ms) // 3
    return view.expires_ms < now_ms and watched_ms + renewal_ms <= now_ms


def has_ended_in_order(view: LeaseView) -> bool:
    """Tell whether a lease was given back, and names nothing."""
    return view.expires_ms == view.renewed_ms and not view.lease.active and not view.lease.reserved


def _names(view: LeaseView) -> frozenset[str]:
    names = view.lease.active | view.lease.reserved
    return names if view.previous is None else names | view.previous.active | view.previous.reserved
