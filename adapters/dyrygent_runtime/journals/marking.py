"""What a mark makes of the marks before it, for the journals that decide it in Python."""

from __future__ import annotations

from typing import assert_never

from attrs import evolve

from dyrygent_core.ports import Mark, MarkKind, Marks

__all__ = ["marked"]


def marked(before: Marks, mark: Mark, now_ms: int) -> Marks:
    """Return the marks of an attempt after one more."""
    match mark.kind:
        case MarkKind.SENT:
            return evolve(before, sent=before.sent + 1, sent_ms=now_ms)
        case MarkKind.STARTED:
            return evolve(before, started_ms=now_ms, worker=mark.worker, boot=mark.boot)
        case MarkKind.CLEARED:
            return evolve(before, started_ms=None, worker="", boot="")
        case _:
            assert_never(mark.kind)
