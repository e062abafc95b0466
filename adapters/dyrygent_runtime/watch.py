"""Since when this process has watched the journal without a gap.

Who is silent is judged by that silence, and while the journal is away nobody can speak. So a process that was cut off
from it waits before it judges anybody: whoever lives renews its lease within a third of the lease's time once the
journal is back (`lease`). One that has just started does not know what was before, and waits too.
"""

from __future__ import annotations

from dyrygent_core.ports import Clock
from dyrygent_runtime.settings import Settings

__all__ = ["Watch"]


class Watch:
    """Notes when calls of the journal were answered, and when one was not; for one thread."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._since_ms: int | None = None
        self._seen_ms = 0

    @property
    def since_ms(self) -> int:
        """When the journal was seen first since the last gap (monotonic); now if it is away."""
        return self._clock.monotonic_ms() if self._since_ms is None else self._since_ms

    def see(self) -> None:
        """Note that the journal has just answered; where it was not asked for long, it may have been away."""
        now_ms = self._clock.monotonic_ms()
        if self._since_ms is None or now_ms - self._seen_ms > self._settings.renewal_ms:
            self._since_ms = now_ms
        self._seen_ms = now_ms

    def lose(self) -> None:
        """Note that the journal did not answer."""
        self._since_ms = None
