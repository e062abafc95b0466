"""Failures, time-outs and losses: which attempt follows, when, and when there is none."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dyrygent_core import (
    Attempt,
    Begin,
    Failed,
    Failure,
    Graph,
    Lost,
    Node,
    Observation,
    Outcome,
    RerunRequested,
    RetryDue,
    RetryPolicy,
    State,
    Status,
    Succeeded,
    TimedOut,
    WorkflowState,
)
from tests.dyrygent_core.folding import after, check_ignored, emitted_by, step


def a(number: int = 1) -> Attempt:
    """Give an attempt of the only node."""
    return Attempt("a", 0, number)


def only(outcomes: Sequence[type[Outcome]]) -> list[Observation]:
    """Give these outcomes of the attempts one after the other."""
    made: list[Observation] = [Begin()]
    for number, kind in enumerate(outcomes, 1):
        made.append(kind(a(number)))
    return made


@pytest.mark.parametrize("kind", [Failed, TimedOut])
@pytest.mark.parametrize("tries", [1, 2, 5])
def test_a_node_fails_with_its_last_attempt(kind: type[Failed | TimedOut], tries: int) -> None:
    """Each attempt is followed by the next at once, where there is no delay; a time-out is a failure."""
    graph = Graph([Node("a", max_attempts=tries)])
    failures = only([kind] * tries)

    assert emitted_by(graph, *failures) == tuple(map(a, range(1, tries + 1)))
    assert after(graph, *failures[:-1]).status("a") is Status.SCHEDULED
    state = after(graph, *failures)
    assert (state.status("a"), state.attempt("a")) == (Status.FAILED, a(tries))
    assert (state.first_failed, state.first_failed_attempt) == ("a", a(tries))


def test_failures_and_time_outs_are_counted_together() -> None:
    """A time-out is not a loss."""
    graph = Graph([Node("a", max_attempts=3, max_losses=1)])

    assert after(graph, *only([Failed, TimedOut])).status("a") is Status.SCHEDULED
    assert after(graph, *only([Failed, TimedOut, Failed])).status("a") is Status.FAILED


def test_losses_are_counted_apart() -> None:
    """Neither uses up the other, and the numbers go on over both."""
    graph = Graph([Node("a", max_attempts=2, max_losses=2)])

    state, emitted = step(State.initial(graph), *only([Lost, Failed, Succeeded]))

    assert (emitted, state.attempt("a")) == ((a(1), a(2), a(3)), a(3))
    assert state.workflow_state is WorkflowState.SUCCESS
    assert after(graph, *only([Lost, Lost])).status("a") is Status.FAILED
    assert after(graph, *only([Failed, Lost, Failed])).status("a") is Status.FAILED


@pytest.mark.parametrize(
    ("node", "losses"),
    [(Node("a"), 3), (Node("a", max_losses=1), 1), (Node("a", max_losses=5), 5), (Node("a", on_loss="fail"), 1)],
)
def test_the_last_loss_fails_a_node(node: Node, losses: int) -> None:
    """The `max_losses`-th does, the first if a loss is to fail it, however many attempts it has left."""
    graph = Graph([node, Node("z", ["a"])])

    assert after(graph, *only([Lost] * (losses - 1))).status("a") is Status.SCHEDULED
    state = after(graph, *only([Lost] * losses))
    assert [state.status("a"), state.status("z")] == [Status.FAILED, Status.UPSTREAM_FAILED]


def test_a_lost_attempt_is_followed_at_once() -> None:
    """Whatever delay there is after a failure."""
    graph = Graph([Node("a", retry=RetryPolicy(1_000))])

    assert emitted_by(graph, *only([Lost, Lost])) == (a(1), a(2), a(3))


def test_a_final_failure_is_the_last() -> None:
    """Trying again cannot help, whatever the policy says."""
    graph = Graph([Node("a", max_attempts=9, retry=RetryPolicy(1_000))])

    state = after(graph, Begin(), Failed(a(), Failure("TypeError"), is_final=True))

    assert (state.status("a"), state.delayed) == (Status.FAILED, ())


def test_a_revocation_that_nobody_asked_for_is_a_failure() -> None:
    """It is tried again like any other, and is FAILED in the end, not CANCELLED."""
    graph = Graph([Node("a", max_attempts=2)])

    state, emitted = step(State.initial(graph), Begin(), *(Failed(a(at), is_revoked=True) for at in (1, 2)))

    assert (emitted, state.status("a")) == ((a(1), a(2)), Status.FAILED)


def test_delays_grow_and_count_from_the_failure() -> None:
    """From the time that the journal gave it; until then the node is READY and the workflow not finished."""
    graph = Graph([Node("a", max_attempts=4, retry=RetryPolicy(1_000, factor=3, max_delay_ms=5_000)), Node("b")])
    state = after(graph, Begin(at_ms=7), Succeeded(Attempt("b")))
    for number, due_ms in ((1, 11_000), (2, 13_000), (3, 15_000)):
        state, emitted = step(state, Failed(a(number), at_ms=10_000))
        assert emitted == ()
        assert (state.status("a"), state.held, state.in_flight) == (Status.READY, (), 0)
        assert state.delayed == ((a(number + 1), due_ms),)
        assert (state.is_finished, state.workflow_state) == (False, WorkflowState.RUNNING)
        state, emitted = step(state, RetryDue(a(number + 1), at_ms=due_ms))
        assert (emitted, state.delayed) == ((a(number + 1),), ())


def test_losses_do_not_lengthen_a_delay() -> None:
    """Only failures are counted for it."""
    graph = Graph([Node("a", max_attempts=3, retry=RetryPolicy(1_000))])

    assert after(graph, *only([Lost, Lost, Failed])).delayed == ((a(4), 1_000),)


def test_a_retry_is_due_for_its_own_attempt_only() -> None:
    """One of another number, node or instance is ignored, and so is a second one, or one after the outcome."""
    graph = Graph([Node("a", max_attempts=3, retry=RetryPolicy(1_000)), Node("b")])
    state = after(graph, Begin(), Failed(a()))

    check_ignored(
        state,
        RetryDue(a(1)),
        RetryDue(a(3)),
        RetryDue(Attempt("b")),
        RetryDue(Attempt("a", 1, 2)),
        RetryDue(Attempt("nobody", 0, 2)),
    )
    state = step(state, RetryDue(a(2)))[0]
    check_ignored(state, RetryDue(a(2)))
    check_ignored(step(state, Succeeded(a(2)))[0], RetryDue(a(2)))


def test_what_is_delayed_has_nothing_in_flight() -> None:
    """No outcome counts, neither of the attempt that failed nor of the one to come."""
    graph = Graph([Node("a", max_attempts=3, retry=RetryPolicy(1_000))])
    state = after(graph, Begin(), Failed(a()))

    for number in (1, 2, 3):
        check_ignored(state, *(kind(a(number)) for kind in (Succeeded, Failed, TimedOut, Lost)))


def test_an_early_retry_counts() -> None:
    """Who owns the time says when it is due; the core has no clock."""
    graph = Graph([Node("a", max_attempts=2, retry=RetryPolicy(1_000))])

    assert emitted_by(graph, Begin(), Failed(a(), at_ms=5), RetryDue(a(2), at_ms=6)) == (a(1), a(2))


def test_late_outcomes_of_earlier_attempts_are_ignored() -> None:
    """Of `Lost` and `Succeeded` of one attempt the first counts."""
    graph = Graph([Node("a")])

    check_ignored(after(graph, Begin(), Lost(a())), Succeeded(a()), Failed(a()), Lost(a()))
    check_ignored(after(graph, Begin(), Succeeded(a())), Lost(a()), Failed(a()), Succeeded(a()))


def test_jitter_shortens_a_delay_by_chance() -> None:
    """By up to its share, equally whenever the same is folded, and otherwise for each node, attempt and time."""
    policy = RetryPolicy(1_000_000, factor=1, jitter=0.5)
    names = [f"n{at}" for at in range(50)]
    graph = Graph([Node(name, max_attempts=3, retry=policy) for name in names])
    failures = [Failed(Attempt(name), at_ms=9) for name in names]

    state = after(graph, Begin(at_ms=5), *failures)
    dues = [due_ms - 9 for _, due_ms in state.delayed]

    assert all(500_000 < due_ms <= 1_000_000 for due_ms in dues)
    assert len(set(dues)) == len(names)
    assert 700_000 < sum(dues) / len(dues) < 800_000
    assert after(graph, Begin(at_ms=5), *reversed(failures)) == state
    assert after(graph, Begin(at_ms=6), *failures).delayed != state.delayed


def test_without_jitter_there_is_no_chance() -> None:
    """What fails together comes back together."""
    names = [f"n{at}" for at in range(5)]
    graph = Graph([Node(name, max_attempts=2, retry=RetryPolicy(1_000)) for name in names])

    state = after(graph, Begin(at_ms=5), *(Failed(Attempt(name), at_ms=9) for name in names))

    assert {due_ms for _, due_ms in state.delayed} == {1_009}


def test_jitter_may_take_all_of_a_delay() -> None:
    """A delay of nothing is no delay: the next attempt is emitted at once."""
    graph = Graph([Node("a", max_attempts=50, retry=RetryPolicy(1, jitter=1))])
    state = after(graph, Begin())
    for number in range(1, 40):
        state, emitted = step(state, Failed(a(number), at_ms=number))
        assert bool(emitted) is not bool(state.delayed)
        if state.delayed:
            state, _ = step(state, RetryDue(a(number + 1)))

    assert state.attempt("a") == a(40)


def test_a_rerun_gives_all_tries_back() -> None:
    """Failures and losses of the round before are forgotten; numbers go on."""
    graph = Graph([Node("a", max_attempts=2, max_losses=2)])
    state, emitted = step(after(graph, *only([Lost, Failed, Failed])), RerunRequested())

    assert emitted == (a(4),)
    assert step(state, Lost(a(4)), Failed(a(5)))[1] == (a(5), a(6))
    assert step(state, Lost(a(4)), Lost(a(5)))[0].status("a") is Status.FAILED
