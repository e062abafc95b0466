"""The real outbox, with the loop in the place of its thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from dyrygent_core import Attempt
from dyrygent_runtime import Conductor
from dyrygent_runtime.holdings import Boot
from dyrygent_runtime.outbox import Outbox

__all__ = ["VirtualOutbox"]

_FIRST_PAUSE_MS: Final = 100


class VirtualOutbox(Outbox):
    """Keeps what cannot be appended now, and has it tried again by the loop.

    `again` asks for an act in a while. This leans on private names of `Outbox`, which has no hook for its thread as
    yet: one that is there, though it was never started, is not started either.
    """

    def __init__(
        self,
        conductor: Conductor,
        *,
        send_limit: int | None,
        boot: Boot,
        again: Callable[[int, Callable[[], Any]], None],
    ) -> None:
        super().__init__(conductor, send_limit=send_limit, boot=boot)
        self._thread = threading.Thread()
        self._again = again
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
        self._ask(self._pause_s)

    def _ask(self, pause_s: float) -> None:
        if not self._is_asked:
            self._is_asked = True
            self._again(max(_FIRST_PAUSE_MS, round(1_000 * pause_s)), self._go_on)

    def _go_on(self) -> None:
        """Do what the thread does from one wait to the next, and for one turn at most."""
        pause_s = self._go_round()
        self._is_asked = False
        if self._pending:
            self._ask(pause_s)
