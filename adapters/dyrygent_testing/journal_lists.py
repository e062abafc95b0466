"""The rules of the journal suite about snapshots (J6), lists and retention (J10)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import pytest

from dyrygent_core import DeadlinePassed, UsageError, WorkflowState
from dyrygent_core.ports import Journal, Listed, Query, Seen, StoredSnapshot, WorkflowKey
from dyrygent_testing.journal_basis import HOSTILE, LATER_MS, JournalBasis, add, new_workflow

__all__ = ["ListRules"]

_EVERYTHING: Final = Query()
_SUCCESS: Final = WorkflowState.SUCCESS


class ListRules(JournalBasis):
    """Clauses J6 and J10."""

    # J6 snapshots

    def test_j6_a_snapshot_comes_with_the_definition(self, journal: Journal, other: Journal, key: WorkflowKey) -> None:
        """Whoever reads the definition gets the newest snapshot too, so that a cold process reads a short tail."""
        assert journal.definition(key.id).snapshot is None
        kept = StoredSnapshot(Seen(1, "begin"), b"\x00\xff state")
        journal.keep_snapshot(key, kept)

        assert other.definition(key.id).snapshot == kept

    def test_j6_an_older_snapshot_replaces_none(self, journal: Journal, other: Journal, key: WorkflowKey) -> None:
        """Two processes may write in either order; of one position the first stays."""
        newer = StoredSnapshot(Seen(7, "n"), b"newer")
        journal.keep_snapshot(key, newer)
        other.keep_snapshot(key, StoredSnapshot(Seen(6, "n"), b"older"))
        other.keep_snapshot(key, StoredSnapshot(Seen(7, "m"), b"other"))
        assert journal.definition(key.id).snapshot == newer

        newest = StoredSnapshot(Seen(8, "n"), b"newest")
        other.keep_snapshot(key, newest)
        assert journal.definition(key.id).snapshot == newest

    def test_j6_a_snapshot_removes_nothing(self, journal: Journal, key: WorkflowKey) -> None:
        """Entries are kept until the workflow is deleted, and no position or due time moves."""
        add(journal, key, DeadlinePassed())
        journal.keep_snapshot(key, StoredSnapshot(Seen(2, "n"), b"state"))

        assert len(journal.read(key)) == 2
        assert journal.due(limit=9, claim_ms=LATER_MS) == ()

    def test_j6_a_large_snapshot_is_kept_whole(self, journal: Journal, key: WorkflowKey) -> None:
        """A hundred thousand nodes give some hundred kilobytes."""
        data = bytes(range(256)) * 4_000
        journal.keep_snapshot(key, StoredSnapshot(Seen(1, "begin"), data))

        stored = journal.definition(key.id).snapshot
        assert stored is not None
        assert stored.data == data

    # J10 lists

    def test_j10_a_list_tells_of_each_workflow(self, journal: Journal, other: Journal) -> None:
        """Name and tags as they were created, the state of its last close, and the store's times."""
        new = new_workflow("w", name="report", tags=("eu", "daily"))
        created = journal.create(new, nonce="n", due_in_ms=LATER_MS)
        (listed,) = other.list(_EVERYTHING, limit=9).items
        assert listed == Listed(new.key, "report", ("eu", "daily"), WorkflowState.RUNNING, created.at_ms)

        journal.close(new.key, at=1, state=WorkflowState.FAILURE)
        (closed,) = other.list(_EVERYTHING, limit=9).items
        assert closed.state is WorkflowState.FAILURE
        assert closed.closed_ms is not None
        assert closed.closed_ms >= created.at_ms

        add(journal, new.key, DeadlinePassed())  # which opens it again
        (again,) = other.list(_EVERYTHING, limit=9).items
        assert (again.state, again.closed_ms) == (WorkflowState.RUNNING, None)

    def test_j10_pages_go_on_where_they_ended(self, journal: Journal) -> None:
        """Newest first, each once, whatever is created or deleted between two pages."""
        keys = _created(journal, 7)
        page = journal.list(_EVERYTHING, limit=3)
        seen, following = [it.key for it in page.items], page.following

        late = new_workflow("late")
        journal.create(late, nonce="n", due_in_ms=LATER_MS)
        gone = next(key for key in keys if key not in seen)
        journal.delete(gone)
        while following is not None:
            page = journal.list(_EVERYTHING, limit=3, after=following)
            seen += [it.key for it in page.items]
            following = page.following

        assert len(seen) == len(set(seen))
        assert set(keys) - {gone} <= set(seen) <= {*keys, late.key} - {gone}

    def test_j10_the_order_is_that_of_creation(self, journal: Journal) -> None:
        """Newest first; of one millisecond, by id."""
        _created(journal, 5)
        items = journal.list(_EVERYTHING, limit=99).items

        assert list(items) == sorted(items, key=lambda it: (-it.created_ms, it.key.id.encode()))
        assert len(items) == 5

    @pytest.mark.parametrize("limit", [1, 2, 4])
    def test_j10_the_last_page_says_so(self, journal: Journal, limit: int) -> None:
        """Nothing follows it, even where it is full."""
        _created(journal, 4)
        pages = [journal.list(_EVERYTHING, limit=limit)]
        while (following := pages[-1].following) is not None:
            pages.append(journal.list(_EVERYTHING, limit=limit, after=following))

        assert [len(page.items) for page in pages] == [limit] * (4 // limit)

    def test_j10_nothing_is_one_empty_page(self, journal: Journal) -> None:
        """A namespace without workflows."""
        page = journal.list(_EVERYTHING, limit=9)

        assert (page.items, page.following) == ((), None)

    def test_j10_lists_are_filtered(self, journal: Journal) -> None:
        """By state, by name, by all of some tags, by the time of creation; everything that is given must match."""
        alone = new_workflow("alone", name="report")
        tagged = new_workflow("tagged", name="report", tags=("eu", "daily"))
        other = new_workflow("other", name="import", tags=("eu",))
        times = [journal.create(it, nonce="n", due_in_ms=LATER_MS).at_ms for it in (alone, tagged, other)]
        journal.close(tagged.key, at=1, state=_SUCCESS)
        journal.close(other.key, at=1, state=WorkflowState.CANCELLED)

        assert _ids(journal, Query(name="report")) == {"alone", "tagged"}
        assert _ids(journal, Query(tags=("eu",))) == {"tagged", "other"}
        assert _ids(journal, Query(tags=("daily", "eu"))) == {"tagged"}
        assert _ids(journal, Query(states=frozenset({WorkflowState.RUNNING}))) == {"alone"}
        assert _ids(journal, Query(states=frozenset({_SUCCESS, WorkflowState.CANCELLED}))) == {"tagged", "other"}
        assert _ids(journal, Query(states=frozenset({_SUCCESS}), name="import")) == set()
        assert len(_ids(journal, Query(created_from_ms=times[0], created_to_ms=times[2] + 1))) == 3
        assert _ids(journal, Query(created_to_ms=times[0])) == set()
        assert _ids(journal, Query(created_from_ms=times[2] + 1)) == set()

    def test_j10_a_filtered_list_has_pages_too(self, journal: Journal) -> None:
        """However many do not match in between."""
        for number in range(12):
            workflow = new_workflow(f"w{number}", tags=("wanted",) if number % 4 == 0 else ())
            journal.create(workflow, nonce="n", due_in_ms=LATER_MS)
        query, found = Query(tags=("wanted",)), set[str]()
        page = journal.list(query, limit=1)
        found |= {it.key.id for it in page.items}
        while page.following is not None:
            page = journal.list(query, limit=1, after=page.following)
            found |= {it.key.id for it in page.items}

        assert found == {"w0", "w4", "w8"}

    def test_j10_any_text_is_found_again(self, journal: Journal) -> None:
        """Names, tags and ids that look alike, or like a pattern, match themselves only."""
        for number, text in enumerate(HOSTILE):
            workflow = new_workflow(text, name=text, tags=(text, f"t{number}"))
            journal.create(workflow, nonce="n", due_in_ms=LATER_MS)

        for number, text in enumerate(HOSTILE):
            assert _ids(journal, Query(name=text)) == {text}
            assert _ids(journal, Query(tags=(text,))) == {text}
            assert _ids(journal, Query(tags=(f"t{number}",))) == {text}
        page, seen = journal.list(_EVERYTHING, limit=1), list[str]()
        seen += [it.key.id for it in page.items]
        while page.following is not None:
            page = journal.list(_EVERYTHING, limit=1, after=page.following)
            seen += [it.key.id for it in page.items]
        assert sorted(seen) == sorted(HOSTILE)

    @pytest.mark.parametrize("after", ["", "x", ".", "-1.w", "1", "1e3.w", "٣.w"])
    def test_j10_only_a_pages_own_place_is_gone_on_from(self, journal: Journal, after: str) -> None:
        """Anything else is refused."""
        with pytest.raises(UsageError):
            journal.list(_EVERYTHING, limit=1, after=after)

    # J10 retention

    def test_j10_purge_deletes_what_has_been_closed_for_long(self, journal: Journal, other: Journal) -> None:
        """Whole workflows, by the store's clock, and never an open one."""
        first, second, third = _created(journal, 3)
        journal.close(first, at=1, state=_SUCCESS)
        journal.close(second, at=1, state=_SUCCESS)

        assert journal.purge(closed_for_ms=LATER_MS, limit=9) == 0
        assert journal.purge(closed_for_ms=0, limit=1) == 1
        assert other.purge(closed_for_ms=0, limit=9) == 1
        assert other.purge(closed_for_ms=0, limit=9) == 0
        assert [it.key for it in other.list(_EVERYTHING, limit=9).items] == [third]
        journal.delete(third)

    def test_j10_purge_spares_what_was_opened_again(self, journal: Journal, key: WorkflowKey) -> None:
        """A rerun takes its workflow out of the retention."""
        journal.close(key, at=1, state=_SUCCESS)
        add(journal, key, DeadlinePassed())

        assert journal.purge(closed_for_ms=0, limit=9) == 0
        assert len(journal.read(key)) == 2

    def test_j10_namespaces_are_apart(
        self, journal: Journal, make_journal: Callable[[str], Journal], namespace: str
    ) -> None:
        """Neither lists nor purges what is another's."""
        stranger = make_journal(namespace + "-2")
        (key,) = _created(journal, 1)
        journal.close(key, at=1, state=_SUCCESS)

        assert stranger.list(_EVERYTHING, limit=9).items == ()
        assert stranger.purge(closed_for_ms=0, limit=9) == 0
        assert journal.definition(key.id).key == key
        stranger.dispose()


def _created(journal: Journal, count: int) -> Sequence[WorkflowKey]:
    new = [new_workflow(f"w{number}") for number in range(count)]
    for workflow in new:
        journal.create(workflow, nonce="n", due_in_ms=LATER_MS)
    return [workflow.key for workflow in new]


def _ids(journal: Journal, query: Query) -> set[str]:
    return {it.key.id for it in journal.list(query, limit=99).items}
