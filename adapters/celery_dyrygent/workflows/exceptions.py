"""The predecessor's names for what can go wrong."""

from __future__ import annotations

from typing import Final

from dyrygent_core import DyrygentError
from dyrygent_core.errors import WorkflowExistsError

__all__ = ["WorkflowAlreadyRunningException", "WorkflowException"]

WorkflowException: Final = DyrygentError
"""Every exception that this library raises on purpose is one, as in celery-dyrygent."""
WorkflowAlreadyRunningException: Final = WorkflowExistsError
"""Under this id another workflow was started."""
