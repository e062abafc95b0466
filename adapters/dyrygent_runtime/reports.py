"""What an execution means to the workflow: from what a task returned or raised to an outcome and its results.

The same on every engine, so adapters call it; how they learn of the end is theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from dyrygent_core import Attempt, Failed, Failure, Outcome, Ran, SkipNode, Skipped, Succeeded, Take
from dyrygent_core.codec import MAX_RESULT_BYTES
from dyrygent_core.errors import EncodingError, LimitError, quoted
from dyrygent_core.nodes import Path
from dyrygent_core.ports import Finding, ValueCodec
from dyrygent_runtime.elements import measured, written
from dyrygent_runtime.failures import failure_of

__all__ = ["Report", "finding_of", "raised", "returned", "revoked", "told"]

Report: TypeAlias = tuple[Outcome, dict[Attempt, bytes]]
"""An outcome, and the results that are to be appended with it."""


def returned(
    attempt: Attempt,
    value: Any,  # a payload
    values: ValueCodec,
    *,
    is_kept: bool,
    measure: Sequence[Path] = (),
    ran: Ran | None = None,
) -> Report:
    """Say what a return value means: success with what others need of it, or a failure if that cannot be stored.

    `is_kept` and `measure` are those of the `Dispatch`. A `Take` is its value, and the branches it names.
    """
    branches = None
    if isinstance(value, Take):
        value, branches = value.value, value.branches
    results: dict[Attempt, bytes] = {}
    if is_kept:
        try:
            results = written(attempt, value, measure, values)
        except EncodingError as problem:
            return Failed(attempt, failure_of(problem), ran, is_final=True), {}
    size = sum(map(len, results.values()))
    if size > MAX_RESULT_BYTES:
        text = f"the result of node {quoted(attempt.node)} takes {size:,} bytes, more than {MAX_RESULT_BYTES:,}"
        return Failed(attempt, failure_of(LimitError(text)), ran, is_final=True), {}
    return Succeeded(attempt, ran, sizes=measured(value, measure), branches=branches), results


def raised(attempt: Attempt, problem: BaseException, ran: Ran | None = None) -> Outcome:
    """Say what an exception means: a failure, or, if it is a `SkipNode`, that the node stopped itself."""
    if isinstance(problem, SkipNode):
        return Skipped(attempt, failure_of(problem).message, ran)
    return Failed(attempt, failure_of(problem), ran)


def told(attempt: Attempt, failure: Failure) -> Outcome:
    """Say what an exception that is known in text only means, as `raised` does."""
    if (failure.type, failure.module) == (SkipNode.__name__, SkipNode.__module__):
        return Skipped(attempt, failure.message)
    return Failed(attempt, failure)


def finding_of(attempt: Attempt, value: Any, values: ValueCodec) -> Finding:  # a payload
    """Say what a value means that an engine's own record has of an attempt, as `returned` does (A3)."""
    outcome, results = returned(attempt, value, values, is_kept=True)
    return Finding(outcome, results.get(attempt))


def revoked(attempt: Attempt, reason: str = "revoked") -> Failed:
    """Say that an attempt was dropped because somebody asked for that (A4)."""
    return Failed(attempt, failure_of(RuntimeError(reason)), is_revoked=True)
