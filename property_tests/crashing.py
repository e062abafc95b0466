"""Every single fault in every run of a small graph: what is tried, counted and reported, one graph at a time.

The fault points that a run passes are found by letting it pass them. Then it is run again for each of them, and dies
there. A simulation is the same whenever it is repeated, so that nothing is left out, and nothing tried twice.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

from dyrygent_core import Attempt, CancelRequested, Failed, RerunRequested
from dyrygent_runtime import Settings
from dyrygent_testing import Fault, FaultKind, Trace, Workers, check_invariants, kinds_at, simulate
from property_tests.dags import Dag, workflow_of

__all__ = ["SCENES", "Tally", "every_fault", "single_faults", "tried"]

SETTINGS: Final = Settings(
    poll_ms=3_000,
    sweep_interval_ms=3_000,
    grace_ms=10_000,
    lease_ms=20_000,
    cancel_grace_ms=10_000,
    resend_after_ms=60_000,
    snapshot_entries=2,
)
"""Shorter waits, so that a run has fewer idle moments; and snapshots soon, so that they are kept at all."""
_MOST_APPENDS: Final = 12
_SHORT_MS, _LONG_MS = 1, 12_000
"""A pause that has to leave no trace, and one beyond the grace."""

SCENES: Final[Mapping[str, Mapping[str, Any]]] = {
    "race": {"durations": 2_000},
    "hand-over": {
        "durations": lambda attempt: 1_000 * int(attempt.node[1:]) + 1_500,
        "workers": Workers(2, slots=1, prefetch=0, send_limit=1),
    },
    "rerun": {
        "durations": 1_000,
        "outcomes": {"n0": (Failed(Attempt("n0")),)},
        "requests": [(1_500, RerunRequested())],
    },
    "cancel": {"durations": 4_000, "requests": [(5_000, CancelRequested())]},
}
"""Two conductors in each. In a race all that can run at once ends at the same moment, on both of them."""


@frozen
class Tally:
    """How many simulations there were, what they passed, and what was wrong."""

    runs: int
    seconds: float
    hits: Counter[str] = field(factory=Counter)
    wrong: tuple[str, ...] = ()


def tried(dag: Dag, scene: str, plans: Sequence[Sequence[Fault]]) -> Tally:
    """Run a graph once for each plan of faults, and judge each run."""
    began = time.process_time()
    hits: Counter[str] = Counter()
    wrong: list[str] = []
    for plan in plans:
        trace = run(dag, scene, plan)
        hits.update(trace.hits)
        try:
            check_invariants(trace)
        except AssertionError as problem:
            wrong.append(f"graph {dag}, scene {scene!r}: {problem}")
    return Tally(len(plans), time.process_time() - began, hits, tuple(wrong))


def run(dag: Dag, scene: str, plan: Sequence[Fault]) -> Trace:
    """Run a graph in a scene, with these faults."""
    return simulate(workflow_of(dag), settings=SETTINGS, faults=plan, **SCENES[scene])


def single_faults(dag: Dag, scene: str) -> list[list[Fault]]:
    """Give what CI tries: a death at every fault point of every turn, also with all replies lost and a message doubled.

    In the race also: every append whose reply is lost, and a death before that is found out; every message lost,
    doubled or late; a short and a long pause at every fault point.
    """
    hits = run(dag, scene, ()).hits
    points = [(place, hit) for place, hit in _passed(hits) if place.startswith("point.")]
    plans = [[Fault(place, hit, FaultKind.CRASH)] for place, hit in points]
    if scene != "race":
        return plans
    lost = [Fault("journal.append", hit, FaultKind.LOST_REPLY) for hit in range(1, _MOST_APPENDS)]
    messages = hits["message.sent"]
    for number, (place, hit) in enumerate(points):
        doubled = Fault("message.sent", number % messages + 1, FaultKind.DUPLICATE, 1_500)
        plans.append([Fault(place, hit, FaultKind.CRASH), *lost, doubled])
    for hit in range(1, hits["journal.append"] + 1):
        unheard = Fault("journal.append", hit, FaultKind.LOST_REPLY)
        plans += [[unheard], [unheard, Fault("point.before_read_back", 1, FaultKind.CRASH)]]
    for hit in range(1, messages + 1):
        plans += [[Fault("message.sent", hit, kind, ms)] for kind, ms in _ON_MESSAGES]
    plans += [[Fault(place, hit, FaultKind.PAUSE, ms)] for place, hit in points for ms in (_SHORT_MS, _LONG_MS)]
    return plans


_ON_MESSAGES: Final = (
    (FaultKind.LOSE, 0),
    (FaultKind.DUPLICATE, 0),
    (FaultKind.DUPLICATE, 1_500),
    (FaultKind.DUPLICATE, 30_000),
    (FaultKind.DELAY, 15_000),
)


def every_fault(dag: Dag, scene: str) -> list[list[Fault]]:
    """Give every kind of fault at every place that a run passes."""
    return [
        [Fault(place, hit, kind, ms)] for place, hit in _passed(run(dag, scene, ()).hits) for kind, ms in _kinds(place)
    ]


def _passed(hits: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    return ((place, hit) for place, most in hits.items() for hit in range(1, most + 1))


def _kinds(place: str) -> Iterator[tuple[FaultKind, int]]:
    for kind in kinds_at(place):
        yield from ((kind, ms) for ms in _LENGTHS_MS.get(kind, (0,)))


_LENGTHS_MS: Final = {
    FaultKind.PAUSE: (_SHORT_MS, 6_000, _LONG_MS, 30_000),
    FaultKind.STOP: (_SHORT_MS, 6_000, _LONG_MS, 30_000),
    FaultKind.UNAVAILABLE: (0, 15_000),
    FaultKind.DUPLICATE: (0, 1_500, 30_000),
    FaultKind.DELAY: (15_000,),
    FaultKind.STEP: (3_600_000, -3_600_000),
}
