"""The sweep: what makes a workflow go on when an event did not come.

Engines end tasks silently in a dozen ways, so every open workflow has a due time, and a sweep turn over each that
is due. It looks, and then appends ordinary observations or sends what is unsent; it decides nothing else.

    unsent, no sign in the engine, older than grace             sent, under the same attempt id
    outcome known to the engine                                 appended
    started on a worker that died, or forgot it                 Lost
    held unstarted by a worker that died                        sent again at once
    sent but never started for `resend_after`                   sent again, at most `max_resends` times, then Lost
    retry due, deadline passed                                  RetryDue, DeadlinePassed
    the workflow is ending                                      revoked; Lost when `cancel_grace` is over, or unsent
    finished                                                    published and closed
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from attrs import field, frozen

from dyrygent_core import Attempt, DeadlinePassed, Lost, Observation, RetryDue
from dyrygent_core.codec import decode_call
from dyrygent_core.errors import AdapterUnavailableError, quoted
from dyrygent_core.ports import Due, Finding, LeaseView, Marks, Submission
from dyrygent_runtime.conductor import Conductor
from dyrygent_runtime.faults import FaultPoint
from dyrygent_runtime.fold import Folded, attempt_id
from dyrygent_runtime.settings import Settings

__all__ = ["sweep_workflow"]

_LOG = logging.getLogger("dyrygent")
_LOOKUP_CHUNK: Final = 1_000
_UNMARKED: Final = Marks()


def sweep_workflow(conductor: Conductor, due: Due) -> None:
    """Take one sweep turn over a workflow that `Journal.due` has just given to the caller."""
    conductor.reach(FaultPoint.SWEEP_CLAIMED)
    folded = conductor.refresh(due.key)
    if not folded.state.is_finished:
        folded = _turn(conductor, folded, due.at_ms)
    if folded.state.is_finished and conductor.finish(folded):
        return
    conductor.reach(FaultPoint.SWEEP_BEFORE_REST)
    conductor.journal.rest(due.key, in_ms=_rest_ms(folded, conductor.settings, due.at_ms))


def _turn(conductor: Conductor, folded: Folded, now_ms: int) -> Folded:
    """Look at everything in flight, append what is to be observed, send what is to be sent."""
    view = _look(conductor, folded, now_ms)
    observations = [*_timers(folded, now_ms)]
    results: dict[Attempt, bytes] = {}
    for attempt, finding in view.findings.items():
        if finding.outcome is not None:
            observations.append(finding.outcome)
            if finding.value is not None and attempt.node in folded.definition.kept:
                results[attempt] = finding.value
    observations += [Lost(attempt, reason) for attempt, reason in view.lost]
    if observations:
        _LOG.info("workflow %s: the sweep observed %d facts", quoted(folded.key.id), len(observations))
        folded = conductor.turn(folded.key, observations, results=results)
    in_flight = set(folded.state.attempts_in_flight)
    if folded.state.to_revoke:
        _revoke(conductor, folded)
    else:
        conductor.send(folded, [it for it in view.unsent if it in in_flight])
    return folded


@frozen
class _View:
    """What a sweep turn saw of the attempts in flight."""

    findings: Mapping[Attempt, Finding] = field(factory=dict[Attempt, Finding])
    lost: Sequence[tuple[Attempt, str]] = ()
    unsent: Sequence[Attempt] = ()


def _look(conductor: Conductor, folded: Folded, now_ms: int) -> _View:
    """Judge every attempt in flight by its marks, the leases, and what the engine says."""
    settings = conductor.settings
    old = [it for it in folded.state.attempts_in_flight if _age_ms(folded, it, now_ms) >= settings.sweep_interval_ms]
    if not old:
        return _View()
    try:
        findings = dict(_lookup(conductor, folded, old))
    except AdapterUnavailableError as problem:
        _LOG.warning("workflow %s: the engine cannot be asked: %s", quoted(folded.key.id), problem)
        return _View()
    marks = conductor.journal.marks(folded.key)
    leases, now_ms = conductor.journal.leases()
    judge = _Judge(folded, settings, now_ms, {(it.lease.worker, it.lease.boot): it for it in leases})
    lost: list[tuple[Attempt, str]] = []
    unsent: list[Attempt] = []
    for attempt in old:
        if (finding := findings.get(attempt)) is not None and finding.outcome is not None:
            continue
        mark = marks.get(attempt, _UNMARKED)
        if (reason := judge.why_lost(attempt, mark)) is not None:
            lost.append((attempt, reason))
        elif judge.is_to_send(attempt, mark, has_sign=finding is not None):
            unsent.append(attempt)
    return _View(findings, lost, unsent)


def _lookup(conductor: Conductor, folded: Folded, attempts: Sequence[Attempt]) -> Iterator[tuple[Attempt, Finding]]:
    for start in range(0, len(attempts), _LOOKUP_CHUNK):
        chunk = attempts[start : start + _LOOKUP_CHUNK]
        yield from conductor.adapter.lookup(_submissions(conductor, folded, chunk)).items()


def _submissions(conductor: Conductor, folded: Folded, attempts: Sequence[Attempt]) -> list[Submission]:
    numbers = [folded.definition.graph.number(attempt.node) for attempt in attempts]
    calls = conductor.journal.calls(folded.key, numbers)
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

    def why_lost(self, attempt: Attempt, mark: Marks) -> str | None:
        """Say why the attempt is gone for good, or None."""
        if mark.started_ms is not None:
            return self._why_worker_lost(attempt, mark)
        if self.folded.state.to_revoke:
            since_ms = self.now_ms - min(self.folded.log.ending_ms, default=self.now_ms)
            return "never sent" if not mark.sent else "cancelled" if since_ms > self.settings.cancel_grace_ms else None
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
        yield DeadlinePassed()


def _deadline_ms(folded: Folded) -> int | None:
    duration_ms = folded.definition.graph.deadline_ms
    return None if duration_ms is None else folded.state.begun_ms + duration_ms


def _revoke(conductor: Conductor, folded: Folded) -> None:
    """Ask the engine to drop what is in flight, a few times: a revocation may be lost."""
    times = conductor.journal.annotations(folded.key).get("revocations", 0)
    if times >= conductor.settings.max_revocations:
        return
    try:
        conductor.adapter.revoke(_submissions(conductor, folded, folded.state.to_revoke))
    except AdapterUnavailableError as problem:
        _LOG.warning("workflow %s: cannot revoke: %s", quoted(folded.key.id), problem)
        return
    conductor.journal.annotate(folded.key, {"revocations": times + 1})


def _rest_ms(folded: Folded, settings: Settings, now_ms: int) -> int:
    timers = [due_ms for _, due_ms in folded.state.delayed]
    if (deadline_ms := _deadline_ms(folded)) is not None:
        timers.append(deadline_ms)
    return max(0, min([settings.sweep_interval_ms, *(timer - now_ms for timer in timers if timer > now_ms)]))


def _age_ms(folded: Folded, attempt: Attempt, now_ms: int) -> int:
    emission = folded.log.emitted.get(attempt)
    return now_ms - emission.at_ms if emission is not None else 0
