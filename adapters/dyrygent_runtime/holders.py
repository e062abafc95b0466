"""Who holds which attempts, read from all leases at once.

A lease that is renewed for no time at all is given back. If it names nothing then, its worker has ended in order:
nobody died, and nothing that it named before is missed. What it does name is missed at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from dyrygent_core.ports import Lease, LeaseView

__all__ = ["Holders", "holders_of", "is_named"]


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


def holders_of(leases: Iterable[LeaseView], now_ms: int, here: Lease | None = None) -> Holders:
    """Sort leases by what they name. Cost: O(names in them).

    `here`: what the worker that asks holds itself, just now.
    """
    views = {(view.lease.worker, view.lease.boot): view for view in leases}
    living: set[str] = set() if here is None else {*here.active, *here.reserved}
    dead_ms: dict[str, int] = {}
    last_death_ms, asked_ms = 0, now_ms
    for worker, view in views.items():
        if _has_ended_in_order(view):
            continue
        names = _names(view)
        if view.expires_ms >= now_ms:
            living |= names
            if here is None or worker != (here.worker, here.boot):
                asked_ms = min(asked_ms, view.previous_ms or 0)
            continue
        last_death_ms = max(view.expires_ms, last_death_ms)
        for name in names:
            dead_ms[name] = max(view.expires_ms, dead_ms.get(name, 0))
    return Holders(views, frozenset(living), dead_ms, now_ms, last_death_ms, asked_ms)


def _has_ended_in_order(view: LeaseView) -> bool:
    return view.expires_ms == view.renewed_ms and not view.lease.active and not view.lease.reserved


def is_named(view: LeaseView, name: str) -> bool:
    """Tell whether a lease names an attempt, at its last renewal or at the one before."""
    return name in _names(view)


def _names(view: LeaseView) -> frozenset[str]:
    names = view.lease.active | view.lease.reserved
    return names if view.previous is None else names | view.previous.active | view.previous.reserved
