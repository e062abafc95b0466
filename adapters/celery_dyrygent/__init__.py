"""Dyrygent on Celery: any graph of tasks, started from a canvas or built by hand."""

from celery_dyrygent.rival import refuse_rival

refuse_rival()

from celery_dyrygent.adapter import CeleryAdapter  # noqa: E402  # not before it is clear whose modules these are
from celery_dyrygent.tasks import register_workflow_processor  # noqa: E402
from celery_dyrygent.workflows import Workflow  # noqa: E402

__all__ = ["CeleryAdapter", "Workflow", "register_workflow_processor"]
