"""Observations on their way to the journal: now, or as soon as it is there again.

`report` takes the turn in the calling thread. What cannot be appended is kept, and a daemon thread tries again,
with the same nonce. `later` leaves the turn to that thread altogether, for callers that must not wait.
Nothing here survives the process: if it dies the attempt's lease runs out, and the attempt is run again.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import evolve, frozen

from dyrygent_core import Attempt, Observation
from dyrygent_core.errors import JournalUnavailableError, UnknownWorkflowError, quoted
from dyrygent_core.ports import WorkflowKey
from dyrygent_runtime.conductor import Conductor

__all__ = ["Outbox"]

_LOG = logging.getLogger("dyrygent")
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0


@frozen
class _Pending:
    key: WorkflowKey
    observations: tuple[Observation, ...]
    results: Mapping[Attempt, bytes]
    nonce: str
    is_second_try: bool = False


class Outbox:
    """Takes turns for one process. Threads may share one; a forked child begins with an empty one."""

    def __init__(self, conductor: Conductor, *, send_limit: int | None = None) -> None:
        self._conductor = conductor
        self._send_limit = send_limit
        self._reset()
        reset = weakref.WeakMethod(self._reset)
        os.register_at_fork(after_in_child=lambda: (method := reset()) and method())

    def __len__(self) -> int:
        return len(self._pending)

    def report(
        self, key: WorkflowKey, observations: Sequence[Observation], results: Mapping[Attempt, bytes] | None = None
    ) -> bool:
        """Take a turn with these observations; if the journal is away keep them, and return False.

        Observations of a workflow that was deleted are dropped, and that is logged.
        """
        pending = _Pending(key, tuple(observations), results or {}, secrets.token_hex(8))
        if self._is_done(pending):
            return True
        self._keep(evolve(pending, is_second_try=True))
        return False

    def later(self, key: WorkflowKey, observations: Sequence[Observation]) -> None:
        """Leave a turn with these observations to the outbox's own thread."""
        self._keep(_Pending(key, tuple(observations), {}, secrets.token_hex(8)))

    def _reset(self) -> None:
        self._pending: deque[_Pending] = deque()
        self._arrived = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def _keep(self, pending: _Pending) -> None:
        self._pending.append(pending)
        self._arrived.set()
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="dyrygent-outbox", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            self._arrived.wait()
            self._arrived.clear()
            while self._pending:
                if self._is_done(self._pending[0]):
                    self._pending.popleft()
                    pause_s = _FIRST_PAUSE_S
                    continue
                self._pending[0] = evolve(self._pending[0], is_second_try=True)
                threading.Event().wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _is_done(self, pending: _Pending) -> bool:
        """Take the turn; False if it is to be tried again."""
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
            _LOG.warning("workflow %s: outcomes wait for the journal: %s", quoted(pending.key.id), problem)
            return False
        except UnknownWorkflowError as problem:
            _LOG.warning("an outcome has come too late: %s", problem)
        except Exception:  # noqa: BLE001  # a turn that can never succeed must not stop the others
            _LOG.exception("workflow %s: an outcome could not be recorded", quoted(pending.key.id))
        return True
