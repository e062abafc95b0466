"""Simulations of months: what happens in them is all that takes time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import pytest

from dyrygent_core import (
    Attempt,
    CancelRequested,
    DeadlinePassed,
    Failed,
    PauseRequested,
    RerunRequested,
    ResumeRequested,
    RetryPolicy,
    Status,
    UsageError,
    Workflow,
    WorkflowState,
    call,
)
from dyrygent_runtime import Settings
from dyrygent_testing import Fault, FaultKind, Faults, check_invariants, simulate

DAY_MS: Final = 86_400_000
DEATH: Final = Fault("worker.running", 1, FaultKind.CRASH)
TRIED: Final = {"outcomes": {"a": [Failed(Attempt("a"))]}}
RETRIED: Final = {"max_attempts": 2, "retry": RetryPolicy(delay_ms=90 * DAY_MS, max_delay_ms=90 * DAY_MS)}


def chain(**node: Any) -> Workflow:
    """Build two nodes, one after the other; the first is as told."""
    workflow = Workflow("long")
    workflow.add(call("b"), id="b", after=[workflow.add(call("a"), id="a", **node)])
    return workflow


def second_takes_months(attempt: Attempt) -> int:
    return 90 * DAY_MS if attempt.number == 2 else 0


@pytest.mark.parametrize(
    ("node", "told", "ended"),
    [
        ({}, {"durations": {"a": 90 * DAY_MS}}, (90, WorkflowState.SUCCESS)),
        ({"max_attempts": 2}, {"durations": second_takes_months, **TRIED}, (90, WorkflowState.SUCCESS)),
        (RETRIED, TRIED, (90, WorkflowState.SUCCESS)),
        ({"timeout": timedelta(days=90)}, {"durations": {"a": 91 * DAY_MS}}, (91, WorkflowState.FAILURE)),
        ({}, {"requests": [(1, PauseRequested()), (90 * DAY_MS, ResumeRequested())]}, (90, WorkflowState.SUCCESS)),
        ({}, {"requests": [(90 * DAY_MS, CancelRequested())]}, (90, WorkflowState.SUCCESS)),
        ({}, {"durations": {"a": 60 * DAY_MS}, "faults": [DEATH]}, (90, WorkflowState.SUCCESS)),
        ({}, {"durations": {"a": 45 * DAY_MS}, "copies": 2, "workers": 1}, (90, WorkflowState.SUCCESS)),
    ],
)
def test_months_in_which_nothing_happens_are_passed_over(node: Any, told: Any, ended: Any) -> None:
    """Executions, delays, time-outs, pauses and requests may be as long as they are in production."""
    trace = simulate(chain(**node), **told)

    check_invariants(trace)
    assert trace.state.workflow_state is ended[1]
    assert trace.ended_ms // DAY_MS == ended[0]
    assert len(trace.acts) < 20_000


def test_a_deadline_passes_while_nothing_else_happens() -> None:
    """What is passed over ends before a deadline does."""
    workflow = Workflow("long", deadline=timedelta(days=90))
    workflow.add(call("b"), id="b", after=[workflow.add(call("a"), id="a")])

    trace = simulate(workflow, durations={"a": 91 * DAY_MS})

    check_invariants(trace)
    passed_ms = next(it.at_ms for it in trace.observations if isinstance(it, DeadlinePassed))
    assert 0 <= passed_ms - trace.observations[0].at_ms - 90 * DAY_MS <= Settings().sweep_interval_ms
    assert trace.statuses["b"] is Status.CANCELLED


def test_what_is_passed_over_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that happens is what happens without that, a renewal of a lease and a sweep earlier or later."""
    told: dict[str, Any] = {"durations": {"a": 7_200_000}, "faults": [DEATH]}
    traces = [simulate(chain(), **told)]
    monkeypatch.setattr("dyrygent_testing.simulation.idle.Idleness.skip", lambda _: None)
    traces.append(simulate(chain(), **told))

    short, long = traces
    assert len(short.acts) * 3 < len(long.acts)
    assert [type(it) for it in short.observations] == [type(it) for it in long.observations]
    assert short.statuses == long.statuses
    assert abs(short.ended_ms - long.ended_ms) < Settings().lease_ms // 3 + Settings().sweep_interval_ms


@pytest.mark.parametrize(
    ("told", "hint"),
    [
        ({"faults": Faults(lose=0.0001, heal_ms=90 * DAY_MS)}, "until heal_ms=7_776_000_000"),
        ({"settings": Settings(poll_ms=10)}, "node 'a' runs for 89 days, 23:59:"),
    ],
)
def test_more_time_than_can_be_simulated_is_no_broken_promise(
    told: Any, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is named, and what would take so long; it does not say that the workflow never ends."""
    for module in ("idle", "scene"):
        monkeypatch.setattr(f"dyrygent_testing.simulation.{module}.MOST_EVENTS", 10_000)

    with pytest.raises(UsageError, match=r"the simulated time is too long: .* 10,000 events") as raised:
        simulate(chain(), durations=90 * DAY_MS, **told)

    assert hint in str(raised.value)


def test_a_clock_that_was_put_back_is_waited_for() -> None:
    """For as long as it has to catch up, a sweep may find nothing, and still has something to do."""
    workflow = Workflow("long", deadline=timedelta(days=90))
    workflow.add(call("a"), id="a")
    unsent = Fault("point.after_create", 1, FaultKind.CRASH)
    back = Fault("point.sweep_before_rest", 1, FaultKind.STEP, -3_600_000)

    trace = simulate(workflow, faults=[unsent, back])

    check_invariants(trace)
    assert {unsent, back} == set(trace.plan)
    assert trace.ended_ms < 2 * 3_600_000


def test_each_round_has_a_deadline() -> None:
    """A workflow that is run again may pass it again, and that is nothing too much."""
    workflow = Workflow("late", deadline=2_000)
    for node, before in (("a", []), ("b", ["a"]), ("c", ["b"]), ("d", ["c"])):
        workflow.add(call("run"), id=node, after=before)

    trace = simulate(workflow, durations=40_000, requests=[(0, RerunRequested())] * 3)

    check_invariants(trace)
    assert [it.round for it in trace.observations if isinstance(it, DeadlinePassed)] == [1, 2, 3, 4]
