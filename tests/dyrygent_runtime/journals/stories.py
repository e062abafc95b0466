"""Workflows whose lives are told over every store, and the faults that strike them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from attrs import evolve, field, frozen

from dyrygent_core import Attempt, CancelRequested, Failed, RerunRequested, RetryPolicy, Workflow, call
from dyrygent_runtime import Settings
from dyrygent_testing import Fault, FaultKind, Trace, Workers, kinds_at, simulate

__all__ = ["STORIES", "Plan", "Story", "all_plans", "some_plans"]

Plan: TypeAlias = tuple[Fault, ...]

SETTINGS: Final = Settings(
    poll_ms=3_000,
    sweep_interval_ms=3_000,
    grace_ms=10_000,
    lease_ms=20_000,
    cancel_grace_ms=10_000,
    resend_after_ms=60_000,
    snapshot_entries=2,
)
"""Shorter waits, so that a life has fewer idle moments; and snapshots soon, so that they are kept at all."""
_HOUR_MS: Final = 3_600_000
_MOST_APPENDS: Final = 12


@frozen(eq=False)
class Story:
    """A workflow, and what happens to it beside faults."""

    build: Callable[[], Workflow]
    options: Mapping[str, Any] = field(factory=dict)
    is_thorough: bool = False
    """Whether more than deaths is tried in every run."""

    def __repr__(self) -> str:
        return self.build.__name__

    def live(self, plan: Plan = (), **options: Any) -> Trace:
        return simulate(self.build(), faults=plan, **{"settings": SETTINGS, **self.options}, **options)


def diamond() -> Workflow:
    """Build one node, two that run at once and end at the same moment, and one that needs both."""
    workflow = Workflow()
    top = workflow.add(call("run"), id="top")
    sides = [workflow.add(call("run", top.result), id=side) for side in ("left", "right")]
    workflow.add(call("run", *(side.result for side in sides)), id="join")
    return workflow


def failing_branch() -> Workflow:
    """Build a fork of which one branch fails twice, what becomes of the other, and what is left to do in any case."""
    workflow = Workflow()
    top = workflow.add(call("run"), id="top")
    good = workflow.add(call("run", top.result), id="good")
    bad = workflow.add(call("run", top.result), id="bad", max_attempts=2, retry=RetryPolicy(delay_ms=1_000))
    workflow.add(call("run", good.result), id="after-good")
    workflow.add(call("run", good.result, bad.result), id="join")
    workflow.add(call("run"), id="mourn", after=[bad.failed])
    workflow.finally_(call("run", workflow.summary), id="last")
    return workflow


def mapped() -> Workflow:
    """Build a map over a list, of which one instance is sent at a time and the others are handed over, and its sum."""
    workflow = Workflow()
    source = workflow.add(call("list"), id="source")
    instances = workflow.add(call("run", workflow.item), each=source, id="instances")
    workflow.add(call("run", instances.result), id="sum")
    return workflow


def cancelled() -> Workflow:
    """Build a diamond that is cancelled when its sides are in flight."""
    return diamond()


def _list_or_name(item: Any) -> Any:
    return [1, 2, 3] if item.call.target == "list" else f"{item.attempt.node}.{item.attempt.index}"


STORIES: Final = (
    Story(diamond, {"durations": 2_000}, is_thorough=True),
    Story(
        failing_branch,
        {
            "durations": 1_000,
            "outcomes": {"bad": [Failed(Attempt("bad")), Failed(Attempt("bad", 0, 2))]},
            "requests": [(6_500, RerunRequested())],
            "settings": evolve(SETTINGS, poll_ms=2_000, sweep_interval_ms=6_000),  # a retry is due before the sweep is
        },
    ),
    Story(
        mapped,
        {"durations": 1_500, "outcomes": _list_or_name, "workers": Workers(2, slots=1, prefetch=0, send_limit=1)},
    ),
    Story(cancelled, {"durations": 4_000, "requests": [(5_000, CancelRequested())]}),
)
"""Two conductors in each."""


def some_plans(story: Story) -> Iterator[Plan]:
    """Give what every run tries: nothing, and a death in the midst of the times that each point is passed.

    In the thorough story also: a death at some of them while every reply to an append is lost and a message doubled;
    each lost reply alone, and a death before that is found out; each message lost, doubled and late, and some lost
    again when they are sent again; a stop beyond the grace and the lease, and clocks that jump by an hour.
    """
    hits = story.live().hits
    points = {place: (most + 1) // 2 for place, most in hits.items() if place.startswith("point.")}
    deaths = [Fault(place, hit, FaultKind.CRASH) for place, hit in points.items()]
    yield ()
    yield from ((death,) for death in deaths)
    if "point.before_take_back" in points:  # a rerun overtakes an end that is still to be told
        yield (Fault("point.before_publish", 1, FaultKind.STOP, 12_000),)
    if not story.is_thorough:
        return
    lost = [Fault("journal.append", hit, FaultKind.LOST_REPLY) for hit in range(1, _MOST_APPENDS)]
    messages = hits["message.sent"]
    for number, death in enumerate(deaths[::3]):
        yield (death, *lost, Fault("message.sent", number % messages + 1, FaultKind.DUPLICATE, 1_500))
    for unheard in lost[: hits["journal.append"]]:
        yield (unheard,)
        yield (unheard, Fault("point.before_read_back", 1, FaultKind.CRASH))
    for hit in range(1, messages + 1):
        yield (Fault("message.sent", hit, FaultKind.LOSE),)
        yield (Fault("message.sent", hit, FaultKind.DUPLICATE, 1_500),)
        yield (Fault("message.sent", hit, FaultKind.DELAY, 15_000),)
    yield tuple(Fault("message.sent", hit, FaultKind.LOSE) for hit in range(2, 6))  # the same two, again and again
    for place in ("point.after_append", "point.before_send"):
        yield from ((Fault(place, 1, kind, 30_000),) for kind in (FaultKind.PAUSE, FaultKind.STOP))
        yield from ((Fault(place, 1, FaultKind.STEP, ms),) for ms in (_HOUR_MS, -_HOUR_MS))


def all_plans(story: Story) -> Iterator[Plan]:
    """Give every kind of fault at every place that the story passes."""
    for place, most in story.live().hits.items():
        for kind in kinds_at(place):
            for ms in _LENGTHS_MS.get(kind, (0,)):
                yield from ((Fault(place, hit, kind, ms),) for hit in range(1, most + 1))


_LENGTHS_MS: Final = {
    FaultKind.PAUSE: (12_000,),
    FaultKind.STOP: (12_000, 30_000),
    FaultKind.UNAVAILABLE: (0, 15_000),
    FaultKind.DUPLICATE: (0, 1_500),
    FaultKind.DELAY: (15_000,),
    FaultKind.STEP: (_HOUR_MS, -_HOUR_MS),
}
