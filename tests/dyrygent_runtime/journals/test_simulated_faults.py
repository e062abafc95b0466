"""Workflows among faults over real stores, in virtual time: each lives the life that it has over memory.

What is exhausted over the memory journal in `property_tests` is sampled here over those that users have: the real
conductors, sweeps and outboxes, and a real server, of which only the clock is simulated.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from dyrygent_core.ports import Journal
from dyrygent_runtime.faults import FaultPoint
from dyrygent_testing import check_invariants
from dyrygent_testing.simulation.faults import point
from tests.dyrygent_runtime.journals.stories import STORIES, Plan, Story, all_plans, some_plans
from tests.dyrygent_runtime.journals.virtual import Clock, in_virtual_time

STORES: Final = ("sqlite", "postgresql", "redis", "mysql")
CASES: Final = [(store, story) for store in ("postgresql", "redis") for story in STORIES] + [
    ("sqlite", story) for story in STORIES if not story.is_thorough
]
IS_NIGHTLY: Final = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[Clock], Journal]]:
    """Give what makes journals in the store that the test names."""
    store = request.param
    url = f"sqlite:///{tmp_path}/journal.db" if store == "sqlite" else request.getfixturevalue(f"{store}_url")
    with in_virtual_time(url) as make_journal:
        yield make_journal


@pytest.mark.parametrize(("make", "story"), CASES, ids=str, indirect=["make"])
def test_a_fault_over_a_real_store(
    make: Callable[[Clock], Journal], story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever a process dies, a reply is lost or a message doubled: no invariant is violated, and all is as planned.

    All that happens is, line for line and millisecond for millisecond, what happens over memory.
    """
    _judge(make, story, list(some_plans(story)), capsys)


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.skipif(not IS_NIGHTLY, reason="takes half an hour; the nightly profile")
@pytest.mark.parametrize("story", STORIES, ids=repr)
@pytest.mark.parametrize("make", STORES, indirect=True)
def test_every_fault_over_a_real_store(
    make: Callable[[Clock], Journal], story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same for every kind of fault, at every call of a port, message and step of a worker."""
    _judge(make, story, list(all_plans(story)), capsys)


def test_a_process_dies_at_every_point() -> None:
    """Of what is tried over each store, a death at each fault point is a part: none is left out."""
    places = {fault.place for story in STORIES for plan in some_plans(story) for fault in plan}

    assert {point(it) for it in FaultPoint} <= places


def _judge(
    make: Callable[[Clock], Journal], story: Story, plans: list[Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    for plan in plans:
        trace = story.live(plan, journal=make)
        check_invariants(trace)
        assert set(plan[:1]) <= set(trace.plan), f"{plan[0]} never struck, so nothing was tried"
        assert trace.lines() == _lines_in_memory(story, plan)
    with capsys.disabled():
        print(f"\n{len(plans)} lives of {story!r} in {time.monotonic() - began:.1f} s", end=" ")  # noqa: T201


@cache
def _lines_in_memory(story: Story, plan: Plan) -> list[str]:
    return story.live(plan).lines()
