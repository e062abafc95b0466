"""Hypothesis strategies: what may go wrong, and what is asked for meanwhile. They shrink to nothing at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from hypothesis import strategies as st

from dyrygent_core import Observation, PauseRequested, Workflow
from dyrygent_core.observations import CancelRequested, RerunRequested, ResumeRequested, SkipRequested
from dyrygent_testing.simulation.faults import FaultKind, Faults

__all__ = ["faults", "timed_requests"]

_RATES: Final = (0.0, 0.0, 0.0, 0.01, 0.05, 0.2)
"""Most kinds are off in any one example, or there would only ever be the same mixture of all (swarm testing)."""


@st.composite
def faults(draw: st.DrawFn, *, kinds: Sequence[FaultKind] = tuple(FaultKind), heal_ms: int = 120_000) -> Faults:
    """Draw how often what goes wrong, until `heal_ms`; where and when, the simulation's seed decides."""
    rates: dict[str, Any] = {kind.value: draw(st.sampled_from(_RATES)) for kind in kinds}
    return Faults(heal_ms=heal_ms, **rates)


@st.composite
def timed_requests(draw: st.DrawFn, workflow: Workflow, *, max_size: int = 3) -> tuple[tuple[int, Observation], ...]:
    """Draw what somebody asks of a workflow, and when."""
    names = [*workflow.build()[0].graph.numbers]
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
