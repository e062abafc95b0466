"""What the end of one attempt means: a final status, or another try."""

from __future__ import annotations

import hashlib
from typing import Final, assert_never

from dyrygent_core.nodes import Node, OnLoss, Role
from dyrygent_core.observations import Attempt, Failed, Lost, Outcome, Skipped, Succeeded, TimedOut
from dyrygent_core.statuses import Status
from dyrygent_core.tries import Tries

__all__ = ["judge", "retry_delay_ms"]

_CHANCES: Final = 1 << 64


def judge(node: Node, outcome: Outcome, tries: Tries, *, is_ending: bool, is_to_skip: bool) -> Status | Tries:  # noqa: PLR0911
    """Return what an attempt's outcome makes of its node or instance, or, if it is tried again, the next try.

    `is_ending`: no ordinary node may start any more. `is_to_skip`: somebody asked to skip the node meanwhile.
    """
    is_ending = is_ending and node.role is Role.NODE
    match outcome:
        case Succeeded():
            return Status.SUCCEEDED
        case Skipped():
            return Status.SKIPPED
        case _ if is_to_skip:
            return Status.SKIPPED
        case Lost():
            return _lost(node, tries, is_ending=is_ending)
        case Failed():
            if is_ending and outcome.is_revoked:
                return Status.CANCELLED
            return _failed(node, tries, is_last=is_ending or outcome.is_final)
        case TimedOut():
            return _failed(node, tries, is_last=is_ending)
        case _:
            assert_never(outcome)


def _failed(node: Node, tries: Tries, *, is_last: bool) -> Status | Tries:
    if is_last or tries.failures + 1 >= node.max_attempts:
        return Status.FAILED
    return Tries(tries.number + 1, tries.failures + 1, tries.losses)


def _lost(node: Node, tries: Tries, *, is_ending: bool) -> Status | Tries:
    if is_ending:
        return Status.CANCELLED
    if node.on_loss is OnLoss.FAIL or tries.losses + 1 >= node.max_losses:
        return Status.FAILED
    return Tries(tries.number + 1, tries.failures, tries.losses + 1)


def retry_delay_ms(node: Node, outcome: Outcome, following: Tries, begun_ms: int) -> int:
    """Return how long to wait before the next try; nothing after a loss.

    Chance is drawn from what the journal holds, so that it comes out the same whenever the journal is folded.
    """
    if isinstance(outcome, Lost):
        return 0
    return node.retry.delay_after_ms(following.failures, _chance(outcome.attempt, begun_ms, outcome.at_ms))


def _chance(attempt: Attempt, begun_ms: int, at_ms: int) -> float:
    """Draw a number from 0 to 1, another for every attempt and every time."""
    seed = f"{begun_ms}:{at_ms}:{attempt.index}:{attempt.number}:{attempt.node}"
    digest = hashlib.blake2b(seed.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / _CHANCES
