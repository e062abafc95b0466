"""Outcomes that could not be appended when they happened: kept in the process, and tried again with their nonce.

Nothing here survives the process. If it dies the attempt's lease runs out, and the attempt is run again.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from attrs import evolve, frozen

from dyrygent_core import Attempt, Observation
from dyrygent_core.errors import JournalUnavailableError, UnknownWorkflowError, quoted
from dyrygent_core.ports import WorkflowKey
from dyrygent_runtime.conductor import Conductor

__all__ = ["Outbox"]

_LOG = logging.getLogger("dyrygent")
_MOST_KEPT: Final = 10_000


@frozen
class _Pending:
    key: WorkflowKey
    observations: tuple[Observation, ...]
    results: Mapping[Attempt, bytes]
    nonce: str
    is_second_try: bool = False


class Outbox:
    """Reports observations to the conductor now, or later if the journal is away. Threads may share one."""

    def __init__(self, conductor: Conductor, *, send_limit: int | None = None) -> None:
        self._conductor = conductor
        self._send_limit = send_limit
        self._pending: deque[_Pending] = deque(maxlen=_MOST_KEPT)
        self._flushing = threading.Lock()
        self.on_arrival: Callable[[], None] = _nothing
        """Called when something is left for `flush`."""

    def __len__(self) -> int:
        return len(self._pending)

    def report(
        self, key: WorkflowKey, observations: Sequence[Observation], results: Mapping[Attempt, bytes] | None = None
    ) -> bool:
        """Take a turn with these observations; if the journal is away keep them, and return False.

        Observations of a workflow that was deleted are dropped, and that is logged.
        """
        return self._try(_Pending(key, tuple(observations), results or {}, secrets.token_hex(8)))

    def later(self, key: WorkflowKey, observations: Sequence[Observation]) -> None:
        """Leave observations to whoever calls `flush`: for threads that must not wait."""
        self._pending.append(_Pending(key, tuple(observations), {}, secrets.token_hex(8)))
        self.on_arrival()

    def flush(self) -> None:
        """Try again what is kept, oldest first, until the journal fails again."""
        if not self._flushing.acquire(blocking=False):
            return
        try:
            while self._pending and self._try(self._pending.popleft()):
                pass
        finally:
            self._flushing.release()

    def _try(self, pending: _Pending) -> bool:
        try:
            self._conductor.turn(
                pending.key,
                pending.observations,
                results=pending.results,
                nonce=pending.nonce,
                is_second_try=pending.is_second_try,
                send_limit=self._send_limit,
            )
        except JournalUnavailableError as problem:
            _LOG.warning(
                "workflow %s: %d observations are kept until the journal is back: %s",
                quoted(pending.key.id),
                len(pending.observations),
                problem,
            )
            self._pending.append(evolve(pending, is_second_try=True))
            return False
        except UnknownWorkflowError as problem:
            _LOG.warning("an outcome has come too late: %s", problem)
        return True


def _nothing() -> None:
    """Wake nobody."""
