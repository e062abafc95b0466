"""Another round of mapped nodes: only instances that did not succeed are repeated, unless what they map over is."""

from __future__ import annotations

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    Each,
    Edge,
    Failed,
    Graph,
    Lost,
    Node,
    PauseRequested,
    RerunRequested,
    ResumeRequested,
    Skipped,
    SkipRequested,
    Status,
    Succeeded,
    WorkflowState,
)
from dyrygent_core.observations import NOT_A_LIST
from tests.dyrygent_core.folding import after, again, check_ignored, instances, step

A, B = map(Attempt, "ab")


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


def test_a_map_that_was_skipped_by_request_runs_when_it_is_repeated() -> None:
    """Its instances never skipped themselves, so each of them is tried, as a plain node is."""
    graph = Graph([Node("a"), Node("x"), Node("m", ["a", Edge("x", "done")], each="a"), Node("z", ["m"])])
    held = after(graph, Begin(), Succeeded(A, sizes=(2,)), PauseRequested(), Failed(Attempt("x")), SkipRequested("m"))
    in_flight = after(graph, Begin(), Succeeded(A, sizes=(2,)), Failed(Attempt("x")), SkipRequested("m"))
    lost = step(in_flight, Lost(Attempt("m", 0)), Succeeded(Attempt("m", 1)))[0]

    assert (held.status("m"), lost.status("m")) == (Status.SKIPPED, Status.SKIPPED)
    assert step(held, ResumeRequested(), RerunRequested(("m",)))[1] == (Attempt("m", 0, 2), Attempt("m", 1, 2))
    assert step(lost, RerunRequested(("m",)))[1] == (Attempt("m", 0, 2),)


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
