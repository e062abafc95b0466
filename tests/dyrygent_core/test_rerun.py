"""Another round: which nodes are repeated, under which numbers, and what they make of what stays."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Each,
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
from dyrygent_core.observations import NOT_A_LIST
from tests.dyrygent_core.folding import after, check_ignored, step

A, B, C, D = map(Attempt, "abcd")
CHAIN = Graph([Node("a"), Node("b", ["a"]), Node("c", ["b"])])
FAILED_CHAIN = after(CHAIN, Begin(at_ms=1), Succeeded(A), Failed(B))


def again(node: str, number: int = 2) -> Attempt:
    """Give a later attempt of a plain node."""
    return Attempt(node, 0, number)


def statuses(state: State) -> str:
    """Give the first two letters of every node's status."""
    return " ".join(status.name[:2] for status in state.statuses.values())


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
    assert step(now, *end[:1], Lost(again("a")))[0].workflow_state is state
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


# Mapped nodes

MAPPING = Graph([Node("a"), Node("m", ["a"], each="a", max_attempts=2, max_losses=2), Node("z", ["m"])])
MIXED = after(
    MAPPING,
    Begin(),
    Succeeded(A, sizes=(4,)),
    Succeeded(Attempt("m", 0)),
    Failed(Attempt("m", 1)),
    Failed(Attempt("m", 1, 2)),
    Skipped(Attempt("m", 2)),
    Failed(Attempt("m", 3), is_final=True),
)


def instances(state: State, node: str = "m") -> str:
    """Give the first two letters of every instance's status."""
    return " ".join(status.name[:2] for status in state.instance_statuses(node))


def test_only_instances_that_failed_are_repeated() -> None:
    """Each under its own next number, with all its tries given back; the others keep what they are."""
    assert (instances(MIXED), MIXED.status("m")) == ("SU FA SK FA", Status.FAILED)
    state, emitted = step(MIXED, RerunRequested())

    assert emitted == (Attempt("m", 1, 3), Attempt("m", 3, 2))
    assert (instances(state), state.width("m")) == ("SU SC SK SC", 4)

    state, emitted = step(state, Failed(Attempt("m", 1, 3)), Lost(Attempt("m", 3, 2)), Succeeded(Attempt("m", 1, 4)))
    assert emitted == (Attempt("m", 1, 4), Attempt("m", 3, 3))
    assert step(state, Succeeded(Attempt("m", 3, 3)))[1] == (again("z"),)


def test_instances_that_were_cancelled_are_repeated_too() -> None:
    """Whether they had run or not."""
    graph = Graph(MAPPING.nodes, max_in_flight=1)
    state = after(
        graph, Begin(), Succeeded(A, sizes=(3,)), Succeeded(Attempt("m", 0)), CancelRequested(), Lost(Attempt("m", 1))
    )
    assert instances(state) == "SU CA CA"

    state, emitted = step(state, RerunRequested())

    assert (emitted, state.held) == ((Attempt("m", 1, 2),), (Attempt("m", 2, 2),))


def test_a_map_over_what_is_repeated_starts_afresh() -> None:
    """The list may be another: every instance gets one more than the largest number of all, those never seen too."""
    state, emitted = step(MIXED, RerunRequested(("a",)))
    assert (emitted, state.width("m"), state.status("m")) == ((again("a"),), None, Status.WAITING)
    assert (state.attempt("m", 0), state.attempt("m", 9)) == (Attempt("m", 0, 3), Attempt("m", 9, 3))

    state, emitted = step(state, Succeeded(again("a"), sizes=(2,)))

    assert emitted == (Attempt("m", 0, 3), Attempt("m", 1, 3))


def test_a_map_that_succeeded_starts_afresh_when_it_is_named() -> None:
    """All its instances are repeated."""
    graph = Graph([*MAPPING.nodes, Node("x")])
    state = after(
        graph,
        Begin(),
        Succeeded(A, sizes=(2,)),
        *(Succeeded(Attempt("m", at)) for at in (0, 1)),
        Failed(Attempt("x")),
        Succeeded(Attempt("z")),
    )

    state, emitted = step(state, RerunRequested(("m",)))

    assert emitted == (Attempt("m", 0, 2), Attempt("m", 1, 2))
    assert state.status("z") is Status.SUCCEEDED


def test_a_map_that_never_started_counts_as_one_try() -> None:
    """As a plain node that never ran does."""
    state = after(MAPPING, Begin(), Failed(A), RerunRequested(), Succeeded(again("a"), sizes=(1,)))

    assert state.attempts_in_flight == (Attempt("m", 0, 2),)


def test_a_map_that_failed_for_want_of_a_list_asks_again() -> None:
    """It fails as before, unless what it maps over is repeated too."""
    state = after(MAPPING, Begin(), Succeeded(A, sizes=(NOT_A_LIST,)))
    same, emitted = step(state, RerunRequested())
    assert (same.status("m"), same.round, same.is_finished, emitted) == (Status.FAILED, 2, True, ())

    state = step(state, RerunRequested(("a",)), Succeeded(again("a"), sizes=(1,)))[0]
    assert state.attempts_in_flight == (Attempt("m", 0, 2),)


def test_the_instances_stay_as_they_were_until_they_may_run() -> None:
    """Their numbers and statuses too: the node waits for another dependency first."""
    graph = Graph([Node("a"), Node("b"), Node("m", ["a", "b"], each="a")])
    state = after(
        graph, Begin(), Succeeded(A, sizes=(2,)), Succeeded(B), Succeeded(Attempt("m", 0)), Failed(Attempt("m", 1))
    )

    state, emitted = step(state, RerunRequested(("b",)))
    assert (emitted, state.status("m"), instances(state)) == ((again("b"),), Status.WAITING, "SU FA")
    assert state.attempt("m", 1) == Attempt("m", 1)
    check_ignored(state, Succeeded(Attempt("m", 1)), Succeeded(Attempt("m", 1, 2)))

    failed = step(state, Failed(again("b")))[0]
    assert (failed.status("m"), instances(failed)) == (Status.UPSTREAM_FAILED, "SU FA")
    state, emitted = step(failed, RerunRequested(), Succeeded(again("b", 3)))
    assert (emitted, instances(state)) == ((again("b", 3), Attempt("m", 1, 2)), "SU SC")


def test_a_map_that_waits_in_a_rerun_can_be_cancelled_and_skipped() -> None:
    """What its instances were stays to be seen."""
    graph = Graph([Node("a"), Node("b"), Node("m", ["a", "b"], each="a")])
    state = after(
        graph, Begin(), Succeeded(A, sizes=(2,)), Succeeded(B), Succeeded(Attempt("m", 0)), Failed(Attempt("m", 1))
    )
    state = step(state, RerunRequested(("b",)))[0]

    cancelled = step(state, CancelRequested(), Lost(again("b")))[0]
    assert (cancelled.status("m"), instances(cancelled)) == (Status.CANCELLED, "SU FA")
    skipped = step(state, SkipRequested("m"), Succeeded(again("b")))[0]
    assert (skipped.status("m"), instances(skipped)) == (Status.SKIPPED, "SU FA")
    assert skipped.workflow_state is WorkflowState.SUCCESS
    assert step(cancelled, RerunRequested(), Succeeded(again("b", 3)))[0].attempts_in_flight == (Attempt("m", 1, 2),)


def test_a_map_with_nothing_left_to_repeat_is_decided_when_it_may_run() -> None:
    """All its instances had succeeded, but the node was to be skipped."""
    graph = Graph([*MAPPING.nodes[:2], Node("x"), Node("z", ["m"])])
    state = after(
        graph, Begin(), Succeeded(A, sizes=(1,)), SkipRequested("m"), Succeeded(Attempt("m", 0)), Failed(Attempt("x"))
    )
    assert state.status("m") is Status.SKIPPED

    state, emitted = step(state, RerunRequested(("m",)))

    assert (state.status("m"), emitted) == (Status.SUCCEEDED, (again("z"),))


def test_a_map_over_a_map_pairs_again() -> None:
    """Where the one above is repeated it starts afresh, else only its own failures are repeated."""
    graph = Graph([Node("a"), Node("m", ["a"], each="a"), Node("n", ["m"], each="m")])
    state = after(graph, Begin(), Succeeded(A, sizes=(2,)), *(Succeeded(Attempt("m", at)) for at in (0, 1)))
    state = step(state, Succeeded(Attempt("n", 1)), Failed(Attempt("n", 0)))[0]

    assert step(state, RerunRequested())[1] == (Attempt("n", 0, 2),)
    above, emitted = step(state, RerunRequested(("m",)))
    assert (emitted, above.width("n")) == ((Attempt("m", 0, 2), Attempt("m", 1, 2)), None)
    assert step(above, *map(Succeeded, emitted))[1] == (Attempt("n", 0, 2), Attempt("n", 1, 2))


def test_sizes_are_told_again_with_the_result() -> None:
    """What was told in the round before is forgotten with it."""
    graph = Graph([Node("a"), Node("m", ["a"], each=Each("a", ("k",)))])
    state = after(graph, Begin(), Succeeded(A, sizes=(1,)), Failed(Attempt("m", 0)))
    assert step(state, RerunRequested())[0].sizes("a") == (1,)

    state = step(state, RerunRequested(("a",)))[0]
    assert state.sizes("a") == ()
    assert step(state, Succeeded(again("a")))[0].status("m") is Status.FAILED


def test_a_paused_round_holds_what_is_repeated_later() -> None:
    """What becomes runnable in it waits for the resume."""
    state = step(FAILED_CHAIN, RerunRequested(), PauseRequested(), Succeeded(again("b")))[0]

    assert state.held == (again("c"),)
    assert step(state, ResumeRequested())[1] == (again("c"),)
