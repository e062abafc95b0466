"""The real outbox, with the loop in the place of its thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from dyrygent_core import Attempt
from dyrygent_runtime import Conductor
from dyrygent_runtime.outbox import Outbox

__all__ = ["VirtualOutbox"]

_FIRST_PAUSE_MS: Final = 100
_LONGEST_PAUSE_MS: Final = 5_000


class VirtualOutbox(Outbox):
    """Keeps what cannot be appended now, and has it tried again by the loop.

    `again` asks for an act in a while. This leans on private names of `Outbox`, which has no hook for its thread as
    yet: one that is there, though it was never started, is not started either.
    """

    def __init__(
        self, conductor: Conductor, *, send_limit: int | None, again: Callable[[int, Callable[[], Any]], None]
    ) -> None:
        super().__init__(conductor, send_limit=send_limit)
        self._thread = threading.Thread()
        self._again = again
        self._pause_ms = _FIRST_PAUSE_MS
        self._is_asked = False

    @property
    def waiting(self) -> list[tuple[str, Attempt]]:
        """The attempts whose outcomes wait here."""
        return [
            (pending.key.id, attempt)
            for its in self._pending.values()
            for pending in its
            for observation in pending.observations
            if (attempt := getattr(observation, "attempt", None)) is not None
        ]

    def _keep(self, pending: Any) -> None:
        super()._keep(pending)
        self._ask()

    def _ask(self) -> None:
        if not self._is_asked:
            self._is_asked = True
            self._again(self._pause_ms, self._go_round)

    def _go_round(self) -> None:
        """Do what the thread does from one wait to the next, and for one turn at most."""
        key, waiting = next(iter(self._pending.items()))
        pending = waiting[0]
        again = self._tried(pending)
        if again is not None:
            waiting[0] = again
            self._pending.move_to_end(key)
            self._pause_ms = min(2 * self._pause_ms, _LONGEST_PAUSE_MS)
        else:
            waiting.popleft()
            self._bytes -= pending.size
            if not waiting:
                del self._pending[key]
            self._pause_ms = 0
        self._is_asked = False
        if self._pending:
            self._ask()
        self._pause_ms = max(self._pause_ms, _FIRST_PAUSE_MS)
