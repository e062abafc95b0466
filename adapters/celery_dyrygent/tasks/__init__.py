"""The task of ours that an app must have, under the predecessor's path."""

from celery_dyrygent.registered import registered_app
from celery_dyrygent.tasks.processor import register_workflow_processor, workflow_processor

__all__ = ["register_workflow_processor", "registered_app", "workflow_processor"]
