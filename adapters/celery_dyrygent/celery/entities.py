"""Celery's classes, under the names that celery-dyrygent has for them."""

from __future__ import annotations

from billiard.exceptions import WorkerLostError
from celery import Celery
from celery.canvas import Signature
from celery.canvas import _chain as Chain  # noqa: N812  # the predecessor's name; `celery.chain` is its maker
from celery.canvas import chord as Chord  # noqa: N812
from celery.canvas import group as Group  # noqa: N812
from celery.result import AsyncResult

__all__ = ["AsyncResult", "Celery", "Chain", "Chord", "Group", "Signature", "WorkerLostError"]
