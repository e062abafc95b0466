"""What simulations have found: the smallest life that shows it, of each.

Those that fail are reported, and fail until they are repaired.
"""

from __future__ import annotations

import pytest

from dyrygent_core import (
    Attempt,
    Begin,
    DeadlinePassed,
    Failed,
    Graph,
    Lost,
    Node,
    RerunRequested,
    Role,
    State,
    Succeeded,
    Workflow,
    advance,
    call,
)
from dyrygent_runtime import Settings
from dyrygent_testing import Fault, FaultKind, Workers, check_invariants, simulate


def chain() -> Workflow:
    """Build two nodes, of which the second needs the first's result, and the whole returns both."""
    workflow = Workflow()
    first = workflow.add(call("run"), id="a")
    second = workflow.add(call("run", first.result), id="b")
    workflow.returns([first.result, second.result])
    return workflow


def test_a_journal_that_is_away_is_no_error_of_the_workflow() -> None:
    """A workflow that succeeded is never published as ERROR because its result could not be read just then."""
    check_invariants(simulate(chain(), faults=[Fault("journal.results", 1, FaultKind.UNAVAILABLE)]))


def test_results_of_alike_workflows_are_apart() -> None:
    """What one workflow returned does not change when another of the same definition returns."""
    check_invariants(simulate(chain(), copies=2, workers=1))


def test_another_round_forgets_what_a_last_node_took() -> None:
    """A rerun lets a node of the whole workflow begin anew in everything."""
    graph = Graph([Node("a"), Node("last", role=Role.FINALLY)])
    first_round = [Begin(), Failed(Attempt("a")), Succeeded(Attempt("last"), branches=())]
    state, _ = advance(graph, State.initial(graph), [*first_round, RerunRequested()])

    assert state.branches("last") is None


def test_who_was_stopped_takes_no_end_back() -> None:
    """Whoever asked for another round, and was stopped until it had ended, does not say that it runs."""
    check_invariants(
        simulate(
            chain(),
            outcomes={"b": [Failed(Attempt("b"))]},
            requests=[(5_000, RerunRequested())],
            faults=[Fault("point.before_take_back", 1, FaultKind.STOP, 45_000)],
        )
    )


def test_what_was_written_is_not_written_again() -> None:
    """A turn that is tried again finds its entry, also when the process has folded beyond it meanwhile."""
    faults = [
        Fault("journal.append", 1, FaultKind.LOST_REPLY),
        Fault("point.before_read_back", 1, FaultKind.PAUSE, 1),
        Fault("journal.read", 1, FaultKind.UNAVAILABLE, 45_000),
    ]

    trace = simulate(chain(), faults=faults)

    check_invariants(trace)
    assert len({(entry.nonce, entry.position) for entry in trace.histories[0].entries}) == 3


def test_who_tries_again_is_fenced_from_its_first_try() -> None:
    """A turn whose reply was lost, and that is tried again after half the grace, leaves the sending to the sweep."""
    faults = [
        Fault("journal.append", 1, FaultKind.LOST_REPLY),
        Fault("journal.read", 1, FaultKind.UNAVAILABLE, 16_250),
    ]

    check_invariants(simulate(chain(), faults=faults))


def test_whoever_was_held_up_while_it_told_an_end_looks_again() -> None:
    """An end that reaches the engine after that of a later round is put right by whoever has told it."""
    check_invariants(
        simulate(
            chain(),
            outcomes={"b": [Failed(Attempt("b"))]},
            requests=[(5_000, RerunRequested())],
            faults=[Fault("engine.publish", 1, FaultKind.PAUSE, 45_000)],
        )
    )


def test_whoever_was_held_up_while_it_took_an_end_back_looks_again() -> None:
    """That a workflow runs again does not stay the last word where that has reached the engine after its end."""
    check_invariants(
        simulate(
            chain(),
            outcomes={"b": [Failed(Attempt("b"))]},
            requests=[(5_000, RerunRequested())],
            faults=[Fault("engine.publish", 2, FaultKind.PAUSE, 45_000)],
        )
    )


def test_who_asks_for_a_rerun_that_another_has_just_asked_for_asks_again() -> None:
    """A rerun that is refused because the workflow runs again is no fault of the workflow; it is asked for later."""
    check_invariants(
        simulate(
            chain(),
            outcomes={"b": [Failed(Attempt("b"))]},
            requests=[(29_000, RerunRequested()), (29_500, RerunRequested())],
            faults=[Fault("journal.definition", 3, FaultKind.PAUSE, 3_000)],
        )
    )


WAITS = Settings(poll_ms=5_000, grace_ms=10_000, lease_ms=20_000, resend_after_ms=60_000)
"""Short ones, of which a worker's rounds are far apart: so a sweep may come between a message and its lease."""


def test_what_has_just_been_taken_after_a_long_wait_is_not_sent_again() -> None:
    """That its queue is empty is no sign that a message is lost: it has just been taken, at 75 s."""
    workflow = Workflow()
    first = workflow.add(call("run"), id="first")
    workflow.add(call("run"), id="long")
    workflow.add(call("run"), id="waits", after=first)
    durations = {"first": 10, "long": 74_985, "waits": 1_000}

    check_invariants(simulate(workflow, durations=durations, workers=Workers(1, prefetch=0), settings=WAITS))


def test_what_has_just_been_taken_after_a_death_is_not_sent_again() -> None:
    """Nor is it if another worker has died meanwhile: the one that lives has taken it, at 25 s."""
    workflow = Workflow()
    workflow.add(call("run"), id="long")
    workflow.add(call("run"), id="deadly", on_loss="fail")
    for name in ("longer", "waits"):
        workflow.add(call("run"), id=name)
    durations = {"long": 24_995, "deadly": 10, "longer": 60_000, "waits": 1_000}
    faults = [Fault("worker.running", 1, FaultKind.CRASH)]

    check_invariants(
        simulate(workflow, durations=durations, workers=Workers(2, prefetch=0), settings=WAITS, faults=faults)
    )


def test_each_round_has_a_deadline_of_its_own() -> None:
    """A workflow whose every round takes too long says as often that its deadline has passed."""
    workflow = Workflow(deadline=2_000)
    for before in range(3):
        workflow.add(call("run"), id=f"{before}", after=[] if not before else f"{before - 1}")

    requests = [(0, RerunRequested()), (0, RerunRequested())]
    trace = simulate(workflow, durations=40_000, workers=Workers(1), requests=requests, settings=Settings(poll_ms=500))

    check_invariants(trace)
    assert sum(isinstance(it, DeadlinePassed) for it in trace.observations) == 3


# Outages of the journal, longer than a lease


@pytest.mark.parametrize("hit", range(1, 5))
@pytest.mark.parametrize("place", ["renew_lease", "append", "mark", "marks", "leases", "due"])
def test_what_runs_through_an_outage_runs_once(place: str, hit: int) -> None:
    """Nobody could renew a lease in it, so nobody is dead for that, wherever it begins."""
    workflow = Workflow()
    for name in "abcd":
        workflow.add(call("run"), id=name)

    trace = simulate(
        workflow,
        durations=90_000,
        workers=Workers(2, slots=2, prefetch=0),
        faults=[Fault(f"journal.{place}", hit, FaultKind.UNAVAILABLE, 2 * WAITS.lease_ms)],
        settings=WAITS,
    )

    check_invariants(trace)
    assert len(trace.struck) == 1
    assert [it for it in trace.observations if isinstance(it, Lost)] == []


@pytest.mark.parametrize("lasts_ms", [15_000, 45_000, 75_000])
def test_what_ends_in_an_outage_counts(lasts_ms: int) -> None:
    """Its outcome waits, and is recorded when the journal is back; nothing runs again."""
    trace = simulate(
        chain(),
        durations=40_000,
        workers=Workers(2, slots=1, prefetch=0),
        faults=[Fault("journal.renew_lease", 9, FaultKind.UNAVAILABLE, lasts_ms)],
        settings=WAITS,
    )

    check_invariants(trace)
    assert [trace.count(node) for node in "ab"] == [1, 1]
