"""The adapter of a process that only looks on: it sends nothing, so the sweep of some worker does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from dyrygent_core import Attempt, Call, UsageError
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.errors import AdapterUnavailableError, UnsupportedVersionError, quoted
from dyrygent_core.ports import (
    Capability,
    Dispatch,
    Finding,
    Refusal,
    Submission,
    ValueCodec,
    WorkflowKey,
    WorkflowOutcome,
)

__all__ = ["NoAdapter"]

_WHY: Final = "this process has no engine adapter"


class NoAdapter:
    """Reads results as plain JSON; leaves every dispatch to a process that has an engine."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """None."""
        return frozenset()

    @property
    def values(self) -> ValueCodec:
        """Plain JSON."""
        return _PLAIN

    def check(self, call: Call) -> None:
        """Refuse every call."""
        message = f"{_WHY}, so it cannot start {quoted(call.target)}"
        raise UsageError(message)

    def dispatch(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        """Send nothing."""
        raise AdapterUnavailableError(_WHY)

    def lookup(self, submissions: Sequence[Submission]) -> Mapping[Attempt, Finding]:
        """Find nothing."""
        raise AdapterUnavailableError(_WHY)

    def waiting(self, submissions: Sequence[Submission]) -> Mapping[Attempt, int]:
        """Know nothing of queues (A6)."""
        return {}

    def revoke(self, submissions: Sequence[Submission]) -> None:
        """Revoke nothing."""
        raise AdapterUnavailableError(_WHY)

    def hand_over(self, key: WorkflowKey, position: int, offset: int) -> bool:
        """Take nothing over."""
        return False

    def publish(self, outcome: WorkflowOutcome) -> None:
        """Leave it to a process that has the engine."""
        raise AdapterUnavailableError(_WHY)


class _PlainValues:
    """JSON, and for whatever else an engine has written the advice to bring the adapter."""

    def encode(self, value: Any) -> bytes:
        return JSON_VALUES.encode(value)

    def decode(self, data: bytes) -> Any:
        try:
            return JSON_VALUES.decode(data)
        except UnsupportedVersionError as problem:
            message = f"{_WHY}, and this was not written as plain JSON; give Run.from_id the adapter"
            raise AdapterUnavailableError(message) from problem


_PLAIN: Final = _PlainValues()
