"""Where a task's identity travels: in a header of its message, read wherever Celery lets us see the task.

`Task.replace` loses headers, so they are given to what it sends (`replacing`). Some signals of the main process
have none; such a task's end is found by the sweep.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dyrygent_runtime.identity import Identity

__all__ = ["HEADER", "identity_in"]

HEADER: Final = "dyrygent"


def identity_in(headers: Mapping[str, Any] | None) -> Identity | None:
    """Read the identity from a message's headers or a task's request; None if the task is not of ours."""
    written = (headers or {}).get(HEADER)
    if written is None and headers:  # a task that is applied here and now (celery/app/task.py, `apply`)
        written = (headers.get("headers") or {}).get(HEADER)
    return Identity.from_text(written)
