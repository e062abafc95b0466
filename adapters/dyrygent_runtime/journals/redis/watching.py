"""How a process waits for what others append: one connection, and one thread that listens on it, for all who wait.

Only the thread touches the connection. Who wants to hear of a channel says so, and wakes the thread by way of the
server, with a message on a channel of the thread's own. The thread ends when nobody has waited for some seconds.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from typing import Any, Final, cast

import redis
from attrs import define, field

__all__ = ["Listener"]

_TICK_S: Final = 5.0
"""After so much silence the server is asked whether it still is there, and after as much again it is not."""


@define(eq=False)
class _Waiter:
    """One call that waits."""

    channel: str
    woken: threading.Event = field(factory=threading.Event)
    told: int | None = None
    """What the last message said."""


class Listener:
    """Waits on behalf of all threads of a process. It begins at once, and ends by itself; then make another."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._subscriber = cast("Any", client).pubsub()
        self._own = f"{{dy}}:listener:{secrets.token_hex(8)}"
        self._lock = threading.Lock()
        self._waiters: dict[str, set[_Waiter]] = {}
        self._standing: set[str] = set()
        self._problem: Exception | None = None
        self._is_over = False
        threading.Thread(target=self._run, name="dyrygent-listener", daemon=True).start()

    @property
    def is_over(self) -> bool:
        """Whether it has ended, so that who calls `wait` would not wait."""
        return self._is_over

    def wait(self, channel: str, is_there: Callable[[], bool], timeout_s: float) -> int | None:
        """Wait for a message on a channel, unless what it would tell of is there once the subscription stands.

        Return the number that the message says, None if there was none; that may be before the time is over, if the
        connection breaks. Raises the client's error if the subscription cannot be made to stand.
        """
        end = time.monotonic() + timeout_s
        waiter = _Waiter(channel)
        try:
            self._enter(waiter)
            waiter.woken.wait(timeout_s)
            waiter.woken.clear()
            if channel in self._standing:
                if not self._is_over and not is_there():
                    waiter.woken.wait(max(0.0, end - time.monotonic()))
            elif self._problem is not None:
                raise self._problem
            return waiter.told
        finally:
            self._leave(waiter)

    def stop(self) -> None:
        """Let all go who wait, and close the connection, by which the thread ends."""
        self._end()
        connection = self._subscriber.connection
        if connection is not None:
            connection.disconnect()

    def _enter(self, waiter: _Waiter) -> None:
        with self._lock:
            self._waiters.setdefault(waiter.channel, set()).add(waiter)
            is_told = self._is_over or waiter.channel in self._standing
        if is_told:
            waiter.woken.set()
        else:
            cast("Any", self._client).publish(self._own, "")

    def _leave(self, waiter: _Waiter) -> None:
        with self._lock:
            others = self._waiters[waiter.channel]
            others.discard(waiter)
            if not others:
                del self._waiters[waiter.channel]

    def _wake(self, channel: str | None, told: int | None) -> None:
        """Wake those who wait for a channel, or all; the lock is held."""
        names = list(self._waiters) if channel is None else [channel]
        for waiter in [it for name in names for it in self._waiters.get(name, ())]:
            waiter.told = told
            waiter.woken.set()

    def _end(self) -> None:
        with self._lock:
            self._is_over = True
            self._wake(None, None)

    # What the thread does

    def _run(self) -> None:
        try:
            self._listen()
        except Exception as problem:  # noqa: BLE001  # a connection that `stop` has closed fails in many ways; who waits is told
            self._problem = None if self._is_over else redis.ConnectionError(f"waiting is over: {problem}")
        finally:
            self._end()
            self._subscriber.close()

    def _listen(self) -> None:
        subscriber = self._subscriber
        subscriber.subscribe(self._own)
        last_tidied_s, is_silent = time.monotonic(), False
        while not self._is_over:
            message = subscriber.get_message(timeout=_TICK_S)
            if message is None:
                if is_silent:
                    raise redis.TimeoutError("the server does not answer a listener")
                is_silent = True
                subscriber.ping()
            else:
                is_silent = False
                self._take(message)
            if time.monotonic() - last_tidied_s >= _TICK_S:
                self._tidy()
                last_tidied_s = time.monotonic()

    def _take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind not in {"subscribe", "message"}:
            return
        channel = message["channel"].decode()
        if channel == self._own:
            self._subscribe()
            return
        with self._lock:
            if kind == "message":
                self._wake(channel, int(message["data"]))
            elif channel not in self._standing:
                self._standing.add(channel)
                self._wake(channel, None)

    def _subscribe(self) -> None:
        """Ask for the channels that somebody waits for. To ask twice does no harm."""
        with self._lock:
            wanted = self._waiters.keys() - self._standing
        if wanted:
            self._subscriber.subscribe(*wanted)

    def _tidy(self) -> None:
        """Give up the channels that nobody waits for, and end if nobody waits for any."""
        with self._lock:
            unwanted = self._standing - self._waiters.keys()
            self._standing -= unwanted
            self._is_over = self._is_over or not (self._waiters or unwanted)
        if unwanted:
            self._subscriber.unsubscribe(*unwanted)
