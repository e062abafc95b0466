"""Cancelling on Celery: first the journal, then, as far as wanted, the processes that run the tasks.

The journal's word is what counts: from then on nothing starts. Revoking what the queues and workers hold is left to
the sweep, and is best effort. Terminating is more than the sweep does, so whoever wants it does it at once.
"""

from __future__ import annotations

import signal
from typing import Any, Final

from celery_dyrygent.adapter import CeleryAdapter
from dyrygent_core import UsageError
from dyrygent_core.checks import shown
from dyrygent_core.errors import AdapterUnavailableError
from dyrygent_runtime import Run
from dyrygent_runtime.fold import attempt_id

__all__ = ["cancel"]

_AT_ONCE: Final = 1_000
"""Task ids in one message to the workers."""


def cancel(adapter: CeleryAdapter, run: Run, reason: str = "", *, terminate: str | None = None) -> None:
    """Record that a workflow is to stop; `terminate` names the signal for the processes that run its tasks, if any.

    Only prefork and gevent can stop a task that runs; elsewhere it runs to its end, which is recorded.
    A workflow that has ended stays as it is.

    Raises `UsageError` for what is no signal, and nothing is recorded; `AdapterUnavailableError` if the broker cannot
    be reached, and then the cancel is recorded, and the sweep revokes.
    """
    name = None if terminate is None else _signal_name(terminate)
    run.cancel(reason)
    if name is None:
        return
    folded = adapter.conductor.refresh(run.key)
    held = [attempt_id(folded, attempt) for attempt in folded.state.to_revoke]
    try:
        for start in range(0, len(held), _AT_ONCE):
            adapter.app.control.revoke(held[start : start + _AT_ONCE], terminate=True, signal=name)
    except Exception as problem:  # each transport raises its client's own errors
        message = f"the cancel is recorded, but the broker cannot be reached: {type(problem).__name__}: {problem}"
        raise AdapterUnavailableError(message) from problem


def _signal_name(wanted: Any) -> str:
    """Return the name of a signal as Celery's workers read it: `SIGTERM`, from `term`, `SIGTERM` or its number."""
    try:
        if isinstance(wanted, int):
            return signal.Signals(wanted).name
        name = str(wanted).upper()
        return signal.Signals[name if name.startswith("SIG") else f"SIG{name}"].name
    except (KeyError, ValueError):
        message = f"{shown(wanted)} is no signal of this system; write SIGTERM, SIGQUIT or SIGKILL"
        raise UsageError(message) from None
