"""A rule machine that does the same to a journal and to the memory journal, and wants the same answers.

Where the suite shows each rule by itself, this looks for orders of calls in which they get in each other's way.
Times differ between two stores, so none are compared; due times are either now or far away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, cast

from attrs import evolve, frozen
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dyrygent_core import Attempt, DeadlinePassed, Lost, Observation, Succeeded, WorkflowState
from dyrygent_core.errors import UnknownWorkflowError
from dyrygent_core.ports import (
    Created,
    Entry,
    Journal,
    Lease,
    Listed,
    Mark,
    MarkKind,
    Marks,
    NewWorkflow,
    Query,
    Seen,
    StoredSnapshot,
    WorkflowKey,
)
from dyrygent_runtime.journals import MemoryJournal
from dyrygent_testing.journal_basis import LATER_MS

__all__ = ["JournalMachine"]

_IDS: Final = ("w", "W", "w ", "caf\u00e9", "cafe\u0301", "{dy:1}:w", "'w'")
_ATTEMPTS: Final = (Attempt("a"), Attempt("A"), Attempt("a", 0, 2))
_SOON_OR_LATER: Final = st.sampled_from((0, LATER_MS))
_KEYS: Final = st.sampled_from([WorkflowKey("w", "1"), WorkflowKey("W", "1"), WorkflowKey("w", "2")])
_OBSERVATIONS: Final[st.SearchStrategy[Observation]] = st.one_of(
    st.builds(Succeeded, st.sampled_from(_ATTEMPTS)),
    st.builds(Lost, st.sampled_from(_ATTEMPTS), st.text(max_size=5)),
    st.just(DeadlinePassed()),
)
_MARKS: Final = st.builds(
    Mark, st.sampled_from(MarkKind), st.sampled_from(_ATTEMPTS), st.sampled_from(("", "w")), st.sampled_from(("", "b"))
)
_STATES: Final = st.sampled_from((WorkflowState.SUCCESS, WorkflowState.FAILURE))
_TAGS: Final = ((), ("eu",), ("eu", "daily"))
_QUERIES: Final = st.builds(
    Query,
    st.frozensets(st.sampled_from((WorkflowState.RUNNING, WorkflowState.SUCCESS)), max_size=1),
    st.none() | st.sampled_from(_IDS[:2]),
    st.sampled_from(_TAGS),
)
_NAMES: Final = st.frozensets(st.sampled_from(("x", "y", "z")))


@frozen
class _Refused:
    """The answer was `UnknownWorkflowError`."""


class JournalMachine(RuleBasedStateMachine):
    """Compares a journal with the memory journal. A subclass overrides `make_journal`."""

    def make_journal(self) -> Journal:
        """Return an empty journal: of a namespace, say, that no other call returns."""
        message = "override make_journal: it returns an empty journal"
        raise NotImplementedError(message)

    @initialize()
    def begin(self) -> None:
        """Start with two empty journals."""
        self.model: Journal = MemoryJournal()
        self.journal = self.make_journal()
        self.created: set[WorkflowKey] = set()

    def teardown(self) -> None:
        """Delete what the journal holds, and close its connections."""
        for key in self.created:
            self.journal.delete(key)
        self.journal.dispose()

    # What is done

    @rule(
        key=_KEYS,
        calls=st.lists(st.binary(max_size=3), max_size=3),
        due_in_ms=_SOON_OR_LATER,
        name=st.sampled_from(_IDS[:2]),
        tags=st.sampled_from(_TAGS),
    )
    def create(  # as Hypothesis passes what it draws
        self, key: WorkflowKey, calls: list[bytes], due_in_ms: int, name: str, tags: tuple[str, ...]
    ) -> None:
        """Create a workflow, perhaps of an id that is taken."""
        workflow = NewWorkflow(key, f"digest {len(calls)}", b"definition", tuple(calls), name, tags)
        self.created.add(key)
        self._same(lambda it: _timeless(it.create(workflow, nonce="n", due_in_ms=due_in_ms)))

    @rule(
        key=_KEYS,
        observations=st.lists(_OBSERVATIONS, min_size=1, max_size=3),
        seen=st.builds(Seen, st.integers(0, 6), st.sampled_from(("", "n", "m"))),
        nonce=st.sampled_from(("n", "m")),
        results=st.dictionaries(st.sampled_from(_ATTEMPTS), st.binary(max_size=3), max_size=2),
        calls=st.lists(st.integers(0, 3), unique=True, max_size=3),
    )
    def append(
        self,
        key: WorkflowKey,
        observations: list[Observation],
        *,
        seen: Seen,
        nonce: str,
        results: Mapping[Attempt, bytes],
        calls: list[int],
    ) -> None:
        """Append, having seen what may be so or not."""

        def ask(journal: Journal) -> object:
            answer = journal.append(key, observations, seen=seen, nonce=nonce, results=results, calls=calls)
            return answer.first, _without_times(answer.missed), answer.has_diverged, answer.calls

        self._same(ask)

    @rule(key=_KEYS, at=st.integers(0, 6), state=_STATES)
    def close(self, key: WorkflowKey, at: int, state: WorkflowState) -> None:
        """Close, at the last entry or not."""
        self._same(lambda it: it.close(key, at=at, state=state))

    @rule(key=_KEYS, state=_STATES)
    def close_at_the_end(self, key: WorkflowKey, state: WorkflowState) -> None:
        """Close at the last entry."""
        self._same(lambda it: it.close(key, at=len(it.read(key)), state=state))

    @rule(key=_KEYS, position=st.integers(1, 4), data=st.binary(max_size=3))
    def keep_snapshot(self, key: WorkflowKey, position: int, data: bytes) -> None:
        """Keep a snapshot, newer than the one that is there or not."""
        self._same(lambda it: it.keep_snapshot(key, StoredSnapshot(Seen(position, "n"), data)))

    @rule(query=_QUERIES, limit=st.integers(1, 3))
    def list_all(self, query: Query, limit: int) -> None:
        """List workflows, page after page."""
        self._same(lambda it: _all_pages(it, query, limit))

    @rule(closed_for_ms=st.sampled_from((0, LATER_MS)))
    def purge(self, closed_for_ms: int) -> None:
        """Delete what has been closed, all of it or nothing."""
        self._same(lambda it: it.purge(closed_for_ms=closed_for_ms, limit=99))

    @rule(key=_KEYS, in_ms=_SOON_OR_LATER)
    def rest(self, key: WorkflowKey, in_ms: int) -> None:
        """Set a due time."""
        self._same(lambda it: it.rest(key, in_ms=in_ms))

    @rule(key=_KEYS, in_ms=_SOON_OR_LATER)
    def remind(self, key: WorkflowKey, in_ms: int) -> None:
        """Lower a due time."""
        self._same(lambda it: it.remind(key, in_ms=in_ms))

    @rule()
    def claim(self) -> None:
        """Claim all that is due."""
        self._same(lambda it: {due.key for due in it.due(limit=99, claim_ms=LATER_MS)})

    @rule(key=_KEYS, marks=st.lists(_MARKS, max_size=4))
    def mark(self, key: WorkflowKey, marks: list[Mark]) -> None:
        """Set marks, several of one attempt among them."""
        self._same(lambda it: it.mark(key, marks) > 0)

    @rule(key=_KEYS, notes=st.dictionaries(st.sampled_from(_IDS[:3]), st.none() | st.integers() | st.text(max_size=3)))
    def annotate(self, key: WorkflowKey, notes: Mapping[str, Any]) -> None:
        """Set and remove annotations."""
        self._same(lambda it: it.annotate(key, notes))

    @rule(key=_KEYS, at=st.none() | st.integers(1, 3))
    def delete(self, key: WorkflowKey, at: int | None) -> None:
        """Delete a workflow, or what is not there, or has gone on."""
        self._same(lambda it: it.delete(key, at=at))

    @rule(worker=st.sampled_from(_IDS), boot=st.sampled_from(("1", "2")), active=_NAMES, reserved=_NAMES)
    def renew_lease(self, worker: str, boot: str, active: frozenset[str], reserved: frozenset[str]) -> None:
        """Begin or renew a lease."""
        self._same(lambda it: it.renew_lease(Lease(worker, boot, active, reserved), ttl_ms=LATER_MS) > 0)

    @rule()
    def dispose(self) -> None:
        """Close all connections."""
        self.journal.dispose()

    # What is compared after each step

    @invariant()
    def workflows_are_the_same(self) -> None:
        """Everything that can be read of each workflow is the same."""
        for key in getattr(self, "created", ()):
            self._same(partial(_workflow, key))

    @invariant()
    def leases_are_the_same(self) -> None:
        """Leases show the same names."""
        if hasattr(self, "model"):
            self._same(lambda it: {(view.lease, view.previous) for view in it.leases()[0]})

    def _same(self, ask: Callable[[Journal], object]) -> None:
        expected, found = _answer(self.model, ask), _answer(self.journal, ask)
        assert found == expected, f"the journal answers {found!r}, the memory journal {expected!r}"


def _answer(journal: Journal, ask: Callable[[Journal], object]) -> object:
    try:
        return ask(journal)
    except UnknownWorkflowError:
        return _Refused()


def _timeless(created: Created) -> Created:
    return evolve(created, at_ms=0)


def _without_times(entries: tuple[Entry, ...]) -> list[Entry]:
    return [evolve(entry, observation=evolve(cast("Any", entry.observation), at_ms=0)) for entry in entries]


def _workflow(key: WorkflowKey, journal: Journal) -> object:
    stored = journal.definition(key.id)
    return (
        evolve(stored, created_ms=0),
        _without_times(journal.read(key)),
        journal.calls(key, [0, 1, 2, 3]),
        journal.results(key, _ATTEMPTS),
        {attempt: _unstamped(marks) for attempt, marks in journal.marks(key, _ATTEMPTS).items()},
        journal.annotations(key),
    )


def _all_pages(journal: Journal, query: Query, limit: int) -> object:
    """List page by page; times, and so the order of what was created in one millisecond, are the store's own."""
    items: list[Listed] = []
    page = journal.list(query, limit=limit)
    items += page.items
    while page.following is not None:
        page = journal.list(query, limit=limit, after=page.following)
        items += page.items
    assert sorted(items, key=lambda it: (-it.created_ms, it.key.id.encode())) == items
    return {evolve(it, created_ms=0, closed_ms=None if it.closed_ms is None else 0) for it in items}


def _unstamped(marks: Marks) -> object:
    return marks.sent, marks.sent_ms is None, marks.started_ms is None, marks.worker, marks.boot
