"""What may go wrong in a simulation, where, and how often.

A *place* is named by text: a boundary of a turn (`point.after_append`), a call of a port (`journal.append`,
`engine.dispatch`), a message on its way (`message.sent`, `message.held`), a step of a worker (`worker.started`).
A planned `Fault` strikes when its place is passed for the n-th time in the whole simulation; the rates of `Faults`
strike by chance, drawn from the seed. What has struck is in the trace as faults that can be planned, so a run that
chance made is repeated, and made smaller, without chance.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final

from attrs import field, frozen

from dyrygent_core import UsageError
from dyrygent_core.checks import MAX_WHOLE, check_text, items_of, named, number, shown, whole
from dyrygent_core.errors import quoted
from dyrygent_runtime.faults import FaultPoint

__all__ = ["JOURNAL_CALLS", "Fault", "FaultKind", "Faults", "fault_places", "kinds_at", "planned", "point"]


class FaultKind(Enum):
    """What goes wrong."""

    CRASH = "crash"
    """The process is gone, with all that it held; at the call of a port, once that was done."""
    PAUSE = "pause"
    """What is being done stands still for a while; the rest of the process goes on."""
    STOP = "stop"
    """The whole process stands still for a while, as under SIGSTOP."""
    UNAVAILABLE = "unavailable"
    """The call fails, and nothing was done. With a duration, every call of that port fails meanwhile."""
    LOST_REPLY = "lost_reply"
    """It is done, but reported as failed."""
    LOSE = "lose"
    """The message is gone."""
    DUPLICATE = "duplicate"
    """The message is delivered twice."""
    DELAY = "delay"
    """The message comes late, so that later ones overtake it."""
    REDELIVER = "redeliver"
    """The message that a dead process held is delivered again."""
    FLUSH = "flush"
    """The broker forgets every message that it holds."""
    BLIND = "blind"
    """The look-up shows no sign of anything."""
    STEP = "step"
    """The store's clock jumps, forward by `ms`, or back if that is negative."""


_MOST: Final = 1_000_000
_POINT: Final = (FaultKind.CRASH, FaultKind.PAUSE, FaultKind.STOP, FaultKind.STEP)
_PORT: Final = (FaultKind.CRASH, FaultKind.PAUSE, FaultKind.UNAVAILABLE, FaultKind.LOST_REPLY)
_WORKER: Final = (FaultKind.CRASH, FaultKind.PAUSE, FaultKind.STOP)

JOURNAL_CALLS: Final = (
    "create",
    "append",
    "read",
    "definition",
    "calls",
    "results",
    "mark",
    "marks",
    "due",
    "rest",
    "remind",
    "close",
    "keep_snapshot",
    "purge",
    "annotate",
    "annotations",
    "renew_lease",
    "leases",
)
_ENGINE_CALLS: Final = ("dispatch", "lookup", "waiting", "revoke", "hand_over", "publish")

_KINDS: Final[Mapping[str, tuple[FaultKind, ...]]] = {
    **{f"point.{each.value}": _POINT for each in FaultPoint},
    **{f"journal.{name}": _PORT for name in JOURNAL_CALLS},
    **{f"engine.{name}": (*_PORT, FaultKind.FLUSH) for name in _ENGINE_CALLS},
    "engine.lookup": (*_PORT, FaultKind.FLUSH, FaultKind.BLIND),
    "message.sent": (FaultKind.LOSE, FaultKind.DUPLICATE, FaultKind.DELAY, FaultKind.UNAVAILABLE, FaultKind.CRASH),
    "message.held": (FaultKind.REDELIVER,),
    **{f"worker.{step}": _WORKER for step in ("picked", "started", "running", "ran", "recorded")},
}


def fault_places() -> tuple[str, ...]:
    """Return every place that is known, in the order in which a turn, and then a worker, passes them."""
    return tuple(_KINDS)


def kinds_at(place: str) -> tuple[FaultKind, ...]:
    """Return what may go wrong at a place; a call of a journal that is not known here may fail as any other.

    Raises `UsageError` for a place that there is not.
    """
    check_text("a place", place)
    kinds = _KINDS.get(place, _PORT if place.startswith("journal.") else ())
    if not kinds:
        close = difflib.get_close_matches(place, _KINDS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "fault_places() names all"
        message = f"there is no place {quoted(place)}; {hint}"
        raise UsageError(message)
    return kinds


def point(of: FaultPoint) -> str:
    """Return the place of a named boundary of a turn."""
    return f"point.{of.value}"


def _kind(kind: FaultKind | str) -> FaultKind:
    return named(FaultKind, "a kind of faults", kind)


@frozen
class Fault:
    """One thing that goes wrong when a place is passed for the `hit`-th time.

    `ms`: how long a pause, a stop, a delay or an outage takes, or by how much the clock jumps.

    Raises `UsageError` for what cannot happen there.
    """

    place: str
    hit: int = field(validator=whole(1))
    kind: FaultKind = field(converter=_kind)
    ms: int = field(default=0, validator=whole(-MAX_WHOLE))

    def __attrs_post_init__(self) -> None:
        """Refuse what would never strike."""
        if self.kind not in kinds_at(self.place):
            known = ", ".join(it.value for it in kinds_at(self.place))
            message = f"{self.kind.value!r} cannot happen at {quoted(self.place)}; what can is {known}"
            raise UsageError(message)
        if self.ms < 0 and self.kind is not FaultKind.STEP:
            message = f"only the clock goes back: ms of {self.kind.value!r} must be at least 0, not {self.ms}"
            raise UsageError(message)

    def __str__(self) -> str:
        lasts = f" {self.ms} ms" if self.ms else ""
        return f"{self.kind.value}{lasts} at {self.place}:{self.hit}"


def _plan(faults: Iterable[object]) -> tuple[Fault, ...]:
    if isinstance(faults, Fault):
        message = f"faults are a sequence; write faults=[Fault(…)] for {faults}"
        raise UsageError(message)
    found = items_of("faults", faults, "Fault(…), or Faults(…)", _MOST)
    for fault in found:
        if not isinstance(fault, Fault):
            message = f"faults are Faults(…) or a sequence of Fault(…), not of {type(fault).__name__}: {shown(fault)}"
            if fault in [kind.value for kind in FaultKind]:
                message += f"; a kind that strikes by chance is Faults({fault}=0.01)"
            raise UsageError(message)
    return found


_RATE: Final = field(default=0.0, validator=number(0, 1))


@frozen(kw_only=True)
class Faults:
    """What goes wrong: by plan, and by chance until `heal_ms` of the simulated time.

    Each rate is the chance of its kind at each place where it can happen.
    """

    crash: float = _RATE
    pause: float = _RATE
    stop: float = _RATE
    unavailable: float = _RATE
    lost_reply: float = _RATE
    lose: float = _RATE
    duplicate: float = _RATE
    delay: float = _RATE
    redeliver: float = _RATE
    flush: float = _RATE
    blind: float = _RATE
    step: float = _RATE
    heal_ms: int = field(default=120_000, validator=whole(0))
    planned: tuple[Fault, ...] = field(default=(), converter=_plan)

    def __str__(self) -> str:
        """Show what may happen, and nothing else."""
        rates = [f"{kind.value}={rate:g}" for kind, rate in self.rates.items()]
        return ", ".join([*rates, *map(str, self.planned)]) or "no faults"

    @property
    def rates(self) -> Mapping[FaultKind, float]:
        """The chance of each kind that has one."""
        return {kind: rate for kind in FaultKind if (rate := float(getattr(self, kind.value)))}


def planned(faults: Faults | Iterable[Fault]) -> Faults:
    """Take faults as a user gives them: rates and a plan, or a plan alone. Raises `UsageError` for anything else."""
    if isinstance(faults, Faults):
        return faults
    return Faults(planned=faults)
