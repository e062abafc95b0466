"""What was observed of one node, told line by line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Failed,
    Failure,
    Graph,
    Lost,
    Node,
    Observation,
    PauseRequested,
    Ran,
    RerunRequested,
    ResumeRequested,
    RetryDue,
    RetryPolicy,
    Skipped,
    SkipRequested,
    Succeeded,
    TimedOut,
    UnknownNodeError,
    UsageError,
)
from dyrygent_core.ports import Entry
from dyrygent_core.story import story

GRAPH: Final = Graph([Node("a", max_attempts=2, retry=RetryPolicy(1_500)), Node("b", ["a"]), Node("c")])
MAPPED: Final = Graph(
    [Node("a"), Node("m", ["a"], each="a", max_attempts=2, retry=RetryPolicy(1_000)), Node("z", ["m"])],
    max_in_flight=4,
)
A: Final = Attempt("a")
BEGIN: Final = Begin(at_ms=1_000)
BEGAN: Final = "#1 +0:00:00.000 the workflow began"


def told(graph: Graph, node: str, facts: Sequence[Observation]) -> list[str]:
    return list(story(graph, [Entry(at, "", fact) for at, fact in enumerate(facts, 1)], node))


def test_attempts_are_told_with_where_they_ran() -> None:
    """How each ended, where, how long it took, and what came of it."""
    facts: list[Observation] = [
        BEGIN,
        Failed(A, Failure("ValueError", "boom"), ran=Ran(1_100, 250, "w1"), at_ms=1_400),
        RetryDue(Attempt("a", 0, 2), at_ms=2_900),
        Succeeded(Attempt("a", 0, 2), Ran(3_000, 7_260_000), branches=("b",), at_ms=7_270_000),
    ]

    assert told(GRAPH, "a", facts) == [
        f"{BEGAN} -> SCHEDULED, attempt 1",
        "#2 +0:00:00.400 attempt 1 failed ('ValueError: boom') after 250 ms on 'w1' -> READY, attempt 2, due in 1.5 s",
        "#3 +0:00:01.900 the retry delay of attempt 2 is over -> SCHEDULED, attempt 2",
        "#4 +2:01:09.000 attempt 2 succeeded, and chose 'b' of what waits for it, after 2 h 1 min -> SUCCEEDED",
    ]


def test_a_pause_outlasts_a_delay() -> None:
    """A retry that is due while the workflow is paused is held back."""
    failed = Failed(A, at_ms=2_000)
    facts: list[Observation] = [BEGIN, failed, PauseRequested(at_ms=2_000), RetryDue(Attempt("a", 0, 2), at_ms=3_500)]

    assert told(GRAPH, "a", facts)[2:] == [
        "#3 +0:00:01.000 somebody paused the workflow",
        "#4 +0:00:02.500 the retry delay of attempt 2 is over -> READY, attempt 2, held back",
    ]


def test_what_let_a_node_start_is_part_of_its_story() -> None:
    """The end of a dependency has a line where it decided something, and none where it did not."""
    facts: list[Observation] = [
        BEGIN,
        Succeeded(Attempt("c"), at_ms=1_500),
        Succeeded(A, at_ms=3_601_000),
        Lost(Attempt("b"), "gone"),
    ]

    assert told(GRAPH, "b", facts) == [
        BEGAN,
        "#3 +1:00:00.000 attempt 1 of 'a' succeeded -> SCHEDULED, attempt 1",
        "#4 -0:00:01.000 attempt 1 was lost ('gone') -> SCHEDULED, attempt 2",
    ]


def test_what_concerns_the_whole_workflow_is_told() -> None:
    """Pauses, the end of the work, and another round."""
    facts: list[Observation] = [
        PauseRequested("lunch", at_ms=400),
        BEGIN,
        ResumeRequested(at_ms=2_000),
        CancelRequested("enough", at_ms=3_000),
        Failed(Attempt("c"), is_revoked=True, at_ms=3_000),
        TimedOut(A, at_ms=4_000),
        RerunRequested(at_ms=5_000),
        RerunRequested(("a",), at_ms=5_500),
        DeadlinePassed(at_ms=5_800),
        DeadlinePassed(2, at_ms=6_000),
    ]

    assert told(GRAPH, "c", facts) == [
        "#1 -0:00:00.600 somebody paused the workflow ('lunch')",
        "#2 +0:00:00.000 the workflow began -> READY, attempt 1, held back",
        "#3 +0:00:01.000 somebody resumed the workflow -> SCHEDULED, attempt 1",
        "#4 +0:00:02.000 somebody cancelled the workflow ('enough')",
        "#5 +0:00:02.000 attempt 1 was revoked ('Failure') -> CANCELLED",
        "#7 +0:00:04.000 somebody asked for a rerun of what failed or was cancelled -> SCHEDULED, attempt 2",
        "#8 +0:00:04.500 somebody asked for a rerun of 'a': ignored, the workflow had not ended",
        "#9 +0:00:04.800 the workflow's deadline passed: ignored, it was that of round 1",
        "#10 +0:00:05.000 the workflow's deadline passed",
    ]


def test_skips_are_told() -> None:
    """By itself, by somebody, and by its rule."""
    facts: list[Observation] = [BEGIN, SkipRequested("b", "no need"), Skipped(A, "no news")]

    assert told(GRAPH, "a", facts)[1:] == ["#3 -0:00:01.000 attempt 1 skipped itself ('no news') -> SKIPPED"]
    assert told(GRAPH, "b", facts)[1:] == ["#2 -0:00:01.000 somebody asked to skip 'b' ('no need') -> SKIPPED"]
    assert told(GRAPH, "b", [BEGIN, Skipped(A)])[1:] == ["#2 -0:00:01.000 attempt 1 of 'a' skipped itself -> SKIPPED"]


def test_instances_are_told_one_by_one() -> None:
    """Those that start together in one line, each end in a line of its own."""
    facts: list[Observation] = [
        BEGIN,
        Succeeded(A, sizes=(5,), at_ms=1_000),
        Failed(Attempt("m", 2), at_ms=1_000),
        Succeeded(Attempt("m", 0), at_ms=1_000),
        RetryDue(Attempt("m", 2, 2), at_ms=2_000),
        Succeeded(Attempt("m", 2, 2), at_ms=2_000),
        *(Succeeded(Attempt("m", index), at_ms=3_000) for index in (1, 3, 4)),
    ]

    assert [line.partition(" ")[2].partition(" ")[2] for line in told(MAPPED, "m", facts)] == [
        "the workflow began",
        "attempt 1 of 'a' succeeded -> SCHEDULED with 5 instances, instances 0, 1, 2 and 1 more SCHEDULED",
        "attempt 1 of instance 2 failed ('Failure') -> instance 2 READY, due in 1 s, attempt 1 of instance 4 SCHEDULED",
        "attempt 1 of instance 0 succeeded -> instance 0 SUCCEEDED",
        "the retry delay of attempt 2 of instance 2 is over -> attempt 2 of instance 2 SCHEDULED",
        "attempt 2 of instance 2 succeeded -> instance 2 SUCCEEDED",
        "attempt 1 of instance 1 succeeded -> instance 1 SUCCEEDED",
        "attempt 1 of instance 3 succeeded -> instance 3 SUCCEEDED",
        "attempt 1 of instance 4 succeeded -> SUCCEEDED, instance 4 SUCCEEDED",
    ]
    assert told(MAPPED, "z", facts)[-1].endswith("attempt 1 of instance 4 of 'm' succeeded -> SCHEDULED, attempt 1")


def test_an_instance_that_is_tried_again_at_once_is_told_once() -> None:
    """After a loss there is no delay."""
    facts: list[Observation] = [BEGIN, Succeeded(A, sizes=(2,)), Lost(Attempt("m", 1))]

    assert told(MAPPED, "m", facts)[-1].endswith(
        "attempt 1 of instance 1 was lost -> attempt 2 of instance 1 SCHEDULED"
    )


FAILS: Final = Failed(A, is_final=True)
IGNORED: Final[list[tuple[list[Observation], str]]] = [
    ([BEGIN, BEGIN], "the workflow began: ignored, it had begun"),
    ([CancelRequested(), BEGIN], "the workflow began: ignored, it was cancelled before"),
    ([BEGIN, FAILS, FAILS], "attempt 1 failed for good ('Failure'): ignored, it repeats #2"),
    ([BEGIN, FAILS, Lost(A)], "attempt 1 was lost: ignored, too late after #2"),
    ([BEGIN, Lost(Attempt("a", 0, 7))], "attempt 7 was lost: ignored, no such attempt was in flight"),
    ([BEGIN, Lost(Attempt("a", 3))], "attempt 1 of instance 3 was lost: ignored, no such attempt was in flight"),
    ([BEGIN, RetryDue(A)], "the retry delay of attempt 1 is over: ignored, no such retry was waiting"),
    ([BEGIN, FAILS, SkipRequested("a")], "somebody asked to skip 'a': ignored, it was FAILED already"),
    (
        [BEGIN, SkipRequested("a"), SkipRequested("a")],
        "somebody asked to skip 'a': ignored, somebody had asked before",
    ),
    ([BEGIN, CancelRequested(), SkipRequested("a")], "somebody asked to skip 'a': ignored, the work was being ended"),
    ([CancelRequested(), CancelRequested()], "somebody cancelled the workflow: ignored, it was cancelled already"),
    (
        [BEGIN, FAILS, Succeeded(Attempt("c")), CancelRequested()],
        "somebody cancelled the workflow: ignored, the workflow had ended",
    ),
    ([DeadlinePassed()], "the workflow's deadline passed: ignored, the workflow had not begun"),
    ([BEGIN, DeadlinePassed(), DeadlinePassed()], "the workflow's deadline passed: ignored, it had passed before"),
    (
        [BEGIN, FAILS, Succeeded(Attempt("c")), DeadlinePassed()],
        "the workflow's deadline passed: ignored, the ordinary nodes had ended",
    ),
    ([PauseRequested(), PauseRequested()], "somebody paused the workflow: ignored, it was paused already"),
    ([BEGIN, CancelRequested(), PauseRequested()], "somebody paused the workflow: ignored, the work was being ended"),
    ([CancelRequested(), PauseRequested()], "somebody paused the workflow: ignored, the workflow had ended"),
    ([ResumeRequested()], "somebody resumed the workflow: ignored, it was not paused"),
    (
        [CancelRequested(), RerunRequested(("a", "x", "y"))],
        "somebody asked for a rerun of 'a', 'x' and 'y': ignored, there is no node 'x' and 'y'",
    ),
    (
        [
            BEGIN,
            *(SkipRequested(node) for node in "abc"),
            Succeeded(A),
            Succeeded(Attempt("c")),
            RerunRequested(),
        ],
        "somebody asked for a rerun of what failed or was cancelled: ignored, the workflow had succeeded",
    ),
]


@pytest.mark.parametrize(("facts", "line"), IGNORED, ids=[line for _, line in IGNORED])
def test_what_is_ignored_is_told_with_the_reason(facts: list[Observation], line: str) -> None:
    """Late, repeated, about what never was, or out of place."""
    assert told(GRAPH, "a", facts)[-1].split(" ", 2)[2] == line


def test_an_unknown_node_is_refused() -> None:
    """As everywhere; and of nothing there is nothing to tell."""
    assert told(GRAPH, "a", []) == []
    with pytest.raises(UnknownNodeError, match="node 'x' is not in the graph"):
        story(GRAPH, [], "x")


def test_what_is_no_entry_is_refused() -> None:
    """With what to write."""
    with pytest.raises(UsageError, match="write Entry"):
        story(GRAPH, [BEGIN], "a")  # type: ignore[list-item]
