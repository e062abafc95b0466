"""Nodes of the whole workflow: when their time comes, which of them run, and what they make of the end."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Failed,
    Graph,
    Lost,
    Node,
    Observation,
    PauseRequested,
    RerunRequested,
    ResumeRequested,
    RetryDue,
    RetryPolicy,
    Role,
    Skipped,
    SkipRequested,
    State,
    Status,
    Succeeded,
    WorkflowState,
)
from tests.dyrygent_core.folding import after, check_ignored, emitted_by, step

A, B = Attempt("a"), Attempt("b")
ALWAYS, BAD, GOOD = Attempt("always"), Attempt("bad"), Attempt("good")
FINALIZERS = (
    Node("always", role=Role.FINALLY),
    Node("bad", role=Role.ON_ERROR),
    Node("good", role=Role.ON_SUCCESS),
)
GRAPH = Graph([Node("a"), Node("b", ["a"]), *FINALIZERS])


def ended(*observations: Observation) -> State:
    """Give the state after these, and the success of whatever of the whole workflow was in flight then."""
    state = after(GRAPH, Begin(), *observations)
    return step(state, *map(Succeeded, state.attempts_in_flight))[0]


@pytest.mark.parametrize(
    ("observations", "running", "state"),
    [
        ([Succeeded(A), Succeeded(B)], (ALWAYS, GOOD), WorkflowState.SUCCESS),
        ([Skipped(A)], (ALWAYS, GOOD), WorkflowState.SUCCESS),
        ([Failed(A)], (ALWAYS, BAD), WorkflowState.FAILURE),
        ([Succeeded(A), Failed(B)], (ALWAYS, BAD), WorkflowState.FAILURE),
        ([DeadlinePassed(), Lost(A)], (ALWAYS, BAD), WorkflowState.ERROR),
        ([DeadlinePassed(), Succeeded(A)], (ALWAYS, BAD), WorkflowState.ERROR),
        ([CancelRequested(), Lost(A)], (ALWAYS,), WorkflowState.CANCELLED),
        ([CancelRequested(), Failed(A)], (ALWAYS,), WorkflowState.CANCELLED),
        ([DeadlinePassed(), CancelRequested(), Lost(A)], (ALWAYS,), WorkflowState.CANCELLED),
    ],
)
def test_what_became_of_the_work_says_who_runs(
    observations: Sequence[Observation], running: tuple[Attempt, ...], state: WorkflowState
) -> None:
    """One runs always, one after an error, one after success; the others are SKIPPED in the same observation."""
    before = after(GRAPH, Begin(), *observations[:-1])
    assert {before.status(node.id) for node in FINALIZERS} == {Status.WAITING}

    now, emitted = step(before, observations[-1])

    assert emitted == running
    assert {node.id for node in FINALIZERS if now.status(node.id) is Status.SKIPPED} == {
        node.id for node in FINALIZERS if Attempt(node.id) not in running
    }
    assert (now.workflow_state, now.is_finished) == (WorkflowState.RUNNING, False)
    assert ended(*observations).workflow_state is state


def test_an_allowed_failure_is_no_error() -> None:
    """The workflow has succeeded, so far."""
    graph = Graph([Node("a", allow_failure=True), *FINALIZERS])

    assert emitted_by(graph, Begin(), Failed(A)) == (A, ALWAYS, GOOD)


def test_failing_fast_is_a_failure() -> None:
    """They start when what was in flight has ended, whatever it came to."""
    graph = Graph([Node("a"), Node("b"), *FINALIZERS], mode="fail_fast")
    state, emitted = step(State.initial(graph), Begin(), Failed(A))
    assert (emitted, state.to_revoke) == ((A, B), (B,))

    assert step(state, Lost(B))[1] == (ALWAYS, BAD)
    assert step(state, Succeeded(B))[1] == (ALWAYS, BAD)


def test_they_are_numbered_last_in_the_order_in_which_they_are_declared() -> None:
    """Wherever they stand among the others; nothing waits for them, and they are no sinks."""
    graph = Graph([Node("f", role="finally"), Node("b", ["a"]), Node("e", role="on_error"), Node("a")])

    assert [node.id for node in graph.nodes] == ["a", "b", "f", "e"]
    assert (graph.finalizers, graph.roots, graph.sinks) == (range(2, 4), (0,), ("b",))


def test_without_ordinary_nodes_they_start_at_once() -> None:
    """When the workflow begins."""
    assert emitted_by(Graph(FINALIZERS), Begin()) == (ALWAYS, GOOD)
    assert emitted_by(Graph([FINALIZERS[1]]), Begin()) == ()
    assert after(Graph([FINALIZERS[1]]), Begin()).workflow_state is WorkflowState.SUCCESS


def test_a_failing_one_turns_success_into_failure() -> None:
    """Unless its failure is allowed; and never a failure into success."""
    state = after(GRAPH, Begin(), Succeeded(A), Succeeded(B))
    assert step(state, Failed(ALWAYS), Succeeded(GOOD))[0].workflow_state is WorkflowState.FAILURE

    graph = Graph([Node("a"), Node("f", role="finally", allow_failure=True)])
    assert after(graph, Begin(), Succeeded(A), Failed(Attempt("f"))).workflow_state is WorkflowState.SUCCESS
    assert ended(Failed(A)).workflow_state is WorkflowState.FAILURE


def test_they_do_not_change_a_cancel_or_an_error() -> None:
    """Whatever they come to."""
    for first, state in ((CancelRequested(), WorkflowState.CANCELLED), (DeadlinePassed(), WorkflowState.ERROR)):
        now = after(GRAPH, Begin(), first, Lost(A))
        assert step(now, *map(Failed, now.attempts_in_flight))[0].workflow_state is state


def test_they_are_tried_again_and_lost_like_any_node() -> None:
    """With delays, and also after a cancel, which ends ordinary nodes only."""
    graph = Graph([Node("a"), Node("f", role="finally", max_attempts=2, retry=RetryPolicy(5))])
    f = {number: Attempt("f", 0, number) for number in (1, 2, 3)}
    state, emitted = step(after(graph, Begin(), CancelRequested()), Lost(A), Lost(f[1]), Failed(f[2], is_revoked=True))
    assert emitted == (f[1], f[2])
    assert (state.delayed, state.to_revoke, state.is_finished) == (((f[3], 5),), (), False)

    state, emitted = step(state, RetryDue(f[3]), Succeeded(f[3]))
    assert (emitted, state.workflow_state) == ((f[3],), WorkflowState.CANCELLED)


def test_they_obey_limit_and_priority() -> None:
    """Among themselves, since nothing else is left."""
    nodes = [Node("a"), Node("f", role="finally"), Node("g", role="finally", priority=1)]
    f, g = Attempt("f"), Attempt("g")

    assert emitted_by(Graph(nodes), Begin(), Succeeded(A)) == (A, g, f)
    state = after(Graph(nodes, max_in_flight=1), Begin(), Succeeded(A))
    assert (state.attempts_in_flight, state.held) == ((g,), (f,))


def test_a_pause_holds_them() -> None:
    """Their time has come, but they are READY."""
    state, emitted = step(after(GRAPH, Begin(), PauseRequested()), Failed(A))
    assert (emitted, state.held, state.status("good")) == ((), (ALWAYS, BAD), Status.SKIPPED)

    assert step(state, ResumeRequested())[1] == (ALWAYS, BAD)


def test_a_cancel_while_they_run_changes_the_state_only() -> None:
    """Nothing is revoked or cancelled, and those that ran go on; who runs was decided before."""
    state, emitted = step(after(GRAPH, Begin(), Failed(A)), CancelRequested())
    assert (emitted, state.to_revoke, state.attempts_in_flight) == ((), (), (ALWAYS, BAD))
    check_ignored(state, CancelRequested())

    state = step(state, Lost(ALWAYS), Succeeded(BAD))[0]
    assert state.attempts_in_flight == (Attempt("always", 0, 2),)
    assert step(state, Succeeded(Attempt("always", 0, 2)))[0].workflow_state is WorkflowState.CANCELLED


def test_a_cancel_lets_those_start_that_a_pause_held() -> None:
    """It lifts the pause, and they still run."""
    state = after(GRAPH, Begin(), PauseRequested(), Failed(A))

    assert step(state, CancelRequested())[1] == (ALWAYS, BAD)


def test_a_deadline_does_not_pass_while_they_run() -> None:
    """The ordinary work met it."""
    check_ignored(after(GRAPH, Begin(), Failed(A)), DeadlinePassed())


def test_they_can_be_skipped() -> None:
    """Before the beginning, while they wait, while work is ending, held and in flight."""
    assert after(GRAPH, SkipRequested("always")).status("always") is Status.SKIPPED
    assert emitted_by(GRAPH, SkipRequested("always"), Begin(), Failed(A)) == (A, BAD)
    assert emitted_by(GRAPH, Begin(), SkipRequested("bad"), Failed(A)) == (A, ALWAYS)
    assert emitted_by(GRAPH, Begin(), CancelRequested(), SkipRequested("always"), Lost(A)) == (A,)
    held = after(GRAPH, Begin(), PauseRequested(), Failed(A), SkipRequested("bad"))
    assert (held.status("bad"), held.held) == (Status.SKIPPED, (ALWAYS,))
    state = after(GRAPH, Begin(), Failed(A), SkipRequested("always"))
    assert (state.status("always"), state.to_revoke) == (Status.SCHEDULED, (ALWAYS,))
    assert step(state, Failed(ALWAYS))[0].status("always") is Status.SKIPPED


def test_a_cancel_before_the_beginning_leaves_what_was_skipped() -> None:
    """The others are CANCELLED: they never had a beginning."""
    state = after(GRAPH, SkipRequested("always"), CancelRequested())

    assert [state.status(node.id).name for node in FINALIZERS] == ["SKIPPED", "CANCELLED", "CANCELLED"]
    assert state.is_finished


def test_outcomes_before_their_time_are_ignored() -> None:
    """They have no attempt in flight."""
    check_ignored(after(GRAPH, Begin()), Succeeded(ALWAYS), Failed(BAD), RetryDue(GOOD))


def test_they_run_once_in_every_round() -> None:
    """A rerun lets them wait again, with their numbers one higher, and decides anew who runs."""
    state = ended(Succeeded(A), Failed(B))
    state, emitted = step(state, RerunRequested())
    assert emitted == (Attempt("b", 0, 2),)
    assert {state.status(node.id) for node in FINALIZERS} == {Status.WAITING}

    state, emitted = step(state, Succeeded(Attempt("b", 0, 2)))

    assert emitted == (Attempt("always", 0, 2), Attempt("good", 0, 2))
    assert step(state, *map(Succeeded, emitted))[0].workflow_state is WorkflowState.SUCCESS


def test_a_rerun_for_them_alone_lets_them_run_again() -> None:
    """Where only one of them failed there is nothing else to repeat; naming one changes nothing."""
    state = after(GRAPH, Begin(), Succeeded(A), Succeeded(B), Failed(ALWAYS), Succeeded(GOOD))
    again = Attempt("always", 0, 2), Attempt("good", 0, 2)

    assert step(state, RerunRequested())[1] == again
    assert step(state, RerunRequested(("good",)))[1] == again
    assert step(state, RerunRequested(("good", "b")))[1] == (Attempt("b", 0, 2),)
