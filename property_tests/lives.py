"""Schedules by number: a random workflow, what its attempts come to, in which order, on which workers, and what fails.

All of a schedule follows from the seed and its number, in any process. Workflows and outcomes are drawn by the
toolkit's strategies, which takes longer than a simulation does; so `SHARED` schedules in a row share them, and differ
in all else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import Final, TypeVar

from attrs import field, frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dyrygent_core import (
    CancelRequested,
    Observation,
    Outcome,
    PauseRequested,
    RerunRequested,
    ResumeRequested,
    SkipRequested,
    Workflow,
)
from dyrygent_core.ports import Journal
from dyrygent_runtime import Settings
from dyrygent_testing import (
    Fault,
    FaultKind,
    Faults,
    Trace,
    Workers,
    fault_places,
    kinds_at,
    outcomes_for,
    simulate,
    workflows,
)

__all__ = ["SETTINGS", "SHARED", "Life", "fingerprint", "life_of", "lived"]

SHARED: Final = 100
"""Schedules in a row that have the same workflow."""
LARGE: Final = 20
_LARGE_SHARE: Final = 20
"""One workflow of so many may have as many nodes as `LARGE` at least."""

SETTINGS: Final = Settings(
    poll_ms=5_000,
    sweep_interval_ms=5_000,
    grace_ms=10_000,
    lease_ms=20_000,
    cancel_grace_ms=10_000,
    resend_after_ms=60_000,
    snapshot_entries=2,
)
"""Shorter waits than in production, so that a life has fewer idle moments; and snapshots soon."""

_DURATIONS_MS: Final = (0, 10, 10, 200, 1_000, 1_000, 6_000, 14_000, 25_000)
"""Shorter than any wait, about half the grace, between grace and lease, and longer than a lease."""
_ORDERS: Final = ("fifo", "lifo", "random", "random")
_RATES: Final = (0.003, 0.01, 0.03, 0.1, 0.3)
_HEALS_MS: Final = (5_000, 20_000, 60_000)
_LATEST_MS: Final = 30_000


@frozen
class Life:
    """What `simulate` is told; small ones have few of everything."""

    number: int
    workflow: Workflow = field(repr=False)
    outcomes: Mapping[str, Sequence[Outcome]]
    order: str
    durations: int
    workers: Workers
    copies: int
    requests: tuple[tuple[int, Observation], ...]
    faults: Faults | tuple[Fault, ...]
    seed: int


def lived(life: Life, *, journal: Callable[[Callable[[], int]], Journal] | None = None) -> Trace:
    """Let it happen; `journal` as `simulate` takes it."""
    return simulate(
        life.workflow,
        outcomes=life.outcomes,
        order=life.order,
        durations=life.durations,
        workers=life.workers,
        copies=life.copies,
        requests=life.requests,
        faults=life.faults,
        journal=journal,
        settings=SETTINGS,
        seed=life.seed,
    )


def fingerprint(seed: int, nodes: int) -> str:
    """Return a digest of some schedules: another where the same numbers stand for other ones."""
    lives = (life_of(seed, number, nodes=nodes) for number in (0, SHARED + 1, (_LARGE_SHARE - 1) * SHARED + 2))
    shown: list[object] = []
    for life in lives:
        definition, calls = life.workflow.build()
        shown += [definition.graph.nodes, definition.output, calls, life]
    return hashlib.blake2b(ascii(shown).encode(), digest_size=8).hexdigest()


def life_of(seed: int, number: int, *, nodes: int = 6) -> Life:
    """Draw the schedule of this number; one workflow of twenty has up to 20 nodes, the others up to `nodes`."""
    group = number // SHARED
    is_large = group % _LARGE_SHARE == _LARGE_SHARE - 1
    workflow, outcomes, names = _drawn_once(seed, group, max(nodes, LARGE) if is_large else nodes)
    chance = Random(f"{seed} {nodes} {number}")
    return Life(
        number=number,
        workflow=workflow,
        outcomes=outcomes if chance.random() < 0.7 else {},
        order=chance.choice(_ORDERS),
        durations=chance.choice(_DURATIONS_MS),
        workers=Workers(chance.randint(1, 3), chance.randint(1, 2), chance.randint(0, 2), chance.choice([None, 1])),
        copies=chance.choice([1, 1, 1, 2]),
        requests=tuple(_requests(chance, names)),
        faults=_faults(chance),
        seed=number,
    )


def _requests(chance: Random, names: Sequence[str]) -> list[tuple[int, Observation]]:
    every: list[Observation] = [PauseRequested(), ResumeRequested(), CancelRequested(), RerunRequested()]
    every += [SkipRequested(name) for name in chance.sample(names, min(1, len(names)))]
    count = chance.choice([0, 0, 0, 1, 2, 3])
    return [(chance.randint(0, _LATEST_MS), chance.choice(every)) for _ in range(count)]


def _faults(chance: Random) -> Faults:
    """Choose a few kinds, each with its rate: of all there would only ever be the same mixture (swarm testing)."""
    kinds = chance.sample([*FaultKind], chance.choice([0, 1, 1, 2, 2, 3, 4, 6]))
    rates = {kind.value: chance.choice(_RATES) for kind in kinds}
    if FaultKind.REDELIVER in kinds:  # it strikes what a dead process held
        rates.setdefault("crash", 0.01)
    return Faults(heal_ms=chance.choice(_HEALS_MS), planned=_aimed(chance), **rates)


def _aimed(chance: Random) -> tuple[Fault, ...]:
    """Choose a fault or two at places that are passed too seldom for rates to strike there often."""
    faults: list[Fault] = []
    for _ in range(chance.choice([0, 1, 1, 2])):
        place = chance.choice(_PLACES)
        kind = chance.choice(kinds_at(place))
        hit = 1 if place in _RARE else chance.choice(_HITS)
        faults.append(Fault(place, hit, kind, chance.choice(_LENGTHS_MS.get(kind, (0,)))))
    return tuple(faults)


_RARE: Final = {"engine.waiting": 12, "point.before_take_back": 3, "point.before_read_back": 6, "engine.revoke": 2}
"""Those that few lives pass, each as often as this is aimed at it."""
_PLACES: Final = [place for place in fault_places() for _ in range(_RARE.get(place, 1))]
_HITS: Final = (1, 1, 1, 2, 2, 3, 4, 6, 9, 15)
_LENGTHS_MS: Final = {
    FaultKind.PAUSE: (1, 3_000, 6_000, 12_000, 30_000),
    FaultKind.STOP: (1, 3_000, 6_000, 12_000, 30_000),
    FaultKind.UNAVAILABLE: (0, 0, 15_000, 30_000),
    FaultKind.DUPLICATE: (0, 1_500, 15_000),
    FaultKind.DELAY: (5_000, 15_000, 30_000),
    FaultKind.STEP: (40_000, -40_000, 3_600_000, -3_600_000),
}
"""On either side of every waiting time that matters."""


# What is drawn by strategies

_Drawn = TypeVar("_Drawn")
_FIRST_BYTES, _MOST_BYTES = 1 << 14, 1 << 20


@lru_cache(maxsize=64)
def _drawn_once(seed: int, group: int, nodes: int) -> tuple[Workflow, Mapping[str, Sequence[Outcome]], tuple[str, ...]]:
    workflow, outcomes = _drawn(_workflows_and_outcomes(nodes), f"{seed} {nodes} workflow {group}")
    return workflow, outcomes, tuple(workflow.build()[0].graph.numbers)


@st.composite
def _workflows_and_outcomes(draw: st.DrawFn, nodes: int) -> tuple[Workflow, Mapping[str, Sequence[Outcome]]]:
    workflow = draw(workflows(max_nodes=nodes))
    return workflow, draw(outcomes_for(workflow))


def _drawn(strategy: st.SearchStrategy[_Drawn], seed: str) -> _Drawn:
    """Draw one value by bytes that follow from a seed, as an outside fuzzer has Hypothesis draw."""
    got: list[_Drawn] = []

    @settings(database=None, deadline=None, suppress_health_check=[*HealthCheck])
    @given(strategy)
    def keep(value: _Drawn) -> None:
        got.append(value)

    size = _FIRST_BYTES
    while not got:
        assert size <= _MOST_BYTES, f"{seed}: the strategy draws nothing from {_MOST_BYTES:,} bytes"
        keep.hypothesis.fuzz_one_input(Random(seed).randbytes(size))  # type: ignore[attr-defined]
        size *= 4
    return got[0]
