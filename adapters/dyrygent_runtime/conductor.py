"""The conductor: the imperative shell around the pure core.

Whoever appended entry k owns exactly what `advance` emits at k. One *turn*:

    1. append the observations; the answer tells their positions and what was missed, and has the calls that are
       likely to be sent next;
    2. fold what was missed and discard what it emits, for that has owners; then fold one's own;      (`folds`)
    3. resolve references and dispatch what one's own entries emitted, in chunks, each marked as sent; (`sending`)
    4. tell the listeners;                                                                           (`listeners`)
    5. the turn that finishes the workflow publishes its outcome and closes it;                      (`finish`)
    6. the turn whose entry stands at a multiple of the interval keeps a snapshot.                 (`snapshots`)

Nothing is decided here. A turn that dies anywhere leaves the journal right and at worst something unsent, which
the sweep sends after the grace time.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Final

from dyrygent_core import Attempt, Definition, Failed, Observation, Outcome, WorkflowState
from dyrygent_core.errors import AdapterUnavailableError, JournalError, JournalUnavailableError, quoted
from dyrygent_core.ports import Adapter, Clock, Entry, Journal, Refusal, WorkflowKey, WorkflowOutcome
from dyrygent_core.versions import KNOWN_RULES, Rules
from dyrygent_runtime.at_hand import NOTHING, AtHand
from dyrygent_runtime.clock import SystemClock
from dyrygent_runtime.faults import FaultPoint, Reach, kill_from_environment
from dyrygent_runtime.finish import PUBLISHED, is_published, outcome_of
from dyrygent_runtime.fold import Folded, Step, emission_of, is_in_flight, sent_from
from dyrygent_runtime.folds import CaughtUp, Folds
from dyrygent_runtime.listeners import Listener, Listeners
from dyrygent_runtime.routes import Route
from dyrygent_runtime.sending import MarkSent, Sender
from dyrygent_runtime.settings import Settings
from dyrygent_runtime.snapshots import is_due, snapshot_of

__all__ = ["Conductor"]

_LOG = logging.getLogger("dyrygent")
_NONCE_BYTES: Final = 8
_LONG_MS: Final = 1_000
"""Nobody reruns a workflow, and has it end once more, in less than that."""


class Conductor:
    """Turns the observations of one process into journal entries, and its own entries into dispatched attempts.

    Threads may share a conductor. It keeps the fold of recent workflows, and nothing that a crash could lose.
    `listeners` are told what its turns change, see `listeners`; more may be added to it later.
    `rules`: the versions of the rules that it follows, those of this release; whoever plays another gives others.
    `mark`: how it says what it has sent as an owner; by default at once, see `late_marks`.
    `definitions`: where it keeps what it decodes, by digest; conductors of one process and the same rules may share it.
    """

    def __init__(
        self,
        journal: Journal,
        adapter: Adapter,
        *,
        settings: Settings | None = None,
        clock: Clock | None = None,
        reach: Reach | None = None,
        listeners: Iterable[Listener] = (),
        rules: Mapping[int, Rules] = KNOWN_RULES,
        mark: MarkSent | None = None,
        definitions: MutableMapping[bytes, Definition] | None = None,
    ) -> None:
        self.journal = journal
        self.adapter = adapter
        self.settings = settings or Settings()
        self.clock = clock or SystemClock()
        self.reach = reach or kill_from_environment()
        self.listeners = Listeners(listeners)
        self.rules = rules
        self._folds = Folds(journal, self.reach, rules, definitions)
        common = (journal, adapter, self.settings, self.clock, self.reach)
        self._sender = Sender(*common, mark=mark or journal.mark)
        self._prompt_sender = Sender(*common, mark=journal.mark)

    # Turns

    def turn(
        self,
        key: WorkflowKey,
        observations: Sequence[Observation],
        *,
        results: Mapping[Attempt, bytes] | None = None,
        nonce: str | None = None,
        tried_ms: int | None = None,
        send_limit: int | None = None,
    ) -> Folded:
        """Append observations and do all that follows from them; return the workflow as of now.

        `nonce`: one for this turn, made here if not given. `tried_ms`: of a turn that was tried before with this
        nonce, and whose fate is unknown, when that was (monotonic). What is in the journal already is not appended
        again, and the time to send what follows counts from then.
        `send_limit`: how many attempts to send before handing the rest over to another process; None sends all.

        Raises `UnknownWorkflowError` for a workflow that the journal does not hold; `UnsupportedVersionError` for one
        that this release cannot read, and what was observed is in its journal then, for those that can; and
        `JournalUnavailableError` when the store cannot be reached: then the turn may be tried again with the nonce it
        was given.
        """
        nonce = nonce or secrets.token_hex(_NONCE_BYTES)
        turned = self._turn(key, observations, results or {}, nonce, tried_ms=tried_ms, send_limit=send_limit)
        return self._refuse(*turned)

    def begin(self, folded: Folded, at: Entry, calls: Sequence[bytes], until: int) -> Folded:
        """Do what follows from a workflow's first entry, which `create` wrote with these calls.

        What is sent is marked at once: the process that starts a workflow often ends right after.
        """
        caught_up = self._folds.begin(folded, at, dict(enumerate(calls)))
        return self._refuse(caught_up.folded, self._follow_up(caught_up, {}, until, None, sender=self._prompt_sender))

    def refresh(self, key: WorkflowKey) -> Folded:
        """Return the workflow as of now, folding what this process has not seen; nothing is written.

        Raises as `turn` does, but for the nonce.
        """
        return self._folds.now(key).folded

    def find(self, workflow_id: str) -> WorkflowKey:
        """Return which workflow has this id now; what is read for that is kept. Raises `UnknownWorkflowError`."""
        return self._folds.find(workflow_id)

    def known(self, key: WorkflowKey) -> Folded | None:
        """Return the workflow as far as this process has folded it, if it has it at hand; nothing is read."""
        return self._folds.cache.get(key)

    def catch_up(self, key: WorkflowKey) -> Folded:
        """Return the workflow as of now; keep a snapshot if it took long to get there."""
        caught_up = self._folds.now(key)
        self._keep_snapshot(caught_up)
        return caught_up.folded

    def go_on(self, key: WorkflowKey, position: int, offset: int) -> None:
        """Send what the entry at `position` emitted, from the `offset`-th on: the rest of another turn's work.

        The time that owner had counts on: what comes too late here is left to the sweep, as all of its would be.
        """
        caught_up = self._folds.now(key)
        attempts = sent_from(caught_up.folded, position, offset)
        emission = emission_of(caught_up.folded, attempts[0]) if attempts else None
        if emission is not None:
            age_ms = self.journal.mark(key, []) - emission.at_ms
            until_ms = self._until_ms(None) - age_ms
            self._refuse(caught_up.folded, self._sender.send(caught_up.folded, attempts, until_ms, NOTHING))
        self._keep_snapshot(caught_up)

    def send(self, folded: Folded, attempts: Sequence[Attempt], *, until: int) -> None:
        """Dispatch attempts that a sweep found unsent, in chunks; what is refused for good is recorded as failed.

        Each chunk is marked at once. Stops at `until` (monotonic milliseconds) and at the first transport error.
        """
        self._refuse(folded, self._prompt_sender.send(folded, attempts, until, NOTHING))

    def routes(self, folded: Folded, attempts: Iterable[Attempt]) -> Mapping[int, Route]:
        """Return where these attempts go, by node number."""
        numbers = [folded.definition.graph.numbers[attempt.node] for attempt in attempts]
        return self._folds.routes(folded, numbers, self.adapter.values)

    def finish(self, folded: Folded) -> bool:
        """Publish the outcome of a finished workflow unless that was done, and close it; tell whether it is closed."""
        return self._finish(folded, {}, is_new=not is_published(self.journal, folded))

    # The parts of a turn

    def _turn(
        self,
        key: WorkflowKey,
        observations: Sequence[Observation],
        results: Mapping[Attempt, bytes],
        nonce: str,
        *,
        tried_ms: int | None = None,
        send_limit: int | None = None,
    ) -> tuple[Folded, list[Refusal]]:
        until_ms = self._until_ms(tried_ms)
        self.reach(FaultPoint.BEFORE_APPEND)
        caught_up = self._folds.append(key, observations, results, nonce, is_second_try=tried_ms is not None)
        self.reach(FaultPoint.AFTER_APPEND)
        return caught_up.folded, self._follow_up(caught_up, results, until_ms, send_limit, sender=self._sender)

    def _until_ms(self, since_ms: int | None) -> int:
        """Give until when an owner may send whose append was first sent then, or is sent now."""
        return (self.clock.monotonic_ms() if since_ms is None else since_ms) + self.settings.owner_ms

    def _refuse(self, folded: Folded, refusals: list[Refusal]) -> Folded:
        """Record refusals, and those that follow from that, until there is none."""
        try:
            while refusals:
                failed = [Failed(it.attempt, it.failure, is_final=True) for it in refusals]
                nonce = secrets.token_hex(_NONCE_BYTES)
                folded, refusals = self._turn(folded.key, failed, {}, nonce)
        except JournalUnavailableError as problem:
            _LOG.warning("workflow %s: refusals are not recorded yet: %s", quoted(folded.key.id), problem)
        return folded

    def _follow_up(
        self,
        caught_up: CaughtUp,
        results: Mapping[Attempt, bytes],
        until_ms: int,
        send_limit: int | None,
        *,
        sender: Sender,
    ) -> list[Refusal]:
        """Dispatch, wake up in time, tell, finish; what the journal is suddenly away for is left to the sweep."""
        folded, steps = caught_up.folded, caught_up.steps
        if any(step.after.round != step.before.round for step in steps) and not folded.state.is_finished:
            self._take_back(folded.key, until_ms)  # before anything of the new round can end
        at_hand = AtHand(_that_counted(steps, results), caught_up.calls)
        refusals: list[Refusal] = []
        try:
            refusals = self._send_own(folded, steps, at_hand, until_ms, send_limit, sender=sender)
            self._remind(folded, steps)
        except JournalUnavailableError as problem:
            _LOG.warning("workflow %s: the sweep sends the rest of this turn: %s", quoted(folded.key.id), problem)
        self.reach(FaultPoint.BEFORE_NOTIFY)
        self.listeners.notify(folded, steps)
        try:
            self._finish_own(folded, steps, at_hand.results)
        except JournalUnavailableError as problem:
            _LOG.warning("workflow %s: the sweep ends this workflow: %s", quoted(folded.key.id), problem)
        self._keep_snapshot(caught_up)
        return refusals

    def _send_own(
        self,
        folded: Folded,
        steps: Sequence[Step],
        at_hand: AtHand,
        until_ms: int,
        send_limit: int | None,
        *,
        sender: Sender,
    ) -> list[Refusal]:
        attempts = [attempt for step in steps for attempt in step.emitted]
        if send_limit is not None and len(attempts) > send_limit:
            attempts = sender.hand_over(folded.key, steps, send_limit)
        if not attempts:
            return []
        stopped = set(folded.state.to_revoke)  # by a later entry, which may have ended some too
        wanted = [it for it in attempts if is_in_flight(folded, it) and it not in stopped]
        return sender.send(folded, wanted, until_ms, at_hand)

    def _remind(self, folded: Folded, steps: Sequence[Step]) -> None:
        """Have the sweep look in time for a retry that these entries have delayed, where its own rest is longer."""
        if not steps or not folded.state.delayed:
            return
        known = {attempt for attempt, _ in steps[0].before.delayed}
        at_ms = steps[-1].entry.observation.at_ms
        waits_ms = [max(0, due_ms - at_ms) for attempt, due_ms in folded.state.delayed if attempt not in known]
        if waits_ms and min(waits_ms) < self.settings.sweep_interval_ms:
            self.journal.remind(folded.key, in_ms=min(waits_ms))

    def _take_back(self, key: WorkflowKey, until_ms: int) -> None:
        """Tell the engine that a workflow whose end it was told runs again; too late, it may have ended again."""
        self.reach(FaultPoint.BEFORE_TAKE_BACK)
        if self.clock.monotonic_ms() > until_ms:
            _LOG.warning("workflow %s: too late to tell the engine that it runs again", quoted(key.id))
            return
        began_ms = self.clock.monotonic_ms()
        try:
            self.adapter.publish(WorkflowOutcome(key, WorkflowState.RUNNING))
        except AdapterUnavailableError as problem:
            _LOG.warning("workflow %s: the engine still tells its earlier end: %s", quoted(key.id), problem)
            return
        self._look_again(key, began_ms, told=None)

    def _finish_own(self, folded: Folded, steps: Sequence[Step], fresh: Mapping[Attempt, bytes]) -> None:
        """Finish what these entries have finished; what was finished before they came is only closed again."""
        if not folded.state.is_finished:
            return
        if any(step.after.is_finished and not step.before.is_finished for step in steps):
            self._finish(folded, fresh, is_new=True)
        elif steps[0].before.is_finished:
            self.finish(folded)

    def _finish(self, folded: Folded, fresh: Mapping[Attempt, bytes], *, is_new: bool) -> bool:
        if is_new and not self._publish(folded, fresh):
            return False
        self.reach(FaultPoint.BEFORE_CLOSE)
        is_closed = self.journal.close(folded.key, at=folded.seen.position, state=folded.state.workflow_state)
        self.reach(FaultPoint.AFTER_CLOSE)
        return is_closed

    def _publish(self, folded: Folded, fresh: Mapping[Attempt, bytes]) -> bool:
        """Tell the engine the end, if it still is the end: by now it may have been rerun, and have ended again."""
        self.reach(FaultPoint.BEFORE_PUBLISH)
        try:
            outcome = outcome_of(self.journal, self.adapter.values, folded, fresh)
            began_ms = self.clock.monotonic_ms()
            if self.refresh(folded.key).state.round != folded.state.round:
                _LOG.warning("workflow %s: it was rerun before its end was published", quoted(folded.key.id))
                return False
            self.adapter.publish(outcome)
        except AdapterUnavailableError as problem:
            _LOG.warning("workflow %s: its end is not published yet: %s", quoted(folded.key.id), problem)
            return False
        self.reach(FaultPoint.AFTER_PUBLISH)
        self.journal.annotate(folded.key, {PUBLISHED: folded.state.round})
        _LOG.info("workflow %s ended in %s", quoted(folded.key.id), outcome.state.name)
        self._look_again(folded.key, began_ms, told=folded.state.round)
        return True

    def _look_again(self, key: WorkflowKey, began_ms: int, told: int | None) -> None:
        """Tell the engine where a workflow stands, if that is other than what it was told just now, and that took long.

        A rerun, and its end, may have overtaken it, and have been told before. `told`: the round whose end it was;
        None for a workflow that runs.
        """
        if self.clock.monotonic_ms() - began_ms < _LONG_MS:
            return
        try:
            folded = self.refresh(key)
        except JournalUnavailableError as problem:
            _LOG.warning("workflow %s: the engine may tell what is past: %s", quoted(key.id), problem)
            return
        is_past = folded.state.is_finished if told is None else folded.state.round != told
        if is_past and folded.state.is_finished:
            self._publish(folded, {})
        elif is_past:
            self._take_back(key, self._until_ms(None))

    def _keep_snapshot(self, caught_up: CaughtUp) -> None:
        """Keep a snapshot if it is this turn's to do so; one that cannot be kept is done without."""
        folded = caught_up.folded
        if not is_due(folded, caught_up.steps, caught_up.behind, self.settings.snapshot_entries):
            return
        self.reach(FaultPoint.BEFORE_SNAPSHOT)
        try:
            self.journal.keep_snapshot(folded.key, snapshot_of(folded))
        except JournalError as problem:
            _LOG.warning("workflow %s: its snapshot is not kept: %s", quoted(folded.key.id), problem)
        self.reach(FaultPoint.AFTER_SNAPSHOT)


def _that_counted(steps: Sequence[Step], results: Mapping[Attempt, bytes]) -> Mapping[Attempt, bytes]:
    """Give those results that are the ones in the journal: of outcomes that were the first of their attempts (P5)."""
    counted = [step for step in steps if step.has_counted]
    if len(counted) == len(steps):
        return results
    mapped = steps[0].after.graph.mapped
    numbers = steps[0].after.graph.numbers
    outcomes = [step.entry.observation for step in counted]
    names: set[Attempt | tuple[str, int]] = set()
    for outcome in outcomes:
        if isinstance(outcome, Outcome):
            it = outcome.attempt
            names.add(it if numbers[it.node] in mapped else (it.node, it.number))  # blocks lie beside it (`elements`)
    return {it: value for it, value in results.items() if it in names or (it.node, it.number) in names}
