"""Run workflows on Celery."""
