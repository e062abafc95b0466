"""What each status looks like. Colour is never the only sign: every picture says the status in a word too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from dyrygent_core.statuses import Status

__all__ = ["BY_URGENCY", "PAINTS", "Paint"]


@frozen
class Paint:
    """Colours as `#rrggbb`. Text on fill has a contrast of 7 to 1 or more (WCAG 2.2, 1.4.6); a test measures it."""

    fill: str
    line: str
    text: str = "#1a1a1a"
    is_dashed: bool = False


PAINTS: Final[Mapping[Status, Paint]] = {
    Status.WAITING: Paint("#ffffff", "#767676", is_dashed=True),
    Status.READY: Paint("#fff3bf", "#8a6d00"),
    Status.SCHEDULED: Paint("#cde7ff", "#0b5cad"),
    Status.SUCCEEDED: Paint("#cdeccf", "#2b7a3d"),
    Status.FAILED: Paint("#a1121c", "#5c0a10", "#ffffff"),
    Status.UPSTREAM_FAILED: Paint("#ffd8c2", "#a8430e"),
    Status.CANCELLED: Paint("#e6d9f5", "#68409c"),
    Status.SKIPPED: Paint("#e4e4e4", "#6b6b6b", is_dashed=True),
}

BY_URGENCY: Final = (
    Status.FAILED,
    Status.UPSTREAM_FAILED,
    Status.CANCELLED,
    Status.SCHEDULED,
    Status.READY,
    Status.WAITING,
    Status.SKIPPED,
    Status.SUCCEEDED,
)
"""Several nodes drawn as one have the colour of the status among theirs that comes first here."""
