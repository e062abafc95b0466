"""Who waits for a workflow is woken by PostgreSQL's NOTIFY, instead of looking again and again.

All that wait in one process share one connection and one thread, which ends when nobody has waited for a while.
Listening only makes pauses longer and ends them sooner: whoever waits looks for themselves, and when the connection
is cut goes on as if nobody had listened.

Who looks while they are heard says in the workflow's row that they wait, and for how long, since PostgreSQL commits all
transactions that notify one after the other, disk and all (`PreCommit_Notify` in its async.c): appends to workflows
that nobody waits for are not to queue there.

It needs psycopg 3.2; with other drivers nobody listens.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

from attrs import define, field
from sqlalchemy import PoolProxiedConnection

from dyrygent_core.errors import JournalError
from dyrygent_core.ports import WorkflowKey
from dyrygent_runtime.journals.locks import ForkSafeCondition

__all__ = ["SqlListener", "Wait", "channel_of"]

Wait = Callable[[float, float], bool]
"""Waits for a call: so many seconds at most where calls are not heard, and so many where they are.

It tells whether they are heard from now on. It may end early, for a call, and when that begins or ceases.
"""

_TICK_S: Final = 0.05
"""How soon the thread notices that somebody waits for another workflow."""
_IDLE_S: Final = 10.0
_STOP_S: Final = 2.0


def channel_of(namespace: str, key: WorkflowKey) -> str:
    """Name the channel of a workflow: one short word whatever its ids are, and another for each workflow."""
    name = json.dumps([namespace, key.id, key.incarnation]).encode()
    return f"dyrygent_{hashlib.blake2b(name, digest_size=16).hexdigest()}"


@define
class _OfProcess:
    """What one process waits for, and what it hears."""

    pid: int = field(factory=os.getpid)
    wanted: Counter[str] = field(factory=Counter[str])
    heard: Counter[str] = field(factory=Counter[str])
    listening: frozenset[str] = frozenset()
    thread: threading.Thread | None = None
    is_stopping: bool = False


class SqlListener:
    """Wakes threads of this process. `connect` gives a connection of psycopg's for the listener alone."""

    def __init__(self, connect: Callable[[], PoolProxiedConnection]) -> None:
        self._connect = connect
        self._changed = ForkSafeCondition()
        self._mine = _OfProcess()

    @contextmanager
    def hearing(self, channel: str) -> Generator[Wait]:
        """Listen to a channel, and give a function that waits for calls."""
        with self._changed:
            if self._mine.pid != os.getpid():
                self._mine = _OfProcess()  # the thread has stayed behind in the parent
            mine = self._mine
            mine.wanted[channel] += 1
            if mine.thread is None:
                mine.thread = threading.Thread(target=self._run, args=(mine,), name="dyrygent-listener", daemon=True)
                mine.thread.start()
            self._changed.notify_all()
            known = mine.heard[channel], False

        def wait(unheard_s: float, heard_s: float) -> bool:
            nonlocal known
            with self._changed:
                limit_s = heard_s if known[1] else unheard_s
                self._changed.wait_for(lambda: (mine.heard[channel], channel in mine.listening) != known, limit_s)
                known = mine.heard[channel], channel in mine.listening
                return known[1]

        try:
            yield wait
        finally:
            with self._changed:
                mine.wanted[channel] -= 1
                if not mine.wanted[channel]:
                    del mine.wanted[channel], mine.heard[channel]

    def stop(self) -> None:
        """End the thread and its connection; they begin again when needed."""
        with self._changed:
            mine, self._mine = self._mine, _OfProcess()
            mine.is_stopping, thread = True, mine.thread
            self._changed.notify_all()
        if thread is not None and mine.pid == os.getpid():
            thread.join(_STOP_S)

    def _run(self, mine: _OfProcess) -> None:
        try:
            connection = self._connect()
        except JournalError:  # who waits finds that out too
            self._end(mine)
            return
        of_driver: Any = connection.dbapi_connection
        try:
            of_driver.autocommit = True
            while self._is_wanted(mine):
                self._follow(mine, of_driver)
        except of_driver.Error:
            pass  # who waits looks for themselves, and the next to wait starts another thread
        finally:
            self._end(mine)
            connection.close()

    def _is_wanted(self, mine: _OfProcess) -> bool:
        """Tell whether to go on; if not, whoever comes next starts another thread."""
        with self._changed:
            self._changed.wait_for(lambda: bool(mine.wanted) or mine.is_stopping, _IDLE_S)
            if mine.wanted and not mine.is_stopping:
                return True
            self._end(mine)
            return False

    def _end(self, mine: _OfProcess) -> None:
        with self._changed:
            if mine.thread is threading.current_thread():  # and not another that was started since
                mine.thread, mine.listening = None, frozenset()
                self._changed.notify_all()

    def _follow(self, mine: _OfProcess, connection: Any) -> None:
        """Listen to what is wanted now, and for a moment tell what is heard."""
        with self._changed:
            wanted = frozenset(mine.wanted)
        for channel in wanted - mine.listening:
            connection.execute(f'LISTEN "{channel}"')
        for channel in mine.listening - wanted:
            connection.execute(f'UNLISTEN "{channel}"')
        if wanted != mine.listening:
            with self._changed:
                mine.listening = wanted
                self._changed.notify_all()
        for notice in connection.notifies(timeout=_TICK_S):
            with self._changed:
                if notice.channel in mine.wanted:
                    mine.heard[notice.channel] += 1
                    self._changed.notify_all()
