"""The Celery app: its configuration is Django's, under `CELERY_…`, ours as well as Celery's."""

import os

from celery import Celery

from celery_dyrygent import register_workflow_processor

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
register_workflow_processor(app)
