"""Dyrygent on Dramatiq: any graph of actors, started from a pipeline or group, or built by hand."""

from dramatiq_dyrygent.adapter import DramatiqAdapter
from dramatiq_dyrygent.middleware import Dyrygent
from dramatiq_dyrygent.workflow import Imported, Workflow

__all__ = ["DramatiqAdapter", "Dyrygent", "Imported", "Workflow"]
