"""Tests of `celery … workflow`."""
