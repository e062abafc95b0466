"""The sentence that says why a node has or has not run, for every status and cause.

Each row is what happened, and what is said of a node then: from the state alone, and, where that is more, from the
history too.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import pytest

from dyrygent_core import (
    CancelRequested,
    DeadlinePassed,
    Failed,
    Graph,
    Lost,
    Node,
    PauseRequested,
    RerunRequested,
    ResumeRequested,
    RetryDue,
    Role,
    Skipped,
    SkipRequested,
    State,
    Succeeded,
    TimedOut,
    Trigger,
    UnknownNodeError,
    UsageError,
)
from dyrygent_core.explain import explain
from tests.dyrygent_core.explained import (
    BEGIN,
    BOOM,
    CHAIN,
    FAST,
    JOIN,
    LIMITED,
    MAPPED,
    PAIR,
    PART,
    RETRIED,
    ROLES,
    Row,
    check,
    of,
    row,
    sized,
    succeeded,
)

NOT_FINAL: Final = [
    row(PAIR, "a", [], "'a' is WAITING: it waits for the workflow to begin"),
    row(PAIR, "b", [], "'b' is WAITING: it waits for 'a' (WAITING); the workflow has not begun"),
    row(PAIR, "b", [BEGIN], "'b' is WAITING: it waits for 'a' (SCHEDULED)"),
    row(
        JOIN,
        "join",
        [BEGIN],
        "'join' is WAITING: it waits for 'n0' (SCHEDULED), 'n1' (SCHEDULED), 'n2' (SCHEDULED) and 97 more",
    ),
    row(ROLES, "finally", [BEGIN], "'finally' is WAITING: it waits until every ordinary node has ended; 2 have not"),
    row(
        ROLES,
        "finally",
        succeeded("a"),
        "'finally' is WAITING: it waits until every ordinary node has ended; 1 has not",
    ),
    row(
        ROLES,
        "on_error",
        [],
        "'on_error' is WAITING: it waits until every ordinary node has ended; 2 have not; the workflow has not begun",
    ),
    row(
        Graph([Node("a"), Node("finally", role=Role.FINALLY)]),
        "finally",
        [SkipRequested("a")],
        "'finally' is WAITING: it waits for the workflow to begin",
    ),
    row(LIMITED, "c", [BEGIN], "'c' is READY: attempt 1 may run, but 2 attempts are in flight, and max_in_flight is 2"),
    row(
        Graph([Node("a", ["z"], trigger=Trigger.ALL_DONE), Node("z")]),
        "a",
        [SkipRequested("z")],
        "'a' is READY: attempt 1 may run, but the workflow has not begun",
    ),
    row(
        Graph([Node("a", ["z"], trigger=Trigger.ALL_DONE), Node("z")]),
        "a",
        [SkipRequested("z"), PauseRequested("lunch")],
        "'a' is READY: attempt 1 may run, but the workflow has not begun, and is paused",
        "'a' is READY: attempt 1 may run, but the workflow has not begun, and is paused ('lunch')",
    ),
    row(
        PAIR,
        "b",
        [BEGIN, PauseRequested("old"), ResumeRequested(), PauseRequested("lunch"), Succeeded(of("a"))],
        "'b' is READY: attempt 1 may run, but the workflow is paused",
        "'b' is READY: attempt 1 may run, but the workflow is paused ('lunch')",
    ),
    row(
        RETRIED,
        "a",
        [BEGIN, Failed(of("a"), at_ms=3_000)],
        "'a' is READY: attempt 2 waits for its retry delay, after 1 of at most 3 failures, "
        "and is due 3.5 s after the workflow began",
    ),
    row(
        RETRIED,
        "a",
        [
            BEGIN,
            Failed(of("a"), is_final=True),
            RerunRequested(at_ms=9_000),
            TimedOut(of("a", 2), at_ms=9_100),
            PauseRequested(),
        ],
        "'a' is READY: attempt 3 waits for its retry delay, after 1 of at most 3 failures, "
        "and is due 1.6 s after round 2 began; the workflow is paused",
    ),
    row(PAIR, "a", [BEGIN], "'a' is SCHEDULED: attempt 1 is in flight"),
    row(
        RETRIED,
        "a",
        [BEGIN, Lost(of("a")), Failed(of("a", 2)), RetryDue(of("a", 3))],
        "'a' is SCHEDULED: attempt 3 is in flight, after 1 of at most 3 failures and 1 of at most 3 losses",
    ),
    row(PAIR, "a", [BEGIN, SkipRequested("a")], "'a' is SCHEDULED: attempt 1 is in flight; somebody asked to skip it"),
    row(
        PAIR,
        "a",
        [BEGIN, CancelRequested("enough")],
        "'a' is SCHEDULED: attempt 1 is in flight; it is to be stopped, for the workflow was cancelled",
        "'a' is SCHEDULED: attempt 1 is in flight; it is to be stopped, for the workflow was cancelled ('enough')",
    ),
    row(
        PAIR,
        "a",
        [BEGIN, DeadlinePassed()],
        "'a' is SCHEDULED: attempt 1 is in flight; it is to be stopped, for the workflow's deadline passed",
    ),
    row(
        FAST,
        "b",
        [BEGIN, Failed(of("a"))],
        "'b' is SCHEDULED: attempt 1 is in flight; it is to be stopped, for fail_fast ended the work",
    ),
    row(ROLES, "finally", [*succeeded("a", "b")], "'finally' is SCHEDULED: attempt 1 is in flight"),
]

SUCCEEDED: Final = [
    row(PAIR, "a", succeeded("a"), "'a' is SUCCEEDED: attempt 1 succeeded"),
    row(
        RETRIED,
        "a",
        [BEGIN, Lost(of("a")), Succeeded(of("a", 2))],
        "'a' is SUCCEEDED: attempt 2 succeeded, after 1 of at most 3 losses",
    ),
    row(
        PAIR,
        "a",
        [BEGIN, Succeeded(of("a"), branches=("b",))],
        "'a' is SUCCEEDED: attempt 1 succeeded, and chose 'b' of what waits for it",
    ),
    row(
        PAIR,
        "a",
        [BEGIN, Succeeded(of("a"), branches=())],
        "'a' is SUCCEEDED: attempt 1 succeeded, and chose none of what waits for it",
    ),
]

FAILED: Final = [
    row(
        PAIR,
        "a",
        [BEGIN, Failed(of("a"), BOOM)],
        "'a' is FAILED: attempt 1 failed, and no try was left",
        "'a' is FAILED: attempt 1 failed ('ValueError: boom'), and no try was left",
    ),
    row(
        RETRIED,
        "a",
        [BEGIN, Failed(of("a")), RetryDue(of("a", 2)), Failed(of("a", 2)), RetryDue(of("a", 3)), TimedOut(of("a", 3))],
        "'a' is FAILED: attempt 3 failed, after 2 of at most 3 failures, and no try was left",
        "'a' is FAILED: attempt 3 took longer than 5 s, after 2 of at most 3 failures, and no try was left",
    ),
    row(
        RETRIED,
        "a",
        [BEGIN, Failed(of("a"), is_final=True)],
        "'a' is FAILED: attempt 1 failed, and was not to be tried again",
        "'a' is FAILED: attempt 1 failed for good ('Failure'), and was not to be tried again",
    ),
    row(
        RETRIED,
        "a",
        [BEGIN, Lost(of("a")), Lost(of("a", 2)), Lost(of("a", 3), "its worker died")],
        "'a' is FAILED: attempt 3 failed or was lost, after 2 of at most 3 losses, and was not to be tried again",
        "'a' is FAILED: attempt 3 was lost ('its worker died'), after 2 of at most 3 losses, and no try was left",
    ),
    row(
        Graph([Node("a", on_loss="fail")]),
        "a",
        [BEGIN, TimedOut(of("a"))],
        "'a' is FAILED: attempt 1 failed or was lost, and no try was left",
        "'a' is FAILED: attempt 1 timed out, and no try was left",
    ),
    row(
        Graph([Node("a", allow_failure=True)]),
        "a",
        [BEGIN, Failed(of("a"), is_revoked=True)],
        "'a' is FAILED: attempt 1 failed, and no try was left (allowed)",
        "'a' is FAILED: attempt 1 was revoked ('Failure'), and no try was left (allowed)",
    ),
    row(
        RETRIED,
        "a",
        [BEGIN, Succeeded(of("a"), branches=("b", "x"))],
        "'a' is FAILED: attempt 1 failed, and was not to be tried again",
        "'a' is FAILED: attempt 1 chose 'x', which does not wait for it directly, and was not to be tried again",
    ),
    row(
        CHAIN,
        "a",
        [BEGIN, Succeeded(of("a"), branches=("c", "x"))],
        "'a' is FAILED: attempt 1 failed, and no try was left",
        "'a' is FAILED: attempt 1 chose 'c' and 'x', which do not wait for it directly, and was not to be tried again",
    ),
]

INSTANCES: Final = [
    row(MAPPED, "m", sized(5), "'m' is SCHEDULED: 5 instances: 2 READY and 3 SCHEDULED"),
    row(
        MAPPED,
        "m",
        [*sized(5), PauseRequested("lunch"), *(Succeeded(of("m", 1, at)) for at in range(3))],
        "'m' is READY: 5 instances: 2 READY and 3 SUCCEEDED; the workflow is paused",
        "'m' is READY: 5 instances: 2 READY and 3 SUCCEEDED; the workflow is paused ('lunch')",
    ),
    row(
        MAPPED,
        "m",
        [*sized(2), Failed(of("m", 1, 1), at_ms=4_000), Failed(of("m", 1, 0), at_ms=5_000)],
        "'m' is READY: 2 instances: 2 READY; the first is due 4 s after the workflow began",
    ),
    row(
        MAPPED,
        "m",
        [*sized(4), PauseRequested(), *(Failed(of("m", 1, at), at_ms=4_000) for at in range(3))],
        "'m' is READY: 4 instances: 4 READY; 3 in a retry delay, the first is due 4 s "
        "after the workflow began; for the others, the workflow is paused",
    ),
    row(MAPPED, "m", sized(0), "'m' is SUCCEEDED: there was nothing to map over"),
    row(
        MAPPED,
        "m",
        [*sized(2), Skipped(of("m", 1, 0)), Succeeded(of("m", 1, 1))],
        "'m' is SUCCEEDED: 2 instances: 1 SUCCEEDED and 1 SKIPPED",
    ),
    row(
        MAPPED,
        "m",
        [*sized(3), *(Failed(of("m", 1, at), BOOM, is_final=True) for at in (2, 1)), Succeeded(of("m"))],
        "'m' is FAILED: 2 of its 3 instances FAILED, instances 1 and 2",
        "'m' is FAILED: 2 of its 3 instances FAILED, instances 1 and 2; the first failed for good ('ValueError: boom')",
    ),
    row(
        MAPPED,
        "m",
        [*sized(1), Succeeded(of("m"), branches=())],
        "'m' is FAILED: 1 of its 1 instance FAILED, instance 0",
        "'m' is FAILED: 1 of its 1 instance FAILED, instance 0; the first chose branches, which no instance can",
    ),
    row(PART, "m", sized(-1), "'m' is FAILED: there is no list in the result of 'a' at 'pages[0].rows' to map over"),
    row(
        MAPPED,
        "m",
        sized(100_001),
        "'m' is FAILED: the result of 'a' has 100,001 elements, and at most 100,000 can be mapped over",
    ),
    row(MAPPED, "m", sized(), "'m' is FAILED: it was not told how long the list in the result of 'a' is"),
    row(
        MAPPED,
        "m",
        [*sized(4), SkipRequested("m", "broken"), Lost(of("m"))],
        "'m' is SCHEDULED: 4 instances: 2 SCHEDULED and 2 CANCELLED; somebody asked to skip it",
    ),
    row(
        MAPPED,
        "m",
        [*sized(1), SkipRequested("m", "broken"), Lost(of("m"))],
        "'m' is SKIPPED: somebody asked to skip it",
        "'m' is SKIPPED: somebody asked to skip it ('broken') while it was in flight",
    ),
    row(
        MAPPED,
        "m",
        [*sized(4), Succeeded(of("m")), CancelRequested("enough"), *(Lost(of("m", 1, at)) for at in (1, 2, 3))],
        "'m' is CANCELLED: the workflow was cancelled when 3 of its 4 instances had not ended",
        "'m' is CANCELLED: the workflow was cancelled ('enough') when 3 of its 4 instances had not ended",
    ),
]


@pytest.mark.parametrize("case", NOT_FINAL, ids=lambda case: case.said)
def test_what_holds_a_node_back_is_named(case: Row) -> None:
    """Undecided dependencies, the beginning, a limit, a pause, a delay; and which attempt is in flight."""
    check(case)


@pytest.mark.parametrize("case", [*SUCCEEDED, *FAILED], ids=lambda case: case.said)
def test_how_an_attempt_ended_is_told(case: Row) -> None:
    """Which attempt it was, after what, and, with the history, in which words it failed."""
    check(case)


@pytest.mark.parametrize("case", INSTANCES, ids=lambda case: case.said)
def test_the_instances_of_a_mapped_node_are_counted(case: Row) -> None:
    """By status; and why there are none, where there are none."""
    check(case)


def test_what_is_unknown_is_refused() -> None:
    """A node that is not there, and a state of another graph."""
    with pytest.raises(UnknownNodeError, match="node 'x' is not in the graph"):
        explain(PAIR, State.initial(PAIR), "x")
    with pytest.raises(UsageError, match="this state belongs to"):
        explain(CHAIN, State.initial(PAIR), "a")


LARGE: Final = """
import sys, time
from dyrygent_core import *
from dyrygent_core.critical_path import critical_path
from dyrygent_core.explain import explain
from dyrygent_core.ports import Entry
from dyrygent_core.story import story
SIZE = 100_000
graph = Graph(Node(f"n{at}", [f"n{at - 1}"] if at else []) for at in range(SIZE))
sys.setrecursionlimit(200)
facts = [Begin(), Failed(Attempt("n0"), Failure("ValueError"))]
entries = [Entry(at, "", fact) for at, fact in enumerate(facts, 1)]
state, _ = advance(graph, State.initial(graph), facts)
began = time.process_time()
text = explain(graph, state, f"n{SIZE - 1}", entries=entries)
assert text == ("'n99999' is UPSTREAM_FAILED: it needs the success of 'n99998', which is UPSTREAM_FAILED "
                "because 'n0' FAILED ('ValueError')"), text
assert story(graph, entries, "n9")[-1].endswith(" -> UPSTREAM_FAILED")
facts = [Begin(), *(Succeeded(Attempt(f"n{at}")) for at in range(SIZE // 2))]
path = critical_path(graph, [Entry(at, "", fact) for at, fact in enumerate(facts, 1)])
assert len(path) == SIZE // 2 + 1
seconds = time.process_time() - began
assert seconds < 20, seconds
"""


def test_size_is_no_obstacle() -> None:
    """A chain of 100,000 nodes is explained, told and walked along with a stack of 200 calls."""
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
