"""Why a node never ran, or was stopped: whose failure, which rule, who asked.

Each row is what happened, and what is said of a node then: from the state alone, and, where that is more, from the
history too.
"""

from __future__ import annotations

from typing import Final

import pytest

from dyrygent_core import (
    CancelRequested,
    DeadlinePassed,
    Edge,
    Failed,
    Graph,
    Lost,
    Mode,
    Node,
    RerunRequested,
    Skipped,
    SkipRequested,
    Succeeded,
    Trigger,
)
from tests.dyrygent_core.explained import (
    BEGIN,
    BOOM,
    CHAIN,
    FAST,
    MAPPED,
    PAIR,
    ROLES,
    Row,
    check,
    of,
    row,
    sized,
    succeeded,
)

MAPPED_FAST: Final = Graph([Node("a"), Node("m", ["a"], each="a"), Node("b", ["m"])], mode=Mode.FAIL_FAST)

UPSTREAM_FAILED: Final = [
    row(
        PAIR,
        "b",
        [BEGIN, Failed(of("a"), BOOM)],
        "'b' is UPSTREAM_FAILED: it needs the success of 'a', which FAILED",
        "'b' is UPSTREAM_FAILED: it needs the success of 'a', which FAILED ('ValueError: boom')",
    ),
    row(
        CHAIN,
        "c",
        [BEGIN, Failed(of("a"), BOOM)],
        "'c' is UPSTREAM_FAILED: it needs the success of 'b', which is UPSTREAM_FAILED because 'a' FAILED",
        "'c' is UPSTREAM_FAILED: it needs the success of 'b', which is UPSTREAM_FAILED because 'a' FAILED "
        "('ValueError: boom')",
    ),
    row(
        Graph([Node("z"), Node("a", ["z"]), Node("b", ["a"]), Node("d", ["b", "a"])]),
        "d",
        [BEGIN, Failed(of("z"))],
        "'d' is UPSTREAM_FAILED: it needs the success of 'b', which is UPSTREAM_FAILED because 'z' FAILED",
        "'d' is UPSTREAM_FAILED: it needs the success of 'b', which is UPSTREAM_FAILED because 'z' FAILED ('Failure')",
    ),
    row(
        Graph([Node("a", on_loss="fail"), Node("b", ["a"])]),
        "b",
        [BEGIN, Lost(of("a"), "its worker died")],
        "'b' is UPSTREAM_FAILED: it needs the success of 'a', which FAILED",
        "'b' is UPSTREAM_FAILED: it needs the success of 'a', which FAILED (was lost ('its worker died'))",
    ),
    row(
        Graph([Node("a"), Node("b"), Node("c", ["b"]), Node("d", ["a", "c"], trigger=Trigger.NONE_FAILED)]),
        "d",
        [BEGIN, Failed(of("b")), Failed(of("a"), BOOM)],
        "'d' is UPSTREAM_FAILED: it needs 'a' not to fail, which FAILED",
        "'d' is UPSTREAM_FAILED: it needs 'a' not to fail, which FAILED ('ValueError: boom')",
    ),
    row(
        Graph([Node("a"), Node("b"), Node("c", ["a", "b"], trigger=Trigger.ONE_SUCCESS)]),
        "c",
        [BEGIN, Skipped(of("a")), Failed(of("b"), BOOM)],
        "'c' is UPSTREAM_FAILED: it needs one success, and no dependency succeeded: 'b' FAILED",
        "'c' is UPSTREAM_FAILED: it needs one success, and no dependency succeeded: 'b' FAILED ('ValueError: boom')",
    ),
    row(
        CHAIN,
        "c",
        [BEGIN, CancelRequested(), Succeeded(of("a")), RerunRequested(("c",))],
        "'c' is UPSTREAM_FAILED: it needs the success of 'b', which was CANCELLED",
    ),
    row(
        Graph([Node("a"), Node("b"), Node("c", ["b"]), Node("d", ["c"]), Node("e", [Edge("d", "failed")])]),
        "e",
        [BEGIN, CancelRequested(), Failed(of("a")), Failed(of("b")), RerunRequested(("e",))],
        "'e' is UPSTREAM_FAILED: it runs only if 'd' fails, which was CANCELLED",
    ),
    row(
        MAPPED,
        "z",
        [*sized(2), Succeeded(of("m", 1, 0)), Failed(of("m", 1, 1), BOOM, is_final=True)],
        "'z' is UPSTREAM_FAILED: it needs the success of 'm', which FAILED",
        "'z' is UPSTREAM_FAILED: it needs the success of 'm', which FAILED ('ValueError: boom')",
    ),
    row(
        Graph([Node("a"), Node("m", ["a"], each="a"), Node("z", ["m"])]),
        "z",
        sized(-1),
        "'z' is UPSTREAM_FAILED: it needs the success of 'm', which FAILED",
    ),
]

UNSURE: Final = "'a' is SKIPPED: it skipped itself, or somebody asked to skip it; the history tells which"

SKIPPED: Final = [
    row(
        PAIR, "a", [BEGIN, Skipped(of("a"), "no news")], UNSURE, "'a' is SKIPPED: attempt 1 skipped itself ('no news')"
    ),
    row(
        PAIR,
        "a",
        [BEGIN, SkipRequested("a", "broken"), Failed(of("a"))],
        UNSURE,
        "'a' is SKIPPED: somebody asked to skip it ('broken') while it was in flight",
    ),
    row(
        PAIR,
        "a",
        [SkipRequested("a", "broken")],
        "'a' is SKIPPED: somebody asked to skip it",
        "'a' is SKIPPED: somebody asked to skip it ('broken')",
    ),
    row(PAIR, "b", [BEGIN, SkipRequested("b"), Failed(of("a"))], "'b' is SKIPPED: somebody asked to skip it"),
    row(
        PAIR,
        "b",
        [BEGIN, SkipRequested("b", "broken"), Skipped(of("a"))],
        "'b' is SKIPPED: it needs the success of 'a', which was SKIPPED",
        "'b' is SKIPPED: somebody asked to skip it ('broken')",
    ),
    row(
        Graph([Node("a"), Node("z"), Node("b", ["a", "z"], trigger=Trigger.ONE_SUCCESS)]),
        "b",
        [BEGIN, Succeeded(of("a")), Skipped(of("b"), "no news")],
        "'b' is SKIPPED: it skipped itself, or somebody asked to skip it; the history tells which",
        "'b' is SKIPPED: attempt 1 skipped itself ('no news')",
    ),
    row(
        PAIR,
        "b",
        [BEGIN, Succeeded(of("a"), branches=())],
        "'b' is SKIPPED: it needs the success of 'a', which did not choose it",
    ),
    row(
        Graph([Node("a"), Node("b"), Node("c"), Node("d", ["a", "b", "c"])]),
        "d",
        [BEGIN, Skipped(of("b")), Succeeded(of("a")), Skipped(of("c"))],
        "'d' is SKIPPED: it needs the success of 'b', which was SKIPPED; 1 more dependency stands in its way",
    ),
    row(
        Graph([Node("a"), Node("b"), Node("c"), Node("d", ["a", "b", "c"], trigger=Trigger.ALL_FAILED)]),
        "d",
        [BEGIN, Succeeded(of("b")), Succeeded(of("a")), Skipped(of("c"))],
        "'d' is SKIPPED: it runs only if 'a' fails, which SUCCEEDED; 2 more dependencies stand in its way",
    ),
    row(
        Graph([Node("a", allow_failure=True), Node("b", [Edge("a", "skipped")])]),
        "b",
        [BEGIN, Failed(of("a"))],
        "'b' is SKIPPED: it runs only if 'a' is skipped, which FAILED (allowed)",
    ),
    row(
        Graph([Node("z"), Node("a", ["z"]), Node("b", [Edge("a", "skipped")])]),
        "b",
        [BEGIN, Failed(of("z"))],
        "'b' is SKIPPED: it runs only if 'a' is skipped, which is UPSTREAM_FAILED",
    ),
    row(
        Graph([Node("a"), Node("b", ["a"], trigger=Trigger.ONE_SUCCESS)]),
        "b",
        [BEGIN, Skipped(of("a"))],
        "'b' is SKIPPED: it needs one success, and its only dependency was skipped: 'a' was SKIPPED",
    ),
    row(
        Graph([Node("a"), Node("b"), Node("c", ["a", "b"], trigger=Trigger.NONE_FAILED_MIN_ONE_SUCCESS)]),
        "c",
        [BEGIN, Skipped(of("a")), Succeeded(of("b"), branches=())],
        "'c' is SKIPPED: it needs one success, and all of its 2 dependencies were skipped: "
        "'a' was SKIPPED and 'b' did not choose it",
    ),
    row(
        Graph([Node("a"), Node("b"), Node("c", ["a", "b"], trigger=Trigger.ONE_FAILED)]),
        "c",
        [BEGIN, Skipped(of("a")), Succeeded(of("b"))],
        "'c' is SKIPPED: it runs only if a dependency fails, and none did: 'a' was SKIPPED and 'b' SUCCEEDED",
    ),
    row(
        ROLES,
        "on_error",
        succeeded("a", "b"),
        "'on_error' is SKIPPED: its role is 'on_error', and the workflow did not fail",
    ),
    row(
        ROLES,
        "on_success",
        [BEGIN, Failed(of("a"))],
        "'on_success' is SKIPPED: its role is 'on_success', and the workflow did not succeed: some of its nodes failed",
    ),
    row(
        ROLES,
        "on_success",
        [BEGIN, DeadlinePassed(), Succeeded(of("a"))],
        "'on_success' is SKIPPED: its role is 'on_success', and the workflow did not succeed: its deadline passed",
    ),
    row(
        ROLES,
        "on_error",
        [BEGIN, CancelRequested(), Succeeded(of("a"))],
        "'on_error' is SKIPPED: its role is 'on_error', and the workflow did not fail, it was cancelled",
    ),
    row(
        ROLES,
        "on_success",
        [BEGIN, CancelRequested("enough"), Succeeded(of("a"))],
        "'on_success' is SKIPPED: its role is 'on_success', and the workflow was cancelled",
        "'on_success' is SKIPPED: its role is 'on_success', and the workflow was cancelled ('enough')",
    ),
    row(
        ROLES,
        "on_success",
        [SkipRequested("on_success", "quiet"), BEGIN],
        "'on_success' is SKIPPED: somebody asked to skip it",
        "'on_success' is SKIPPED: somebody asked to skip it ('quiet')",
    ),
    row(
        ROLES,
        "finally",
        [*succeeded("a", "b"), Skipped(of("finally"))],
        "'finally' is SKIPPED: it skipped itself, or somebody asked to skip it; the history tells which",
        "'finally' is SKIPPED: attempt 1 skipped itself",
    ),
    row(
        ROLES,
        "on_success",
        [*succeeded("a", "b"), Skipped(of("on_success"))],
        "'on_success' is SKIPPED: it skipped itself, or somebody asked to skip it; the history tells which",
        "'on_success' is SKIPPED: attempt 1 skipped itself",
    ),
]

CANCELLED: Final = [
    row(
        PAIR,
        "b",
        [BEGIN, CancelRequested("enough")],
        "'b' is CANCELLED: the workflow was cancelled",
        "'b' is CANCELLED: the workflow was cancelled ('enough')",
    ),
    row(
        PAIR,
        "a",
        [CancelRequested("enough")],
        "'a' is CANCELLED: the workflow was cancelled before it began",
        "'a' is CANCELLED: the workflow was cancelled before it began ('enough')",
    ),
    row(ROLES, "finally", [CancelRequested()], "'finally' is CANCELLED: the workflow was cancelled before it began"),
    row(
        PAIR,
        "a",
        [BEGIN, CancelRequested(), Lost(of("a"), "its worker died")],
        "'a' is CANCELLED: the workflow was cancelled",
        "'a' is CANCELLED: the workflow was cancelled, and attempt 1 was lost ('its worker died')",
    ),
    row(ROLES, "b", [BEGIN, DeadlinePassed()], "'b' is CANCELLED: the workflow's deadline passed (1 min 30 s)"),
    row(
        ROLES,
        "b",
        [BEGIN, DeadlinePassed(), CancelRequested("enough")],
        "'b' is CANCELLED: the workflow was cancelled or the workflow's deadline passed (1 min 30 s)",
        "'b' is CANCELLED: the workflow's deadline passed (1 min 30 s)",
    ),
    row(
        FAST,
        "c",
        [BEGIN, Failed(of("a"), BOOM)],
        "'c' is CANCELLED: fail_fast ended the work, since 'a' FAILED",
        "'c' is CANCELLED: fail_fast ended the work, since 'a' FAILED ('ValueError: boom')",
    ),
    row(
        FAST,
        "c",
        [BEGIN, Failed(of("b"), BOOM), Failed(of("a"))],
        "'c' is CANCELLED: fail_fast ended the work, since 'a' or 'b' FAILED",
        "'c' is CANCELLED: fail_fast ended the work, since 'b' FAILED ('ValueError: boom')",
    ),
    row(
        FAST,
        "b",
        [BEGIN, Failed(of("a"), BOOM), Failed(of("b"), is_revoked=True)],
        "'b' is CANCELLED: fail_fast ended the work, since 'a' FAILED",
        "'b' is CANCELLED: fail_fast ended the work, since 'a' FAILED ('ValueError: boom'), "
        "and attempt 1 was revoked ('Failure')",
    ),
    row(
        MAPPED_FAST,
        "b",
        sized(-1),
        "'b' is CANCELLED: fail_fast ended the work, since 'm' FAILED",
    ),
    row(
        MAPPED_FAST,
        "b",
        [*sized(-1), RerunRequested()],
        "'b' is CANCELLED: fail_fast ended the work, since 'm' FAILED or the work of an earlier round was ended",
        "'b' is CANCELLED: fail_fast ended the work, since 'm' FAILED",
    ),
    row(
        CHAIN,
        "b",
        [BEGIN, CancelRequested("enough"), Failed(of("a")), RerunRequested(("c",))],
        "'b' is CANCELLED: the work of an earlier round was ended",
        "'b' is CANCELLED: the workflow was cancelled ('enough')",
    ),
    row(
        Graph([Node("a"), Node("b", ["a"]), Node("c")]),
        "b",
        [BEGIN, CancelRequested(), Succeeded(of("a")), Lost(of("c")), RerunRequested(("c",)), DeadlinePassed(2)],
        "'b' is CANCELLED: the workflow's deadline passed or the work of an earlier round was ended",
        "'b' is CANCELLED: the workflow was cancelled",
    ),
]


@pytest.mark.parametrize("case", UPSTREAM_FAILED, ids=lambda case: case.said)
def test_the_failure_behind_is_named(case: Row) -> None:
    """The dependency, and the lowest node that FAILED or was CANCELLED above it."""
    check(case)


@pytest.mark.parametrize("case", SKIPPED, ids=lambda case: case.said)
def test_who_skipped_a_node_is_told(case: Row) -> None:
    """Its rule, its role, somebody, or itself; where the state alone does not tell, that is said."""
    check(case)


@pytest.mark.parametrize("case", CANCELLED, ids=lambda case: case.said)
def test_who_ended_the_work_is_told(case: Row) -> None:
    """A cancel, the deadline, or a failure under fail_fast."""
    check(case)
