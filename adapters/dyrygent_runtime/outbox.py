"""Observations on their way to the journal: now, or as soon as it is there again.

`report` takes the turn in the calling thread. What cannot be appended is kept, and a daemon thread tries again, with
the same nonce; from then on all that is reported waits behind it, so that nobody waits for a journal that is away, and
the observations of one workflow stay in order. `later` leaves the turn to that thread altogether, for callers that
must not wait. A lease of its own names what waits, once the journal is back, until it is written (`kept`).

Nothing here survives the process: if it dies the attempt's lease runs out, and the attempt is run again. So it is with
what there is no room for: it is dropped, which is logged as an error and counted; the sweep finds the outcome in the
engine, or else has the attempt run again.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from attrs import evolve, frozen

from dyrygent_core import Attempt, Observation, Outcome
from dyrygent_core.errors import JournalUnavailableError, UnknownWorkflowError, UnsupportedVersionError, quoted
from dyrygent_core.ports import WorkflowKey
from dyrygent_runtime.conductor import Conductor
from dyrygent_runtime.forks import reset_after_fork
from dyrygent_runtime.holdings import Boot
from dyrygent_runtime.kept import Kept

__all__ = ["MOST_BYTES", "Outbox"]

_LOG = logging.getLogger("dyrygent")
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
MOST_BYTES: Final = 64 << 20
"""What may wait: as much as the largest result. A single turn is kept in any case."""
_PER_OBSERVATION_BYTES: Final = 2_000


@frozen
class _Pending:
    key: WorkflowKey
    observations: tuple[Observation, ...]
    results: Mapping[Attempt, bytes]
    nonce: str
    tried_ms: int | None = None
    """When it was tried first."""

    @property
    def size(self) -> int:
        return _PER_OBSERVATION_BYTES * len(self.observations) + sum(map(len, self.results.values()))


class Outbox:
    """Takes turns for one process. Threads may share one; a forked child begins with an empty one.

    `boot`: the life of the worker in this process, if its name is known.
    """

    def __init__(
        self,
        conductor: Conductor,
        *,
        send_limit: int | None = None,
        most_bytes: int = MOST_BYTES,
        boot: Boot | None = None,
    ) -> None:
        self._conductor = conductor
        self._send_limit = send_limit
        self._most_bytes = most_bytes
        self._longest_pause_s = min(_LONGEST_PAUSE_S, conductor.settings.renewal_ms / 2_000)
        self._reset(boot)
        reset_after_fork(self._reset)

    def __len__(self) -> int:
        """Return how many turns wait."""
        with self._changed:
            return sum(map(len, self._pending.values()))

    @property
    def dropped(self) -> int:
        """How many observations there was no room for."""
        return self._dropped

    def report(
        self, key: WorkflowKey, observations: Sequence[Observation], results: Mapping[Attempt, bytes] | None = None
    ) -> bool:
        """Take a turn with these observations; if the journal is away keep them, and return False.

        Observations of a workflow that was deleted are dropped, and that is logged.
        """
        pending = _Pending(key, tuple(observations), results or {}, secrets.token_hex(8))
        again = pending if self._is_away or key in self._pending else self._tried(pending)
        if again is None:
            return True
        self._keep(again)
        return False

    def later(self, key: WorkflowKey, observations: Sequence[Observation]) -> None:
        """Leave a turn with these observations to the outbox's own thread."""
        self._keep(_Pending(key, tuple(observations), {}, secrets.token_hex(8)))

    def drain(self, timeout: float) -> bool:
        """Wait until nothing waits any more, at most `timeout` seconds; tell whether it is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending, timeout)

    def _reset(self, boot: Boot | None = None) -> None:
        self._pending: OrderedDict[WorkflowKey, deque[_Pending]] = OrderedDict()
        self._bytes = 0
        self._dropped = 0
        self._is_away = False
        self._pause_s = _FIRST_PAUSE_S
        self._kept = Kept(self._conductor, self._outcomes, boot)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def _keep(self, pending: _Pending) -> None:
        with self._changed:
            has_room = not self._pending or self._bytes + pending.size <= self._most_bytes
            if has_room:
                self._pending.setdefault(pending.key, deque()).append(pending)
                self._bytes += pending.size
                self._changed.notify_all()
            else:
                self._dropped += len(pending.observations)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="dyrygent-outbox", daemon=True)
                self._thread.start()
        if not has_room:
            _LOG.error(
                "workflow %s: %d outcomes are dropped, for more wait for the journal than there is room for; "
                "the sweep finds them in the engine, or else their attempts are run again",
                quoted(pending.key.id),
                len(pending.observations),
            )

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending)
            pause_s = self._go_round()
            if pause_s:
                threading.Event().wait(pause_s)

    def _go_round(self) -> float:
        """Try one of the turns that wait; return for how many seconds to wait before the next."""
        self._kept.tell(is_away=self._is_away)
        with self._changed:
            key, waiting = next(iter(self._pending.items()))
            pending = waiting[0]
        again = self._tried(pending)
        with self._changed:
            if again is not None:
                waiting[0] = again
                self._pending.move_to_end(key)  # one that the store refuses must not hold up the others
            else:
                waiting.popleft()
                self._bytes -= pending.size
                if not waiting:
                    del self._pending[key]
                self._changed.notify_all()
            is_empty = not self._pending
        if is_empty:
            self._kept.end()
        pause_s = 0.0 if again is None else self._pause_s
        self._pause_s = _FIRST_PAUSE_S if again is None else min(2 * pause_s, self._longest_pause_s)
        return pause_s

    def _outcomes(self) -> Iterator[tuple[WorkflowKey, Attempt]]:
        """Give the attempts whose outcomes wait, those first that are tried last."""
        with self._changed:
            waiting = [it for its in reversed(self._pending.values()) for it in reversed(its)]
        for pending in waiting:
            for observation in pending.observations:
                if isinstance(observation, Outcome):
                    yield pending.key, observation.attempt

    def _tried(self, pending: _Pending) -> _Pending | None:
        """Take the turn; give what is to be tried again, or None if that is over."""
        now_ms = self._conductor.clock.monotonic_ms()
        try:
            self._conductor.turn(
                pending.key,
                pending.observations,
                results=pending.results,
                nonce=pending.nonce,
                tried_ms=pending.tried_ms,
                send_limit=self._send_limit,
            )
        except JournalUnavailableError as problem:
            if not self._is_away:
                _LOG.warning("workflow %s: outcomes wait for the journal: %s", quoted(pending.key.id), problem)
            self._is_away = True
            return pending if pending.tried_ms is not None else evolve(pending, tried_ms=now_ms)
        except UnknownWorkflowError as problem:
            _LOG.warning("an outcome has come too late: %s", problem)
        except UnsupportedVersionError as problem:  # it is in the journal all the same
            name = quoted(pending.key.id)
            _LOG.warning("workflow %s: what follows is left to a release that can read it: %s", name, problem)
        except Exception:  # noqa: BLE001  # a turn that can never succeed must not stop the others
            _LOG.exception("workflow %s: the turn of an outcome failed", quoted(pending.key.id))
        self._is_away = False
        return None
