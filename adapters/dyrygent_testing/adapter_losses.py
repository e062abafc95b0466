"""The rules of the adapter suite about what dies: workers, messages, and what stands in for them (A11)."""

from __future__ import annotations

import threading
from typing import Final

from dyrygent_core import Attempt, Lost, OnLoss, Status, Succeeded, Workflow, WorkflowState
from dyrygent_core.ports import Capability
from dyrygent_runtime import Run
from dyrygent_testing.adapter_basis import AdapterBasis, Case, needs

__all__ = ["LossRules"]

_STOPS_FOR_S: Final = 0.5
"""For so long a task runs on in a worker that was told to stop."""
_TELLS_OF_DEATH = (Capability.LEASES, Capability.REPORTS_LOSS)


class LossRules(AdapterBasis):
    """Clause A11."""

    def test_a11_a_worker_dies_in_the_midst_of_a_task(self, case: Case) -> None:
        """The attempt is lost, another takes its place, and the workflow ends as if nothing had happened."""
        needs(case.engine, *_TELLS_OF_DEATH)
        workflow = Workflow()
        first = workflow.add(case.here("hold_first", "struck"), id="struck")
        workflow.add(case.call("give", first.result), id="below")
        run = _killed(case, workflow)

        assert case.ended(run) is WorkflowState.SUCCESS
        executions = case.count("struck")
        assert executions == run.result() == 2
        assert run.state.attempt("struck") == Attempt("struck", 0, 2)
        outcomes = case.outcomes(run.key)
        assert [type(it) for it in outcomes[Attempt("struck")]] == [Lost]
        assert [type(it) for it in outcomes[Attempt("struck", 0, 2)]] == [Succeeded]

    def test_a11_a_loss_may_be_a_failure(self, case: Case) -> None:
        """Where the node says `on_loss="fail"` a death ends it, and it does not run again."""
        needs(case.engine, *_TELLS_OF_DEATH)
        workflow = Workflow()
        workflow.add(case.here("hold_first", "struck"), id="struck", on_loss=OnLoss.FAIL)
        run = _killed(case, workflow)

        assert case.ended(run) is WorkflowState.FAILURE
        assert run.status("struck") is Status.FAILED
        assert run.state.attempt("struck").number == 1

    def test_a11_what_waits_outlives_the_worker(self, case: Case) -> None:
        """What a worker held unstarted, or had not taken yet, runs in another after its death."""
        needs(case.engine, Capability.SURVIVES)
        workflow = Workflow()
        struck = [workflow.add(case.here("hold_first", f"struck {it}")) for it in range(case.engine.slots)]
        waiting = [workflow.add(case.here("note", f"waits {it}", it)) for it in range(10)]
        workflow.returns([[it.result for it in struck], [it.result for it in waiting]])
        run = case.start(workflow)
        for number in range(case.engine.slots):
            case.has_begun(f"struck {number}")
        case.engine.kill_worker()
        case.engine.start_worker()

        assert case.ended(run) is WorkflowState.SUCCESS
        assert run.result() == [[2] * case.engine.slots, list(range(10))]

    def test_a11_what_is_sent_waits_for_a_worker(self, case: Case) -> None:
        """While no worker runs a workflow starts, and nothing of it is lost."""
        needs(case.engine, Capability.SURVIVES)
        case.engine.stop_worker()
        workflow = Workflow()
        first = workflow.add(case.here("note", "first", 1))
        workflow.add(case.call("give", first.result))
        run = case.start(workflow)
        assert case.count("first") == 0
        case.engine.start_worker()

        assert case.ended(run) is WorkflowState.SUCCESS
        assert (run.result(), case.count("first")) == (1, 1)

    def test_a11_a_worker_that_is_stopped_takes_its_tasks_to_their_end(self, case: Case) -> None:
        """Stopping in order loses nothing and runs nothing twice: what ran is reported, what waits is left."""
        workflow = Workflow()
        first = workflow.add(case.here("hold", "first", 1))
        second = workflow.add(case.here("note", "second", first.result))
        workflow.add(case.call("give", second.result))
        run = case.start(workflow)
        case.has_begun("first")
        opens = threading.Timer(_STOPS_FOR_S, case.open)
        opens.start()
        try:
            case.engine.stop_worker()
        finally:
            opens.join()
        case.engine.start_worker()

        assert case.ended(run) is WorkflowState.SUCCESS
        assert (run.result(), case.count("first"), case.count("second")) == (1, 1, 1)

    def test_a11_a_message_is_lost(self, case: Case) -> None:
        """What the engine forgot before it was marked as sent is sent by the sweep when the grace is over."""
        case.engine.stop_worker()
        prepared = case.prepare_each(case.here("note", "forgotten", 1))
        case.dispatch(prepared)
        case.until(case.engine.queued_ids, "its message")
        case.engine.forget(prepared.one.attempt_id)
        assert list(case.engine.queued_ids()) == []
        case.engine.start_worker()
        case.journal.remind(prepared.key, in_ms=0)

        (outcome,) = case.reported(prepared).values()
        assert isinstance(outcome, Succeeded)
        assert case.count("forgotten") == 1


def _killed(case: Case, workflow: Workflow) -> Run:
    """Start a workflow, and kill its worker when the start of `struck` has been marked."""
    run = case.start(workflow)
    case.has_begun("struck")
    attempt = Attempt("struck")
    if Capability.REPORTS_START in case.adapter.capabilities:
        case.until(lambda: case.journal.marks(run.key, [attempt])[attempt].started_ms is not None, "its started mark")
    case.engine.kill_worker()
    case.engine.start_worker()
    return run
