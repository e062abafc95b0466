"""The rules of the journal suite about what lies beside the entries.

Results (J7), definition and calls (J8), connections (J9), and the hints: marks, annotations, leases.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from dyrygent_core import Attempt, EncodingError, Lost, Succeeded
from dyrygent_core.errors import UnknownWorkflowError
from dyrygent_core.ports import Journal, Lease, Mark, MarkKind, Marks, Seen, WorkflowKey
from dyrygent_testing.journal_basis import (
    HOSTILE,
    LATER_MS,
    JournalBasis,
    add,
    at_once,
    eventually,
    new_workflow,
)

__all__ = ["BesideRules"]

_A, _B = Attempt("a"), Attempt("b")


class BesideRules(JournalBasis):
    """Clauses J7 to J9, and the hints."""

    # J7 results

    def test_j7_a_result_comes_with_its_outcome(self, journal: Journal, other: Journal, key: WorkflowKey) -> None:
        """What an append brings is there, byte for byte, as soon as its entry is."""
        values = {_A: bytes(range(256)), _B: b"", Attempt("a", 3, 2): b"\xff\x00", Attempt("a", 3): b"another"}
        journal.append(key, [Succeeded(it) for it in values], seen=Seen(), nonce="n", results=values)

        assert other.results(key, [*values, Attempt("nobody")]) == values
        assert other.results(key, []) == {}

    def test_j7_the_first_result_of_an_attempt_stays(self, journal: Journal, key: WorkflowKey) -> None:
        """A later append of the same attempt brings its entry, and leaves the value; other values are taken."""
        for value in (b"first", b"second"):
            journal.append(
                key, [Succeeded(_A)], seen=Seen(), nonce="n", results={_A: value, Attempt("a", 0, 2): value + b"!"}
            )
        journal.append(key, [Succeeded(_B)], seen=Seen(), nonce="n", results={_A: b"third", _B: b"b"})

        assert journal.results(key, [_A, _B]) == {_A: b"first", _B: b"b"}

    def test_j7_a_refused_append_brings_no_result(self, journal: Journal, key: WorkflowKey) -> None:
        """What cannot be written down is refused before anything is: neither entry nor result."""
        unwritable = Succeeded(_A, ran=object())  # type: ignore[arg-type]  # that is the point
        with pytest.raises((TypeError, AttributeError, EncodingError)):
            journal.append(key, [Lost(_B), unwritable], seen=Seen(), nonce="n", results={_A: b"value"})

        assert len(journal.read(key)) == 1
        assert journal.results(key, [_A]) == {}

    def test_j7_large_results(self, journal: Journal, key: WorkflowKey) -> None:
        """Values of several megabytes are kept like any other, and many in one append."""
        large = bytes(range(256)) * (5 << 12)
        values = {_A: large, **{Attempt("m", it): b"%d" % it for it in range(3_000)}}
        journal.append(key, [Succeeded(_A)], seen=Seen(), nonce="n", results=values)

        assert journal.results(key, list(values)) == values

    # J8 once

    def test_j8_definition_and_calls_come_back(self, journal: Journal, other: Journal) -> None:
        """What `create` wrote is read back byte for byte; calls one by one, only those asked for."""
        workflow = new_workflow(calls=[b"", bytes(range(256)), b"two"], digest="some digest")
        created = journal.create(workflow, nonce="n", due_in_ms=LATER_MS)
        stored = other.definition(workflow.key.id)

        assert (created.key, created.digest, created.is_new) == (workflow.key, "some digest", True)
        assert (stored.key, stored.digest, stored.definition) == (workflow.key, "some digest", workflow.definition)
        assert stored.is_open
        assert stored.created_ms == created.at_ms
        assert other.calls(workflow.key, [2, 0]) == {0: b"", 2: b"two"}
        assert other.calls(workflow.key, [1, 9]) == {1: bytes(range(256))}
        assert other.calls(workflow.key, []) == {}

    def test_j8_an_append_reads_calls_along(self, journal: Journal, other: Journal) -> None:
        """The answer to an append has the calls that were asked for with it, and no others, even if it has diverged."""
        workflow = new_workflow(calls=[b"", bytes(range(256)), *[b"call %d" % it for it in range(2, 300)]])
        key = journal.create(workflow, nonce="n", due_in_ms=LATER_MS).key

        def read_along(*numbers: int, nonce: str = "n") -> Mapping[int, bytes]:
            value = {_A: b"value"}
            seen = Seen(1, nonce)
            return other.append(key, [Succeeded(_A)], seen=seen, nonce="m", results=value, calls=numbers).calls

        assert read_along(2, 0) == {0: b"", 2: b"call 2"}
        assert read_along(1, 900) == {1: bytes(range(256))}
        assert read_along() == {}
        assert read_along(1, nonce="another") == {1: bytes(range(256))}
        assert read_along(*range(300)) == dict(enumerate(workflow.calls))
        assert len(journal.read(key)) == 6
        assert journal.results(key, [_A]) == {_A: b"value"}

    def test_j8_creating_again_is_idempotent(self, journal: Journal, other: Journal) -> None:
        """The same incarnation twice is one workflow, and both answers are the same."""
        workflow = new_workflow()
        first = journal.create(workflow, nonce="n", due_in_ms=LATER_MS)
        add(journal, workflow.key, Lost(_A))
        second = other.create(workflow, nonce="n", due_in_ms=0)

        assert second == first
        assert len(journal.read(workflow.key)) == 2
        assert journal.calls(workflow.key, [0, 1]) == {0: b"call 0", 1: b"call 1"}
        assert journal.due(limit=9, claim_ms=LATER_MS) == ()

    def test_j8_an_id_that_is_taken_stays_as_it_is(self, journal: Journal, key: WorkflowKey) -> None:
        """Creating over another incarnation answers with that one, and changes nothing."""
        intruder = new_workflow(key.id, calls=[b"x", b"y", b"z"], digest="other")
        created = journal.create(intruder, nonce="m", due_in_ms=0)

        assert (created.key, created.digest, created.is_new) == (key, "d", False)
        assert [entry.nonce for entry in journal.read(key)] == ["begin"]
        assert journal.calls(key, [0, 1, 2]) == {0: b"call 0", 1: b"call 1"}
        assert journal.due(limit=9, claim_ms=LATER_MS) == ()
        with pytest.raises(UnknownWorkflowError):
            journal.calls(intruder.key, [0])

    def test_j8_of_many_creators_one_wins(self, journal: Journal, other: Journal) -> None:
        """Of processes that create one id at once exactly one is told that it did, and all are told who."""
        workflows = [new_workflow("same", calls=[b"%d" % it]) for it in range(4)]
        created = at_once(4, lambda it: (journal, other)[it % 2].create(workflows[it], nonce="n", due_in_ms=LATER_MS))

        (winner,) = [it for it, answer in enumerate(created) if answer.is_new]
        assert {answer.key for answer in created} == {workflows[winner].key}
        assert journal.calls(workflows[winner].key, [0]) == {0: b"%d" % winner}

    def test_j8_many_calls(self, journal: Journal, other: Journal) -> None:
        """Ten thousand calls are written with their workflow, and any thousand of them read."""
        workflow = new_workflow(calls=[b"call %d" % it for it in range(10_000)])
        assert journal.create(workflow, nonce="n", due_in_ms=LATER_MS).is_new

        wanted = range(0, 10_000, 3)
        assert other.calls(workflow.key, wanted) == {it: b"call %d" % it for it in wanted}
        other.delete(workflow.key)

    # J9 connections

    def test_j9_a_disposed_journal_opens_again(self, journal: Journal, other: Journal, key: WorkflowKey) -> None:
        """`dispose` closes this process's connections; the next call opens them, and nothing is lost."""
        journal.dispose()
        journal.dispose()
        add(journal, key, Lost(_A))
        other.dispose()

        assert len(other.read(key)) == 2

    # Marks

    def test_marks_tell_of_sending_and_starting(self, journal: Journal, other: Journal, key: WorkflowKey) -> None:
        """Marks of an attempt add up: how often and when last it was sent, when and where it was started."""
        once = journal.mark(key, [Mark(MarkKind.SENT, _A), Mark(MarkKind.SENT, _B)])
        assert other.marks(key, [_A, _B]) == {_A: Marks(1, once), _B: Marks(1, once)}

        twice = other.mark(key, [Mark(MarkKind.SENT, _A)])
        started = journal.mark(key, [Mark(MarkKind.STARTED, _A, "w", "boot")])
        assert journal.marks(key, [_A, _B]) == {_A: Marks(2, twice, started, "w", "boot"), _B: Marks(1, once)}

        journal.mark(key, [Mark(MarkKind.CLEARED, _A)])
        assert journal.marks(key, [_A, _B]) == {_A: Marks(2, twice), _B: Marks(1, once)}

    def test_a_start_may_be_marked_before_the_sending(self, journal: Journal, key: WorkflowKey) -> None:
        """Marks come in any order; those of one call are set in its order."""
        started = journal.mark(key, [Mark(MarkKind.STARTED, _A, "w", "1"), Mark(MarkKind.STARTED, _A, "v", "2")])
        assert journal.marks(key, [_A, _B]) == {_A: Marks(0, None, started, "v", "2")}

        sent = journal.mark(key, [Mark(MarkKind.SENT, _A)])
        assert journal.marks(key, [_A, _B]) == {_A: Marks(1, sent, started, "v", "2")}

    def test_only_marks_that_are_asked_for_are_given(self, journal: Journal, key: WorkflowKey) -> None:
        """A workflow may have a hundred thousand; whoever sweeps asks for those in flight."""
        journal.mark(key, [Mark(MarkKind.SENT, _A), Mark(MarkKind.SENT, _B)])

        assert list(journal.marks(key, [_B, Attempt("nobody")])) == [_B]
        assert journal.marks(key, []) == {}

    def test_marks_move_no_position(self, journal: Journal, key: WorkflowKey) -> None:
        """A mark is a hint beside the journal: no entry, no due time."""
        journal.mark(key, [Mark(MarkKind.SENT, _A)])
        journal.mark(key, [])

        assert len(journal.read(key)) == 1
        assert journal.due(limit=9, claim_ms=LATER_MS) == ()

    def test_any_text_names_a_node(self, journal: Journal, key: WorkflowKey) -> None:
        """Nodes and workers with names that look alike are told apart, in marks and in results."""
        attempts = [Attempt(it, index, 2) for it in HOSTILE for index in (0, 1)]
        journal.mark(key, [Mark(MarkKind.STARTED, it, it.node, "boot") for it in attempts])
        results = {it: repr(it).encode() for it in attempts}
        journal.append(key, [Lost(it) for it in attempts], seen=Seen(), nonce="n", results=results)

        stored = journal.marks(key, attempts)
        assert {it: marks.worker for it, marks in stored.items()} == {it: it.node for it in attempts}
        assert journal.results(key, attempts) == results

    # Annotations

    def test_annotations_are_kept_by_name(self, journal: Journal, other: Journal, key: WorkflowKey) -> None:
        """Setting a name leaves the others, and None removes it."""
        journal.annotate(key, {"tags": ["a", "b"], "payload": {"deep": [1, 2.5, None, True, "é"]}, "old": 0})
        other.annotate(key, {"tags": [], "old": None, "absent": None})

        assert journal.annotations(key) == {"tags": [], "payload": {"deep": [1, 2.5, None, True, "é"]}}

    @pytest.mark.parametrize("value", ["", False, 0, [], {}, "null", [None]])
    def test_annotations_keep_what_looks_like_nothing(self, journal: Journal, key: WorkflowKey, value: Any) -> None:
        """Only None removes."""
        journal.annotate(key, {"name": value})

        assert journal.annotations(key) == {"name": value}

    def test_any_text_names_an_annotation(self, journal: Journal, key: WorkflowKey) -> None:
        """Names and values that look alike are told apart."""
        journal.annotate(key, {it: it for it in HOSTILE})

        assert journal.annotations(key) == {it: it for it in HOSTILE}

    def test_annotations_are_json(self, journal: Journal, key: WorkflowKey) -> None:
        """A value that JSON does not know is refused, and nothing is set."""
        for value in (object(), float("nan"), b"bytes"):
            with pytest.raises(EncodingError):
                journal.annotate(key, {"good": 1, "bad": value})

        assert journal.annotations(key) == {}

    # Leases

    def test_leases_show_the_last_two_renewals(self, journal: Journal, other: Journal) -> None:
        """A lease is kept by worker and boot, with the names it was renewed with and those of the time before."""
        first = Lease("w", "1", frozenset({"a", "b"}), frozenset({"c"}))
        second = Lease("w", "1", frozenset({"b"}), frozenset())
        third = Lease("w", "1")
        begun = journal.renew_lease(first, ttl_ms=LATER_MS)
        (view,), _ = other.leases()
        assert (view.lease, view.renewed_ms, view.expires_ms) == (first, begun, begun + LATER_MS)
        assert (view.previous, view.previous_ms) == (None, None)

        renewed = journal.renew_lease(second, ttl_ms=5)
        again = other.renew_lease(third, ttl_ms=LATER_MS)
        (view,), now_ms = journal.leases()
        assert (view.lease, view.renewed_ms, view.expires_ms) == (third, again, again + LATER_MS)
        assert (view.previous, view.previous_ms) == (second, renewed)
        assert begun <= renewed <= again <= now_ms

    def test_leases_run_out_and_stay_to_be_seen(self, journal: Journal) -> None:
        """A lease that ran out is told of, with the time that shows it."""
        lease = Lease("w", "1", frozenset({"a"}))
        renewed = journal.renew_lease(lease, ttl_ms=1)

        eventually(lambda: journal.leases()[1] > renewed + 1)
        views, now_ms = journal.leases()
        assert [(it.lease, it.expires_ms < now_ms) for it in views] == [(lease, True)]

    def test_a_lease_may_be_given_back(self, journal: Journal) -> None:
        """Renewed for no time at all it is seen as just that."""
        journal.renew_lease(Lease("w", "1", frozenset({"a"})), ttl_ms=LATER_MS)
        given_back = journal.renew_lease(Lease("w", "1"), ttl_ms=0)
        (view,), _ = journal.leases()

        assert (view.lease, view.renewed_ms, view.expires_ms) == (Lease("w", "1"), given_back, given_back)

    def test_each_boot_has_its_lease(self, journal: Journal) -> None:
        """Workers of one name, or boots of one worker, however named, do not overwrite each other."""
        leases = [Lease(it, boot, frozenset({it})) for it in HOSTILE for boot in ("1", "2")]
        leases += [Lease("a", "b:c"), Lease("a:b", "c"), Lease("", "ab"), Lease("ab", "")]
        for lease in leases:
            journal.renew_lease(lease, ttl_ms=LATER_MS)

        views, _ = journal.leases()
        assert {it.lease for it in views} == set(leases)
