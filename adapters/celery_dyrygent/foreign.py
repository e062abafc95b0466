"""Options that another engine has and Celery has not.

Celery takes any option: what it does not know, routers or stamps of the user's may. So only those are refused that are
known to be meant for another engine, where Celery would drop them and nobody would notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dyrygent_core import Call, UsageError
from dyrygent_core.errors import quoted

__all__ = ["check_options"]

_FOREIGN: Final[Mapping[str, str]] = {
    "broker_priority": "write priority",
    "delay": "write countdown, in seconds",
    "max_age": "write expires, in seconds",
    "max_backoff": "add the node with retry=RetryPolicy(…)",
    "max_retries": "add the node with max_attempts=…, or declare it at the task",
    "min_backoff": "add the node with retry=RetryPolicy(…)",
    "queue_name": "write queue",
}


def check_options(call: Call) -> None:
    """Raise `UsageError` for an option that only another engine reads."""
    for name in call.options:
        if name in _FOREIGN:
            message = f"the call of {quoted(call.target)} has the option {quoted(name)}, which Celery has not"
            raise UsageError(f"{message}; {_FOREIGN[name]}")
