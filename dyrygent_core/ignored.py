"""Why `advance` ignored an observation, in words: it was late, repeated, or about what never was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from dyrygent_core.observations import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Failed,
    Lost,
    Observation,
    Outcome,
    PauseRequested,
    RerunRequested,
    ResumeRequested,
    RetryDue,
    Skipped,
    SkipRequested,
    Succeeded,
    TimedOut,
)
from dyrygent_core.phrases import names
from dyrygent_core.ports import Entry
from dyrygent_core.state import State
from dyrygent_core.statuses import WorkflowState

__all__ = ["why_ignored"]


def why_ignored(before: State, fact: Observation, ended: Mapping[Attempt, Entry]) -> str:  # noqa: PLR0911  # one for each observation
    """Say why an observation changed nothing.

    `fact`: about a node of the graph, or the whole workflow. `before`: the state that it came to.
    `ended`: by attempt, the entry that ended it, as far as they matter.
    """
    match fact:
        case Succeeded() | Failed() | TimedOut() | Lost() | Skipped():
            return _outcome(fact, ended.get(fact.attempt))
        case RetryDue():
            return "no such retry was waiting"
        case SkipRequested():
            return _skip(before, fact)
        case Begin():
            return "it was cancelled before" if not before.side.flags.has_begun else "it had begun"
        case CancelRequested():
            return "it was cancelled already" if before.is_cancelled else "the workflow had ended"
        case DeadlinePassed():
            return _deadline(before, fact)
        case PauseRequested():
            return "it was paused already" if before.is_paused else _over(before)
        case ResumeRequested():
            return "it was not paused"
        case RerunRequested():
            return _rerun(before, fact)
        case _:
            assert_never(fact)


def _outcome(fact: Outcome, end: Entry | None) -> str:
    if end is None:
        return "no such attempt was in flight"
    if type(end.observation) is type(fact):
        return f"it repeats #{end.position}"
    return f"too late after #{end.position}"


def _skip(before: State, fact: SkipRequested) -> str:
    status = before.status(fact.node)
    if status.is_final:
        return f"it was {status.name} already"
    has_asked = before.graph.number(fact.node) in before.side.flags.skips
    return "somebody had asked before" if has_asked else _over(before)


def _deadline(before: State, fact: DeadlinePassed) -> str:
    flags = before.side.flags
    if fact.round != flags.round:
        return f"it was that of round {fact.round}"
    if not flags.has_begun:
        return "the workflow had not begun"
    return "it had passed before" if flags.is_past_deadline else "the ordinary nodes had ended"


def _over(before: State) -> str:
    return "the workflow had ended" if before.is_finished else "the work was being ended"


def _rerun(before: State, fact: RerunRequested) -> str:
    if not before.is_finished:
        return "the workflow had not ended"
    if before.workflow_state is WorkflowState.SUCCESS:
        return "the workflow had succeeded"
    return f"there is no node {names(node for node in fact.nodes if node not in before.graph.numbers)}"
