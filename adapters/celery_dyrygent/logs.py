"""Which workflow and node a line of a worker's log belongs to.

Celery gives each line that a task writes the task's id and name (celery/app/log.py, `TaskFormatter`). The filter here
adds to every line written while a task of a workflow runs, whoever writes it, three attributes: `workflow`, `node` and
`attempt`; to all others a dash. So a format may name them, and a handler that writes records as JSON has them.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from celery import signals
from celery._state import get_current_task

from celery_dyrygent.identity import identity_in
from dyrygent_core.errors import quoted

__all__ = ["WorkflowFilter", "connect_logs"]

_NONE: Final = "-"


class WorkflowFilter(logging.Filter):
    """Lets every record through, with `workflow`, `node` and `attempt`; ids are on one line and without controls.

    Celery's own handlers have it. If you set up logging yourself, add it to your handlers.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Name what runs in this thread; what somebody has set as `extra` stays."""
        for name, text in zip(("workflow", "node", "attempt"), _running(), strict=True):
            record.__dict__.setdefault(name, text)
        return True


def connect_logs() -> None:
    """Let Celery's handlers have the filter, once they are set up; once, however often it is called."""
    for signal in (signals.after_setup_logger, signals.after_setup_task_logger):
        signal.connect(_add_filter, weak=False, dispatch_uid="dyrygent._add_filter")


def _add_filter(logger: Any = None, **_: Any) -> None:
    for handler in logger.handlers:
        if not any(isinstance(it, WorkflowFilter) for it in handler.filters):
            handler.addFilter(WorkflowFilter())


def _running() -> tuple[str, str, str]:
    task = get_current_task()
    identity = None if task is None else identity_in(task.request)
    if identity is None:
        return _NONE, _NONE, _NONE
    attempt = identity.attempt
    index = f"[{attempt.index}]" if attempt.index else ""
    return _plain(identity.workflow.id), f"{_plain(attempt.node)}{index}", str(attempt.number)


def _plain(text: str) -> str:
    return text if text.isprintable() and text else quoted(text)
