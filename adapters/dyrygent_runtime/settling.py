"""The end of a process that ends in order: it hands to the journal what it has not handed over yet."""

from __future__ import annotations

import logging
from typing import Final

from dyrygent_runtime.late_marks import LateMarks
from dyrygent_runtime.outbox import Outbox

__all__ = ["settle"]

_LOG = logging.getLogger("dyrygent")
_LONGEST_S: Final = 5.0
"""Less than what most leave a process between asking it to end and killing it (Docker 10 s, Kubernetes 30 s)."""


def settle(outbox: Outbox, marks: LateMarks, timeout: float = _LONGEST_S) -> bool:
    """Wait until all outcomes are recorded, at most `timeout` seconds, and write the marks; tell whether all were.

    What is left is logged: the sweep of another process finds it in the engine, or else has it run again. A journal
    that is away is not asked for the marks too, which are hints.
    """
    is_empty = outbox.drain(timeout)
    if is_empty:
        marks.flush()
    else:
        _LOG.error("this process ends with %d turns that the journal was away for", len(outbox))
    return is_empty
