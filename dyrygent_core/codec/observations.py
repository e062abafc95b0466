"""One observation as one line of JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, assert_never

from dyrygent_core.codec.json_text import FORMAT, MALFORMED, dumps, loads, malformed
from dyrygent_core.errors import UnsupportedVersionError, quoted
from dyrygent_core.observations import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Failed,
    Failure,
    Lost,
    Observation,
    PauseRequested,
    Ran,
    RerunRequested,
    ResumeRequested,
    RetryDue,
    Skipped,
    SkipRequested,
    Succeeded,
    TimedOut,
)

__all__ = ["decode_observation", "encode_observation", "write_attempt"]


def encode_observation(observation: Observation) -> str:
    """Write one observation as one line of JSON, without its time: that is the journal's to keep."""
    return dumps({"v": FORMAT, **_observation_fields(observation)})


def _observation_fields(observation: Observation) -> dict[str, Any]:  # noqa: C901, PLR0911, PLR0912  # one case for each kind
    match observation:
        case Begin():
            return {"t": "begin"}
        case Succeeded(attempt=attempt, ran=ran):
            chosen = {} if observation.branches is None else {"branches": list(observation.branches)}
            sizes = {"sizes": list(observation.sizes)} if observation.sizes else {}
            return {"t": "succeeded", "a": write_attempt(attempt), **sizes, **chosen, **_ran(ran)}
        case Failed(attempt=attempt, failure=failure, ran=ran):
            flags = {"final": True} if observation.is_final else {}
            flags |= {"revoked": True} if observation.is_revoked else {}
            return {"t": "failed", "a": write_attempt(attempt), "failure": _failure(failure), **flags, **_ran(ran)}
        case TimedOut(attempt=attempt, ran=ran):
            return {"t": "timed_out", "a": write_attempt(attempt), **_ran(ran)}
        case Lost(attempt=attempt, reason=reason):
            return {"t": "lost", "a": write_attempt(attempt), "reason": reason}
        case Skipped(attempt=attempt, reason=reason, ran=ran):
            return {"t": "skipped", "a": write_attempt(attempt), "reason": reason, **_ran(ran)}
        case RetryDue(attempt=attempt):
            return {"t": "retry_due", "a": write_attempt(attempt)}
        case CancelRequested(reason=reason):
            return {"t": "cancel_requested", "reason": reason}
        case DeadlinePassed():
            return {"t": "deadline_passed"}
        case PauseRequested(reason=reason):
            return {"t": "pause_requested", "reason": reason}
        case ResumeRequested():
            return {"t": "resume_requested"}
        case RerunRequested(nodes=nodes):
            return {"t": "rerun_requested", "nodes": list(nodes)}
        case SkipRequested(node=node, reason=reason):
            return {"t": "skip_requested", "node": node, "reason": reason}
        case _:
            assert_never(observation)


def decode_observation(text: str | bytes, at_ms: int = 0) -> Observation:
    """Read one observation, stamped with the journal's time.

    Raises `UnsupportedVersionError` for another version, for a kind that this version does not have, and for what
    no release wrote.
    """
    fields = loads(text, "this journal entry")
    kind = fields.get("t")
    decoder = _DECODERS.get(kind) if isinstance(kind, str) else None
    if decoder is None:
        message = f"this journal entry is of the kind {quoted(str(kind))}, which this release does not know"
        raise UnsupportedVersionError(message)
    try:
        return decoder(fields, at_ms)
    except MALFORMED as problem:
        raise malformed("this journal entry", problem) from problem


_DECODERS: Final[Mapping[str, Callable[[Mapping[str, Any], int], Observation]]] = {
    "begin": lambda _, at_ms: Begin(at_ms=at_ms),
    "succeeded": lambda it, at_ms: Succeeded(
        Attempt(*it["a"]),
        _read_ran(it),
        sizes=tuple(it.get("sizes", ())),
        branches=tuple(it["branches"]) if "branches" in it else None,
        at_ms=at_ms,
    ),
    "failed": lambda it, at_ms: Failed(
        Attempt(*it["a"]),
        _read_failure(it["failure"]),
        _read_ran(it),
        is_final=it.get("final", False),
        is_revoked=it.get("revoked", False),
        at_ms=at_ms,
    ),
    "timed_out": lambda it, at_ms: TimedOut(Attempt(*it["a"]), _read_ran(it), at_ms=at_ms),
    "lost": lambda it, at_ms: Lost(Attempt(*it["a"]), it["reason"], at_ms=at_ms),
    "skipped": lambda it, at_ms: Skipped(Attempt(*it["a"]), it["reason"], _read_ran(it), at_ms=at_ms),
    "retry_due": lambda it, at_ms: RetryDue(Attempt(*it["a"]), at_ms=at_ms),
    "cancel_requested": lambda it, at_ms: CancelRequested(it["reason"], at_ms=at_ms),
    "deadline_passed": lambda _, at_ms: DeadlinePassed(at_ms=at_ms),
    "pause_requested": lambda it, at_ms: PauseRequested(it["reason"], at_ms=at_ms),
    "resume_requested": lambda _, at_ms: ResumeRequested(at_ms=at_ms),
    "rerun_requested": lambda it, at_ms: RerunRequested(it["nodes"], at_ms=at_ms),
    "skip_requested": lambda it, at_ms: SkipRequested(it["node"], it["reason"], at_ms=at_ms),
}


def write_attempt(attempt: Attempt) -> list[Any]:
    """Give an attempt as a list."""
    return [attempt.node, attempt.index, attempt.number]


def _ran(ran: Ran | None) -> dict[str, Any]:
    return {} if ran is None else {"ran": [ran.started_ms, ran.duration_ms, ran.worker]}


def _read_ran(fields: Mapping[str, Any]) -> Ran | None:
    return Ran(*fields["ran"]) if "ran" in fields else None


def _failure(failure: Failure) -> dict[str, Any]:
    written = {"type": failure.type, "message": failure.message, "module": failure.module}
    return written if failure.args is None else {**written, "args": list(failure.args)}


def _read_failure(fields: Mapping[str, Any]) -> Failure:
    args = fields.get("args")
    return Failure(fields["type"], fields["message"], fields["module"], None if args is None else tuple(args))
