"""Simulations by the toolkit's strategies: what Hypothesis draws of them, repeats and makes smaller.

How much they live through is for `test_fuzz` to show, at a fraction of the cost of drawing each of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from dyrygent_runtime import Settings
from dyrygent_testing import (
    FaultKind,
    Workers,
    check_invariants,
    faults,
    outcomes_for,
    simulate,
    timed_requests,
    workflows,
)
from property_tests.running import FEWER

SETTINGS: Final = Settings(resend_after_ms=600_000, poll_ms=2_000, snapshot_entries=3)
DURATIONS_MS: Final = (0, 10, 1_000, 40_000, 100_000)
"""Shorter than any wait, between grace and lease, and longer than a lease."""


@st.composite
def lives(draw: st.DrawFn, *, kinds: tuple[FaultKind, ...] = tuple(FaultKind)) -> dict[str, Any]:
    """Draw a workflow, and all that `simulate` is told of what happens to it."""
    workflow = draw(workflows())
    workers = st.builds(Workers, st.integers(1, 3), st.integers(1, 2), st.integers(0, 2), st.sampled_from([None, 1]))
    return {
        "workflow": workflow,
        "outcomes": draw(outcomes_for(workflow)),
        "requests": draw(timed_requests(workflow)),
        "order": draw(st.sampled_from(["fifo", "lifo", "random"])),
        "durations": draw(st.sampled_from(DURATIONS_MS)),
        "workers": draw(workers),
        "copies": draw(st.sampled_from([1, 1, 2])),
        "faults": draw(faults(kinds=kinds)) if kinds else (),
        "seed": draw(st.integers(0, 2**32)),
    }


@FEWER
@given(lives())
def test_any_workflow_lives_through_any_faults(life: Mapping[str, Any]) -> None:
    """Among faults of every kind nothing that is promised is broken, and when they end everything comes to its end."""
    trace = simulate(**life, settings=SETTINGS)

    event(f"{min(len(trace.struck), 100) // 10}0 faults or more")
    check_invariants(trace)


@FEWER
@given(lives(kinds=()))
def test_without_faults_everything_happens_once(life: Mapping[str, Any]) -> None:
    """No attempt is sent or run twice, or given up, if nothing goes wrong, however the turns of processes meet."""
    check_invariants(simulate(**life, settings=SETTINGS))


@FEWER
@given(lives())
def test_what_struck_by_chance_can_be_planned(life: Mapping[str, Any]) -> None:
    """The faults of a trace, planned, make the same trace; so a failing one is repeated, and made smaller."""
    trace = simulate(**life, settings=SETTINGS)

    again = simulate(**{**life, "faults": trace.plan}, settings=SETTINGS)

    assert again.lines() == trace.lines()
    assert again.digest == trace.digest


@pytest.mark.parametrize("seed", range(5))
def test_a_seed_is_one_story_in_every_process(seed: int) -> None:
    """The same arguments give the same digest in processes that hash differently."""
    digests = {_digest_elsewhere(seed, hash_seed) for hash_seed in ("0", "1", "random")}

    assert len(digests) == 1


def _digest_elsewhere(seed: int, hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "property_tests.digest", str(seed)],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
