"""Where faults strike: every boundary that a process passes, and every call of a port that it makes, goes by here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from attrs import frozen

from dyrygent_core.errors import AdapterUnavailableError, JournalUnavailableError
from dyrygent_testing.simulation.fate import Fate
from dyrygent_testing.simulation.faults import Fault, FaultKind
from dyrygent_testing.simulation.loop import Loop, Owner
from dyrygent_testing.simulation.record import Recorder
from dyrygent_testing.simulation.trace import Life, Named

__all__ = ["Blow", "DiedError", "Gate", "Living", "check_alive"]

_Answer = TypeVar("_Answer")


class DiedError(BaseException):
    """The process is gone. No product code catches this, for none could run."""


class Living(Owner, Protocol):
    """A process as far as faults are concerned."""

    life: Life

    def die(self, *, at: int) -> None:
        """Be gone; `at` is the fault."""
        ...


@frozen
class Blow:
    """A fault that the caller has to carry out, and its number in the record."""

    fault: Fault
    number: int


class Gate:
    """Lets pass, or lets something go wrong."""

    def __init__(self, loop: Loop, fate: Fate, recorder: Recorder, flush: Callable[[], Sequence[Named]]) -> None:
        self._loop = loop
        self._fate = fate
        self._recorder = recorder
        self._flush = flush
        self._away_until_ms: dict[str, int] = {}
        self.step_ms = 0
        """By how much the store's clock is ahead of where it would be without its jumps."""
        self.jumped_ms = 0
        """By how much it has jumped, forth and back."""

    def meet(self, process: Living, place: str, names: Sequence[Named] = ()) -> Blow | None:
        """Pass a boundary; the process may die or stand still there. What is for the caller to do is returned."""
        fault = self._fate.strike(place, self._loop.now_ms)
        if fault is None:
            return None
        struck = self._recorder.strike(fault, life=process.life, names=tuple(names))
        match fault.kind:
            case FaultKind.PAUSE:
                self._loop.wait(fault.ms)
            case FaultKind.STOP:
                process.stopped_until_ms = max(process.stopped_until_ms, self._loop.now_ms + fault.ms)
                self._loop.wait(fault.ms)
            case FaultKind.STEP:
                self.step_ms += fault.ms
                self.jumped_ms += abs(fault.ms)
            case FaultKind.FLUSH:
                self._recorder.name(struck, self._flush())
            case FaultKind.CRASH if not is_port(place):
                process.die(at=struck)
            case _:
                return Blow(fault, struck)
        self._recorder.is_over(struck)
        check_alive(process)
        return None

    def is_passed(self, place: str) -> bool:
        """Pass a call of a port whose answer makes no difference, if nothing goes wrong; else it has to be made."""
        if self._away_until_ms and self._is_away(place.partition(".")[0]):
            return False
        return self._fate.spares(place, self._loop.now_ms)

    def through(
        self,
        process: Living,
        place: str,
        call: Callable[[], _Answer],
        names: Sequence[Named] = (),
        blind: _Answer | None = None,
    ) -> _Answer:
        """Make a call of a port, unless it fails, or fails to tell that it did not; `blind` is what it may lie."""
        check_alive(process)
        blow = self.meet(process, place, names)
        if blow is None and not self._away_until_ms:
            return call()
        port = place.partition(".")[0]
        kind = None if blow is None else blow.fault.kind
        if blow is not None and kind is FaultKind.UNAVAILABLE and blow.fault.ms:
            self._away_until_ms[port] = self._loop.now_ms + blow.fault.ms
            self._recorder.is_over(blow.number, blow.fault.ms)
        if kind is FaultKind.UNAVAILABLE or self._is_away(port):
            raise _unavailable(place)
        answer = call()
        if blow is not None and kind is FaultKind.CRASH:
            process.die(at=blow.number)
            check_alive(process)
        if kind is FaultKind.LOST_REPLY:
            raise _unavailable(place)
        return blind if kind is FaultKind.BLIND and blind is not None else answer

    def _is_away(self, port: str) -> bool:
        return self._away_until_ms.get(port, 0) > self._loop.now_ms


def is_port(place: str) -> bool:
    """Tell whether a place is a call, which is made before the caller dies."""
    return place.startswith(("journal.", "engine.", "message."))


def check_alive(process: Living) -> None:
    """Go no further in a process that is dead."""
    if not process.is_alive:
        raise DiedError(str(process.life))


def _unavailable(place: str) -> Exception:
    kind = JournalUnavailableError if place.startswith("journal.") else AdapterUnavailableError
    return kind(f"simulated: no answer from {place}")
