"""Which app runs the workflows that `apply_async` starts: the one that was registered last in this process."""

from __future__ import annotations

from celery import Celery

__all__ = ["register", "registered_app"]

_REGISTERED: list[Celery] = []


def register(app: Celery) -> None:
    """Let an app be the last."""
    if app in _REGISTERED:
        _REGISTERED.remove(app)
    _REGISTERED.append(app)


def registered_app() -> Celery | None:
    """Return the app that was registered last in this process, or None."""
    return _REGISTERED[-1] if _REGISTERED else None
