"""Another round: which nodes are repeated, under which numbers, and what they make of what stays."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Edge,
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
    UsageError,
    WorkflowState,
)
from tests.dyrygent_core.folding import after, again, check_ignored, statuses, step

A, B, C, D = map(Attempt, "abcd")
CHAIN = Graph([Node("a"), Node("b", ["a"]), Node("c", ["b"])])
FAILED_CHAIN = after(CHAIN, Begin(at_ms=1), Succeeded(A), Failed(B))


# When


def test_a_rerun_opens_a_round() -> None:
    """What failed is repeated under the next number, what was below it waits, what succeeded stays."""
    state, emitted = step(FAILED_CHAIN, RerunRequested(at_ms=50))

    assert emitted == (again("b"),)
    assert (statuses(state), state.round, state.begun_ms) == ("SU SC WA", 2, 50)
    assert state.workflow_state is WorkflowState.RUNNING
    assert state.attempt("c") == again("c")

    state, emitted = step(state, Succeeded(again("b")), Succeeded(again("c")))
    assert (emitted, state.workflow_state, state.round) == ((again("c"),), WorkflowState.SUCCESS, 2)
    check_ignored(state, RerunRequested(), RerunRequested(("a",)))


@pytest.mark.parametrize(
    ("state", "names"),
    [
        (State.initial(CHAIN), ()),
        (after(CHAIN, Begin()), ()),
        (after(CHAIN, Begin(), CancelRequested()), ()),
        (after(CHAIN, Begin(), Skipped(A)), ("a",)),
        (FAILED_CHAIN, ("nobody",)),
        (FAILED_CHAIN, ("b", "nobody")),
        (FAILED_CHAIN, ("",)),
    ],
)
def test_a_rerun_that_cannot_be_is_ignored(state: State, names: tuple[str, ...]) -> None:
    """What is not finished, what has succeeded, and names of nobody's."""
    check_ignored(state, RerunRequested(names))


def test_names_are_a_sequence() -> None:
    """One text alone is refused, since its letters would be taken for ids."""
    with pytest.raises(UsageError) as caught:
        RerunRequested("ab")

    assert str(caught.value) == "nodes must be a sequence of ids, not the single id 'ab'; write ['ab']"


@pytest.mark.parametrize(
    ("end", "state"),
    [([CancelRequested(), Lost(A)], WorkflowState.CANCELLED), ([DeadlinePassed(), Lost(A)], WorkflowState.ERROR)],
)
def test_what_was_ended_can_be_repeated(end: Sequence[Observation], state: WorkflowState) -> None:
    """All that is CANCELLED is; neither cancel nor deadline count in the new round, and either may come again."""
    before = after(CHAIN, Begin(), *end)
    assert before.workflow_state is state

    now, emitted = step(before, RerunRequested(at_ms=9))

    assert (emitted, now.is_ending, now.is_cancelled, statuses(now)) == ((again("a"),), False, False, "SC WA WA")
    of_this_round = DeadlinePassed(2) if end[0] == DeadlinePassed() else end[0]
    assert step(now, of_this_round, Lost(again("a")))[0].workflow_state is state
    assert step(now, Succeeded(again("a")))[1] == (again("b"),)


def test_what_was_cancelled_before_it_began_begins_with_a_rerun() -> None:
    """Every number is one higher, though nothing ever ran."""
    graph = Graph([*CHAIN.nodes, Node("f", role=Role.FINALLY)])
    state, emitted = step(after(graph, CancelRequested()), RerunRequested(at_ms=7))

    assert (emitted, state.begun_ms) == ((again("a"),), 7)
    assert {state.attempt(node).number for node in ("a", "b", "c", "f")} == {2}
    check_ignored(state, Begin())


def test_a_pause_does_not_outlast_its_round() -> None:
    """It was dropped when the round was finished; the new one can be paused."""
    graph = Graph([Node("a")])
    state, emitted = step(after(graph, Begin(), PauseRequested(), Failed(A)), RerunRequested())
    assert (emitted, state.is_paused) == ((again("a"),), False)

    state = step(state, PauseRequested(), Failed(again("a")), RerunRequested())[0]
    assert (state.is_paused, state.round) == (False, 3)


def test_old_outcomes_do_not_count_in_a_new_round() -> None:
    """Nor do retries that were due in the old one."""
    graph = Graph([Node("a", max_attempts=2, retry=RetryPolicy(5))])
    state = after(graph, Begin(), Failed(A), CancelRequested(), RerunRequested())

    assert (state.attempts_in_flight, state.delayed) == ((again("a", 3),), ())
    check_ignored(state, Succeeded(A), Succeeded(again("a")), Lost(again("a")), RetryDue(again("a")))


def test_failing_fast_can_happen_again() -> None:
    """The flag counts for its round."""
    graph = Graph([Node("a"), Node("b")], mode="fail_fast")
    state, emitted = step(after(graph, Begin(), Failed(A), Lost(B)), RerunRequested())
    assert (emitted, state.is_ending) == ((again("a"), again("b")), False)

    assert step(state, Failed(again("b")))[0].to_revoke == (again("a"),)


def test_a_skip_that_was_asked_for_is_forgotten() -> None:
    """A node that was to be skipped in flight may fail in the next round."""
    graph = Graph([Node("a"), Node("b")])
    state = after(graph, Begin(), SkipRequested("a"), Failed(A), Failed(B), RerunRequested(("a", "b")))
    assert state.to_revoke == ()

    assert step(state, Failed(again("a")))[0].status("a") is Status.FAILED


# Which


def test_all_that_failed_is_repeated_without_names() -> None:
    """Failures that were allowed too; what was skipped stays, unless it is below."""
    graph = Graph(
        [
            Node("a", allow_failure=True),
            Node("b"),
            Node("c"),
            Node("d", ["b", "c"], trigger="all_done"),
            Node("e", ["c"]),
            Node("f", [Edge("b", "skipped")]),
        ]
    )
    state = after(graph, Begin(), Failed(A), Failed(B), Skipped(C), Succeeded(D))
    assert statuses(state) == "FA FA SK SK SU SK"  # a b c f d e

    state, emitted = step(state, RerunRequested())

    assert emitted == (again("a"), again("b"))
    assert statuses(state) == "SC SC SK WA SU SK"


def test_what_is_named_is_repeated_whatever_it_was() -> None:
    """A success too; of what is below, only what did not succeed, however far away."""
    graph = Graph(
        [
            Node("a"),
            Node("b", ["a"]),
            Node("c", ["b"]),
            Node("d", ["c"]),
            Node("e"),
            Node("g", ["a"], trigger="all_done"),
        ]
    )
    state = after(graph, Begin(), Succeeded(A), Succeeded(B), Failed(C), Succeeded(Attempt("g")), Failed(Attempt("e")))

    state, emitted = step(state, RerunRequested(("a",)))

    assert emitted == (again("a"), again("c"))
    assert {node: status.name for node, status in state.statuses.items()} == {
        "a": "SCHEDULED",
        "b": "SUCCEEDED",
        "c": "SCHEDULED",
        "d": "WAITING",
        "e": "FAILED",
        "g": "SUCCEEDED",
    }


def test_naming_a_node_twice_is_naming_it_once() -> None:
    """Its number is one higher."""
    assert step(FAILED_CHAIN, RerunRequested(("b", "b")))[1] == (again("b"),)


def test_naming_what_is_upstream_failed_alone_repeats_no_failure() -> None:
    """What failed above it stays, and decides it again at once: the round is finished as it begins."""
    state, emitted = step(FAILED_CHAIN, RerunRequested(("c",)))

    assert (emitted, statuses(state)) == ((), "SU FA UP")
    assert (state.round, state.workflow_state) == (2, WorkflowState.FAILURE)
    assert step(state, RerunRequested())[1] == (again("b"),)


@pytest.mark.parametrize(
    ("node", "status"),
    [
        (Node("z", ["a", "b"]), Status.UPSTREAM_FAILED),
        (Node("z", ["a", "b"], trigger="all_done"), Status.WAITING),
        (Node("z", ["a", "b"], trigger="one_failed"), Status.SCHEDULED),
        (Node("z", ["a", "b"], trigger="one_success"), Status.WAITING),
        (Node("z", [Edge("a", "done"), Edge("b", "skipped")]), Status.WAITING),
    ],
)
def test_what_stays_counts_with_its_status(node: Node, status: Status) -> None:
    """A failure that is not repeated decides at once what it decided before."""
    graph = Graph([Node("a"), Node("b"), node])
    state = after(graph, Begin(), Failed(A), Failed(B))
    state = step(state, *map(Failed, state.attempts_in_flight))[0]

    assert step(state, RerunRequested(("a",)))[0].status("z") is status


def test_skips_that_stay_count_too() -> None:
    """What was tainted is tainted again: skipped at last, or at once."""
    graph = Graph([Node("a"), Node("b"), Node("c", ["a", "b"]), Node("d", ["b"])])
    state, emitted = step(after(graph, Begin(), Failed(A), Skipped(B)), RerunRequested(("a", "d")))
    assert (statuses(state), emitted) == ("SC SK WA SK", (again("a"),))

    assert statuses(step(state, Succeeded(again("a")))[0]) == "SU SK SK SK"


def test_what_is_decided_at_once_decides_others() -> None:
    """The chain below what is skipped again falls in the same observation."""
    graph = Graph([Node("a"), Node("b"), Node("c", ["b"]), Node("d", ["c"]), Node("e", [Edge("d", "skipped")])])
    state = after(graph, Begin(), Failed(A), Skipped(B), Succeeded(Attempt("e")))

    state, emitted = step(state, RerunRequested(("c", "e")))

    assert (statuses(state), emitted) == ("FA SK SK SK SC", (again("e"),))


@pytest.mark.parametrize("degree", [100, 101, 250])
def test_joins_of_hundreds_are_counted_anew(degree: int) -> None:
    """All their edges, those that stay and those that are repeated."""
    names = [f"n{at}" for at in range(degree)]
    graph = Graph([*map(Node, names), Node("z", names)])
    state = after(
        graph, Begin(), *(Failed(Attempt(name)) if name in names[:5] else Succeeded(Attempt(name)) for name in names)
    )

    state, emitted = step(state, RerunRequested())
    assert emitted == tuple(map(again, names[:5]))

    state, emitted = step(state, *map(Succeeded, emitted))
    assert emitted == (again("z"),)


def test_numbers_go_on_over_many_rounds() -> None:
    """Each round gives what it repeats one more, and retries count on from there."""
    graph = Graph([Node("a", max_attempts=2)])
    state = after(graph, Begin(), Failed(A), Failed(again("a")))
    for round_ in range(2, 6):
        state, emitted = step(state, RerunRequested(at_ms=round_))
        first = 2 * round_ - 1
        assert (emitted, state.round, state.begun_ms) == ((again("a", first),), round_, round_)
        state = step(state, Failed(again("a", first)), Failed(again("a", first + 1)))[0]


def test_a_rerun_obeys_the_limit() -> None:
    """What is repeated is held like anything else, by priority."""
    graph = Graph([*map(Node, "abc"), Node("d", priority=1)], max_in_flight=1)
    state = after(graph, Begin(), *map(Failed, (D, A, B, C)))

    state, emitted = step(state, RerunRequested())

    assert (emitted, state.held) == ((again("d"),), (again("a"), again("b"), again("c")))


def test_a_paused_round_holds_what_is_repeated_later() -> None:
    """What becomes runnable in it waits for the resume."""
    state = step(FAILED_CHAIN, RerunRequested(), PauseRequested(), Succeeded(again("b")))[0]

    assert state.held == (again("c"),)
    assert step(state, ResumeRequested())[1] == (again("c"),)


def test_what_an_earlier_round_cancelled_is_no_success() -> None:
    """A rerun of some nodes leaves the others CANCELLED: the workflow has failed, and can be run again."""
    graph = Graph([Node("load"), Node("mail"), Node("bye", role="on_success")], mode="fail_fast", max_in_flight=1)
    state, emitted = step(after(graph, Begin(), Failed(Attempt("load"))), RerunRequested(("load",)))
    assert emitted == (again("load"),)

    state, emitted = step(state, Succeeded(again("load")))
    assert (statuses(state), state.workflow_state, emitted) == ("SU CA SK", WorkflowState.FAILURE, ())
    assert step(state, RerunRequested())[1] == (again("mail"),)


def test_a_deadline_is_that_of_its_round() -> None:
    """Told late, of a round that is over, it is ignored."""
    state = after(CHAIN, Begin(), DeadlinePassed(), Lost(A), RerunRequested())

    check_ignored(state, DeadlinePassed(), DeadlinePassed(3))
    assert step(state, DeadlinePassed(2))[0].is_ending
