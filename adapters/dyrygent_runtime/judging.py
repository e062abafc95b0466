"""What became of an attempt in flight that has said nothing, judged by its marks, the leases, and the time.

    started on a worker that died, or forgot it          lost
    started on a worker that has ended in order since    lost after a lease's time: it may wait in its queue again
    started longer ago than its node's time-out          timed out
    held unstarted by a worker that died                 sent again at once; lost after the last time
    held by nobody, as the engine knows                  sent again at once, however often
    in nobody's hands (`absence`), since a worker died   the same: it took the message, and died too soon to say so
    sent, and not started for too long                   sent again; lost after the last time
    to be stopped: never sent, or silent for too long    lost
    never sent for all of the grace                      sent

How long is too long: `resend_after`, doubled with each time that it was sent. A message that merely waits in a long
queue looks like a lost one, so while nothing shows that the queue moves (`backlog`) or that nobody has it (`absence`),
it is given one doubling more, but not more than 4 times `resend_after` on that account. Where `resend_after` is never,
nothing is sent again, and the node's time-out counts from when the attempt was sent.

All but what the engine knows, and what time-outs say, is judged by silence, and not for a while after an outage of the
journal (`watch`): nobody could speak. Nor is anything lost or sent again whose outcome waits in an outbox (`kept`).
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from dyrygent_core import Attempt
from dyrygent_core.ports import Marks
from dyrygent_runtime.fold import Folded, attempt_id, emission_of
from dyrygent_runtime.holders import Holders, has_ended_in_order
from dyrygent_runtime.kept import kept_name
from dyrygent_runtime.settings import Settings

__all__ = ["Judge", "age_ms", "limit_ms"]

_LONGEST_FOR_BACKLOG: Final = 4


def age_ms(folded: Folded, attempt: Attempt, now_ms: int) -> int:
    """Return for how long an attempt has been in flight."""
    emission = emission_of(folded, attempt)
    return now_ms - emission.at_ms if emission is not None else 0


def limit_ms(folded: Folded, attempt: Attempt, mark: Marks, settings: Settings) -> int | None:
    """Return when an attempt is over its node's time-out; None if that has none, or does not count yet."""
    timeout_ms = folded.definition.graph.node(attempt.node).timeout_ms
    begun_ms = mark.started_ms
    if begun_ms is None and settings.resend_after_ms is None:
        begun_ms = mark.sent_ms
    return None if timeout_ms is None or begun_ms is None else begun_ms + timeout_ms


@frozen
class Judge:
    """Judges attempts that have no outcome.

    `stopped`: those that are to be. `moved`: those of the overdue whose queue is known to have moved on since, or that
    nobody has any more.
    `vanished`: those that may have, and that nobody has any more. `gone`: those that the engine knows to be.
    """

    folded: Folded
    settings: Settings
    holders: Holders
    stopped: frozenset[Attempt]
    moved: frozenset[Attempt] = frozenset()
    vanished: frozenset[Attempt] = frozenset()
    gone: frozenset[Attempt] = frozenset()

    @property
    def may_judge(self) -> bool:
        """Whether whoever lives has had the time to speak since the journal is back."""
        return self.holders.now_ms - self.holders.watched_ms >= self.settings.renewal_ms

    def why_lost(self, attempt: Attempt, mark: Marks) -> str | None:
        """Say why the attempt is gone for good, or None."""
        if mark.started_ms is not None:
            return self._why_worker_lost(attempt, mark, mark.started_ms)
        if attempt in self.stopped:
            return self._why_stopped(attempt, mark)
        if attempt in self.gone or mark.sent <= self.settings.max_resends or self._is_held_by_the_living(attempt):
            return None
        if self._was_held_by_the_dead(attempt, mark):
            return f"sent {mark.sent} times, and whoever held it died before it started"
        return f"sent {mark.sent} times and never started" if self._is_overdue(attempt, mark) else None

    def is_to_send(self, attempt: Attempt, mark: Marks, *, has_sign: bool) -> bool:
        """Tell whether the attempt is to be sent, or sent again, under the same id."""
        if mark.started_ms is not None or attempt in self.stopped or self._is_held_by_the_living(attempt):
            return False
        if attempt in self.gone:
            return True
        if not mark.sent:
            return not has_sign and self._is_past_grace(attempt)
        return self._was_held_by_the_dead(attempt, mark) or self._is_overdue(attempt, mark)

    def is_overdue_or_behind(self, attempt: Attempt, mark: Marks) -> bool:
        """Tell whether it depends on its queue whether the attempt is overdue."""
        if mark.started_ms is not None or not mark.sent or attempt in self.stopped:
            return False
        waits_ms = [self._wait_ms(mark, is_behind=is_behind) for is_behind in (False, True)]
        since_ms = self.holders.now_ms - (mark.sent_ms or 0)
        is_open = waits_ms[0] is not None and waits_ms[1] is not None and waits_ms[0] < since_ms <= waits_ms[1]
        return is_open and not self._is_held_by_the_living(attempt)

    def may_have_vanished(self, attempt: Attempt, mark: Marks) -> bool:
        """Tell whether a worker may have taken the message, and died before its lease named it."""
        if mark.started_ms is not None or mark.sent_ms is None or attempt in self.stopped:
            return False
        if self._is_held_by_the_living(attempt) or self._was_held_by_the_dead(attempt, mark):
            return False
        is_old = self.holders.now_ms - mark.sent_ms > self.settings.grace_ms  # a living worker has named it by then
        return is_old and self.holders.last_death_ms > mark.sent_ms

    def _why_worker_lost(self, attempt: Attempt, mark: Marks, started_ms: int) -> str | None:
        if self._is_held_by_the_living(attempt):
            return None
        view = self.holders.views.get((mark.worker, mark.boot))
        if view is None:
            is_gone = self.may_judge and self.holders.now_ms - started_ms > self.settings.lease_ms
            return f"worker {mark.worker} left no lease" if is_gone else None
        if has_ended_in_order(view):
            is_gone = self.may_judge and self.holders.now_ms - view.expires_ms > self.settings.lease_ms
            return f"worker {mark.worker} ended before it" if is_gone else None
        if self.holders.is_over(view):
            return f"worker {mark.worker} died"
        was_asked_twice = view.previous is not None and (view.previous_ms or 0) > started_ms
        return f"worker {mark.worker} no longer knows of it" if was_asked_twice and self.may_judge else None

    def _why_stopped(self, attempt: Attempt, mark: Marks) -> str | None:
        if attempt in self.gone:
            return "gone before it started"
        if not mark.sent and self._is_past_grace(attempt):  # before that its owner may be about to send it
            return "never sent"
        is_over = self.holders.now_ms - self._stopped_ms(attempt) > self.settings.cancel_grace_ms
        return "revoked before it started" if is_over and self.may_judge else None

    def _stopped_ms(self, attempt: Attempt) -> int:
        log, number = self.folded.log, self.folded.definition.graph.numbers[attempt.node]
        times = (log.ending_ms, log.skips_ms.get(number))
        return min((it for it in times if it is not None), default=self.holders.now_ms)

    def _is_past_grace(self, attempt: Attempt) -> bool:
        return self.may_judge and age_ms(self.folded, attempt, self.holders.now_ms) > self.settings.grace_ms

    def _was_held_by_the_dead(self, attempt: Attempt, mark: Marks) -> bool:
        if attempt in self.vanished:
            return True
        dead_ms = self.holders.dead_ms
        return any(dead_ms.get(name, 0) > (mark.sent_ms or 0) for name in self._names(attempt))

    def _is_held_by_the_living(self, attempt: Attempt) -> bool:
        return not self.holders.living.isdisjoint(self._names(attempt))

    def _names(self, attempt: Attempt) -> tuple[str, str]:
        """Give what leases call it: those of workers, and those of outboxes."""
        return attempt_id(self.folded, attempt), kept_name(self.folded.key, attempt)

    def _is_overdue(self, attempt: Attempt, mark: Marks) -> bool:
        wait_ms = self._wait_ms(mark, is_behind=attempt not in self.moved)
        return wait_ms is not None and self.may_judge and self.holders.now_ms - (mark.sent_ms or 0) > wait_ms

    def _wait_ms(self, mark: Marks, *, is_behind: bool) -> int | None:
        """Give how long an attempt may wait in its queue after it was last sent; None for as long as it takes."""
        after_ms = self.settings.resend_after_ms
        if after_ms is None:
            return None
        wait_ms = after_ms << (mark.sent - 1)
        return max(wait_ms, min(2 * wait_ms, _LONGEST_FOR_BACKLOG * after_ms)) if is_behind else wait_ms
