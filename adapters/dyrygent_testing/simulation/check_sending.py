"""What must hold of every sending: I6 (by whom, and when) and I9 (how often)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from dyrygent_core import Attempt, DeadlinePassed, RetryDue
from dyrygent_testing.simulation.faults import FaultKind
from dyrygent_testing.simulation.replay import Replay
from dyrygent_testing.simulation.trace import Act, ActKind, Named, Sent, Trace, Wrote
from dyrygent_testing.simulation.violations import Violation

__all__ = ["check_sending"]

_RACES: Final = 2
"""Two sweepers, or a sweeper and a worker, may find the same before either has written it."""


def check_sending(trace: Trace, replay: Replay, touched: Counter[Named]) -> Iterator[Violation]:
    """Give what is wrong with the sendings of one workflow."""
    acts = {act.number: act for act in trace.acts}
    owners = {it.first + at: it for it in trace.wrote if it.workflow == replay.id for at in range(len(it.observations))}
    sent: dict[Attempt, list[Sent]] = {}
    for it in trace.sent:
        if it.workflow == replay.id:
            sent.setdefault(it.attempt, []).append(it)
            position = replay.emitted_at.get(it.attempt)
            if position is None:
                yield Violation("I6", f"{_who(acts[it.act])} sent {it.attempt}, which nothing has emitted")
            else:
                is_first = len(sent[it.attempt]) == 1
                yield from _check_sender(trace, it, acts[it.act], owners[position], is_first=is_first)
    yield from _check_ids(trace, replay)
    yield from _check_counts(replay, sent, touched)
    if "engine.hand_over" not in trace.hits:
        yield from _check_owners(replay, sent, touched, acts)
    yield from _check_entries(trace, replay, touched)


def _check_sender(trace: Trace, sent: Sent, act: Act, owner: Wrote, *, is_first: bool) -> Iterator[Violation]:
    """I6: within half the grace it is the owner that sends, or whom it handed over to, and later the sweep alone."""
    settings = trace.settings
    age_ms = sent.began_ms - owner.at_ms
    is_own = act.life == owner.life and owner.nonce in act.nonces
    what = f"{_who(act)} sent {sent.attempt} of {sent.workflow}:{owner.first}, written by {owner.life}"
    if is_own or act.kind is ActKind.HAND_OVER:
        if age_ms > settings.owner_ms and not (act.kind is ActKind.HAND_OVER and _has_jumped(trace)):
            yield Violation("I6", f"{what} {age_ms} ms ago: that is the sweep's to send after half the grace")
    elif act.kind is not ActKind.SWEEP:
        yield Violation("I6", f"{what}: it owns nothing of that")
    elif is_first and age_ms <= settings.grace_ms and not _has_jumped(trace):
        yield Violation("I6", f"{what} {age_ms} ms ago: within the grace that is its owner's to send")


def _check_owners(
    replay: Replay, sent: Mapping[Attempt, list[Sent]], touched: Counter[Named], acts: Mapping[int, Act]
) -> Iterator[Violation]:
    """I6: what no fault has touched is sent by its owner, at once."""
    for attempt, its in sent.items():
        position = replay.emitted_at.get(attempt)
        if position is None or touched[replay.id, attempt]:
            continue
        nonce = replay.steps[position - 1].entry.nonce
        if nonce not in acts[its[0].act].nonces:
            who = _who(acts[its[0].act])
            yield Violation("I6", f"no fault touched {attempt} of {replay.id}, but {who} sent it, not its owner")


def _check_ids(trace: Trace, replay: Replay) -> Iterator[Violation]:
    """I2: an id stands for one attempt."""
    known: dict[str, Attempt] = {}
    for it in trace.sent:
        if it.workflow == replay.id and known.setdefault(it.attempt_id, it.attempt) != it.attempt:
            text = f"{replay.id}: the id {it.attempt_id!r} stands for {known[it.attempt_id]} and for {it.attempt}"
            yield Violation("I2", text)


def _check_counts(replay: Replay, sent: Mapping[Attempt, list[Sent]], touched: Counter[Named]) -> Iterator[Violation]:
    """I9: an attempt is sent once, and once more for each fault that touched it."""
    for attempt, its in sent.items():
        most = 1 + touched[replay.id, attempt]
        if len(its) > most:
            text = f"{attempt} of {replay.id} was sent {len(its)} times, with {most - 1} faults that touched it"
            yield Violation("I9", text)


def _check_entries(trace: Trace, replay: Replay, touched: Counter[Named]) -> Iterator[Violation]:
    """I9: the journal grows by what happened, and not of itself."""
    ended = Counter(it.attempt for it in trace.executed if it.workflow == replay.id and it.ended_ms is not None)
    outcomes: Counter[Attempt] = Counter()
    retries: Counter[Attempt] = Counter()
    deadlines: Counter[int] = Counter()
    for step in replay.steps:
        fact = step.entry.observation
        if isinstance(fact, RetryDue):
            retries[fact.attempt] += 1
        elif isinstance(fact, DeadlinePassed):
            deadlines[fact.round] += 1
        elif (attempt := getattr(fact, "attempt", None)) is not None:
            outcomes[attempt] += 1
    for attempt, count in outcomes.items():
        if count > ended[attempt] + _RACES + touched[replay.id, attempt]:
            yield Violation(
                "I9", f"{replay.id} holds {count} outcomes of {attempt}, which ended {ended[attempt]} times"
            )
    for attempt, count in retries.items():
        if count > _RACES + len(trace.struck):
            yield Violation("I9", f"{replay.id} says {count} times that the retry {attempt} is due")
    most = max(deadlines.values(), default=0)
    if most > _RACES + len(trace.struck):
        yield Violation("I9", f"{replay.id} says {most} times of a round that its deadline has passed")


def _has_jumped(trace: Trace) -> bool:
    return any(it.fault.kind is FaultKind.STEP for it in trace.struck)


def _who(act: Act) -> str:
    return f"{act.life} ({act.kind.value} at {act.began_ms})"
