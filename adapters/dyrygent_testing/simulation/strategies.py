"""Hypothesis strategies: what may go wrong, and what is asked for meanwhile. They shrink to nothing at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from hypothesis import strategies as st

from dyrygent_core import Observation, PauseRequested, Workflow
from dyrygent_core.observations import CancelRequested, RerunRequested, ResumeRequested, SkipRequested
from dyrygent_testing.simulation.faults import FaultKind, Faults
from dyrygent_testing.subjects import check_size, graph_of, some_of

__all__ = ["faults", "timed_requests"]

_RATES: Final = (0.0, 0.0, 0.0, 0.01, 0.05, 0.2)
"""Most kinds are off in any one example, or there would only ever be the same mixture of all (swarm testing)."""


def faults(*, kinds: Sequence[FaultKind | str] = tuple(FaultKind), heal_ms: int = 120_000) -> st.SearchStrategy[Faults]:
    """Draw how often what goes wrong, until `heal_ms`; where and when, the simulation's seed decides.

    `kinds`: those that may occur. They shrink to none at all.

    Raises `UsageError` for a kind that there is not, and for none.
    """
    check_size("heal_ms", heal_ms)
    return _faults(some_of(FaultKind, "kinds", kinds), heal_ms)


@st.composite
def _faults(draw: st.DrawFn, kinds: Sequence[FaultKind], heal_ms: int) -> Faults:
    rates: dict[str, Any] = {kind.value: draw(st.sampled_from(_RATES)) for kind in kinds}
    return Faults(heal_ms=heal_ms, **rates)


def timed_requests(workflow: Workflow, *, max_size: int = 3) -> st.SearchStrategy[tuple[tuple[int, Observation], ...]]:
    """Draw what somebody asks of a workflow, and when, in milliseconds: at most `max_size` requests, shrinking to none.

    Raises `UsageError` for what is no workflow, and as `Workflow.build` does.
    """
    check_size("max_size", max_size)
    return _timed_requests([*graph_of(workflow, "timed_requests").numbers], max_size)


@st.composite
def _timed_requests(draw: st.DrawFn, names: Sequence[str], max_size: int) -> tuple[tuple[int, Observation], ...]:
    every: list[st.SearchStrategy[Observation]] = [
        st.just(PauseRequested()),
        st.just(ResumeRequested()),
        st.just(CancelRequested()),
        st.just(RerunRequested()),
    ]
    if names:
        every.append(st.builds(SkipRequested, st.sampled_from(names)))
    times = st.integers(0, 30_000)
    return (*draw(st.lists(st.tuples(times, st.sampled_from(every).flatmap(lambda it: it)), max_size=max_size)),)
