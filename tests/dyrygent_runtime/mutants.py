"""Deliberate faults of the product, each one rule that is dropped; they are made inside a test alone.

Those of journals are journals, so that whatever tries a journal can be given them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import pytest
from attrs import evolve

import dyrygent_core.outcomes
import dyrygent_core.release
import dyrygent_core.step
import dyrygent_runtime.fold
import dyrygent_runtime.folds
import dyrygent_runtime.sending
from dyrygent_core import Attempt, CancelRequested, Observation, State, Status, Succeeded, WorkflowState
from dyrygent_core.bands import Band
from dyrygent_core.cells import BLOCK
from dyrygent_core.errors import JournalUnavailableError
from dyrygent_core.ports import Due, Entry, Seen
from dyrygent_core.step import Step as CoreStep
from dyrygent_core.tries import Tries
from dyrygent_core.versions import NEWEST_RULES, Rules
from dyrygent_runtime import Conductor, Sweeper
from dyrygent_runtime.fold import Folded, Step
from dyrygent_runtime.folds import Folds
from dyrygent_runtime.journals import MemoryJournal
from dyrygent_runtime.judging import Judge
from dyrygent_runtime.sending import Sender
from dyrygent_runtime.watch import Watch

__all__ = ["CORE", "JOURNALS", "RUNTIME", "Mutate"]

Mutate = Callable[[pytest.MonkeyPatch], None]
_ADVANCE: Final = import_module("dyrygent_core.advance")
"""The module, whose name in the package is that of its function."""
_FOR_EVER_MS: Final = 1 << 60
_HOUR_MS: Final = 3_600_000


# The core


def forget_the_taint_bit(patch: pytest.MonkeyPatch) -> None:
    """Let a node whose last edge is decided be what an untainted one is."""
    clean, _ = NEWEST_RULES.last_codes
    patch.setattr(Rules, "last_codes", (clean, clean))


def count_an_edge_twice(patch: pytest.MonkeyPatch) -> None:
    """Count the first edge out of a node twice, where another is still undecided at its end."""
    spread = dyrygent_core.step.spread
    _take_no_short_way(patch)

    def twice(graph: Any, cells: Any, blocks: Any, edges: Any, *rest: Any) -> Any:
        edges = tuple(edges)
        blocks = spread(graph, cells, blocks, edges, *rest)
        waiting = [edge for edge in edges[:1] if 2 <= cells.code(edge[0]) < BLOCK]
        return spread(graph, cells, blocks, waiting, *rest)

    patch.setattr(dyrygent_core.step, "spread", twice)


def _take_no_short_way(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_ADVANCE, "_succeed", lambda *_: None)
    patch.setattr(CoreStep, "is_swift", False)


def miscount_a_mapped_node(patch: pytest.MonkeyPatch) -> None:
    """Let a mapped node of several instances end with the last but one of them."""
    of = Band.of

    def one_less(width: int) -> Band:
        band = of(width)
        return evolve(band, left=width - 1) if width > 1 else band

    patch.setattr(Band, "of", one_less)


def release_in_arrival_order(patch: pytest.MonkeyPatch) -> None:
    """Emit what may run in the order in which it came to that, whatever its priority."""
    emit_all = dyrygent_core.release._emit_all

    def as_they_came(step: CoreStep) -> None:
        if step.bands_to_go:
            emit_all(step)
            return
        for node in step.runnable:
            step.emitted.append(step.attempt(node))
            step.in_flight += 1
        step.runnable.clear()

    patch.setattr(dyrygent_core.release, "_emit_all", as_they_came)


def repeat_the_number_of_a_retry(patch: pytest.MonkeyPatch) -> None:
    """Try a node that failed again under the number that it had."""
    failed = dyrygent_core.outcomes._failed

    def again(node: Any, tries: Tries, **options: Any) -> Status | Tries:
        became = failed(node, tries, **options)
        return evolve(became, number=tries.number) if isinstance(became, Tries) else became

    patch.setattr(dyrygent_core.outcomes, "_failed", again)


def leave_finalizers_out_of_a_cancel(patch: pytest.MonkeyPatch) -> None:
    """Let nothing run after a cancel, not even what cleans up."""
    patch.setitem(dyrygent_core.release._ROLES, WorkflowState.CANCELLED, set())


def go_on_after_a_cancel(patch: pytest.MonkeyPatch) -> None:
    """Note a cancel, and let what waits for others start all the same."""

    def noted(step: CoreStep, _: CancelRequested) -> bool:
        step.flags = evolve(step.flags, is_cancelled=True)
        return True

    patch.setitem(_ADVANCE._TRANSITIONS, CancelRequested, noted)  # type: ignore[arg-type]


def wait_for_no_retry(patch: pytest.MonkeyPatch) -> None:
    """Try again at once what was to wait."""
    patch.setattr(_ADVANCE, "retry_delay_ms", lambda *_: 0)


def drop_the_duplicate_check(patch: pytest.MonkeyPatch) -> None:
    """Take a second success of an attempt as another first: whatever waits for it starts once more."""
    advance = dyrygent_runtime.fold.advance

    def gullible(graph: Any, state: State, observations: Sequence[Observation]) -> tuple[State, tuple[Attempt, ...]]:
        after, emitted = advance(graph, state, observations)
        fact = observations[0]
        if after is not state or not isinstance(fact, Succeeded):
            return after, emitted
        below = graph.dependents(fact.attempt.node)
        return after, tuple(state.attempt(node) for node in below if state.status(node) is Status.SCHEDULED)

    patch.setattr(dyrygent_runtime.fold, "advance", gullible)


CORE: Final[tuple[Mutate, ...]] = (
    forget_the_taint_bit,
    count_an_edge_twice,
    miscount_a_mapped_node,
    release_in_arrival_order,
    repeat_the_number_of_a_retry,
    leave_finalizers_out_of_a_cancel,
    go_on_after_a_cancel,
    wait_for_no_retry,
    drop_the_duplicate_check,
)


# Conductor and sweep


def emit_from_missed_entries(patch: pytest.MonkeyPatch) -> None:
    """Take what entries of others emit for one's own."""
    fold = dyrygent_runtime.folds.fold

    def all_of_it(folded: Folded, entries: Iterable[Entry], nonce: str | None = None) -> tuple[Folded, list[Step]]:
        steps: list[Step] = []
        for entry in entries:
            folded, more = fold(folded, [entry], entry.nonce)
            steps += more
        return folded, [] if nonce is None else steps

    patch.setattr(dyrygent_runtime.folds, "fold", all_of_it)


def rerun_under_the_old_attempt_id(patch: pytest.MonkeyPatch) -> None:
    """Send every attempt of a node under the id of its first."""
    attempt_id = dyrygent_runtime.sending.attempt_id
    patch.setattr(
        dyrygent_runtime.sending,
        "attempt_id",
        lambda folded, attempt: attempt_id(folded, evolve(attempt, number=1)),
    )


def retry_an_ambiguous_append_blindly(patch: pytest.MonkeyPatch) -> None:
    """After a lost reply append once more, under a new nonce, and do not look."""
    appended = Folds._appended

    def blindly(folds: Folds, base: Folded, observations: Any, results: Any, nonce: str, **options: Any) -> Any:
        try:
            answer = folds._journal.append(base.key, observations, seen=base.seen, nonce=nonce, results=results)
        except JournalUnavailableError:
            return appended(folds, base, observations, results, f"{nonce} again", **options)
        entries = [
            Entry(answer.first + at, nonce, evolve(it, at_ms=answer.at_ms)) for at, it in enumerate(observations)
        ]
        return base, [*answer.missed, *entries], {}

    patch.setattr(Folds, "_appended", blindly)


def drop_the_sweep(patch: pytest.MonkeyPatch) -> None:
    """Never look at what is due."""
    patch.setattr(Sweeper, "round", lambda _: 0)


def drop_the_self_fencing(patch: pytest.MonkeyPatch) -> None:
    """Let an owner send however late it is."""
    send = Sender.send
    patch.setattr(Sender, "send", lambda sender, folded, its, _, hand: send(sender, folded, its, _FOR_EVER_MS, hand))


def sweep_without_sent_marks(patch: pytest.MonkeyPatch) -> None:
    """Send again whatever is older than the grace and has not started, though it is marked as sent."""
    is_to_send = Judge.is_to_send
    patch.setattr(
        Judge,
        "is_to_send",
        lambda judge, attempt, mark, *, has_sign: is_to_send(judge, attempt, evolve(mark, sent=0), has_sign=has_sign),
    )


def sweep_without_leases(patch: pytest.MonkeyPatch) -> None:
    """Take no worker for dead."""
    patch.setattr(Judge, "_why_worker_lost", lambda *_: None)


def judge_right_after_an_outage(patch: pytest.MonkeyPatch) -> None:
    """Take a lease that has run out for a death, though nobody could renew any."""
    patch.setattr(Watch, "since_ms", -_FOR_EVER_MS)


def publish_without_looking_again(patch: pytest.MonkeyPatch) -> None:
    """Leave an end that reached the engine late as it is, though another round has ended before it did."""
    patch.setattr(Conductor, "_look_again", lambda *_, **__: None)


RUNTIME: Final[tuple[Mutate, ...]] = (
    emit_from_missed_entries,
    rerun_under_the_old_attempt_id,
    retry_an_ambiguous_append_blindly,
    drop_the_sweep,
    drop_the_self_fencing,
    sweep_without_sent_marks,
    sweep_without_leases,
    judge_right_after_an_outage,
    publish_without_looking_again,
)


# Journals


class RaisesDue(MemoryJournal):
    """Puts the sweep off with every append (J5)."""

    def append(self, key: Any, observations: Any, **options: Any) -> Any:
        appended = super().append(key, observations, **options)
        self.rest(key, in_ms=_HOUR_MS)
        return appended


class OverwritesResults(MemoryJournal):
    """Stores the result that came last instead of the first (J7)."""

    def append(self, key: Any, observations: Any, **options: Any) -> Any:
        appended = super().append(key, observations, **options)
        self._record(key).results.update(options["results"] or {})
        return appended


class DropsTheNonceCheck(MemoryJournal):
    """Takes a position for seen, whatever stands there (J2)."""

    def append(self, key: Any, observations: Any, *, seen: Seen, **options: Any) -> Any:
        lines = self._record(key).lines
        if 0 < seen.position <= len(lines):
            seen = Seen(seen.position, lines[seen.position - 1].nonce)
        return super().append(key, observations, seen=seen, **options)


class KeepsOlderSnapshots(MemoryJournal):
    """Lets the snapshot that came last win, be it older (J6)."""

    def keep_snapshot(self, key: Any, snapshot: Any) -> None:
        self._record(key).snapshot = snapshot


class ClaimsNothing(MemoryJournal):
    """Gives what is due to every sweeper that asks (J5)."""

    def due(self, *, limit: int, claim_ms: int) -> tuple[Due, ...]:
        before = {name: record.due_ms for name, record in self._records.items()}
        found = super().due(limit=limit, claim_ms=claim_ms)
        for due in found:
            self._records[due.key.id].due_ms = before[due.key.id]
        return found


class ForgetsMissedEntries(MemoryJournal):
    """Tells an append only of the last of the entries that it has missed (J2)."""

    def append(self, key: Any, observations: Any, **options: Any) -> Any:
        appended = super().append(key, observations, **options)
        return evolve(appended, missed=appended.missed[-1:])


class ClosesBehindAnEntry(MemoryJournal):
    """Closes a workflow though an entry has come since its end was seen (J5)."""

    def close(self, key: Any, *, at: int, state: WorkflowState) -> bool:  # noqa: ARG002  # it does not look
        return super().close(key, at=len(self._record(key).lines), state=state)


class LosesEarlierLeases(MemoryJournal):
    """Keeps no more of a lease than its last word."""

    def leases(self) -> Any:
        views, now_ms = super().leases()
        return tuple(evolve(view, previous=None, previous_ms=None) for view in views), now_ms


JOURNALS: Final[Mapping[str, type[MemoryJournal]]] = {
    kind.__name__: kind
    for kind in (
        RaisesDue,
        OverwritesResults,
        DropsTheNonceCheck,
        KeepsOlderSnapshots,
        ClaimsNothing,
        ForgetsMissedEntries,
        ClosesBehindAnEntry,
        LosesEarlierLeases,
    )
}
