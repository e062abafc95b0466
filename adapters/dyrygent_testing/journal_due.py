"""The rules of the journal suite about time to come: due times and claims (J5), and waiting for an entry."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from dyrygent_core import Attempt, DeadlinePassed, Lost, WorkflowState
from dyrygent_core.errors import UnknownWorkflowError
from dyrygent_core.ports import Journal, WorkflowKey
from dyrygent_testing.journal_basis import LATER_MS, LIMIT_S, JournalBasis, add, at_once, eventually, new_workflow

__all__ = ["DueRules"]


class DueRules(JournalBasis):
    """Clause J5, and `watch`."""

    def test_j5_create_sets_the_due_time(self, journal: Journal, key: WorkflowKey) -> None:
        """A workflow is due as long after `create` as that says, and no sooner."""
        soon = new_workflow("soon").key
        journal.create(new_workflow("soon"), nonce="n", due_in_ms=0)

        claimed = journal.due(limit=10, claim_ms=LATER_MS)

        assert [it.key.id for it in claimed] == [soon.id]
        assert key.id not in {it.key.id for it in claimed}

    def test_j5_a_claim_moves_the_due_time_on(self, journal: Journal, other: Journal, key: WorkflowKey) -> None:
        """Who claims a workflow has it for the length of the claim."""
        journal.rest(key, in_ms=0)

        assert [it.key for it in journal.due(limit=10, claim_ms=LATER_MS)] == [key]
        assert other.due(limit=10, claim_ms=LATER_MS) == ()

    def test_j5_a_claim_runs_out(self, journal: Journal, other: Journal, key: WorkflowKey) -> None:
        """When a claim is over and nobody let the workflow rest, it is due again."""
        journal.rest(key, in_ms=0)
        journal.due(limit=10, claim_ms=1)

        (again,) = eventually(lambda: other.due(limit=10, claim_ms=LATER_MS))
        assert again.key == key

    def test_j5_two_sweepers_never_get_one_due_time_both(self, journal: Journal, other: Journal) -> None:
        """Of sweepers that ask at once, exactly one gets each workflow."""
        created = [journal.create(new_workflow(f"w{it}"), nonce="n", due_in_ms=0).key for it in range(30)]

        def sweep(number: int) -> list[WorkflowKey]:
            mine: list[WorkflowKey] = []
            while claimed := (journal, other)[number % 2].due(limit=4, claim_ms=LATER_MS):
                mine += [it.key for it in claimed]
            return mine

        claimed = [key for mine in at_once(4, sweep) for key in mine]
        claimed += [it.key for it in journal.due(limit=99, claim_ms=LATER_MS)]
        assert sorted(claimed, key=str) == sorted(created, key=str)

    def test_j5_the_longest_overdue_come_first(self, journal: Journal) -> None:
        """At most `limit` are claimed, and those that wait longest."""
        keys = [journal.create(new_workflow(f"w{it}"), nonce="n", due_in_ms=LATER_MS).key for it in range(8)]
        for key in reversed(keys):
            now_ms = journal.mark(key, [])
            journal.rest(key, in_ms=0)
            eventually(partial(_is_later, journal, key, now_ms + 1))

        first = journal.due(limit=3, claim_ms=LATER_MS)
        rest = journal.due(limit=99, claim_ms=LATER_MS)

        assert [it.key for it in (*first, *rest)] == keys[::-1]
        assert len(first) == 3

    def test_j5_rest_sets_the_due_time(self, journal: Journal, key: WorkflowKey) -> None:
        """`rest` moves the due time both ways."""
        journal.rest(key, in_ms=0)
        journal.rest(key, in_ms=LATER_MS)
        assert journal.due(limit=10, claim_ms=LATER_MS) == ()

        journal.rest(key, in_ms=0)
        assert [it.key for it in journal.due(limit=10, claim_ms=LATER_MS)] == [key]

    def test_j5_remind_lowers_the_due_time(self, journal: Journal, key: WorkflowKey) -> None:
        """A reminder makes a workflow due sooner."""
        journal.remind(key, in_ms=0)

        assert [it.key for it in journal.due(limit=10, claim_ms=LATER_MS)] == [key]

    def test_j5_remind_never_raises_the_due_time(self, journal: Journal, key: WorkflowKey) -> None:
        """A reminder for later than the due time changes nothing."""
        journal.rest(key, in_ms=0)
        journal.remind(key, in_ms=LATER_MS)

        assert [it.key for it in journal.due(limit=10, claim_ms=LATER_MS)] == [key]

    def test_j5_append_never_raises_the_due_time(self, journal: Journal, key: WorkflowKey) -> None:
        """A workflow that is due stays so, whatever is appended."""
        journal.rest(key, in_ms=0)
        add(journal, key, DeadlinePassed())

        assert [it.key for it in journal.due(limit=10, claim_ms=LATER_MS)] == [key]

    def test_j5_close_removes_the_due_time(self, journal: Journal, key: WorkflowKey) -> None:
        """A closed workflow is never due, whoever reminds or lets it rest, and can still be read."""
        assert journal.close(key, at=1, state=WorkflowState.SUCCESS)
        journal.remind(key, in_ms=0)
        journal.rest(key, in_ms=0)

        assert journal.due(limit=10, claim_ms=LATER_MS) == ()
        assert not journal.definition(key.id).is_open
        assert len(journal.read(key)) == 1

    @pytest.mark.parametrize("at", [0, 1, 3])
    def test_j5_close_elsewhere_is_refused(self, journal: Journal, key: WorkflowKey, at: int) -> None:
        """Who has not seen the last entry does not close the workflow."""
        add(journal, key, DeadlinePassed())
        journal.rest(key, in_ms=0)

        assert not journal.close(key, at=at, state=WorkflowState.SUCCESS)

        assert journal.definition(key.id).is_open
        assert [it.key for it in journal.due(limit=10, claim_ms=LATER_MS)] == [key]

    def test_j5_closing_again_is_no_harm(self, journal: Journal, key: WorkflowKey) -> None:
        """A closed workflow answers that it is closed."""
        assert journal.close(key, at=1, state=WorkflowState.SUCCESS)
        assert journal.close(key, at=1, state=WorkflowState.SUCCESS)

    def test_j5_an_append_opens_a_closed_workflow(self, journal: Journal, key: WorkflowKey) -> None:
        """After an append a closed workflow is open, and has a due time, so that nobody need remember it."""
        journal.close(key, at=1, state=WorkflowState.SUCCESS)
        add(journal, key, DeadlinePassed())

        assert journal.definition(key.id).is_open
        journal.remind(key, in_ms=0)  # lowers a due time, and gives none
        assert [it.key for it in journal.due(limit=10, claim_ms=LATER_MS)] == [key]

    def test_j5_close_and_append_at_once_leave_no_entry_behind(self, journal: Journal, other: Journal) -> None:
        """Of a close and an append that race, the workflow is left open by every order of the two."""
        for number in range(10):
            key = journal.create(new_workflow(f"w{number}"), nonce="n", due_in_ms=LATER_MS).key
            at_once(2, partial(_close_or_append, other, key))
            assert journal.definition(key.id).is_open

    # Waiting

    def test_watch_returns_at_once_for_what_is_there(self, journal: Journal, key: WorkflowKey) -> None:
        """Who waits for an entry that is there already does not wait."""
        assert journal.watch(key, after=0, timeout_ms=int(LIMIT_S * 1000))

    def test_watch_gives_up(self, journal: Journal, key: WorkflowKey) -> None:
        """When its time is over, `watch` says that there is nothing."""
        assert not journal.watch(key, after=1, timeout_ms=1)

    def test_watch_wakes(self, journal: Journal, other: Journal, key: WorkflowKey) -> None:
        """An append by another process wakes who waits, as often as it happens."""
        ready = threading.Event()

        def wait_or_append(number: int) -> int:
            if number:
                for _ in range(5):
                    ready.wait(LIMIT_S)
                    ready.clear()
                    add(other, key, DeadlinePassed())
                return 0
            for after in range(1, 6):
                ready.set()
                eventually(partial(journal.watch, key, after=after, timeout_ms=5_000))
            return len(journal.read(key))

        assert at_once(2, wait_or_append)[0] == 6

    def test_watch_ends_with_the_workflow(self, journal: Journal, other: Journal) -> None:
        """Who waits for a workflow that is deleted learns of it, like everybody who asks."""
        key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key

        def wait_or_delete(number: int) -> bool:
            if number:
                other.delete(key)
                return True
            with pytest.raises(UnknownWorkflowError):
                eventually(lambda: journal.watch(key, after=1, timeout_ms=5_000))
            return True

        assert at_once(2, wait_or_delete) == [True, True]


def _is_later(journal: Journal, key: WorkflowKey, ms: int) -> bool:
    return journal.mark(key, []) > ms


def _close_or_append(journal: Journal, key: WorkflowKey, number: int) -> None:
    if number:
        journal.close(key, at=1, state=WorkflowState.SUCCESS)
    else:
        add(journal, key, Lost(Attempt("a")))
