"""Dyrygent on Celery: any graph of tasks, started from a canvas or built by hand."""

from celery_dyrygent.rival import refuse_rival

refuse_rival()

try:  # not before it is clear whose modules these are
    from celery_dyrygent.adapter import CeleryAdapter
    from celery_dyrygent.tasks import register_workflow_processor
    from celery_dyrygent.workflows import Workflow
except ModuleNotFoundError as missing:
    from dyrygent_runtime.extras import with_the_extra

    raise with_the_extra(missing, __name__, {"celery": "celery"}) from None

__all__ = ["CeleryAdapter", "Workflow", "register_workflow_processor"]
