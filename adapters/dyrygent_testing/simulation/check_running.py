"""What must hold of every execution: I1 (when), I3 (how often) and I8 (with what)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from attrs import evolve

from dyrygent_core import Attempt, Failed, Lost, Outcome, Succeeded, TimedOut
from dyrygent_testing.simulation.passed import Passed
from dyrygent_testing.simulation.replay import Replay
from dyrygent_testing.simulation.trace import Executed, Named, Trace
from dyrygent_testing.simulation.violations import Violation

__all__ = ["check_running"]


def check_running(trace: Trace, replay: Replay, touched: Counter[Named]) -> Iterator[Violation]:
    """Give what is wrong with the executions of one workflow."""
    executed: dict[Attempt, list[Executed]] = {}
    for it in trace.executed:
        if it.workflow == replay.id:
            executed.setdefault(it.attempt, []).append(it)
            yield from _check_start(replay, it)
    passed = Passed(trace, replay)
    for its in executed.values():
        for it in its:
            yield from _check_inputs(replay, passed, it)
    sent = Counter(it.attempt for it in trace.sent if it.workflow == replay.id)
    unwanted = {attempt for step in replay.steps for attempt in step.state.to_revoke}
    for attempt in replay.emitted_at:
        its, faults = executed.get(attempt, []), touched[replay.id, attempt]
        yield from _check_count(replay, attempt, its, faults)
        if trace.has_settled and not faults and attempt not in unwanted:
            yield from _check_untouched(replay, attempt, its, sent[attempt])


def _check_start(replay: Replay, it: Executed) -> Iterator[Violation]:
    """I1: an attempt runs only after what emitted it, so after the outcomes that its node waited for, is recorded."""
    position = replay.emitted_at.get(it.attempt)
    if position is None or position > it.seen:
        when = "never" if position is None else f"by entry {position}"
        yield Violation("I1", f"{it.life} ran {it.attempt} of {replay.id} at entry {it.seen}; it was emitted {when}")


def _check_count(replay: Replay, attempt: Attempt, its: Sequence[Executed], faults: int) -> Iterator[Violation]:
    """I3: an attempt that counts was run, and run again only if a fault touched it."""
    outcome, what = replay.outcome_of(attempt), f"{attempt} of {replay.id}"
    if isinstance(outcome, Succeeded) and not any(it.ended_ms is not None for it in its):
        yield Violation("I3", f"{what} succeeded, but was never run to its end")
    if len(its) > 1 + faults:
        yield Violation("I3", f"{what} ran {len(its)} times, with {faults} faults that touched it")
    if isinstance(outcome, Succeeded | Failed) and its and not _is_of(outcome, its):
        yield Violation("I3", f"{what} came to {outcome}, which no execution of it did: {[it.outcome for it in its]}")


def _check_untouched(replay: Replay, attempt: Attempt, its: Sequence[Executed], sent: int) -> Iterator[Violation]:
    """I3: an attempt that no fault touched, and nobody stopped, is sent and run once, unless it was refused."""
    outcome, what = replay.outcome_of(attempt), f"no fault touched {attempt} of {replay.id}"
    is_refused = isinstance(outcome, Failed) and outcome.is_final and not sent
    if (sent, len(its)) != (1, 1) and not is_refused:
        yield Violation("I3", f"{what}, but it was sent {sent} and ran {len(its)} times")
    if isinstance(outcome, Lost):
        yield Violation("I3", f"{what}, but it was given up: {outcome.reason}")


def _is_of(outcome: Outcome, its: Sequence[Executed]) -> bool:
    """Tell whether one of these executions came to this outcome, sizes and times apart: a look-up has none of them."""
    unstamped = evolve(outcome, at_ms=0)
    if any(it.outcome == unstamped for it in its):
        return True
    plain = evolve(unstamped, ran=None) if not isinstance(unstamped, Lost) else unstamped
    if isinstance(plain, Succeeded):
        plain = evolve(plain, sizes=())
    for it in its:
        came_to = it.outcome
        if came_to is None or isinstance(came_to, Lost):
            continue
        came_to = evolve(came_to, ran=None)
        if plain == (evolve(came_to, sizes=()) if isinstance(came_to, Succeeded) else came_to):
            return True
    return isinstance(outcome, Failed) and (outcome.is_revoked or any(isinstance(it.outcome, TimedOut) for it in its))


def _check_inputs(replay: Replay, passed: Passed, it: Executed) -> Iterator[Violation]:
    """I8: an attempt gets the results of its own workflow that counted, each where its call refers to it."""
    position = replay.emitted_at.get(it.attempt)
    if position is None:
        return
    expected = passed.to(it.attempt, position, it.inputs)
    if expected != it.inputs:
        yield Violation("I8", f"{it.attempt} of {replay.id} got {it.inputs!r}, and its results are {expected!r}")
