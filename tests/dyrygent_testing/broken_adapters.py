"""Adapters that are wrong, each in one way, and the rule of the suite that tells. No test module: another runs it.

What hangs is waited for half a second; the unbroken adapter holds the same rules.
"""

# ruff: noqa: ARG002, D101, D106  # each says in its name what is wrong with it

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pytest
from attrs import evolve

from dyrygent_core import Attempt, Failed, Failure, Outcome, Skipped, UsageError
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.errors import AdapterUnavailableError
from dyrygent_core.ports import Capability, Dispatch, Finding, Refusal, Submission, WorkflowKey, WorkflowOutcome
from dyrygent_runtime import Execution, Identity, Sweeper
from dyrygent_runtime.reports import Report
from dyrygent_testing import TASKS, AdapterSuite
from tests.dyrygent_testing.reference import ReferenceAdapter, ReferenceEngine, Worker
from tests.only import only

LIMIT_S: Final = 0.5


class OtherIds(ReferenceAdapter):
    def id_of(self, item: Dispatch) -> str:
        return f"job-{item.attempt_id}"


class HalfABatch(ReferenceAdapter):
    def dispatch(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        return super().dispatch(batch[:100])


class SwallowedRefusals(ReferenceAdapter):
    def dispatch(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        super().dispatch(batch)
        return ()


class RaisedRefusals(ReferenceAdapter):
    def dispatch(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        for item in batch:
            self.send(item.attempt_id, self.text_of(item))
        return ()


class SwallowedOutage(ReferenceAdapter):
    def dispatch(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        try:
            return super().dispatch(batch)
        except AdapterUnavailableError:
            return ()


class RefusedInAnOutage(ReferenceAdapter):
    def dispatch(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        try:
            return super().dispatch(batch)
        except AdapterUnavailableError:
            return tuple(Refusal(item.attempt, Failure("ConnectionError")) for item in batch)


class FloatsForIntegers(ReferenceAdapter):
    def text_of(self, item: Dispatch) -> bytes:
        return json.dumps(json.loads(super().text_of(item), parse_int=float)).encode()


class UncheckedValues(ReferenceAdapter):
    class Values:
        def encode(self, value: Any) -> bytes:
            return json.dumps(value, default=repr).encode()

        def decode(self, data: bytes) -> Any:
            return JSON_VALUES.decode(data)

    @property
    def values(self) -> Any:
        return self.Values()


class CheckAsksTheBroker(ReferenceAdapter):
    def check(self, call: object) -> None:
        assert self.broker


class CheckRuns(ReferenceAdapter):
    def check(self, call: Any) -> None:
        inputs = call.inputs.value
        TASKS[call.target](*inputs["args"], **inputs["kwargs"])


class RevokeRaises(ReferenceAdapter):
    def revoke(self, submissions: Sequence[Submission]) -> None:
        for it in submissions:
            if it.attempt_id not in self.queued():
                raise UsageError(it.attempt_id)

    def queued(self) -> set[str]:
        return {message_id for message_id, _ in self.broker.messages}


class RevokesEverything(ReferenceAdapter):
    def revoke(self, submissions: Sequence[Submission]) -> None:
        self.broker.revoked |= {message_id for message_id, _ in self.broker.messages}


class FindsTheUnknown(ReferenceAdapter):
    def lookup(self, submissions: Sequence[Submission]) -> Mapping[Attempt, Finding]:
        return {it.attempt: Finding() for it in submissions} | dict(super().lookup(submissions))


class ClaimsLookup(ReferenceAdapter):
    def lookup(self, submissions: Sequence[Submission]) -> Mapping[Attempt, Finding]:
        return {}


class FindsWithoutValues(ReferenceAdapter):
    def lookup(self, submissions: Sequence[Submission]) -> Mapping[Attempt, Finding]:
        return {attempt: Finding(it.outcome) for attempt, it in super().lookup(submissions).items()}


class FindsTheOld(ReferenceAdapter):
    def lookup(self, submissions: Sequence[Submission]) -> Mapping[Attempt, Finding]:
        return super().lookup([evolve(it, since_ms=0) for it in submissions])


class FindsNothingInAnOutage(ReferenceAdapter):
    def lookup(self, submissions: Sequence[Submission]) -> Mapping[Attempt, Finding]:
        try:
            return super().lookup(submissions)
        except AdapterUnavailableError:
            return {}


class CountsNothing(ReferenceAdapter):
    def waiting(self, submissions: Sequence[Submission]) -> Mapping[Attempt, int]:
        return dict.fromkeys([it.attempt for it in submissions], 0)


class CountsUnclaimed(ReferenceAdapter):
    claims = ReferenceAdapter.claims - {Capability.WAITING}


class TellsReruns(ReferenceAdapter):
    def publish(self, outcome: WorkflowOutcome) -> None:
        self.broker.ends[outcome.key.id] = (outcome.state, outcome.value)


class PublishesOnce(ReferenceAdapter):
    def publish(self, outcome: WorkflowOutcome) -> None:
        if outcome.key.id in self.broker.ends:
            raise UsageError(outcome.key.id)
        super().publish(outcome)


class HandsOverAll(ReferenceAdapter):
    def hand_over(self, key: WorkflowKey, position: int, offset: int) -> bool:
        return super().hand_over(key, position, 0)


class HandsOverNothing(ReferenceAdapter):
    def hand_over(self, key: WorkflowKey, position: int, offset: int) -> bool:
        return True


class ReportsFirst(Worker):
    def finish(self, attempt_id: str, execution: Execution, report: Report) -> None:
        execution.end(report)
        time.sleep(0.05)
        self.record(attempt_id, execution, report)


class ReportsTwice(Worker):
    def finish(self, attempt_id: str, execution: Execution, report: Report) -> None:
        super().finish(attempt_id, execution, report)
        execution.end(execution.returned("another"))


class NeverReportsFailures(Worker):
    def finish(self, attempt_id: str, execution: Execution, report: Report) -> None:
        if not isinstance(report[0], Failed):
            super().finish(attempt_id, execution, report)


class SuccessOnFailure(Worker):
    def finish(self, attempt_id: str, execution: Execution, report: Report) -> None:
        super().finish(attempt_id, execution, execution.returned(None) if isinstance(report[0], Failed) else report)


class SkipsAreFailures(Worker):
    def finish(self, attempt_id: str, execution: Execution, report: Report) -> None:
        outcome, results = report
        if isinstance(outcome, Skipped):
            outcome = Failed(outcome.attempt, Failure("SkipNode", outcome.reason))
        super().finish(attempt_id, execution, (outcome, results))


class FailuresWithoutArguments(Worker):
    def finish(self, attempt_id: str, execution: Execution, report: Report) -> None:
        outcome, results = report
        if isinstance(outcome, Failed):
            outcome = evolve(outcome, failure=Failure("Exception", str(outcome.failure)))
        super().finish(attempt_id, execution, (outcome, results))


class KeepsNothing(Worker):
    def identity_for(self, identity: Identity) -> Identity:
        return evolve(identity, is_kept=False)


class KeepsEverything(Worker):
    def identity_for(self, identity: Identity) -> Identity:
        return evolve(identity, is_kept=True)


class MeasuresNothing(Worker):
    def identity_for(self, identity: Identity) -> Identity:
        return evolve(identity, measure=())


class UnwritableIsRetried(Worker):
    def finish(self, attempt_id: str, execution: Execution, report: Report) -> None:
        outcome, results = report
        super().finish(attempt_id, execution, (self.not_final(outcome), results))

    def not_final(self, outcome: Outcome) -> Outcome:
        return evolve(outcome, is_final=False) if isinstance(outcome, Failed) else outcome


class UnknownIsRetried(Worker):
    def unknown(self, attempt: Attempt, failure: Failure) -> Outcome:
        return Failed(attempt, failure)


class HangsOnExit(Worker):
    def report_of(self, attempt_id: str, execution: Execution, target: str, inputs: Mapping[str, Any]) -> Report:
        if target == "leave":
            self.is_stopping.wait()
        return super().report_of(attempt_id, execution, target, inputs)


class NoSweeper(Worker):
    def make_sweeper(self) -> Sweeper | None:
        return None


class NoLease(Worker):
    def make_sweeper(self) -> Sweeper | None:
        return Sweeper(self.adapter.conductor)


class EmptyLease(Worker):
    def make_sweeper(self) -> Sweeper | None:
        return Sweeper(self.adapter.conductor, lease=lambda: evolve(self.holdings.lease(), active=frozenset()))


BROKEN: Final[Mapping[type[ReferenceAdapter | Worker], str]] = {
    OtherIds: "test_a1_attempts_wait_under_their_ids",
    HalfABatch: "test_a1_a_large_batch_is_sent_whole",
    SwallowedRefusals: "test_a1_arguments_that_cannot_be_written_are_refused",
    RaisedRefusals: "test_a1_arguments_that_cannot_be_written_are_refused",
    SwallowedOutage: "test_a1_an_outage_loses_nothing",
    RefusedInAnOutage: "test_a1_a_workflow_starts_in_an_outage",
    FloatsForIntegers: "test_a1_every_value_arrives_as_it_was",
    UnknownIsRetried: "test_a1_an_unknown_name_fails_its_node",
    KeepsNothing: "test_a2_a_value_is_kept_where_it_is_wanted",
    KeepsEverything: "test_a2_a_value_that_nobody_wants_is_not_kept",
    SuccessOnFailure: "test_a2_a_failure_is_told_as_it_was",
    NeverReportsFailures: "test_a2_an_exception_that_cannot_be_told",
    FailuresWithoutArguments: "test_a2_a_failure_is_told_as_it_was",
    SkipsAreFailures: "test_a2_a_task_may_skip_itself",
    MeasuresNothing: "test_a2_lists_that_others_map_over_are_measured",
    UnwritableIsRetried: "test_a2_a_wanted_result_that_cannot_be_written_is_a_failure",
    ReportsFirst: "test_a2_the_engines_own_record_comes_first",
    ReportsTwice: "test_a2_an_execution_is_reported_once",
    HangsOnExit: "test_a2_a_task_that_leaves_its_worker_comes_to_an_end",
    EmptyLease: "test_a2_starts_are_marked",
    FindsTheUnknown: "test_a3_nothing_is_found_of_the_unknown",
    ClaimsLookup: "test_a3_what_is_found_is_what_was_reported",
    FindsWithoutValues: "test_a3_what_is_found_is_what_was_reported",
    FindsTheOld: "test_a3_a_record_from_before_the_attempt_is_not_its_own",
    FindsNothingInAnOutage: "test_a3_an_engine_that_is_away_is_told_from_no_sign",
    RevokeRaises: "test_a4_revoking_what_is_unknown_or_over_is_no_error",
    RevokesEverything: "test_a4_what_waits_is_dropped",
    PublishesOnce: "test_a5_any_end_may_be_told_again",
    TellsReruns: "test_a5_a_rerun_takes_back_what_was_told",
    CountsNothing: "test_a6_messages_that_wait_are_counted",
    CountsUnclaimed: "test_a6_nothing_is_told_that_is_not_known",
    UncheckedValues: "test_a7_what_cannot_be_written_is_refused",
    HandsOverAll: "test_a8_another_process_sends_the_rest",
    HandsOverNothing: "test_a8_another_process_sends_the_rest",
    CheckAsksTheBroker: "test_a9_checking_asks_nobody",
    CheckRuns: "test_a9_a_call_that_can_run_is_accepted",
    NoSweeper: "test_a11_a_message_is_lost",
    NoLease: "test_a2_starts_are_marked",
}
"""Each adapter or worker that is wrong, and the rule that it breaks."""


class Broken(AdapterSuite):
    """The suite over one of them."""

    kind: type[ReferenceAdapter | Worker]

    @pytest.fixture
    def engine(self) -> Iterator[ReferenceEngine]:
        with engine_of(self.kind) as engine:
            yield engine


@contextmanager
def engine_of(kind: type[ReferenceAdapter | Worker]) -> Iterator[ReferenceEngine]:
    name = "worker_kind" if issubclass(kind, Worker) else "adapter_kind"
    limit_s = ReferenceEngine.limit_s if kind is ReferenceAdapter else LIMIT_S
    engine = type("BrokenEngine", (ReferenceEngine,), {name: kind})(limit_s)
    yield engine
    engine.kill_worker()


for _kind, _rule in BROKEN.items():
    _name = f"Test{_kind.__name__}"
    globals()[_name] = only(_rule)(type(_name, (Broken,), {"kind": _kind, "__module__": __name__}))

TestUnbroken = only(*BROKEN.values())(type("TestUnbroken", (Broken,), {"kind": ReferenceAdapter}))
