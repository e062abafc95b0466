"""Dyrygent on Celery: any graph of tasks, started from a canvas or built by hand."""

from celery_dyrygent.adapter import CeleryAdapter
from celery_dyrygent.tasks import register_workflow_processor

__all__ = ["CeleryAdapter", "register_workflow_processor"]
