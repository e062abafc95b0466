"""A schedule that breaks a promise, made smaller while it still breaks the same: its faults first, then all else.

What struck by chance is planned, so that one fault after another can be left out. A smaller workflow is looked for that
breaks the same promise among faults of the same kinds; then one node after another is left out (`cutting`). A place is
passed less often without it, so the faults are looked for at earlier hits, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Final, TypeVar

from attrs import evolve

from dyrygent_core import UsageError
from dyrygent_testing import Faults, Violation, Workers, violations_in
from property_tests.cutting import without
from property_tests.lives import Life, life_of, lived

__all__ = ["shrunk", "violated"]

_PATIENCE_S: Final = 60.0
_SMALL: Final = (1, 2, 3, 4)
_TRIES: Final = 60
_EARLIER: Final = 30

_Item = TypeVar("_Item")


def violated(life: Life) -> tuple[Violation, ...]:
    """Let it happen, and say what was violated; an error of the simulation itself is a violation, too."""
    try:
        return violations_in(lived(life))
    except Exception as problem:  # noqa: BLE001  # whatever it is, it is to be told
        return (Violation("simulation", f"{type(problem).__name__}: {problem}"),)


def shrunk(life: Life, seed: int, *, patience_s: float = _PATIENCE_S) -> Life:
    """Give the smallest life that is found, within the patience, to break the first promise that this one breaks."""
    found = violated(life)
    if not found:
        return life
    promise, until = _promise(found[0]), time.monotonic() + patience_s

    def is_broken(other: Life) -> bool:
        return time.monotonic() < until and any(_promise(it) == promise for it in violated(other))

    life = _smaller_workflow(life, seed, is_broken)
    life = _planned(life, is_broken)
    size = None
    while size != (size := _size(life)):
        life = _without(life, is_broken)
        life = _with_fewer_nodes(life, is_broken)
    return life


def _promise(violation: Violation) -> str:
    """Say what was broken; an error of the simulation itself is the same if it is of the same type."""
    return violation.text.partition(":")[0] if violation.number == "simulation" else violation.number


def _smaller_workflow(life: Life, seed: int, is_broken: Callable[[Life], bool]) -> Life:
    """Look for a small workflow that breaks the same by chance, with the rates of this life."""
    for nodes in _SMALL:
        if nodes >= len(life.workflow):
            break
        for at in range(_TRIES):
            other = life_of(seed, 97 * at, nodes=nodes)  # of another group each time
            tried = evolve(other, faults=life.faults, durations=life.durations)
            if is_broken(tried):
                return tried
    return life


def _planned(life: Life, is_broken: Callable[[Life], bool]) -> Life:
    if not isinstance(life.faults, Faults):
        return life
    try:
        plan = lived(life).plan
    except Exception:  # noqa: BLE001  # then it stays as it is
        return life
    tried = evolve(life, faults=plan)
    return tried if is_broken(tried) else life


def _without(life: Life, is_broken: Callable[[Life], bool]) -> Life:
    """Leave out one thing after another."""
    if not isinstance(life.faults, Faults):
        life = evolve(life, faults=_fewer(life.faults, lambda its: is_broken(evolve(life, faults=its))))
    life = evolve(life, requests=_fewer(life.requests, lambda its: is_broken(evolve(life, requests=its))))
    names = tuple(life.outcomes)
    kept = _fewer(names, lambda its: is_broken(evolve(life, outcomes={name: life.outcomes[name] for name in its})))
    life = evolve(life, outcomes={name: life.outcomes[name] for name in kept})
    for simpler in _simpler(life):
        if is_broken(simpler):
            life = simpler
    return life


def _with_fewer_nodes(life: Life, is_broken: Callable[[Life], bool]) -> Life:
    """Leave out one node after another, the last first."""
    for node in reversed([*life.workflow.build()[0].graph.numbers]):
        try:
            rest = without(life, node)
        except UsageError:  # what is left would be no workflow
            continue
        life = next(filter(is_broken, _earlier(rest)), life)
    return life


def _earlier(life: Life) -> Iterator[Life]:
    """Give the same with its faults, then with each in turn at an earlier hit."""
    yield life
    faults = () if isinstance(life.faults, Faults) else life.faults
    for at, fault in enumerate(faults):
        for hit in range(min(fault.hit - 1, _EARLIER), 0, -1):
            yield evolve(life, faults=(*faults[:at], evolve(fault, hit=hit), *faults[at + 1 :]))


def _simpler(life: Life) -> Iterator[Life]:
    yield evolve(life, copies=1)
    yield evolve(life, order="fifo")
    yield evolve(life, durations=1_000)
    yield evolve(life, workers=Workers(life.workers.count, 1, 1))
    for count_ in range(1, life.workers.count):
        yield evolve(life, workers=Workers(count_, 1, 1))


def _fewer(items: Sequence[_Item], is_enough: Callable[[tuple[_Item, ...]], bool]) -> tuple[_Item, ...]:
    """Leave out all, then halves, then quarters, and so on, as long as what is left is enough."""
    left = tuple(items)
    if left and is_enough(()):
        return ()
    for size in (len(left) >> shift for shift in count(1)):
        if not size:
            return left
        at = 0
        while at < len(left):
            rest = left[:at] + left[at + size :]
            if is_enough(rest):
                left = rest
            else:
                at += size
    return left


def _size(life: Life) -> tuple[int, ...]:
    faults = 0 if isinstance(life.faults, Faults) else len(life.faults)
    return len(life.workflow), faults, len(life.requests), len(life.outcomes), life.copies, life.workers.count
