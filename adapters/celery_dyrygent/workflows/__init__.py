"""Workflows, under the predecessor's path."""

from celery_dyrygent.workflows.builder import DEFAULT_DEADLINE, Dependencies
from celery_dyrygent.workflows.exceptions import WorkflowException
from celery_dyrygent.workflows.node import WorkflowNode
from celery_dyrygent.workflows.states import WorkflowState
from celery_dyrygent.workflows.workflow import Workflow

__all__ = ["DEFAULT_DEADLINE", "Dependencies", "Workflow", "WorkflowException", "WorkflowNode", "WorkflowState"]
