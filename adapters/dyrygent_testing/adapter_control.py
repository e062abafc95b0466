"""The rules of the adapter suite about what the engine is asked: look-up, revocation, queues, hand-over, publishing.

Clauses A3, A4, A5, A6 and A8. What an adapter does not claim must do nothing; what it claims must hold.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import Any, Final

import pytest
from attrs import evolve

from dyrygent_core import Attempt, Failed, Failure, Lost, Skipped, Succeeded, Workflow, WorkflowState
from dyrygent_core.errors import AdapterUnavailableError, UnknownWorkflowError
from dyrygent_core.observations import Outcome
from dyrygent_core.ports import Capability, Finding, Submission, WorkflowKey, WorkflowOutcome
from dyrygent_testing.adapter_basis import AdapterBasis, Case, Prepared, needs, submission_of

__all__ = ["ControlRules"]

_HOUR_MS: Final = 3_600_000
_ENDS: Final[dict[str, tuple[str, list[Any], type[Outcome]]]] = {
    "success": ("give", [{"n": [1, None]}], Succeeded),
    "failure": ("fail", ["ValueError", "boom"], Failed),
    "skip": ("skip", ["nothing to do"], Skipped),
}


class ControlRules(AdapterBasis):
    """Clauses A3 to A6, and A8."""

    # A3 lookup

    def test_a3_nothing_is_found_of_the_unknown(self, case: Case) -> None:
        """The engine shows no sign of what was never sent."""
        assert dict(case.adapter.lookup(_unknown(3))) == {}
        assert dict(case.adapter.lookup(())) == {}

    @pytest.mark.parametrize("end", _ENDS)
    def test_a3_what_is_found_is_what_was_reported(self, case: Case, end: str) -> None:
        """A finding is never at odds with the report; an adapter that claims LOOKUP has one, with the value."""
        name, args, kind = _ENDS[end]
        prepared = case.prepare_each(case.call(name, *args))
        case.dispatch(prepared)
        (reported,) = case.reported(prepared).values()
        assert isinstance(reported, kind)
        found = [case.adapter.lookup(prepared.submissions) for _ in range(2)]

        assert found[0] == found[1]
        finding = found[0].get(prepared.one.attempt, Finding())
        if finding.outcome is None:
            assert Capability.LOOKUP not in case.adapter.capabilities
            pytest.skip("the adapter does not claim LOOKUP")
        assert isinstance(finding.outcome, kind)
        assert finding.outcome.attempt == prepared.one.attempt
        if isinstance(finding.outcome, Failed) and isinstance(reported, Failed):
            assert (finding.outcome.failure.type, finding.outcome.failure.message) == ("ValueError", "boom")
        if isinstance(finding.outcome, Succeeded):
            assert finding.value is not None
            assert case.adapter.values.decode(finding.value) == args[0]
        if isinstance(finding.outcome, Skipped):
            assert finding.outcome.reason == args[0]

    def test_a3_what_runs_has_not_ended(self, case: Case) -> None:
        """Of an attempt that runs, and of one that waits behind it, no outcome is found."""
        held, prepared = _fill(case), case.prepare_each(case.call("give", 1))
        case.dispatch(prepared)
        for it in (held, prepared):
            findings = case.adapter.lookup(it.submissions).values()
            assert [finding.outcome for finding in findings if finding.outcome is not None] == []
        case.open()
        case.reported(prepared)

    def test_a3_many_are_looked_up_at_once(self, case: Case) -> None:
        """One call may ask for hundreds, known and unknown; each finding is of its own attempt."""
        prepared = case.prepare_each(*(case.call("give", it) for it in range(20)))
        case.dispatch(prepared)
        case.reported(prepared)
        unknown = _unknown(300)
        found = case.adapter.lookup([*unknown[:150], *prepared.submissions, *unknown[150:]])

        assert set(found) <= {item.attempt for item in prepared.batch}
        for attempt, finding in found.items():
            if finding.value is not None:
                assert case.adapter.values.decode(finding.value) == int(attempt.node)
        needs(case.engine, Capability.LOOKUP)
        assert len(found) == 20

    def test_a3_a_record_from_before_the_attempt_is_not_its_own(self, case: Case) -> None:
        """What the engine recorded under an id long before the attempt was emitted tells nothing of it."""
        needs(case.engine, Capability.LOOKUP)
        prepared = case.prepare_each(case.call("give", 1))
        case.dispatch(prepared)
        case.reported(prepared)
        later = submission_of(prepared.one, since_ms=case.journal.mark(prepared.key, []) + _HOUR_MS)

        finding = case.adapter.lookup([later]).get(prepared.one.attempt, Finding())
        assert finding.outcome is None

    def test_a3_an_engine_that_is_away_is_told_from_no_sign(self, case: Case) -> None:
        """In an outage nothing is taken for unknown: either it is known all the same, or the look-up raises."""
        needs(case.engine, Capability.LOOKUP)
        prepared = case.prepare_each(case.call("give", 1))
        case.dispatch(prepared)
        case.reported(prepared)
        with case.engine.outage(), contextlib.suppress(AdapterUnavailableError):
            assert prepared.one.attempt in case.adapter.lookup(prepared.submissions)

    # A4 revoke

    def test_a4_revoking_what_is_unknown_or_over_is_no_error(self, case: Case) -> None:
        """It raises nothing and changes nothing, however often it is asked."""
        prepared = case.prepare_each(case.call("give", 1))
        case.dispatch(prepared)
        before = case.reported(prepared)
        for _ in range(2):
            case.adapter.revoke(_unknown(3))
            case.adapter.revoke(prepared.submissions)
            case.adapter.revoke(())

        case.is_serving()
        assert case.reported(prepared) == before
        assert len(case.outcomes(prepared.key)[prepared.one.attempt]) == 1

    def test_a4_what_waits_is_dropped(self, case: Case) -> None:
        """An attempt that was revoked before it began does not run; if its end is told, as revoked; others run."""
        needs(case.engine, Capability.REVOKE_WAITING)
        _fill(case)
        prepared = case.prepare_each(case.here("note", "revoked"), case.here("note", "spared"))
        case.dispatch(prepared)
        case.adapter.revoke([submission_of(prepared.batch[0])])
        case.adapter.revoke([submission_of(prepared.batch[0])])
        case.open()
        case.reported(evolve(prepared, batch=prepared.batch[1:]))
        case.is_serving()

        assert (case.count("revoked"), case.count("spared")) == (0, 1)
        for outcome in case.outcomes(prepared.key).get(prepared.batch[0].attempt, ()):
            assert isinstance(outcome, Lost) or (isinstance(outcome, Failed) and outcome.is_revoked)

    def test_a4_what_runs_is_stopped(self, case: Case) -> None:
        """An attempt that was revoked while it runs comes to its end, as one that was revoked or lost."""
        needs(case.engine, Capability.REVOKE_RUNNING)
        prepared = case.prepare_each(case.here("hold", "held"))
        case.dispatch(prepared)
        case.has_begun("held")
        case.adapter.revoke(prepared.submissions)

        (outcome,) = case.reported(prepared).values()
        assert isinstance(outcome, Lost) or (isinstance(outcome, Failed) and outcome.is_revoked)
        case.is_serving()

    # A5 publish

    def test_a5_any_end_may_be_told_again(self, case: Case) -> None:
        """Publishing may be repeated, whatever the workflow came to; also for one that the engine never heard of."""
        prepared = case.prepare_each(case.call("give", 1))
        failure = Failure("ValueError", "boom", "builtins", ("boom",))
        failed = prepared.submissions[0]
        for outcome in (
            WorkflowOutcome(prepared.key, WorkflowState.SUCCESS, {"n": [1]}),
            WorkflowOutcome(prepared.key, WorkflowState.FAILURE, failed=failed, failure=failure),
            WorkflowOutcome(prepared.key, WorkflowState.ERROR, untold=((failed.attempt_id, failure),)),
            WorkflowOutcome(prepared.key, WorkflowState.CANCELLED),
            WorkflowOutcome(prepared.key, WorkflowState.RUNNING),
        ):
            case.adapter.publish(outcome)
            case.adapter.publish(outcome)

    def test_a5_the_end_is_made_known(self, case: Case) -> None:
        """Whoever asks the engine for a workflow's end is told it, with its value."""
        needs(case.engine, Capability.PUBLISHES)
        workflow = Workflow()
        workflow.add(case.call("give", {"n": [1]}))
        run = case.start(workflow)
        case.ended(run)

        assert case.until(lambda: case.engine.told(run.id), "its end in the engine") == (
            WorkflowState.SUCCESS,
            {"n": [1]},
        )

    def test_a5_a_rerun_takes_back_what_was_told(self, case: Case) -> None:
        """While a workflow runs again the engine tells no end of it; then it tells the new one."""
        needs(case.engine, Capability.PUBLISHES)
        workflow = Workflow()
        flaky = workflow.add(case.here("fail_unless_open", "flaky"), id="flaky")
        workflow.add(case.call("give", flaky.result))
        run = case.start(workflow)
        case.ended(run)
        told = case.until(lambda: case.engine.told(run.id), "its first end in the engine")
        assert told is not None
        assert told[0] is WorkflowState.FAILURE
        case.adapter.publish(WorkflowOutcome(run.key, WorkflowState.RUNNING))
        assert case.engine.told(run.id) is None
        case.open()
        run.rerun()
        case.ended(run)

        assert case.until(lambda: case.engine.told(run.id), "its second end in the engine") == (
            WorkflowState.SUCCESS,
            "flaky",
        )

    # A6 waiting

    def test_a6_nothing_is_told_that_is_not_known(self, case: Case) -> None:
        """An adapter that does not claim WAITING tells no number."""
        unknown = _unknown(3)
        if Capability.WAITING in case.adapter.capabilities:
            assert set(case.adapter.waiting(unknown)) <= {it.attempt for it in unknown}
        else:
            assert dict(case.adapter.waiting(unknown)) == {}
        assert dict(case.adapter.waiting(())) == {}

    def test_a6_messages_that_wait_are_counted(self, case: Case) -> None:
        """Each attempt is told how many messages wait in its queue; and 0 when none does."""
        needs(case.engine, Capability.WAITING)
        case.engine.stop_worker()
        prepared = case.prepare_each(*(case.call("give", number) for number in range(3)))
        case.dispatch(prepared)

        counts = {item.attempt: 3 for item in prepared.batch}
        case.until(lambda: case.adapter.waiting(prepared.submissions) == counts, "three that wait")
        case.engine.start_worker()
        case.reported(prepared)
        case.until(lambda: set(case.adapter.waiting(prepared.submissions).values()) == {0}, "an empty queue")

    # A8 hand over

    def test_a8_another_process_sends_the_rest(self, case: Case) -> None:
        """What is handed over is sent by another process, from the place named on; being asked twice does no harm."""
        prepared = case.prepare_each(*(case.here("note", str(number), number) for number in range(6)))
        is_taken = case.adapter.hand_over(prepared.key, 1, 4)
        assert is_taken is (Capability.HANDS_OVER in case.adapter.capabilities)
        needs(case.engine, Capability.HANDS_OVER)
        case.adapter.hand_over(prepared.key, 1, 4)
        rest = evolve(prepared, batch=prepared.batch[4:])
        assert all(isinstance(it, Succeeded) for it in case.reported(rest).values())
        case.is_serving()

        assert [case.count(str(number)) for number in range(4)] == [0] * 4
        case.dispatch(evolve(prepared, batch=prepared.batch[:4]))
        assert all(isinstance(it, Succeeded) for it in case.reported(prepared).values())

    def test_a8_handing_over_what_is_gone_harms_nobody(self, case: Case) -> None:
        """Whoever takes it finds no such workflow, or nothing to send, and serves on."""
        prepared = case.prepare_each(case.call("give", 1))
        case.dispatch(prepared)
        case.reported(prepared)
        case.adapter.hand_over(prepared.key, 1, 0)
        case.adapter.hand_over(prepared.key, 99, 0)
        with contextlib.suppress(UnknownWorkflowError):
            case.adapter.hand_over(WorkflowKey("never was", "0"), 1, 0)

        case.is_serving()
        assert len(case.outcomes(prepared.key)[prepared.one.attempt]) == 1


def _unknown(count: int) -> list[Submission]:
    """Make up attempts that no engine has seen, in this run of the suite or in another."""
    token = secrets.token_hex(8)
    return [Submission(Attempt(f"n{it}"), f"{token}.{it}", "give") for it in range(count)]


def _fill(case: Case) -> Prepared:
    """Have the worker run as many tasks as it can, each until the place is opened."""
    held = case.prepare_each(*(case.here("hold", f"held {number}") for number in range(case.engine.slots)))
    case.dispatch(held)
    for number in range(case.engine.slots):
        case.has_begun(f"held {number}")
    return held
