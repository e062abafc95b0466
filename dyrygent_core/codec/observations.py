"""One observation as one line of JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, assert_never

from dyrygent_core.codec.fields import Fields, check_known, flag, known, listed, mapped, row, text, texts, whole, wholes
from dyrygent_core.codec.json_text import FORMAT, MALFORMED, dumps, loads_line, malformed
from dyrygent_core.errors import EncodingError, UnsupportedVersionError, quoted
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
    first_attempt,
)

__all__ = ["attempt_of", "decode_observation", "encode_observation", "write_attempt"]

_WHAT: Final = "this journal entry"


def encode_observation(observation: Observation) -> str:
    """Write one observation as one line of JSON, without its time: that is the journal's to keep.

    Raises `EncodingError`, and nothing is written, for what could not be read again: a reason that is no text, say.
    """
    try:
        fields = {"v": FORMAT, **_observation_fields(observation)}
        _read(fields)
    except MALFORMED as problem:
        message = f"this {type(observation).__name__} cannot be written down: {problem}"
        raise EncodingError(message) from problem
    return dumps(fields)


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
        case DeadlinePassed(round=number):
            return {"t": "deadline_passed", **({"round": number} if number != 1 else {})}
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


def decode_observation(data: str | bytes, at_ms: int = 0) -> Observation:
    """Read one observation, stamped with the journal's time.

    Raises `UnsupportedVersionError` for another version, for a kind that this version does not have, and for what
    no release wrote.
    """
    fields = loads_line(data, _WHAT)
    try:
        return _read(fields, at_ms)
    except MALFORMED as problem:
        raise malformed(_WHAT, problem) from problem


def _read(fields: Fields, at_ms: int = 0) -> Observation:
    kind = fields.get("t")
    names, reader = _KINDS.get(kind, _NO_KIND) if isinstance(kind, str) else _NO_KIND
    if reader is None:
        message = f"{_WHAT} is of the kind {quoted(str(kind))}, which this release does not know"
        raise UnsupportedVersionError(message)
    check_known(fields, names)
    return reader(fields, at_ms)


_NO_KIND: Final = (frozenset[str](), None)
_KINDS: Final[Mapping[str, tuple[frozenset[str], Callable[[Fields, int], Observation]]]] = {
    "begin": (known("v t"), lambda _, at_ms: Begin(at_ms=at_ms)),
    "succeeded": (
        known("v t a sizes branches ran"),
        lambda it, at_ms: Succeeded(
            _read_attempt(it),
            _read_ran(it),
            sizes=wholes(it, "sizes") if "sizes" in it else (),
            branches=texts(it, "branches") if "branches" in it else None,
            at_ms=at_ms,
        ),
    ),
    "failed": (
        known("v t a failure final revoked ran"),
        lambda it, at_ms: Failed(
            _read_attempt(it),
            _read_failure(it),
            _read_ran(it),
            is_final="final" in it and flag(it, "final"),
            is_revoked="revoked" in it and flag(it, "revoked"),
            at_ms=at_ms,
        ),
    ),
    "timed_out": (known("v t a ran"), lambda it, at_ms: TimedOut(_read_attempt(it), _read_ran(it), at_ms=at_ms)),
    "lost": (known("v t a reason"), lambda it, at_ms: Lost(_read_attempt(it), text(it, "reason"), at_ms=at_ms)),
    "skipped": (
        known("v t a reason ran"),
        lambda it, at_ms: Skipped(_read_attempt(it), text(it, "reason"), _read_ran(it), at_ms=at_ms),
    ),
    "retry_due": (known("v t a"), lambda it, at_ms: RetryDue(_read_attempt(it), at_ms=at_ms)),
    "cancel_requested": (known("v t reason"), lambda it, at_ms: CancelRequested(text(it, "reason"), at_ms=at_ms)),
    "deadline_passed": (
        known("v t round"),
        lambda it, at_ms: DeadlinePassed(whole(it, "round", 1) if "round" in it else 1, at_ms=at_ms),
    ),
    "pause_requested": (known("v t reason"), lambda it, at_ms: PauseRequested(text(it, "reason"), at_ms=at_ms)),
    "resume_requested": (known("v t"), lambda _, at_ms: ResumeRequested(at_ms=at_ms)),
    "rerun_requested": (known("v t nodes"), lambda it, at_ms: RerunRequested(texts(it, "nodes"), at_ms=at_ms)),
    "skip_requested": (
        known("v t node reason"),
        lambda it, at_ms: SkipRequested(text(it, "node"), text(it, "reason"), at_ms=at_ms),
    ),
}
"""For each kind, its fields, and how they are read."""


def write_attempt(attempt: Attempt) -> list[Any]:
    """Give an attempt as a list."""
    return [attempt.node, attempt.index, attempt.number]


def _read_attempt(fields: Fields) -> Attempt:
    return attempt_of(*row(fields["a"], "a", str, int, int))


def attempt_of(node: str, index: int, number: int) -> Attempt:
    """Return an attempt; raises `ValueError` for what none can be."""
    return Attempt(node, index, number) if index or number != 1 else first_attempt(node)


def _ran(ran: Ran | None) -> dict[str, Any]:
    return {} if ran is None else {"ran": [ran.started_ms, ran.duration_ms, ran.worker]}


def _read_ran(fields: Fields) -> Ran | None:
    return Ran(*row(fields["ran"], "ran", int, int, str)) if "ran" in fields else None


def _failure(failure: Failure) -> dict[str, Any]:
    written = {"type": failure.type, "message": failure.message, "module": failure.module}
    return written if failure.args is None else {**written, "args": list(failure.args)}


def _read_failure(fields: Fields) -> Failure:
    it = mapped(fields["failure"], "failure")
    check_known(it, _FAILURE, "failure")
    args = tuple(listed(it["args"], "args")) if "args" in it else None
    return Failure(text(it, "type"), text(it, "message"), text(it, "module"), args)


_FAILURE: Final = known("type message module args")
