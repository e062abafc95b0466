"""A journal whose replies get lost: it does what it is asked, and then says that it could not be reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dyrygent_core import Attempt, Observation
from dyrygent_core.errors import JournalUnavailableError
from dyrygent_core.ports import Appended, Seen, WorkflowKey
from dyrygent_runtime.journals import MemoryJournal


class LosingJournal(MemoryJournal):
    """Loses replies to appends: the next `lost_replies`, or every `loses_every`-th.

    The next `lost_appends` are lost on their way there. With `is_late` they are only late, and arrive with `arrive`;
    with `is_close` besides just before the next append.
    """

    def __init__(
        self, namespace: str = "tests", *, clock: Callable[[], int] | None = None, loses_every: int = 0
    ) -> None:
        super().__init__(namespace, clock=clock)
        self.lost_replies = 0
        self.lost_appends = 0
        self.is_late = False
        self.is_close = False
        self._loses_every = loses_every
        self._appends = 0
        self._under_way: list[Callable[[], object]] = []

    def append(
        self,
        key: WorkflowKey,
        observations: Sequence[Observation],
        *,
        seen: Seen,
        nonce: str,
        results: Mapping[Attempt, bytes] | None = None,
        calls: Sequence[int] = (),
    ) -> Appended:
        def arrive() -> Appended:
            return MemoryJournal.append(self, key, observations, seen=seen, nonce=nonce, results=results, calls=calls)

        self._appends += 1
        if self.lost_appends:
            self.lost_appends -= 1
            if self.is_late:
                self._under_way.append(arrive)
            raise JournalUnavailableError("the append was lost")
        if self.is_close:
            self.arrive()
        appended = arrive()
        if self.lost_replies or (self._loses_every and self._appends % self._loses_every == 0):
            self.lost_replies = max(0, self.lost_replies - 1)
            raise JournalUnavailableError("the reply was lost")
        return appended

    def arrive(self) -> None:
        """Let what is under way arrive."""
        while self._under_way:
            self._under_way.pop(0)()
