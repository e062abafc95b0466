"""What users ask of a workflow: each request is one observation, and what it comes to is decided by `advance`.

So requests of two processes, and a request and an outcome, need no lock: the journal puts them in an order, and
whichever comes too late changes nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from enum import Enum
from typing import Final

from dyrygent_core import LimitError, Observation, RerunRequested, State, UsageError, WorkflowState, advance
from dyrygent_core.checks import check_text
from dyrygent_core.errors import UnknownWorkflowError, quoted
from dyrygent_core.ports import WorkflowKey
from dyrygent_runtime.conductor import Conductor
from dyrygent_runtime.fold import Folded

__all__ = ["OnUnfinished", "ask", "checked_reason", "delete", "rerun"]

_LONGEST_REASON: Final = 10_000
"""As much as the journal keeps of an exception's message."""


class OnUnfinished(Enum):
    """What to do when a workflow that is to be deleted has not ended."""

    ERROR = "error"
    DELETE = "delete"
    """Delete it all the same: what the engine holds of it still runs, and its outcome is dropped."""


def checked_reason(reason: object) -> str:
    """Return a reason that somebody gives; raises `UsageError`, and `LimitError` if it is too long."""
    check_text("a reason", reason)
    assert isinstance(reason, str)
    if len(reason) > _LONGEST_REASON:
        message = f"a reason has at most {_LONGEST_REASON:,} characters, this one {len(reason):,}"
        raise LimitError(message)
    return reason


def ask(conductor: Conductor, key: WorkflowKey, request: Observation) -> None:
    """Append what somebody asks for, unless it would change nothing."""
    folded = conductor.refresh(key)
    if not _changes(folded.state, request):
        return
    folded = conductor.turn(key, [request])
    if folded.state.to_revoke:
        conductor.journal.remind(key, in_ms=0)


def rerun(conductor: Conductor, key: WorkflowKey, nodes: Sequence[str]) -> None:
    """Open another round; raises `UsageError`, also if somebody else did so at the same moment."""
    before = conductor.refresh(key)
    for node in nodes:
        before.state.graph.number(node)
    if (state := before.state.workflow_state) is WorkflowState.SUCCESS or not state.is_final:
        message = (
            f"workflow {quoted(key.id)} is in {state.name}; only one that has ended, and not in SUCCESS, "
            f"can be run again"
        )
        raise UsageError(message)
    nonce = secrets.token_hex(8)
    request = RerunRequested(tuple(nodes))
    conductor.turn(key, [request], nonce=nonce)
    if not _has_counted(conductor, before, nonce):
        message = (
            f"somebody else has just run workflow {quoted(key.id)} again, so this rerun was not needed; wait for it"
        )
        raise UsageError(message)


def _changes(state: State, request: Observation) -> bool:
    return advance(state.graph, state, [request])[0] is not state


def _has_counted(conductor: Conductor, before: Folded, nonce: str) -> bool:
    """Tell whether the entry with this nonce, appended after `before`, changed anything when its turn came."""
    state = before.state
    for entry in conductor.journal.read(before.key, after=before.seen.position):
        if entry.nonce == nonce:
            return _changes(state, entry.observation)
        state, _ = advance(state.graph, state, [entry.observation])
    return False


def delete(conductor: Conductor, key: WorkflowKey, on_unfinished: OnUnfinished) -> None:
    """Delete a workflow that has ended and whose end was published, or any at all."""
    if conductor.journal.definition(key.id).key != key:
        raise UnknownWorkflowError(key.id)
    if on_unfinished is OnUnfinished.DELETE:
        conductor.journal.delete(key)
        return
    while not conductor.journal.delete(key, at=_checked_end(conductor, key)):
        pass  # there is more in its journal than when it was looked at: it may run again


def _checked_end(conductor: Conductor, key: WorkflowKey) -> int:
    """Refuse what has not ended; of what has, do first what is left to do, lest whoever waits for it waits for ever.

    Return the position of its last entry.
    """
    folded = conductor.refresh(key)
    if not folded.state.is_finished:
        message = (
            f"workflow {quoted(key.id)} is in {folded.state.workflow_state.name}; cancel it and wait for its end, "
            f"or say on_unfinished='delete'"
        )
        raise UsageError(message)
    if not conductor.finish(folded) and conductor.refresh(key).seen.position == folded.seen.position:
        message = (
            f"workflow {quoted(key.id)} has ended in {folded.state.workflow_state.name}, but its engine cannot be told "
            f"so here and now; delete it when a worker has, or say on_unfinished='delete'"
        )
        raise UsageError(message)
    return folded.seen.position
