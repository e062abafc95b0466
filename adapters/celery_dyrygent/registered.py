"""Which app runs the workflows that `apply_async` starts: the one that was registered last in this process."""

from __future__ import annotations

from celery import Celery

__all__ = ["register", "registered_app", "unwrapped"]

_REGISTERED: list[Celery] = []


def unwrapped(app: Celery) -> Celery:
    """Return the app itself of what may be `current_app`, a proxy that nothing can refer to weakly."""
    return app._get_current_object() if hasattr(app, "_get_current_object") else app  # noqa: SLF001


def register(app: Celery) -> None:
    """Let an app be the last."""
    if app in _REGISTERED:
        _REGISTERED.remove(app)
    _REGISTERED.append(app)


def registered_app() -> Celery | None:
    """Return the app that was registered last in this process, or None."""
    return _REGISTERED[-1] if _REGISTERED else None
