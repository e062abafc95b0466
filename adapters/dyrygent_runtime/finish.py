"""The end of a workflow: what it returned or what failed, put together for the engine and for whoever waits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from dyrygent_core import DyrygentError, Failure, Status, WorkflowState
from dyrygent_core.codec import decode_call
from dyrygent_core.errors import AttemptLostError, UpstreamFailedError
from dyrygent_core.ports import Journal, Submission, ValueCodec, WorkflowOutcome
from dyrygent_runtime.failures import failure_of
from dyrygent_runtime.fold import Folded, attempt_id
from dyrygent_runtime.resolution import fill

__all__ = ["is_published", "outcome_of"]

_TOLD_BY_US: Final = {UpstreamFailedError.__name__, AttemptLostError.__name__}


def is_published(journal: Journal, folded: Folded) -> bool:
    """Tell whether this end of the workflow was published already."""
    return "published" in journal.annotations(folded.key)


def outcome_of(journal: Journal, values: ValueCodec, folded: Folded) -> WorkflowOutcome:
    """Put together the outcome of a finished workflow."""
    state = folded.state
    verdict, value, failure = state.workflow_state, None, None
    failed = state.first_failed
    if verdict is WorkflowState.SUCCESS:
        verdict, value, failure = _value(journal, values, folded)
    elif failed is not None:
        failure = folded.log.failures.get(failed)
    return WorkflowOutcome(
        key=folded.key,
        state=verdict,
        value=value,
        failed=None if failed is None else _submission(journal, values, folded, failed),
        failure=failure,
        untold=tuple(_untold(folded)),
    )


def _untold(folded: Folded) -> Iterator[tuple[str, Failure]]:
    """Give the nodes under an id of the engine's, of whose end the engine knows nothing."""
    nodes, state = folded.definition.graph.nodes, folded.state
    for status in (Status.UPSTREAM_FAILED, Status.CANCELLED, Status.FAILED):
        for number in state.find(status):
            node = nodes[number].id
            failure = folded.log.failures.get(node) if status is Status.FAILED else _never_ran(status)
            if node in folded.definition.engine_named and failure is not None and failure.type in _TOLD_BY_US:
                yield node, failure


def _never_ran(status: Status) -> Failure:
    why = "it was cancelled" if status is Status.CANCELLED else "something that it depends on failed"
    return Failure(UpstreamFailedError.__name__, f"it never ran: {why}", UpstreamFailedError.__module__)


def _value(journal: Journal, values: ValueCodec, folded: Folded) -> tuple[WorkflowState, Any, Failure | None]:
    """Give the workflow's own value; one that cannot be put together is an error of the workflow itself."""
    try:
        return WorkflowState.SUCCESS, fill(journal, values, folded, folded.definition.output), None
    except DyrygentError as problem:
        return WorkflowState.ERROR, None, failure_of(problem)


def _submission(journal: Journal, values: ValueCodec, folded: Folded, node: str) -> Submission:
    number = folded.definition.graph.number(node)
    call = decode_call(journal.calls(folded.key, [number])[number], values)
    attempt = folded.state.attempt(node)
    return Submission(attempt, attempt_id(folded, attempt), call.target)
