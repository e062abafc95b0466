"""The rules of the adapter suite about what comes back: reports (A2), and what comes again or late (A10)."""

from __future__ import annotations

from typing import Any, Final

import pytest

from dyrygent_core import (
    Attempt,
    Failed,
    Failure,
    Lost,
    OnLoss,
    Skipped,
    Status,
    Succeeded,
    Workflow,
    WorkflowState,
)
from dyrygent_core.nodes import Path
from dyrygent_core.ports import Capability, Finding
from dyrygent_testing.adapter_basis import AdapterBasis, Case, needs

__all__ = ["ReportRules"]

_FAILURES: Final[dict[str, tuple[list[Any], Failure]]] = {
    "plain": (["ValueError", "boom"], Failure("ValueError", "boom", "builtins", ("boom",))),
    "no text": (["ValueError"], Failure("ValueError", "", "builtins", ())),
    "another text than its arguments": (["KeyError", "k"], Failure("KeyError", "'k'", "builtins", ("k",))),
    "several arguments": (
        ["TwoParts", 7, "caf\u00e9 \U0001f3bb"],
        Failure(
            "TwoParts", "(7, 'caf\u00e9 \U0001f3bb')", "dyrygent_testing.adapter_tasks", (7, "caf\u00e9 \U0001f3bb")
        ),
    ),
}


class ReportRules(AdapterBasis):
    """Clauses A2 and A10."""

    # A2 what is reported

    def test_a2_a_value_is_kept_where_it_is_wanted(self, case: Case) -> None:
        """With the report of a success comes its value, if the dispatch says that it is kept."""
        prepared = case.prepare_each(case.call("give", {"n": [1]}))
        case.dispatch(prepared)

        assert isinstance(case.reported(prepared)[Attempt("0")], Succeeded)
        assert case.value(prepared, Attempt("0")) == {"n": [1]}

    def test_a2_an_execution_is_reported_once(self, case: Case) -> None:
        """What was sent once and ran once comes to one outcome."""
        prepared = case.prepare_each(case.here("note", "success", 1), case.call("fail", "ValueError", "x"))
        case.dispatch(prepared)
        case.reported(prepared)
        case.is_serving()

        assert [len(its) for its in case.outcomes(prepared.key).values()] == [1, 1]
        assert case.count("success") == 1

    def test_a2_a_value_that_nobody_wants_is_not_kept(self, case: Case) -> None:
        """Results of which the dispatch says that they are not kept are not in the journal."""
        workflow = Workflow()
        workflow.add(case.call("give", "unwanted"), id="0")
        workflow.returns(None)
        prepared = case.prepare(workflow)
        assert not prepared.one.is_kept
        case.dispatch(prepared)

        assert isinstance(case.reported(prepared)[Attempt("0")], Succeeded)
        assert case.journal.results(prepared.key, [Attempt("0")]) == {}

    @pytest.mark.parametrize("kind", _FAILURES)
    def test_a2_a_failure_is_told_as_it_was(self, case: Case, kind: str) -> None:
        """Of an exception its class, text, module and plain arguments are told."""
        args, failure = _FAILURES[kind]
        outcome = case.ran(case.call("fail", *args))

        assert isinstance(outcome, Failed)
        assert (outcome.failure, outcome.is_revoked) == (failure, False)
        assert outcome.failure.args == failure.args

    def test_a2_an_exception_that_cannot_be_told(self, case: Case) -> None:
        """One whose own text raises is a failure like any other, and the worker lives on."""
        outcome = case.ran(case.call("fail", "Unspeakable"))

        assert isinstance(outcome, Failed)
        assert outcome.failure.type == "Unspeakable"
        case.is_serving()

    def test_a2_a_task_may_skip_itself(self, case: Case) -> None:
        """`SkipNode` is no failure, and its reason is told."""
        outcome = case.ran(case.call("skip", "nothing to do \u2713"))

        assert isinstance(outcome, Skipped)
        assert outcome.reason == "nothing to do \u2713"

    def test_a2_a_task_may_take_branches(self, case: Case) -> None:
        """A `Take` is its value, and the branches that it names."""
        workflow = Workflow()
        chooser = workflow.add(case.call("take", {"n": 1}, ["left"]), id="chooser")
        workflow.add(case.call("give", chooser.result["n"]), id="left")
        workflow.add(case.here("note", "right"), id="right", after=[chooser])
        prepared = case.prepare(workflow)
        case.dispatch(prepared)

        outcome = case.reported(prepared)[Attempt("chooser")]
        assert isinstance(outcome, Succeeded)
        assert outcome.branches == ("left",)
        assert case.value(prepared, Attempt("chooser")) == {"n": 1}

    def test_a2_lists_that_others_map_over_are_measured(self, case: Case) -> None:
        """A success tells how long the lists are at the paths that its dispatch names, in their order."""
        workflow = Workflow()
        source = workflow.add(case.call("give", {"a": [1, 2, 3], "b": [[], [0] * 5], "c": 7}), id="source")
        for number, path in enumerate((source.result["a"], source.result["b"][1], source.result["c"])):
            workflow.add(case.call("give", workflow.item), id=f"over {number}", each=path)
        prepared = case.prepare(workflow)
        expected: dict[Path, int] = {("a",): 3, ("b", 1): 5, ("c",): -1}
        assert set(prepared.one.measure) == set(expected)
        case.dispatch(prepared)

        outcome = case.reported(prepared)[Attempt("source")]
        assert isinstance(outcome, Succeeded)
        assert outcome.sizes == tuple(expected[path] for path in prepared.one.measure)

    def test_a2_a_wanted_result_that_cannot_be_written_is_a_failure(self, case: Case) -> None:
        """It fails for good, whatever the retry policy says, for it would fail again."""
        workflow = Workflow()
        workflow.add(case.call("unwritable"), id="odd", max_attempts=3)
        run = case.start(workflow)

        assert case.ended(run) is WorkflowState.FAILURE
        assert run.state.attempt("odd").number == 1
        case.is_serving()

    def test_a2_a_large_result_comes(self, case: Case) -> None:
        """A result may take megabytes."""
        prepared = case.prepare_each(case.call("letters", 3 << 20))
        case.dispatch(prepared)
        case.reported(prepared)

        assert len(case.value(prepared, Attempt("0"))) == 3 << 20

    def test_a2_starts_are_marked(self, case: Case) -> None:
        """While an attempt runs it is marked where, and in whose lease it is; and its report tells when it ran."""
        needs(case.engine, Capability.REPORTS_START)
        prepared = case.prepare_each(case.here("hold", "held"))
        attempt = prepared.one.attempt
        case.dispatch(prepared)
        case.has_begun("held")
        marks = case.journal.marks(prepared.key, [attempt])[attempt]

        assert marks.started_ms is not None
        assert marks.worker
        if Capability.LEASES in case.adapter.capabilities:
            case.until(lambda: _names(case, marks.worker, marks.boot, prepared.one.attempt_id), "a lease that names it")
        case.open()
        outcome = case.reported(prepared)[attempt]
        assert isinstance(outcome, Succeeded)
        assert outcome.ran is not None
        assert (outcome.ran.started_ms, outcome.ran.worker) == (marks.started_ms, marks.worker)

    @pytest.mark.parametrize("name", ["give", "fail"])
    def test_a2_the_engines_own_record_comes_first(self, case: Case, name: str) -> None:
        """As soon as an outcome is in the journal, the engine tells it too: what `lookup` says is never behind."""
        needs(case.engine, Capability.LOOKUP)
        for _ in range(5):
            prepared = case.prepare_each(case.call(name, "ValueError", "x"))
            case.dispatch(prepared)
            while not case.journal.watch(prepared.key, after=1, timeout_ms=1_000):
                case.until(lambda: True, "a report")
            finding = case.adapter.lookup(prepared.submissions).get(prepared.one.attempt, Finding())
            (outcome,) = case.reported(prepared).values()
            assert type(finding.outcome) is type(outcome)

    def test_a2_a_deleted_workflow_stays_deleted(self, case: Case) -> None:
        """The report of an attempt whose workflow is gone creates nothing, and harms nobody."""
        prepared = case.prepare_each(case.here("hold", "held"))
        case.dispatch(prepared)
        case.has_begun("held")
        case.journal.delete(prepared.key)
        case.open()

        case.is_serving()
        assert case.journal.delete(prepared.key)

    def test_a2_a_task_that_leaves_its_worker_comes_to_an_end(self, case: Case) -> None:
        """`sys.exit` in a task leaves no workflow without an end, whether it counts as a failure or a loss."""
        needs(case.engine, Capability.LEASES, Capability.REPORTS_LOSS)
        workflow = Workflow()
        workflow.add(case.call("leave"), id="leaves", on_loss=OnLoss.FAIL)
        run = case.start(workflow)

        assert case.ended(run) is WorkflowState.FAILURE
        case.is_serving()

    # A10 again, and late

    def test_a10_an_id_may_be_sent_twice(self, case: Case) -> None:
        """In one batch, while it runs, and after its end: its first outcome stays, and the worker serves on."""
        prepared = case.prepare_each(case.here("hold_first", "again"))
        attempt = prepared.one.attempt
        assert case.adapter.dispatch([prepared.one, prepared.one]) == ()
        case.has_begun("again")
        assert case.adapter.dispatch(prepared.batch) == ()
        case.open()
        case.reported(prepared)
        first = case.value(prepared, attempt)
        assert case.adapter.dispatch(prepared.batch) == ()
        case.is_serving()

        assert all(isinstance(it, Succeeded) for it in case.outcomes(prepared.key)[attempt])
        assert case.value(prepared, attempt) == first

    def test_a10_a_message_may_be_delivered_twice(self, case: Case) -> None:
        """Each execution reports, the first outcome counts, and what follows from it runs once."""
        case.engine.stop_worker()
        workflow = Workflow()
        first = workflow.add(case.here("hold_first", "first"), id="first")
        workflow.add(case.here("note", "second", first.result), id="second")
        run = case.start(workflow)
        (attempt_id,) = case.until(case.engine.queued_ids, "its message")
        case.engine.repeat(attempt_id)
        case.until(lambda: list(case.engine.queued_ids()) == [attempt_id] * 2, "its message twice")
        case.engine.start_worker()
        times = 1 if case.engine.drops_repeats else 2
        case.has_begun("first", times)
        case.open()

        assert case.ended(run) is WorkflowState.SUCCESS
        counted = run.result("first")
        case.until(lambda: len(case.outcomes(run.key)[Attempt("first")]) == times, "each report")
        assert case.count("first") == times
        assert run.result("first") == counted
        assert (case.count("second"), run.result()) == (1, counted)

    def test_a10_a_result_may_come_after_its_attempt_was_lost(self, case: Case) -> None:
        """The attempt that took its place counts; the late one changes neither status nor value, and harms nobody."""
        workflow = Workflow()
        slow = workflow.add(case.here("hold_first", "slow"), id="slow", max_losses=3)
        workflow.add(case.here("note", "below", slow.result), id="below")
        run = case.start(workflow)
        case.has_begun("slow")
        case.adapter.conductor.turn(run.key, [Lost(Attempt("slow"), "says the suite")])

        assert case.ended(run) is WorkflowState.SUCCESS
        assert run.result() == 2
        case.open()
        late = case.until(lambda: case.outcomes(run.key)[Attempt("slow")][1:], "the late report")
        assert isinstance(late[0], Succeeded)
        assert (run.status("slow"), run.result("slow"), run.result()) == (Status.SUCCEEDED, 2, 2)
        assert run.workflow_state is WorkflowState.SUCCESS
        assert case.count("below") == 1

    def test_a10_an_attempt_may_run_after_the_end(self, case: Case) -> None:
        """A message that was taken for lost may still be delivered when all is over: nothing changes any more."""
        prepared = case.prepare_each(case.here("fail_until", "late", 1))
        conductor, attempt = case.adapter.conductor, prepared.one.attempt
        conductor.turn(prepared.key, [Lost(attempt, "says the suite")])
        case.until(lambda: conductor.refresh(prepared.key).state.is_finished, "the end, by the second attempt")
        case.dispatch(prepared)

        if case.engine.drops_repeats:
            case.is_serving()
            assert case.count("late") == 1
        else:
            late = case.until(lambda: case.outcomes(prepared.key)[attempt][1:], "the first attempt's late end")
            assert isinstance(late[0], Succeeded)
        state = conductor.refresh(prepared.key).state
        assert (state.status("0"), state.workflow_state) == (Status.FAILED, WorkflowState.FAILURE)


def _names(case: Case, worker: str, boot: str, attempt_id: str) -> bool:
    views = (view.lease for view in case.journal.leases()[0])
    return any((it.worker, it.boot) == (worker, boot) and attempt_id in it.active for it in views)
