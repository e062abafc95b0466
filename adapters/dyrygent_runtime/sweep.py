"""The sweep: what makes a workflow go on when an event did not come.

Engines end tasks silently in a dozen ways, so every open workflow has a due time, and a sweep turn over each that
is due. It looks, and then appends ordinary observations or sends what is unsent; it decides nothing else.

    outcome of an attempt known to the engine                   appended
    attempt without an outcome, judged (`judging`) to be
        unsent, or lost by its queue                            sent, under the same attempt id
        lost                                                    Lost
        over its node's time-out                                TimedOut, and revoked
    attempt to be stopped                                       revoked, at most `max_revocations` times
    retry due, deadline passed                                  RetryDue, DeadlinePassed
    finished workflow                                           published and closed
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from attrs import evolve, field, frozen

from dyrygent_core import (
    Attempt,
    DeadlinePassed,
    Failed,
    Lost,
    Observation,
    RetryDue,
    Succeeded,
    TimedOut,
    advance,
)
from dyrygent_core.errors import AdapterUnavailableError, ResultMissingError, quoted
from dyrygent_core.ports import Due, Finding, Lease, Marks, Submission
from dyrygent_runtime.absence import absent
from dyrygent_runtime.backlog import moved_on
from dyrygent_runtime.conductor import Conductor
from dyrygent_runtime.failures import failure_of
from dyrygent_runtime.faults import FaultPoint
from dyrygent_runtime.fold import Folded, attempt_id, emission_of
from dyrygent_runtime.holders import Holders, holders_of
from dyrygent_runtime.judging import Judge, age_ms, limit_ms
from dyrygent_runtime.reports import returned
from dyrygent_runtime.settings import Settings

__all__ = ["sweep_workflow"]

_LOG = logging.getLogger("dyrygent")
_LOOKUP_CHUNK: Final = 1_000
_UNMARKED: Final = Marks()
_REVOCATIONS: Final = "revocations"
"""The annotation that counts them, behind what they are for."""


def sweep_workflow(
    conductor: Conductor,
    due: Due,
    *,
    claimed_ms: int | None = None,
    here: Lease | None = None,
    watched_ms: int | None = None,
) -> None:
    """Take one sweep turn over a workflow that `Journal.due` has just given to the caller.

    `claimed_ms`: when it was asked for (monotonic), now if not given. What cannot be sent within half the claim is
    left to the next sweep. `here`: what the caller's own worker holds, if it is one. `watched_ms`: since when its
    process has watched the journal without a gap (monotonic), see `watch`; for long enough if not given.
    """
    conductor.reach(FaultPoint.SWEEP_CLAIMED)
    claimed_ms = conductor.clock.monotonic_ms() if claimed_ms is None else claimed_ms
    folded = conductor.catch_up(due.key)
    view = _View()
    if not folded.state.is_finished:
        view = _look(conductor, folded, due.at_ms, _Sweeping(here, watched_ms))
        folded = _act(conductor, folded, view, due.at_ms, claimed_ms + conductor.settings.claim_ms // 2)
    if folded.state.is_finished and conductor.finish(folded):
        return
    conductor.reach(FaultPoint.SWEEP_BEFORE_REST)
    conductor.journal.rest(due.key, in_ms=_rest_ms(folded, view, conductor.settings, due.at_ms))


@frozen
class _Sweeping:
    """Who sweeps."""

    here: Lease | None
    watched_ms: int | None


@frozen
class _View:
    """What a sweep turn saw of the attempts in flight."""

    findings: Mapping[Attempt, Finding] = field(factory=dict[Attempt, Finding])
    lost: Sequence[tuple[Attempt, str]] = ()
    timed_out: Sequence[Attempt] = ()
    unsent: Sequence[Attempt] = ()
    limits_ms: Mapping[Attempt, int | None] = field(factory=dict[Attempt, int | None])
    """When those with a time-out are over it; None for one that has not started."""


def _act(conductor: Conductor, folded: Folded, view: _View, now_ms: int, until_ms: int) -> Folded:
    """Append what is to be observed, revoke what is to be stopped, send what is to be sent."""
    observations: list[Observation] = [*_timers(folded, now_ms)]
    results: dict[Attempt, bytes] = {}
    for attempt, finding in view.findings.items():
        if finding.outcome is not None:
            outcome, values = _found(conductor, folded, attempt, finding)
            observations.append(outcome)
            results |= values
    observations += [Lost(attempt, reason) for attempt, reason in view.lost]
    observations += [TimedOut(attempt) for attempt in view.timed_out]
    observations = _that_count(folded, observations)
    if observations:
        _LOG.info("workflow %s: the sweep observed %d facts", quoted(folded.key.id), len(observations))
        folded = conductor.turn(folded.key, observations, results=results)
    stopped = set(folded.state.to_revoke)
    if stopped:
        _revoke_stopped(conductor, folded)
    if view.timed_out:
        _revoke(conductor, folded, view.timed_out)
    if view.unsent:
        wanted = set(folded.state.attempts_in_flight) - stopped
        conductor.send(folded, [it for it in view.unsent if it in wanted], until=until_ms)
    return folded


def _found(
    conductor: Conductor, folded: Folded, attempt: Attempt, finding: Finding
) -> tuple[Observation, Mapping[Attempt, bytes]]:
    """Say what a finding means: a success may need its value, and the lengths of the lists in it."""
    outcome = finding.outcome
    assert outcome is not None
    if not isinstance(outcome, Succeeded) or attempt.node not in folded.definition.kept:
        return outcome, {}
    if finding.value is None:
        problem = ResultMissingError(f"attempt {attempt.number} of node {quoted(attempt.node)} left no result")
        return Failed(attempt, failure_of(problem), outcome.ran, is_final=True), {}
    measure = folded.definition.graph.measured_paths(attempt.node)
    if not measure:
        return outcome, {attempt: finding.value}
    values = conductor.adapter.values
    report, results = returned(
        attempt, values.decode(finding.value), values, is_kept=True, measure=measure, ran=outcome.ran
    )
    return (evolve(report, branches=outcome.branches) if isinstance(report, Succeeded) else report), results


def _that_count(folded: Folded, observations: Sequence[Observation]) -> list[Observation]:
    """Leave out what would change nothing, such as a second deadline: a sweep must not fill the journal."""
    state, graph = folded.state, folded.definition.graph
    counting: list[Observation] = []
    for observation in observations:
        before = state
        state, _ = advance(graph, state, [observation])
        if state is not before:
            counting.append(observation)
    return counting


def _look(conductor: Conductor, folded: Folded, now_ms: int, who: _Sweeping) -> _View:
    """Judge every attempt in flight by its marks, the leases, and what the engine says."""
    settings, graph = conductor.settings, folded.definition.graph
    in_flight = folded.state.attempts_in_flight
    old = [it for it in in_flight if age_ms(folded, it, now_ms) >= settings.sweep_interval_ms]
    limited = [it for it in in_flight if graph.node(it.node).timeout_ms is not None]
    if not old and not limited:
        return _View()
    known = conductor.journal.marks(folded.key, list(dict.fromkeys([*old, *limited])))
    marks = {it: known.get(it, _UNMARKED) for it in in_flight}
    limits_ms = {it: limit_ms(folded, it, marks[it], settings) for it in limited}
    over = [it for it, at_ms in limits_ms.items() if at_ms is not None and at_ms <= now_ms]
    try:
        findings = dict(_lookup(conductor, folded, list(dict.fromkeys([*old, *over]))))
    except AdapterUnavailableError as problem:
        _LOG.warning("workflow %s: the engine cannot be asked: %s", quoted(folded.key.id), problem)
        return _View(timed_out=over, limits_ms=limits_ms)
    silent = [it for it in old if not _has_ended(findings, it)]
    judge = evolve(_judge(conductor, folded, silent, marks, who), gone=_gone(findings, marks))
    lost = {it: reason for it in silent if (reason := judge.why_lost(it, marks[it])) is not None}
    over = [it for it in over if it not in lost and not _has_ended(findings, it)]
    gone = {*lost, *over}
    unsent = [it for it in silent if it not in gone and judge.is_to_send(it, marks[it], has_sign=it in findings)]
    return _View(findings, list(lost.items()), over, unsent, limits_ms)


def _judge(
    conductor: Conductor, folded: Folded, silent: Sequence[Attempt], marks: Mapping[Attempt, Marks], who: _Sweeping
) -> Judge:
    """Give the judge of these attempts, who knows of their queues as much as it takes."""
    holders = _holders(conductor, who)
    judge = Judge(folded, conductor.settings, holders, frozenset(folded.state.to_revoke))
    waiting = {it: marks[it] for it in silent if judge.is_overdue_or_behind(it, marks[it])}
    doubtful = [it for it in silent if judge.may_have_vanished(it, marks[it])]
    moved = moved_on(conductor, folded, waiting)
    unmoved = [it for it in waiting if it not in moved]
    unqueued = _in_no_queue(conductor, folded, list(dict.fromkeys([*doubtful, *unmoved])))
    gone = absent(conductor, folded, holders, {it: marks[it] for it in unqueued})
    return evolve(judge, moved=moved | gone & set(unmoved), vanished=gone & set(doubtful))


def _holders(conductor: Conductor, who: _Sweeping) -> Holders:
    leases, now_ms = conductor.journal.leases()
    watched_ms = 0 if who.watched_ms is None else now_ms - (conductor.clock.monotonic_ms() - who.watched_ms)
    return holders_of(leases, now_ms, who.here, watched_ms=watched_ms)


def _in_no_queue(conductor: Conductor, folded: Folded, doubtful: Sequence[Attempt]) -> Sequence[Attempt]:
    """Return those of the attempts that no queue holds any more, as far as the engine can tell."""
    if not doubtful:
        return ()
    try:
        waiting = conductor.adapter.waiting(_submissions(conductor, folded, doubtful))
    except AdapterUnavailableError as problem:
        _LOG.warning("workflow %s: the queues cannot be asked: %s", quoted(folded.key.id), problem)
        return ()
    return [it for it in doubtful if waiting.get(it) == 0]


def _gone(findings: Mapping[Attempt, Finding], marks: Mapping[Attempt, Marks]) -> frozenset[Attempt]:
    """Return the attempts that nobody holds, as the engine knows."""
    times_ms = {it: finding.gone_before_ms for it, finding in findings.items()}
    return frozenset(it for it, at_ms in times_ms.items() if at_ms is not None and (marks[it].sent_ms or 0) < at_ms)


def _has_ended(findings: Mapping[Attempt, Finding], attempt: Attempt) -> bool:
    finding = findings.get(attempt)
    return finding is not None and finding.outcome is not None


def _lookup(conductor: Conductor, folded: Folded, attempts: Sequence[Attempt]) -> Iterator[tuple[Attempt, Finding]]:
    for start in range(0, len(attempts), _LOOKUP_CHUNK):
        chunk = attempts[start : start + _LOOKUP_CHUNK]
        yield from conductor.adapter.lookup(_submissions(conductor, folded, chunk)).items()


def _submissions(conductor: Conductor, folded: Folded, attempts: Sequence[Attempt]) -> list[Submission]:
    routes, numbers = conductor.routes(folded, attempts), folded.definition.graph.numbers
    emissions = [emission_of(folded, it) for it in attempts]
    return [
        Submission(
            it,
            attempt_id(folded, it),
            routes[numbers[it.node]].target,
            0 if at is None else at.at_ms,
            routes[numbers[it.node]].queue,
        )
        for it, at in zip(attempts, emissions, strict=True)
    ]


def _timers(folded: Folded, now_ms: int) -> Iterable[Observation]:
    for attempt, due_ms in folded.state.delayed:
        if due_ms <= now_ms:
            yield RetryDue(attempt)
    if (deadline_ms := _deadline_ms(folded)) is not None and deadline_ms <= now_ms:
        yield DeadlinePassed(folded.state.round)


def _deadline_ms(folded: Folded) -> int | None:
    duration_ms = folded.definition.graph.deadline_ms
    return None if duration_ms is None else folded.state.begun_ms + duration_ms


def _revoke_stopped(conductor: Conductor, folded: Folded) -> None:
    """Ask the engine to drop what is to be stopped, a few times: a revocation may be lost.

    They are counted anew when there is something more to stop.
    """
    log, state = folded.log, folded.state
    cause = [state.round, int(state.is_ending), len(log.skips_ms)]
    *before, times = conductor.journal.annotations(folded.key).get(_REVOCATIONS, [0])
    if before != cause:
        times = 0
    if times < conductor.settings.max_revocations and _revoke(conductor, folded, state.to_revoke):
        conductor.journal.annotate(folded.key, {_REVOCATIONS: [*cause, times + 1]})


def _revoke(conductor: Conductor, folded: Folded, attempts: Sequence[Attempt]) -> bool:
    """Ask the engine to drop attempts; tell whether it could be asked."""
    conductor.reach(FaultPoint.SWEEP_BEFORE_REVOKE)
    try:
        conductor.adapter.revoke(_submissions(conductor, folded, attempts))
    except AdapterUnavailableError as problem:
        _LOG.warning("workflow %s: cannot revoke: %s", quoted(folded.key.id), problem)
        return False
    conductor.reach(FaultPoint.SWEEP_AFTER_REVOKE)
    return True


def _rest_ms(folded: Folded, view: _View, settings: Settings, now_ms: int) -> int:
    """Give how long the workflow may rest: until the next timer, and for the sweep's interval at most."""
    timers = [due_ms for _, due_ms in folded.state.delayed]
    if (deadline_ms := _deadline_ms(folded)) is not None:
        timers.append(deadline_ms)
    for attempt in folded.state.attempts_in_flight:
        timeout_ms = folded.definition.graph.node(attempt.node).timeout_ms
        if timeout_ms is not None:
            # What was sent just now may start at once; what is held up starts a sweep late.
            timers.append(view.limits_ms.get(attempt, now_ms + timeout_ms) or 0)
    return max(0, min([settings.sweep_interval_ms, *(timer - now_ms for timer in timers if timer > now_ms)]))
