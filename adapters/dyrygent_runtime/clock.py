"""The real clock of the `Clock` port."""

from __future__ import annotations

import time

__all__ = ["SystemClock"]


class SystemClock:
    """Elapsed time of this machine, which never goes back."""

    def monotonic_ms(self) -> int:
        """Return milliseconds from an arbitrary moment."""
        return time.monotonic_ns() // 1_000_000
