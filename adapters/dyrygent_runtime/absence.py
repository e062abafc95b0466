"""Which attempts are in nobody's hands: in no queue any more, and with no worker that lives.

A message that a worker has just taken is in no queue, and no lease names it yet. So one look is not enough. The first
is noted beside the journal, where every sweeper finds it, and an attempt is absent if it was in no queue at that look
and at all since, and every worker that lives has renewed its lease twice meanwhile, and does not name it. Twice, for
what the first renewal names may have been gathered before the look. The worker that looks need not wait for itself.

Where no sweep has looked for a while, what was noted is void: a worker may have had the message, and put it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Final

from dyrygent_core import Attempt
from dyrygent_core.ports import Marks
from dyrygent_runtime.conductor import Conductor
from dyrygent_runtime.fold import Folded
from dyrygent_runtime.holders import Holders

__all__ = ["absent"]

_ABSENT: Final = "absent"
"""The annotation: when it was looked last, and since when each attempt has been seen in no queue."""
_MOST_NOTED: Final = 1_000
"""Attempts of a workflow at a time; others wait for these."""
_MOST_BETWEEN: Final = 3
"""Two looks count as one after the other if no more sweep intervals are between them, or a third of the lease."""


def absent(
    conductor: Conductor, folded: Folded, holders: Holders, unqueued: Mapping[Attempt, Marks]
) -> frozenset[Attempt]:
    """Return those in nobody's hands of attempts that are in no queue now, and that no living worker's lease names."""
    if not unqueued:
        return frozenset()
    now_ms, numbers, settings = holders.now_ms, folded.definition.graph.numbers, conductor.settings
    names = {it: f"{numbers[it.node]}.{it.index}.{it.number}" for it in islice(unqueued, _MOST_NOTED)}
    last_ms, noted = conductor.journal.annotations(folded.key).get(_ABSENT, [0, {}])
    is_void = not 0 <= now_ms - last_ms <= max(_MOST_BETWEEN * settings.sweep_interval_ms, settings.renewal_ms)
    since_ms: Mapping[str, int] = {} if is_void else noted
    seen_ms = {it: since_ms.get(name, now_ms) for it, name in names.items()}
    for attempt, at_ms in seen_ms.items():
        if at_ms <= (unqueued[attempt].sent_ms or 0):  # it has been sent again
            seen_ms[attempt] = now_ms
    conductor.journal.annotate(folded.key, {_ABSENT: [now_ms, {names[it]: at_ms for it, at_ms in seen_ms.items()}]})
    return frozenset(it for it, at_ms in seen_ms.items() if at_ms < holders.asked_ms)
