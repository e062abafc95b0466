"""The sweep: what makes a workflow go on when an event did not come.

Engines end tasks silently in a dozen ways, so every open workflow has a due time, and a sweep turn over each that
is due. It looks, and then appends ordinary observations or sends what is unsent; it decides nothing else.

    unsent, no sign in the engine, older than grace             sent, under the same attempt id
    outcome known to the engine                                 appended
    started on a worker that died, or forgot it                 Lost
    started longer ago than its node's time-out                 TimedOut, and revoked
    held unstarted by a worker that died                        sent again at once
    sent but never started for `resend_after`                   sent again, at most `max_resends` times, then Lost
    retry due, deadline passed                                  RetryDue, DeadlinePassed
    to be stopped (the workflow is ending, the node skipped)    revoked; Lost when `cancel_grace` is over, or unsent
    finished                                                    published and closed
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
from dyrygent_core.codec import decode_call
from dyrygent_core.errors import AdapterUnavailableError, ResultMissingError, quoted
from dyrygent_core.ports import Due, Finding, LeaseView, Marks, Submission
from dyrygent_runtime.conductor import Conductor
from dyrygent_runtime.failures import failure_of
from dyrygent_runtime.faults import FaultPoint
from dyrygent_runtime.fold import Folded, attempt_id
from dyrygent_runtime.reports import returned
from dyrygent_runtime.settings import Settings

__all__ = ["sweep_workflow"]

_LOG = logging.getLogger("dyrygent")
_LOOKUP_CHUNK: Final = 1_000
_UNMARKED: Final = Marks()
_REVOCATIONS: Final = "revocations"
"""The annotation that counts them, behind what they are for."""


def sweep_workflow(conductor: Conductor, due: Due) -> None:
    """Take one sweep turn over a workflow that `Journal.due` has just given to the caller."""
    conductor.reach(FaultPoint.SWEEP_CLAIMED)
    folded = conductor.refresh(due.key)
    view = _View()
    if not folded.state.is_finished:
        view = _look(conductor, folded, due.at_ms)
        folded = _act(conductor, folded, view, due.at_ms)
    if folded.state.is_finished and conductor.finish(folded):
        return
    conductor.reach(FaultPoint.SWEEP_BEFORE_REST)
    conductor.journal.rest(due.key, in_ms=_rest_ms(folded, view, conductor.settings, due.at_ms))


@frozen
class _View:
    """What a sweep turn saw of the attempts in flight."""

    findings: Mapping[Attempt, Finding] = field(factory=dict[Attempt, Finding])
    lost: Sequence[tuple[Attempt, str]] = ()
    timed_out: Sequence[Attempt] = ()
    unsent: Sequence[Attempt] = ()
    limits_ms: Mapping[Attempt, int | None] = field(factory=dict[Attempt, int | None])
    """When those with a time-out are over it; None for one that has not started."""


def _act(conductor: Conductor, folded: Folded, view: _View, now_ms: int) -> Folded:
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
        conductor.send(folded, [it for it in view.unsent if it in wanted])
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


def _look(conductor: Conductor, folded: Folded, now_ms: int) -> _View:
    """Judge every attempt in flight by its marks, the leases, and what the engine says."""
    settings, graph = conductor.settings, folded.definition.graph
    in_flight = folded.state.attempts_in_flight
    old = [it for it in in_flight if _age_ms(folded, it, now_ms) >= settings.sweep_interval_ms]
    limited = [it for it in in_flight if graph.node(it.node).timeout_ms is not None]
    if not old and not limited:
        return _View()
    marks = conductor.journal.marks(folded.key)
    limits_ms = {it: _limit_ms(folded, it, marks.get(it, _UNMARKED)) for it in limited}
    over = [it for it, limit_ms in limits_ms.items() if limit_ms is not None and limit_ms <= now_ms]
    try:
        findings = dict(_lookup(conductor, folded, list(dict.fromkeys([*old, *over]))))
    except AdapterUnavailableError as problem:
        _LOG.warning("workflow %s: the engine cannot be asked: %s", quoted(folded.key.id), problem)
        return _View(timed_out=over, limits_ms=limits_ms)
    silent = [it for it in old if (finding := findings.get(it)) is None or finding.outcome is None]
    leases, now_ms = conductor.journal.leases()
    judge = _Judge(
        folded,
        settings,
        now_ms,
        {(it.lease.worker, it.lease.boot): it for it in leases},
        frozenset(folded.state.to_revoke),
    )
    lost = {it: reason for it in silent if (reason := judge.why_lost(it, marks.get(it, _UNMARKED))) is not None}
    over = [it for it in over if it not in lost and ((finding := findings.get(it)) is None or finding.outcome is None)]
    gone = {*lost, *over}
    unsent = [
        it
        for it in silent
        if it not in gone and judge.is_to_send(it, marks.get(it, _UNMARKED), has_sign=it in findings)
    ]
    return _View(findings, list(lost.items()), over, unsent, limits_ms)


def _limit_ms(folded: Folded, attempt: Attempt, mark: Marks) -> int | None:
    """Give when a started attempt is over its node's time-out."""
    timeout_ms = folded.definition.graph.node(attempt.node).timeout_ms
    return None if timeout_ms is None or mark.started_ms is None else mark.started_ms + timeout_ms


def _lookup(conductor: Conductor, folded: Folded, attempts: Sequence[Attempt]) -> Iterator[tuple[Attempt, Finding]]:
    for start in range(0, len(attempts), _LOOKUP_CHUNK):
        chunk = attempts[start : start + _LOOKUP_CHUNK]
        yield from conductor.adapter.lookup(_submissions(conductor, folded, chunk)).items()


def _submissions(conductor: Conductor, folded: Folded, attempts: Sequence[Attempt]) -> list[Submission]:
    numbers = [folded.definition.graph.number(attempt.node) for attempt in attempts]
    calls = conductor.journal.calls(folded.key, sorted(set(numbers)))
    targets = {number: decode_call(data, conductor.adapter.values).target for number, data in calls.items()}
    emitted = folded.log.emitted
    return [
        Submission(it, attempt_id(folded, it), targets[number], emitted[it].at_ms if it in emitted else 0)
        for it, number in zip(attempts, numbers, strict=True)
    ]


@frozen
class _Judge:
    """Tells from marks and leases what became of an attempt that has no outcome."""

    folded: Folded
    settings: Settings
    now_ms: int
    leases: Mapping[tuple[str, str], LeaseView]
    stopped: frozenset[Attempt]

    def why_lost(self, attempt: Attempt, mark: Marks) -> str | None:
        """Say why the attempt is gone for good, or None."""
        if mark.started_ms is not None:
            return self._why_worker_lost(attempt, mark)
        if attempt in self.stopped:
            if not mark.sent:
                return "never sent"
            is_over = self.now_ms - self._stopped_ms(attempt) > self.settings.cancel_grace_ms
            return "revoked before it started" if is_over else None
        if self._is_held_by_the_living(attempt):
            return None
        if mark.sent > self.settings.max_resends and self._is_overdue(mark):
            return f"sent {mark.sent} times and never started"
        return None

    def _why_worker_lost(self, attempt: Attempt, mark: Marks) -> str | None:
        started_ms = mark.started_ms or 0
        view = self.leases.get((mark.worker, mark.boot))
        if view is None:
            is_gone = self.now_ms - started_ms > self.settings.lease_ms
            return f"worker {mark.worker} left no lease" if is_gone else None
        if view.expires_ms < self.now_ms:
            return f"worker {mark.worker} died"
        name = attempt_id(self.folded, attempt)
        was_asked_twice = view.previous is not None and (view.previous_ms or 0) > started_ms
        if was_asked_twice and not _names(view, name):
            return f"worker {mark.worker} no longer knows of it"
        return None

    def _stopped_ms(self, attempt: Attempt) -> int:
        log, number = self.folded.log, self.folded.state.round
        times = (log.ending_ms.get(number), log.skips_ms.get((number, attempt.node)))
        return min((it for it in times if it is not None), default=self.now_ms)

    def is_to_send(self, attempt: Attempt, mark: Marks, *, has_sign: bool) -> bool:
        """Tell whether the attempt is to be sent, or sent again, under the same id."""
        if mark.started_ms is not None or self._is_held_by_the_living(attempt):
            return False
        if not mark.sent:
            return not has_sign and _age_ms(self.folded, attempt, self.now_ms) > self.settings.grace_ms
        return self._was_held_by_the_dead(attempt, mark) or self._is_overdue(mark)

    def _was_held_by_the_dead(self, attempt: Attempt, mark: Marks) -> bool:
        name = attempt_id(self.folded, attempt)
        holders = [view for view in self.leases.values() if _names(view, name)]
        return bool(holders) and all(view.expires_ms > (mark.sent_ms or 0) for view in holders)

    def _is_held_by_the_living(self, attempt: Attempt) -> bool:
        name = attempt_id(self.folded, attempt)
        return any(_names(view, name) for view in self.leases.values() if view.expires_ms >= self.now_ms)

    def _is_overdue(self, mark: Marks) -> bool:
        return self.now_ms - (mark.sent_ms or 0) > self.settings.resend_after_ms << (mark.sent - 1)


def _names(view: LeaseView, name: str) -> bool:
    leases = (view.lease, view.previous) if view.previous is not None else (view.lease,)
    return any(name in lease.active or name in lease.reserved for lease in leases)


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
    cause = [state.round, int(state.is_ending), sum(number == state.round for number, _ in log.skips_ms)]
    *before, times = conductor.journal.annotations(folded.key).get(_REVOCATIONS, [0])
    if before != cause:
        times = 0
    if times < conductor.settings.max_revocations and _revoke(conductor, folded, state.to_revoke):
        conductor.journal.annotate(folded.key, {_REVOCATIONS: [*cause, times + 1]})


def _revoke(conductor: Conductor, folded: Folded, attempts: Sequence[Attempt]) -> bool:
    """Ask the engine to drop attempts; tell whether it could be asked."""
    try:
        conductor.adapter.revoke(_submissions(conductor, folded, attempts))
    except AdapterUnavailableError as problem:
        _LOG.warning("workflow %s: cannot revoke: %s", quoted(folded.key.id), problem)
        return False
    return True


def _rest_ms(folded: Folded, view: _View, settings: Settings, now_ms: int) -> int:
    """Give how long the workflow may rest: until the next timer, and for the sweep's interval at most."""
    timers = [due_ms for _, due_ms in folded.state.delayed]
    if (deadline_ms := _deadline_ms(folded)) is not None:
        timers.append(deadline_ms)
    for attempt in folded.state.attempts_in_flight:
        limit_ms = folded.definition.graph.node(attempt.node).timeout_ms
        if (
            limit_ms is not None
        ):  # one that was sent just now may start at once; one that is held up starts a sweep late
            timers.append(view.limits_ms.get(attempt, now_ms + limit_ms) or 0)
    return max(0, min([settings.sweep_interval_ms, *(timer - now_ms for timer in timers if timer > now_ms)]))


def _age_ms(folded: Folded, attempt: Attempt, now_ms: int) -> int:
    emission = folded.log.emitted.get(attempt)
    return now_ms - emission.at_ms if emission is not None else 0
