"""The end of a workflow: what it returned or what failed, put together for the engine and for whoever waits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from dyrygent_core import Attempt, DyrygentError, Failure, Status, WorkflowState
from dyrygent_core.codec import decode_call
from dyrygent_core.errors import (
    AdapterUnavailableError,
    JournalUnavailableError,
    UnsupportedVersionError,
    UpstreamFailedError,
)
from dyrygent_core.ports import Journal, Submission, ValueCodec, WorkflowOutcome
from dyrygent_runtime.failures import failure_of
from dyrygent_runtime.fold import Folded, attempt_id, end_of
from dyrygent_runtime.log import End
from dyrygent_runtime.resolution import fill
from dyrygent_runtime.summary import cause_of

__all__ = ["PUBLISHED", "is_published", "outcome_of", "submission_of"]

PUBLISHED: Final = "published"
"""The annotation that holds the round whose end was published last."""


def is_published(journal: Journal, folded: Folded) -> bool:
    """Tell whether the end of this round was published already."""
    return int(journal.annotations(folded.key).get(PUBLISHED, 0)) >= folded.state.round


def outcome_of(journal: Journal, values: ValueCodec, folded: Folded, fresh: Mapping[Attempt, bytes]) -> WorkflowOutcome:
    """Put together the outcome of a finished workflow; `fresh` are results of it that need not be read."""
    state = folded.state
    verdict, value, failure = state.workflow_state, None, None
    failed = state.first_failed
    if verdict is WorkflowState.SUCCESS:
        verdict, value, failure = _value(journal, values, folded, fresh)
    elif failed is not None:
        failure = cause_of(folded, failed)
    attempt = state.first_failed_attempt
    return WorkflowOutcome(
        key=folded.key,
        state=verdict,
        value=value,
        failed=None if attempt is None else submission_of(journal, values, folded, attempt),
        failure=failure,
        untold=tuple(_untold(folded)),
    )


def _untold(folded: Folded) -> Iterator[tuple[str, Failure]]:
    """Give the nodes under an id of the engine's, of whose end the engine knows nothing."""
    for status, why in _NEVER_RAN.items():
        for node, end in _engine_named(folded, status):
            if end is None or end.failure is not None:  # else it has skipped itself
                text = f"it never ran: {why}"
                yield node, Failure(UpstreamFailedError.__name__, text, UpstreamFailedError.__module__)
    for node, end in _engine_named(folded, Status.FAILED):
        if end is not None and end.failure is not None and end.is_silent:
            yield node, end.failure


def _engine_named(folded: Folded, status: Status) -> Iterator[tuple[str, End | None]]:
    """Give those of a status, each with how its newest attempt ended if that did not succeed."""
    graph, state = folded.definition.graph, folded.state
    for number in state.find(status):
        node = graph.nodes[number].id
        if node in folded.definition.engine_named:
            yield node, end_of(folded, state.attempt(node))


_NEVER_RAN: Final = {
    Status.UPSTREAM_FAILED: "something that it depends on failed",
    Status.CANCELLED: "it was cancelled",
    Status.SKIPPED: "it was skipped",
}


def _value(
    journal: Journal, values: ValueCodec, folded: Folded, fresh: Mapping[Attempt, bytes]
) -> tuple[WorkflowState, Any, Failure | None]:
    """Give the workflow's own value; one that cannot be put together is an error of the workflow itself."""
    try:
        return WorkflowState.SUCCESS, fill(journal, values, folded, folded.definition.output, fresh), None
    except (JournalUnavailableError, AdapterUnavailableError):  # it can be put together later, or elsewhere
        raise
    except DyrygentError as problem:
        return WorkflowState.ERROR, None, failure_of(problem)


def submission_of(journal: Journal, values: ValueCodec, folded: Folded, attempt: Attempt) -> Submission:
    """Give an attempt that is over as the engine knows it; when it was emitted is not asked for.

    One whose call cannot be read was never sent, and has no target.
    """
    number = folded.definition.graph.number(attempt.node)
    try:
        target = decode_call(journal.calls(folded.key, [number])[number], values).target
    except UnsupportedVersionError:
        target = ""
    return Submission(attempt, attempt_id(folded, attempt), target)
