"""What a mark makes of the marks before it, for the journals that decide it in Python."""

from __future__ import annotations

from typing import assert_never

from dyrygent_core.ports import Mark, MarkKind, Marks

__all__ = ["marked"]


def marked(before: Marks, mark: Mark, now_ms: int) -> Marks:
    """Return the marks of an attempt after one more."""
    match mark.kind:
        case MarkKind.SENT:
            return Marks(before.sent + 1, now_ms, before.started_ms, before.worker, before.boot)
        case MarkKind.STARTED:
            return Marks(before.sent, before.sent_ms, now_ms, mark.worker, mark.boot)
        case MarkKind.CLEARED:
            return Marks(before.sent, before.sent_ms)
        case _:
            assert_never(mark.kind)
