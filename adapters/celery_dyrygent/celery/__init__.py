"""The predecessor's names for Celery's own things."""

from celery_dyrygent.celery import entities, inspect

__all__ = ["entities", "inspect"]
