"""The stories that the golden files tell. Once a file is written, its story here must not change: add another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Each,
    Edge,
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
    Trigger,
    Workflow,
    call,
)

__all__ = ["STORIES"]

Story: TypeAlias = tuple[Graph | Workflow, Sequence[Observation]]
"""What there was to do, with calls where it is a workflow, and what was observed."""


def a(node: str, index: int = 0, number: int = 1) -> Attempt:
    """Name an attempt."""
    return Attempt(node, index, number)


CONDITIONS: Final = ("succeeded", "not_failed", "failed", "skipped", "done")
"""Those that there were when the file was written."""
RULES: Final = Graph(
    [
        *(Node(name, allow_failure=name == "allowed") for name in ("good", "bad", "skipped", "allowed")),
        *(Node(f"by {trigger.value}", ["good", "bad", "skipped"], trigger=trigger) for trigger in Trigger),
        *(Node(f"if {condition}", [Edge("bad", condition)]) for condition in CONDITIONS),
        Node("anyway", ["allowed"]),
        Node("naïve “id” \n\t</script>", [Edge("skipped", "skipped"), "good"]),
    ]
)
RETRIES: Final = Graph(
    [
        Node("a", max_attempts=3, retry=RetryPolicy(1_000, 3.0, 2_500, 0.5), max_losses=2, timeout_ms=60_000),
        Node("b", ["a"], on_loss="fail"),
        Node("c", [Edge("b", "failed")], max_attempts=2),
    ],
    deadline_ms=3_600_000,
)
MAPS: Final = Graph(
    [
        Node("list"),
        Node("map", ["list"], each=Each("list", ("pages", 0)), max_attempts=2, retry=RetryPolicy(500)),
        Node("again", ["map"], each="map"),
        Node("none", ["list"], each="list"),
        Node("join", ["map", "again", "none"], trigger="all_done"),
    ]
)
CONTROL: Final = Graph(
    [
        *(Node(f"n{at}", priority=at % 3) for at in range(6)),
        Node("last", [f"n{at}" for at in range(6)], trigger="none_failed"),
        Node("tidy", role="finally"),
        Node("alarm", role="on_error"),
        Node("cheer", role="on_success"),
    ],
    max_in_flight=2,
)
FAST: Final = Graph([Node("a"), Node("b"), Node("c", ["b"]), Node("alarm", role="on_error")], mode="fail_fast")
CHOICE: Final = Graph(
    [
        Node("choose"),
        Node("left", ["choose"]),
        Node("right", ["choose"]),
        Node("join", ["left", "right"], trigger="none_failed_min_one_success"),
    ]
)


def onboarding() -> Workflow:
    """Build a workflow with all that stands in calls and in a workflow's own result."""
    workflow = Workflow("onboarding", deadline=86_400_000, max_in_flight=10, mode="fail_fast")
    user = workflow.add(call("users.create", "ann@example.org", plan={"name": "free", "price": 0.5, "trial": None}))
    pages = workflow.add(
        call("pages.render", workflow.item["title"], of=[{"user": user.result["id"]}, True]).with_options(queue="cpu"),
        id="render",
        each=user.result["pages"][0],
    )
    mail = workflow.add(
        call("mail.welcome", pages.result.default([]), user.result["id"], lang="pl"), after=[pages.not_failed]
    )
    workflow.add(call("users.create", "bob@example.org"), allow_failure=True)
    workflow.finally_(call("locks.release", workflow.summary, user.result.default(None)), id="release")
    workflow.returns({"users": [user.result, {"mail": mail.result["id"].default("none")}], "version": 1})
    return workflow


STORIES: Final[Mapping[str, Story]] = {
    "rules": (
        RULES,
        [
            Begin(at_ms=1_700_000_000_000),
            Succeeded(a("good"), Ran(1_700_000_000_010, 5, "celery@host"), at_ms=1_700_000_000_020),
            Failed(a("bad"), Failure("ValueError", "no", "builtins", ("no", 1)), at_ms=1_700_000_000_030),
            Skipped(a("skipped"), "nothing to do", at_ms=1_700_000_000_040),
            Failed(a("allowed"), is_final=True, at_ms=1_700_000_000_050),
            *(Succeeded(a(f"by {name}")) for name in ("all_done", "one_success", "one_failed")),
            *(Succeeded(a(f"if {name}")) for name in ("failed", "done")),
            Succeeded(a("anyway")),
            Succeeded(a("naïve “id” \n\t</script>")),
            Succeeded(a("good")),
        ],
    ),
    "retries": (
        RETRIES,
        [
            Begin(at_ms=1_000),
            Failed(a("a"), at_ms=2_000),
            RetryDue(a("a", 0, 2), at_ms=4_000),
            Lost(a("a", 0, 2), "worker gone", at_ms=5_000),
            TimedOut(a("a", 0, 3), at_ms=70_000),
            RetryDue(a("a", 0, 4), at_ms=80_000),
            Succeeded(a("a", 0, 3), at_ms=80_500),
            Succeeded(a("a", 0, 4), at_ms=81_000),
            Lost(a("b"), at_ms=82_000),
            Failed(a("c"), is_revoked=True, at_ms=83_000),
            Succeeded(a("c", 0, 2), at_ms=84_000),
        ],
    ),
    "maps": (
        MAPS,
        [
            Begin(at_ms=1_000),
            Succeeded(a("list"), sizes=(3, 0), at_ms=2_000),
            Succeeded(a("map", 2), at_ms=3_000),
            Failed(a("map", 0), at_ms=3_000),
            Skipped(a("map", 1), "empty", at_ms=4_000),
            RetryDue(a("map", 0, 2), at_ms=4_500),
            Succeeded(a("map", 0, 2), at_ms=5_000),
            Lost(a("again", 1), at_ms=5_100),
            Succeeded(a("again", 0), at_ms=5_200),
            Failed(a("again", 2), at_ms=5_300),
            Succeeded(a("again", 1, 2), at_ms=5_400),
            Failed(a("join"), at_ms=5_500),
            RerunRequested(at_ms=9_000),
            Succeeded(a("again", 2, 2), at_ms=9_100),
            Succeeded(a("join", 0, 2), at_ms=9_200),
        ],
    ),
    "control": (
        CONTROL,
        [
            Begin(at_ms=1_000),
            Succeeded(a("n2"), at_ms=1_100),
            PauseRequested("lunch", at_ms=1_200),
            Succeeded(a("n5"), at_ms=1_300),
            SkipRequested("n0", "not today", at_ms=1_400),
            ResumeRequested(at_ms=1_500),
            SkipRequested("n4", at_ms=1_600),
            Failed(a("n4"), at_ms=1_700),
            Succeeded(a("n1"), at_ms=1_800),
            Succeeded(a("n3"), at_ms=1_900),
            Failed(a("last"), at_ms=2_000),
            Succeeded(a("tidy"), at_ms=2_100),
            Succeeded(a("alarm"), at_ms=2_200),
            RerunRequested(("last",), at_ms=3_000),
            Succeeded(a("last", 0, 2), at_ms=3_100),
            Succeeded(a("tidy", 0, 2), at_ms=3_200),
            Succeeded(a("cheer", 0, 2), at_ms=3_300),
        ],
    ),
    "cancel": (
        CONTROL,
        [
            Begin(at_ms=1_000),
            Succeeded(a("n2"), at_ms=1_100),
            CancelRequested("enough", at_ms=1_200),
            Lost(a("n5"), at_ms=1_300),
            Failed(a("n1"), is_revoked=True, at_ms=1_350),
            Succeeded(a("tidy"), at_ms=1_400),
            RerunRequested(at_ms=2_000),
            DeadlinePassed(2, at_ms=2_100),
            Succeeded(a("n5", 0, 2), at_ms=2_200),
            Succeeded(a("n1", 0, 2), at_ms=2_300),
            Succeeded(a("tidy", 0, 2), at_ms=2_400),
            Succeeded(a("alarm", 0, 2), at_ms=2_500),
        ],
    ),
    "fail_fast": (
        FAST,
        [
            Begin(at_ms=1_000),
            Failed(a("a"), at_ms=1_100),
            Succeeded(a("b"), at_ms=1_200),
            Succeeded(a("alarm"), at_ms=1_300),
            RerunRequested(at_ms=2_000),
        ],
    ),
    "branches": (
        CHOICE,
        [
            Begin(at_ms=1_000),
            Succeeded(a("choose"), branches=("left",), at_ms=1_100),
            Succeeded(a("left"), at_ms=1_200),
            Failed(a("join"), at_ms=1_300),
            RerunRequested(("choose",), at_ms=2_000),
            Succeeded(a("choose", 0, 2), branches=("nobody",), at_ms=2_100),
        ],
    ),
    "deadline": (RETRIES, [Begin(at_ms=5), DeadlinePassed(at_ms=3_600_005), TimedOut(a("a"), at_ms=3_600_006)]),
    "calls": (
        onboarding(),
        [
            Begin(at_ms=1_000),
            Succeeded(a("users.create"), sizes=(2,), at_ms=1_100),
            Succeeded(a("render", 1), Ran(1_110, 80, "celery@host"), at_ms=1_200),
            Succeeded(a("render", 0), at_ms=1_300),
            Failed(a("users.create#2"), at_ms=1_350),
            Succeeded(a("mail.welcome"), at_ms=1_400),
            Succeeded(a("release"), at_ms=1_500),
        ],
    ),
    "cancelled before it began": (CHOICE, [SkipRequested("left"), CancelRequested("never mind"), Begin(at_ms=1)]),
}
