"""Which conductor serves an adapter, or none, over a journal."""

from __future__ import annotations

from dyrygent_core.ports import Adapter, Journal
from dyrygent_runtime.conductor import Conductor
from dyrygent_runtime.no_adapter import NoAdapter

__all__ = ["conductor_over"]


def conductor_over(journal: Journal, adapter: Adapter | None) -> Conductor:
    """Give the adapter's own conductor if it is over this journal, since that knows its workflows; else one like it."""
    if adapter is None:
        return Conductor(journal, NoAdapter())
    own = getattr(adapter, "conductor", None)
    if not isinstance(own, Conductor):
        return Conductor(journal, adapter)
    if own.journal is journal:
        return own
    return Conductor(
        journal,
        adapter,
        settings=own.settings,
        clock=own.clock,
        reach=own.reach,
        listeners=own.listeners,
        rules=own.rules,
    )
