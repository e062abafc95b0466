"""Whether something goes wrong here and now: by plan, else by chance until the heal."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Final

from dyrygent_runtime.settings import Settings
from dyrygent_testing.simulation.faults import Fault, FaultKind, Faults, kinds_at

__all__ = ["Fate"]


class Fate:
    """Counts how often each place is passed, and strikes."""

    def __init__(self, faults: Faults, settings: Settings, chance: Random) -> None:
        self.hits: dict[str, int] = {}
        self._planned = {(it.place, it.hit): it for it in faults.planned}
        self._rates: Mapping[FaultKind, float] = faults.rates
        self._chances: dict[str, list[tuple[FaultKind, float]]] = {}
        self.heal_ms = faults.heal_ms
        self._chance = chance
        self._is_over = False
        self._held: dict[str, Fault] = {}
        """What was drawn for a place, and is still to strike there."""
        self._lengths_ms = _lengths_ms(settings)

    def strike(self, place: str, now_ms: int) -> Fault | None:
        """Pass a place; return what goes wrong there."""
        if self._held and place in self._held:
            return self._held.pop(place)
        if self._is_over:
            return None
        self.hits[place] = hit = self.hits.get(place, 0) + 1
        struck = self._planned.get((place, hit)) if self._planned else None
        if struck is not None or not self._rates or now_ms >= self.heal_ms:
            return struck
        chances = self._chances.get(place)
        if chances is None:
            chances = self._chances[place] = [(it, self._rates[it]) for it in kinds_at(place) if it in self._rates]
        if not chances:
            return None
        drawn = self._chance.random()
        for kind, rate in chances:
            drawn -= rate
            if drawn < 0:
                return Fault(place, hit, kind, self._length_ms(kind))
        return None

    def spares(self, place: str, now_ms: int) -> bool:
        """Pass a place if nothing goes wrong there; what does, strikes whoever passes it next."""
        fault = self.strike(place, now_ms)
        if fault is not None:
            self._held[place] = fault
        return fault is None

    def plan(self, place: str, kind: FaultKind, ms: int) -> None:
        """Let something go wrong when a place is passed next."""
        hit = self.hits.get(place, 0) + 1
        self._planned[place, hit] = Fault(place, hit, kind, ms)

    def strikes_no_more(self) -> None:
        """Let everything go well from now on, and count no more: what is passed now is no part of the simulation."""
        self._is_over = True

    def may_strike_by_chance(self, now_ms: int) -> bool:
        """Tell whether anything may go wrong now that is not planned."""
        return bool(self._rates) and now_ms < self.heal_ms

    @contextmanager
    def spared(self) -> Generator[None]:
        """Let everything go well, and count nothing, for a moment."""
        before, self._is_over = self._is_over, True
        try:
            yield
        finally:
            self._is_over = before

    def _length_ms(self, kind: FaultKind) -> int:
        lengths_ms = self._lengths_ms.get(kind)
        return 0 if lengths_ms is None else self._chance.choice(lengths_ms)


_HOUR_MS: Final = 3_600_000


def _lengths_ms(settings: Settings) -> dict[FaultKind, tuple[int, ...]]:
    """Choose lengths on either side of every waiting time that matters."""
    interval_ms, grace_ms, lease_ms = settings.sweep_interval_ms, settings.grace_ms, settings.lease_ms
    around = (1, interval_ms, grace_ms // 3, grace_ms * 2 // 3, grace_ms * 3 // 2, lease_ms * 3 // 2)
    return {
        FaultKind.PAUSE: around,
        FaultKind.STOP: around,
        FaultKind.DUPLICATE: (0, interval_ms, grace_ms * 3 // 2),
        FaultKind.DELAY: (interval_ms, grace_ms * 3 // 2, lease_ms * 3 // 2),
        FaultKind.UNAVAILABLE: (0, 0, interval_ms, grace_ms * 3 // 2, lease_ms * 3 // 2),
        FaultKind.STEP: (lease_ms * 2, -lease_ms * 2, _HOUR_MS, -_HOUR_MS),
    }
