"""The rules of the journal suite about entries: order, what was missed, who is refused, times (J1 to J4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
from attrs import evolve

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Failed,
    Failure,
    Lost,
    Observation,
    Ran,
    RetryDue,
    Skipped,
    Succeeded,
    WorkflowState,
)
from dyrygent_core.errors import UnknownWorkflowError
from dyrygent_core.ports import Entry, Journal, Mark, MarkKind, NewWorkflow, Seen, StoredSnapshot, WorkflowKey
from dyrygent_testing.journal_basis import (
    HOSTILE,
    LATER_MS,
    JournalBasis,
    add,
    at_once,
    attempts,
    last_seen,
    new_workflow,
)

__all__ = ["EntryRules"]

_A: Final = Attempt("a")
_OBSERVATIONS: Final[tuple[Observation, ...]] = (
    Succeeded(_A),
    Succeeded(Attempt("mapped", 7, 3), Ran(5, 6, "worker@host")),
    Failed(_A, Failure("KeyError", "'x'", "builtins", ("x", 1, None)), is_final=True, is_revoked=True),
    Failed(_A, Failure("Oops", HOSTILE[1]), ran=Ran(1, 2)),
    Lost(_A, HOSTILE[0]),
    Skipped(_A, HOSTILE[7]),
    RetryDue(Attempt("a", 0, 2)),
    CancelRequested(HOSTILE[13]),
    DeadlinePassed(),
)
_NEED_THE_WORKFLOW: Final[dict[str, Callable[[Journal, WorkflowKey], object]]] = {
    "append": lambda journal, key: journal.append(key, [Succeeded(_A)], seen=Seen(), nonce="n", results={_A: b"value"}),
    "read": lambda journal, key: journal.read(key),
    "calls": lambda journal, key: journal.calls(key, [0]),
    "results": lambda journal, key: journal.results(key, [_A]),
    "marks": lambda journal, key: journal.marks(key, [_A]),
    "rest": lambda journal, key: journal.rest(key, in_ms=0),
    "remind": lambda journal, key: journal.remind(key, in_ms=0),
    "close": lambda journal, key: journal.close(key, at=1, state=WorkflowState.SUCCESS),
    "keep_snapshot": lambda journal, key: journal.keep_snapshot(key, StoredSnapshot(Seen(1, "begin"), b"state")),
    "annotate": lambda journal, key: journal.annotate(key, {"name": 1}),
    "annotations": lambda journal, key: journal.annotations(key),
    "watch": lambda journal, key: journal.watch(key, after=1, timeout_ms=0),
}


class EntryRules(JournalBasis):
    """Clauses J1 to J4."""

    # J1 order

    def test_j1_begin_is_entry_one(self, journal: Journal) -> None:
        """`create` writes `Begin` as entry 1, under its nonce and at the time that it answers with."""
        created = journal.create(new_workflow(), nonce="first", due_in_ms=LATER_MS)

        assert journal.read(created.key) == (Entry(1, "first", Begin(at_ms=created.at_ms)),)

    def test_j1_positions_go_on_without_a_gap(self, journal: Journal, key: WorkflowKey) -> None:
        """Each append takes the positions right after the last, in the order of its observations."""
        firsts = [add(journal, key, *[Lost(it) for it in attempts(count)]).first for count in (1, 3, 2)]

        assert firsts == [2, 3, 6]
        assert [entry.position for entry in journal.read(key)] == [1, 2, 3, 4, 5, 6, 7]

    def test_j1_workflows_count_for_themselves(self, journal: Journal, key: WorkflowKey) -> None:
        """What is appended to one workflow moves no other's positions."""
        second = journal.create(new_workflow("second"), nonce="b", due_in_ms=LATER_MS).key
        add(journal, key, DeadlinePassed())

        assert add(journal, second, DeadlinePassed()).first == 2

    def test_j1_appends_at_once_never_share_a_position(
        self, journal: Journal, other: Journal, key: WorkflowKey
    ) -> None:
        """Processes that append at once each get positions of their own, and together all of them."""

        def work(number: int) -> dict[int, str]:
            mine: dict[int, str] = {}
            for turn in range(6):
                nonce = f"{number}.{turn}"
                count = 1 + turn % 3
                appended = add((journal, other)[number % 2], key, *[Lost(it) for it in attempts(count)], nonce=nonce)
                mine |= dict.fromkeys(range(appended.first, appended.first + count), nonce)
            return mine

        owned = {place: nonce for mine in at_once(6, work) for place, nonce in mine.items()}
        entries = journal.read(key)
        assert [entry.position for entry in entries] == list(range(1, 2 + 6 * 12))
        assert {entry.position: entry.nonce for entry in entries[1:]} == owned

    # J2 seen

    def test_j2_append_tells_what_was_missed(self, journal: Journal, other: Journal, key: WorkflowKey) -> None:
        """An append answers with the entries since `seen`, its own not among them."""
        seen = last_seen(journal.read(key))
        first = add(other, key, Lost(_A, "one"), nonce="one")
        second = add(other, key, Lost(_A, "two"), nonce="two")

        appended = journal.append(key, [Lost(_A, "three")], seen=seen, nonce="three")

        assert not appended.has_diverged
        assert appended.first == 4
        assert appended.missed == (
            Entry(2, "one", Lost(_A, "one", at_ms=first.at_ms)),
            Entry(3, "two", Lost(_A, "two", at_ms=second.at_ms)),
        )

    def test_j2_nothing_is_missed_by_who_has_seen_the_last(self, journal: Journal, key: WorkflowKey) -> None:
        """An append whose `seen` is the last entry answers with nothing missed."""
        appended = journal.append(key, [Lost(_A)], seen=Seen(1, "begin"), nonce="n")

        assert (appended.first, appended.missed, appended.has_diverged) == (2, (), False)

    def test_j2_who_has_seen_nothing_missed_everything(self, journal: Journal, key: WorkflowKey) -> None:
        """Position 0 stands before `Begin`."""
        assert [entry.position for entry in add(journal, key, Lost(_A)).missed] == [1]

    def test_j2_each_process_sees_every_entry_once(self, journal: Journal, other: Journal, key: WorkflowKey) -> None:
        """What was missed and what is one's own, over many appends at once, is the whole list without a hole."""

        def work(number: int) -> list[int]:
            seen, folded = Seen(), list[int]()
            for turn in range(8):
                nonce = f"{number}.{turn}"
                appended = (journal, other)[number % 2].append(key, [Lost(_A)], seen=seen, nonce=nonce)
                assert not appended.has_diverged
                folded += [*(entry.position for entry in appended.missed), appended.first]
                seen = Seen(appended.first, nonce)
            return folded

        for folded in at_once(4, work):
            assert folded == list(range(1, len(folded) + 1))

    def test_j2_another_nonce_at_seen_is_a_divergence(self, journal: Journal, key: WorkflowKey) -> None:
        """If the entry at `seen` has another nonce the answer says so, and the entries are written all the same."""
        appended = journal.append(key, [Succeeded(_A)], seen=Seen(1, "other"), nonce="n", results={_A: b"value"})

        assert (appended.first, appended.has_diverged) == (2, True)
        assert journal.read(key, after=1) == (Entry(2, "n", Succeeded(_A, at_ms=appended.at_ms)),)
        assert journal.results(key, [_A]) == {_A: b"value"}

    def test_j2_seen_beyond_the_end_is_a_divergence(self, journal: Journal, key: WorkflowKey) -> None:
        """Who has seen what is not there, say of a store that was set back, is told so."""
        appended = journal.append(key, [Lost(_A)], seen=Seen(9, "n"), nonce="n")

        assert (appended.first, appended.missed, appended.has_diverged) == (2, (), True)

    def test_j2_a_nonce_may_come_again(self, journal: Journal, key: WorkflowKey) -> None:
        """An append repeated with its nonce is written again: whether that is needed, its caller looks before."""
        add(journal, key, Lost(_A), nonce="same")
        add(journal, key, Lost(_A), nonce="same")

        assert [entry.nonce for entry in journal.read(key)] == ["begin", "same", "same"]

    def test_j2_one_append_has_one_nonce_and_one_time(self, journal: Journal, key: WorkflowKey) -> None:
        """All observations of an append stand together, under its nonce, at one time."""
        appended = add(journal, key, *_OBSERVATIONS, nonce="all")

        entries = journal.read(key, after=1)
        assert {(entry.nonce, entry.observation.at_ms) for entry in entries} == {("all", appended.at_ms)}
        assert [entry.observation for entry in entries] == [evolve(it, at_ms=appended.at_ms) for it in _OBSERVATIONS]

    @pytest.mark.parametrize("after", [0, 1, 2, 3, 4, 100])
    def test_j2_read_goes_on_after_a_position(self, journal: Journal, key: WorkflowKey, after: int) -> None:
        """`read` gives the entries after a position, and nothing after the last."""
        add(journal, key, *[Lost(it) for it in attempts(2)])

        assert [entry.position for entry in journal.read(key, after=after)] == [1, 2, 3][after:]

    # J3 unknown

    @pytest.mark.parametrize("name", _NEED_THE_WORKFLOW)
    def test_j3_an_unknown_workflow_is_refused(self, journal: Journal, name: str) -> None:
        """What is asked of a workflow that is not there is refused, and creates nothing."""
        key = WorkflowKey("nobody", "1")

        with pytest.raises(UnknownWorkflowError, match="nobody"):
            _NEED_THE_WORKFLOW[name](journal, key)
        with pytest.raises(UnknownWorkflowError):
            journal.definition("nobody")
        assert journal.due(limit=10, claim_ms=LATER_MS) == ()

    @pytest.mark.parametrize("name", _NEED_THE_WORKFLOW)
    def test_j3_another_incarnation_is_refused(self, journal: Journal, key: WorkflowKey, name: str) -> None:
        """What is asked of an earlier workflow of the same id is refused, and leaves the present one alone."""
        with pytest.raises(UnknownWorkflowError):
            _NEED_THE_WORKFLOW[name](journal, WorkflowKey(key.id, "another"))

        assert journal.definition(key.id).is_open
        assert len(journal.read(key)) == 1
        assert journal.results(key, [_A]) == {}
        assert journal.annotations(key) == {}
        assert journal.due(limit=10, claim_ms=LATER_MS) == ()

    @pytest.mark.parametrize("incarnation", ["another", None])
    def test_j3_marks_and_deletion_of_the_unknown_are_ignored(
        self, journal: Journal, key: WorkflowKey, incarnation: str | None
    ) -> None:
        """A mark of, and a deletion of, a workflow that is gone change nothing and say nothing."""
        gone = WorkflowKey("nobody", "1") if incarnation is None else WorkflowKey(key.id, incarnation)

        assert journal.mark(gone, [Mark(MarkKind.SENT, _A)]) > 0
        journal.delete(gone)

        assert journal.marks(key, [_A]) == {}
        assert len(journal.read(key)) == 1

    def test_j3_a_deleted_id_created_again_is_another_workflow(self, journal: Journal) -> None:
        """Nothing of the first is left to the second, and the first stays unknown."""
        first = _furnished(journal)
        journal.delete(first.key)
        second = new_workflow(first.key.id, calls=[b"another call"], digest="other")
        journal.create(second, nonce="again", due_in_ms=LATER_MS)

        assert [entry.nonce for entry in journal.read(second.key)] == ["again"]
        assert journal.calls(second.key, [0, 1]) == {0: b"another call"}
        assert journal.results(second.key, [_A]) == {}
        assert journal.marks(second.key, [_A]) == {}
        assert journal.annotations(second.key) == {}
        with pytest.raises(UnknownWorkflowError):
            journal.read(first.key)

    def test_j3_a_delete_may_depend_on_the_last_entry(self, journal: Journal, other: Journal, key: WorkflowKey) -> None:
        """What has gone on since is left as it is; what is gone is gone, wherever its last entry was."""
        add(other, key, Lost(_A))

        assert not journal.delete(key, at=1)
        assert not journal.delete(key, at=3)
        assert [entry.position for entry in other.read(key)] == [1, 2]
        assert journal.delete(key, at=2)
        assert journal.delete(key, at=1)
        with pytest.raises(UnknownWorkflowError):
            other.read(key)

    def test_j3_of_an_append_and_a_delete_one_comes_first(self, journal: Journal, other: Journal) -> None:
        """Either the append is refused, or it keeps its workflow from being deleted: no entry is lost."""
        for _ in range(5):
            key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key

            def append_or_delete(number: int, key: WorkflowKey = key) -> bool:
                if number:
                    return other.delete(key, at=1)
                try:
                    return add(journal, key, Lost(_A)).first == 2
                except UnknownWorkflowError:
                    return False

            is_appended, is_deleted = at_once(2, append_or_delete)
            assert is_appended is not is_deleted
            if is_appended:
                assert len(journal.read(key)) == 2
            assert journal.delete(key)

    def test_j3_delete_leaves_nothing(self, journal: Journal) -> None:
        """After `delete` the workflow is unknown, not due, and may be deleted again."""
        key = _furnished(journal, due_in_ms=0).key

        journal.delete(key)
        journal.delete(key)

        assert journal.due(limit=10, claim_ms=LATER_MS) == ()
        with pytest.raises(UnknownWorkflowError):
            journal.definition(key.id)

    # J4 time

    def test_j4_times_are_the_stores_own(self, journal: Journal, key: WorkflowKey) -> None:
        """Whatever time an observation comes with, it is read back with that of the store."""
        before = journal.mark(key, [])
        appended = journal.append(key, [Lost(_A, at_ms=7)], seen=Seen(1, "begin"), nonce="n")
        after = journal.mark(key, [])

        assert before <= appended.at_ms <= after
        assert journal.read(key, after=1) == (Entry(2, "n", Lost(_A, at_ms=appended.at_ms)),)

    def test_j4_the_store_has_one_clock(self, journal: Journal, other: Journal, key: WorkflowKey) -> None:
        """Every call that answers with a time tells that of the same clock."""
        created_ms = journal.definition(key.id).created_ms
        marked_ms = journal.mark(key, [])
        journal.rest(key, in_ms=0)
        ((_, claimed_ms),) = [(it.key, it.at_ms) for it in other.due(limit=1, claim_ms=LATER_MS)]
        _, leases_ms = journal.leases()

        assert created_ms <= marked_ms <= claimed_ms <= leases_ms < created_ms + LATER_MS

    # Any text is an id

    def test_any_text_is_an_id(self, journal: Journal) -> None:
        """Ids that look like one another, or like the store's own language, are so many workflows."""
        workflows = [new_workflow(it) for it in HOSTILE]
        for workflow in workflows:
            assert journal.create(workflow, nonce="n", due_in_ms=0).is_new
        for workflow in workflows:
            add(journal, workflow.key, Lost(Attempt(workflow.key.id)))

        for workflow in workflows:
            assert journal.definition(workflow.key.id).definition == workflow.definition
            _, lost = journal.read(workflow.key)
            assert lost.observation == Lost(Attempt(workflow.key.id), at_ms=lost.observation.at_ms)
        assert {it.key for it in journal.due(limit=99, claim_ms=LATER_MS)} == {it.key for it in workflows}
        for workflow in workflows:
            journal.delete(workflow.key)

    def test_namespaces_are_apart(self, make_journal: Callable[[str], Journal], namespace: str) -> None:
        """Two namespaces of one store know nothing of each other, however alike their names are."""
        names = [namespace, namespace + " ", namespace.upper(), namespace + ":", ""]
        journals = [make_journal(name) for name in names]
        keys = [it.create(new_workflow("same"), nonce="n", due_in_ms=0).key for it in journals]

        for journal, key, name in zip(journals, keys, names, strict=True):
            assert journal.namespace == name
            assert journal.definition("same").key == key
            assert [it.key for it in journal.due(limit=9, claim_ms=LATER_MS)] == [key]
            journal.delete(key)
            journal.dispose()


def _furnished(journal: Journal, due_in_ms: int = LATER_MS) -> NewWorkflow:
    """Create a workflow that has something of everything."""
    workflow = new_workflow("furnished")
    journal.create(workflow, nonce="n", due_in_ms=due_in_ms)
    journal.append(workflow.key, [Succeeded(_A)], seen=Seen(), nonce="n", results={_A: b"value"})
    journal.mark(workflow.key, [Mark(MarkKind.SENT, _A)])
    journal.annotate(workflow.key, {"name": 1})
    return workflow
