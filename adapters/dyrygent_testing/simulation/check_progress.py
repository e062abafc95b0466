"""What must come of it in the end: it is over in time (L1), nothing is left (L2), and everybody was told the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dyrygent_core import RerunRequested, RetryDue, WorkflowState
from dyrygent_testing.simulation.faults import FaultKind
from dyrygent_testing.simulation.passed import Passed
from dyrygent_testing.simulation.replay import Replay
from dyrygent_testing.simulation.trace import Struck, Trace
from dyrygent_testing.simulation.violations import Violation

__all__ = ["check_progress"]

_MARGIN_MS: Final = 10_000
"""For messages on their way, restarts, and whoever asks again."""


def check_progress(trace: Trace, replay: Replay) -> Iterator[Violation]:
    """Give what is wrong with the end of one workflow."""
    state = replay.state
    if not state.is_finished or replay.id in trace.unclosed:
        yield Violation("L1", f"{replay.id} has not ended after {trace.ended_ms} ms: {state!r}")
        return
    if not trace.has_settled:
        yield Violation("L2", f"{replay.id} has ended, but after {trace.ended_ms} ms something of it is still about")
    most_ms = _longest_ms(trace, replay)
    if trace.ended_ms > most_ms:
        yield Violation("L1", f"{replay.id} took {trace.ended_ms} ms; by what happened it may take {most_ms} ms")
    yield from _check_published(trace, replay)


def _check_published(trace: Trace, replay: Replay) -> Iterator[Violation]:
    """L2: the engine was told the end, and of one round never anything else."""
    state = replay.state
    told = [it.outcome for it in trace.published if it.workflow == replay.id]
    expected = state.workflow_state
    value = Passed(trace, replay).output() if expected is WorkflowState.SUCCESS else None
    if isinstance(value, Exception):
        expected, value = WorkflowState.ERROR, None
    if not told or (told[-1].state, told[-1].value) != (expected, value):
        was = repr((told[-1].state.name, told[-1].value)) if told else "nothing"
        yield Violation("L2", f"{replay.id} ended in {expected.name} with {value!r}; the engine was told {was}")
    is_single = not any(isinstance(step.entry.observation, RerunRequested) for step in replay.steps)
    if is_single and len({(it.state, repr(it.value), it.failed and it.failed.attempt) for it in told}) > 1:
        yield Violation("L2", f"{replay.id} has had one end, but the engine was told several: {told}")


def _longest_ms(trace: Trace, replay: Replay) -> int:
    """Give the longest time that all of this may take: what ran, and, after the last fault, the longest waits (P3)."""
    settings, graph = trace.settings, replay.history.definition.graph
    retries = sum(isinstance(step.entry.observation, RetryDue) for step in replay.steps)
    slowest_ms = max((node.retry.max_delay_ms for node in graph.nodes), default=0)
    execution_ms = sum((it.ended_ms or it.started_ms) - it.started_ms + _MARGIN_MS for it in trace.executed)
    limits_ms = sum(node.timeout_ms or 0 for node in graph.nodes)
    wait_ms = settings.lease_ms + settings.grace_ms + settings.cancel_grace_ms + 3 * settings.sweep_interval_ms
    if any(map(_is_silent, trace.struck)):
        wait_ms += (settings.resend_after_ms or 0) << (settings.max_resends + 2)
    last_ms = max([trace.heard_ms, *(it.until_ms for it in trace.struck)])
    jumps_ms = sum(abs(it.fault.ms) for it in trace.struck if it.fault.kind is FaultKind.STEP)
    return last_ms + execution_ms + retries * slowest_ms + limits_ms + 2 * wait_ms + jumps_ms


def _is_silent(struck: Struck) -> bool:
    """Tell whether a fault takes an attempt away and leaves no sign of that anywhere."""
    return bool(struck.forgotten) or struck.fault.kind in (FaultKind.LOSE, FaultKind.FLUSH)
