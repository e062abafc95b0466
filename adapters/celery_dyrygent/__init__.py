"""Dyrygent on Celery: any graph of tasks, started from a canvas or built by hand."""

from celery_dyrygent.adapter import CeleryAdapter
from celery_dyrygent.tasks import register_workflow_processor
from celery_dyrygent.workflows import Workflow

__all__ = ["CeleryAdapter", "Workflow", "register_workflow_processor"]
