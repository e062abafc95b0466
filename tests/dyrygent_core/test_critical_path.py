"""The chain of nodes that determined how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    Failed,
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
    Role,
    Skipped,
    SkipRequested,
    Status,
    Succeeded,
    Trigger,
    UnknownNodeError,
    UsageError,
)
from dyrygent_core.critical_path import PathStep, critical_path
from dyrygent_core.ports import Entry

DIAMOND: Final = Graph([Node("a"), Node("b", ["a"]), Node("c", ["a"]), Node("d", ["b", "c"])])
BEGIN: Final = Begin(at_ms=1_000)


def path_of(graph: Graph, facts: Sequence[Observation], node: str | None = None) -> tuple[PathStep, ...]:
    return critical_path(graph, [Entry(at, "", fact) for at, fact in enumerate(facts, 1)], node)


def names(graph: Graph, facts: Sequence[Observation], node: str | None = None) -> list[str]:
    return [step.node for step in path_of(graph, facts, node)]


def ended(node: str, at_ms: int, ran: Ran | None = None) -> Succeeded:
    return Succeeded(Attempt(node), ran, at_ms=at_ms)


def test_each_step_is_the_one_that_was_waited_for() -> None:
    """A join starts when its last dependency has ended, whichever that is."""
    facts: list[Observation] = [
        BEGIN,
        ended("a", 2_000),
        ended("c", 3_000),
        ended("b", 5_000),
        ended("d", 6_000),
        ended("d", 9_000),
    ]

    assert names(DIAMOND, facts) == ["a", "b", "d"]
    assert names(DIAMOND, facts, "c") == ["a", "c"]
    assert names(DIAMOND, facts[:1]) == ["a"]
    assert names(DIAMOND, []) == []
    assert names(DIAMOND, facts[:2], "d") == []


def test_time_is_divided_into_held_queued_and_running() -> None:
    """Running as long as the worker tells, queued for the rest of the time in flight, else held back."""
    graph = Graph([Node("a"), Node("b", ["a"])])
    facts: list[Observation] = [
        BEGIN,
        PauseRequested(at_ms=1_500),
        ended("a", 2_000, Ran(1_200, 700, "w")),
        ResumeRequested(at_ms=2_500),
        ended("b", 9_000),
    ]

    assert path_of(graph, facts) == (
        PathStep("a", 0, Status.SUCCEEDED, 1, 1_000, 1_200, 2_000, held_ms=0, queued_ms=300, ran_ms=700),
        PathStep("b", 0, Status.SUCCEEDED, 1, 2_000, 2_500, 9_000, held_ms=500, queued_ms=0, ran_ms=6_500),
    )


def test_retries_count() -> None:
    """All attempts of this round together; the delay between them is time held back."""
    graph = Graph([Node("a", max_attempts=2, retry=RetryPolicy(1_000))])
    facts: list[Observation] = [
        BEGIN,
        Lost(Attempt("a"), at_ms=1_500),
        Failed(Attempt("a", 0, 2), ran=Ran(1_600, 300), at_ms=2_000),
        RetryDue(Attempt("a", 0, 3), at_ms=3_000),
        Succeeded(Attempt("a", 0, 3), Ran(3_100, 9_999_999), at_ms=4_000),
    ]

    (step,) = path_of(graph, facts)
    assert step == PathStep(
        "a", 0, Status.SUCCEEDED, 3, 1_000, 1_000, 4_000, held_ms=1_000, queued_ms=200, ran_ms=1_800
    )
    (step,) = path_of(graph, facts[:3])
    assert step == PathStep("a", 0, Status.READY, 2, 1_000, 1_000, None, held_ms=0, queued_ms=200, ran_ms=800)
    (step,) = path_of(graph, facts[:4])
    assert (step.held_ms, step.ended_ms, step.status) == (1_000, None, Status.SCHEDULED)


def test_so_far_it_leads_to_what_has_been_on_its_way_for_longest() -> None:
    """That is what the workflow waits for."""
    graph = Graph([Node("slow"), Node("x"), Node("y", ["x"]), Node("z", ["y"])])
    facts: list[Observation] = [BEGIN, ended("x", 2_000), ended("y", 3_000), PauseRequested(at_ms=4_000)]

    (step,) = path_of(graph, facts)
    assert step == PathStep("slow", 0, Status.SCHEDULED, 1, 1_000, 1_000, None, held_ms=0, queued_ms=0, ran_ms=3_000)
    assert names(graph, facts, "z") == ["x", "y", "z"]
    assert names(graph, [*facts, ended("z", 5_000), ended("slow", 6_000)]) == ["slow"]


def test_a_mapped_node_counts_by_its_slowest_instance() -> None:
    """The one that ended last; until then, the first that is in flight."""
    graph = Graph([Node("a"), Node("m", ["a"], each="a"), Node("z", ["m"])], max_in_flight=2)
    facts: list[Observation] = [
        BEGIN,
        Succeeded(Attempt("a"), sizes=(3,), at_ms=2_000),
        Succeeded(Attempt("m", 0), at_ms=3_000),
        Succeeded(Attempt("m", 2), at_ms=4_000),
        Succeeded(Attempt("m", 1), at_ms=5_000),
        ended("z", 6_000),
    ]

    assert [(step.node, step.index) for step in path_of(graph, facts)] == [("a", 0), ("m", 1), ("z", 0)]
    assert path_of(graph, facts[:3])[-1] == PathStep(
        "m", 1, Status.SCHEDULED, 1, 2_000, 2_000, None, held_ms=0, queued_ms=0, ran_ms=1_000
    )
    late = [*facts[:3], Succeeded(Attempt("m", 1), at_ms=4_000), Succeeded(Attempt("m", 2), at_ms=5_000)]
    assert path_of(graph, late, "m")[-1] == PathStep(
        "m", 2, Status.SUCCEEDED, 1, 2_000, 3_000, 5_000, held_ms=1_000, queued_ms=0, ran_ms=2_000
    )
    empty: list[Observation] = [*facts[:1], Succeeded(Attempt("a"), sizes=(0,), at_ms=2_000)]
    assert [(step.node, step.attempts) for step in path_of(graph, empty, "z")] == [("a", 1), ("m", 0), ("z", 1)]
    paused: list[Observation] = [*facts[:1], PauseRequested(at_ms=1_000), *facts[1:2]]
    assert path_of(graph, paused)[-1] == PathStep(
        "m", 0, Status.READY, 0, 2_000, None, None, held_ms=0, queued_ms=0, ran_ms=0
    )


def test_what_never_ran_may_be_on_the_way() -> None:
    """A skipped node takes no time; a path may begin with a request."""
    graph = Graph([Node("a"), Node("b", ["a"]), Node("c", ["b"], trigger=Trigger.ALL_DONE)])

    path = path_of(graph, [BEGIN, Skipped(Attempt("a"), at_ms=2_000), ended("c", 3_000)])
    assert [(step.node, step.status, step.attempts) for step in path] == [
        ("a", Status.SKIPPED, 1),
        ("b", Status.SKIPPED, 0),
        ("c", Status.SUCCEEDED, 1),
    ]
    path = path_of(graph, [BEGIN, SkipRequested("b", at_ms=2_000), ended("a", 3_000)], "c")
    assert [(step.node, step.ready_ms) for step in path] == [("b", 2_000), ("c", 2_000)]


def test_nodes_of_the_whole_workflow_come_after_its_last() -> None:
    """They have no dependencies; what they waited for is the ordinary node that ended last."""
    graph = Graph([Node("a"), Node("b"), Node("clean", role=Role.FINALLY)])

    assert names(graph, [BEGIN, ended("b", 2_000), ended("a", 3_000), ended("clean", 4_000)]) == ["a", "clean"]


def test_only_the_newest_round_counts() -> None:
    """A rerun begins another path."""
    graph = Graph([Node("a"), Node("b", ["a"]), Node("c", ["b"])])
    facts: list[Observation] = [
        BEGIN,
        ended("a", 2_000),
        Failed(Attempt("b"), at_ms=3_000),
        RerunRequested(at_ms=9_000),
        Succeeded(Attempt("b", 0, 2), at_ms=9_500),
        CancelRequested(at_ms=9_600),
        Lost(Attempt("c", 0, 2), at_ms=9_700),
    ]

    assert [(step.node, step.ready_ms, step.attempts) for step in path_of(graph, facts)] == [
        ("b", 9_000, 1),
        ("c", 9_500, 1),
    ]
    assert names(graph, facts, "a") == []
    assert names(graph, facts[:4], "c") == []


def test_an_unknown_node_is_refused() -> None:
    """As everywhere."""
    with pytest.raises(UnknownNodeError, match="node 'x' is not in the graph"):
        critical_path(DIAMOND, [], "x")


def test_what_is_no_entry_is_refused() -> None:
    """With what to write."""
    with pytest.raises(UsageError, match="write Entry"):
        critical_path(DIAMOND, [BEGIN])  # type: ignore[list-item]
