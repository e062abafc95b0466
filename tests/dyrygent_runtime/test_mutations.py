"""The checker is worth its name: each rule that the runtime drops makes a simulation fail that it passes otherwise.

A mutant is a small change of the product, made inside the test alone. For each the table says which simulation finds
it, and by which invariant. A checker that finds no mutant would find no bug either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import pytest
from attrs import evolve, field, frozen

import dyrygent_runtime.fold
import dyrygent_runtime.folds
import dyrygent_runtime.sending
from dyrygent_core import (
    Attempt,
    Failed,
    NodeHandle,
    Observation,
    RetryPolicy,
    State,
    Status,
    Succeeded,
    Workflow,
    call,
)
from dyrygent_core.errors import JournalUnavailableError
from dyrygent_core.ports import Entry
from dyrygent_runtime import Settings, Sweeper
from dyrygent_runtime.fold import Folded, Step
from dyrygent_runtime.folds import Folds
from dyrygent_runtime.journals import MemoryJournal
from dyrygent_runtime.sending import Sender
from dyrygent_testing import Fault, FaultKind, simulate, violations_in

SETTINGS: Final = Settings(resend_after_ms=120_000)
FOR_EVER_MS: Final = 1 << 60
HOUR_MS: Final = 3_600_000


def two_chains() -> Workflow:
    """Build two chains that run side by side, every result used."""
    workflow = Workflow()
    for chain in "ab":
        before: NodeHandle | None = None
        for place in range(3):
            inputs = [] if before is None else [before.result]
            before = workflow.add(call("run", *inputs), id=f"{chain}{place}")
    return workflow


def one_that_fails_first() -> Workflow:
    """Build a node that is tried twice, and another behind it."""
    workflow = Workflow()
    first = workflow.add(call("run"), id="a0", max_attempts=2, retry=RetryPolicy(delay_ms=1_000))
    workflow.add(call("run", first.result), id="a1")
    return workflow


# The mutants


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


def let_append_raise_the_due_time(patch: pytest.MonkeyPatch) -> None:
    """Put the sweep off with every append (J5)."""
    append = MemoryJournal.append

    def put_off(journal: MemoryJournal, key: Any, observations: Any, **options: Any) -> Any:
        appended = append(journal, key, observations, **options)
        journal.rest(key, in_ms=HOUR_MS)
        return appended

    patch.setattr(MemoryJournal, "append", put_off)


def overwrite_a_result(patch: pytest.MonkeyPatch) -> None:
    """Store the result that came last instead of the first (J7)."""
    append = MemoryJournal.append

    def over(journal: MemoryJournal, key: Any, observations: Any, **options: Any) -> Any:
        appended = append(journal, key, observations, **options)
        journal._record(key).results.update(options["results"])
        return appended

    patch.setattr(MemoryJournal, "append", over)


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


def drop_the_self_fencing(patch: pytest.MonkeyPatch) -> None:
    """Let an owner send however late it is."""
    send = Sender.send
    patch.setattr(Sender, "send", lambda sender, folded, its, _, hand: send(sender, folded, its, FOR_EVER_MS, hand))


# What finds them


@frozen
class Finder:
    """A simulation, and the invariants that it must find violated."""

    mutate: Callable[[pytest.MonkeyPatch], None]
    found: frozenset[str] = field(converter=frozenset)
    faults: tuple[Fault, ...] = ()
    build: Callable[[], Workflow] = two_chains
    options: Mapping[str, Any] = field(factory=dict)

    def numbers(self) -> set[str]:
        """Run it, and give the numbers of what is violated."""
        trace = simulate(self.build(), faults=self.faults, settings=SETTINGS, **self.options)
        return {violation.number for violation in violations_in(trace)}


FINDERS: Final = (
    Finder(emit_from_missed_entries, {"I6", "I9"}),
    Finder(let_append_raise_the_due_time, {"L1"}, (Fault("point.after_append", 1, FaultKind.CRASH),)),
    Finder(overwrite_a_result, {"I2"}, (Fault("message.sent", 1, FaultKind.DUPLICATE, 1_500),)),
    Finder(
        rerun_under_the_old_attempt_id,
        {"I2"},
        build=one_that_fails_first,
        options={"outcomes": {"a0": [Failed(Attempt("a0"))]}},
    ),
    Finder(retry_an_ambiguous_append_blindly, {"I5"}, (Fault("journal.append", 1, FaultKind.LOST_REPLY),)),
    Finder(drop_the_sweep, {"L1"}, (Fault("point.after_append", 1, FaultKind.CRASH),)),
    Finder(drop_the_duplicate_check, {"I6", "I9"}, (Fault("message.sent", 1, FaultKind.DUPLICATE),)),
    Finder(drop_the_self_fencing, {"I6"}, (Fault("point.after_append", 1, FaultKind.PAUSE, 40_000),)),
)


@pytest.mark.parametrize("finder", FINDERS, ids=lambda finder: finder.mutate.__name__)
def test_each_mutant_is_found(finder: Finder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The product passes the simulation; without one of its rules it fails, by the invariant that the table names."""
    assert finder.numbers() == set()

    finder.mutate(monkeypatch)

    assert finder.numbers() >= finder.found
