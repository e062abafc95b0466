"""The alphabet of the core: facts from outside, and attempts, which are its only output.

An observation may be late, repeated or about something that never was; `advance` then ignores it.
Each carries `at_ms`, the journal's time at which it was recorded (milliseconds since the Unix epoch): the only
clock that the core ever sees. Whoever makes an observation leaves it 0; the journal stamps it.

What somebody asks for, and what is told of an attempt, is checked here. The outcomes themselves are the most frequent
values there are, so what they are made of is not checked again: an attempt and its parts have been.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias, cast

from attrs import field, frozen

from dyrygent_core.checks import check_int, check_text, shown, text, whole
from dyrygent_core.errors import UsageError

__all__ = [
    "Attempt",
    "Begin",
    "CancelRequested",
    "DeadlinePassed",
    "Failed",
    "Failure",
    "Lost",
    "Observation",
    "Outcome",
    "PauseRequested",
    "Ran",
    "RerunRequested",
    "ResumeRequested",
    "RetryDue",
    "SkipRequested",
    "Skipped",
    "Succeeded",
    "TimedOut",
]

NOT_A_LIST: Final = -1
"""Stands for a size where a result has no list to map over."""


class _Fields:
    """The fields of an attempt, while it is made."""

    __slots__ = ("index", "node", "number")

    node: str
    index: int
    number: int


@frozen(order=True, weakref_slot=False)
class Attempt(_Fields):
    """One submission of a node: the `number`-th, counted from 1.

    `index` is the instance of a mapped node, and 0 for every other.
    """

    node: str
    index: int = 0
    number: int = 1

    def __attrs_post_init__(self) -> None:
        """Refuse what no attempt can be; validators of the fields would cost more than all the rest."""
        if self.index < 0 or self.number < 1:
            message = f"an attempt has an index of 0 or more and a number of 1 or more, not {self.index}, {self.number}"
            raise UsageError(message)


def first_attempt(node: str) -> Attempt:
    """Return `Attempt(node)`, at a quarter of its cost: there is nothing to refuse, and nobody to write to it yet."""
    attempt = _Fields()
    attempt.node = node
    attempt.index = 0
    attempt.number = 1
    attempt.__class__ = Attempt  # from here on nobody can write to it
    return attempt  # type: ignore[return-value]


@frozen
class Failure:
    """Why an attempt failed: an exception, told in text.

    `module` and `type` name its class; `args` are its arguments where they could be written as JSON.
    """

    type: str
    message: str = ""
    module: str = ""
    args: tuple[object, ...] | None = field(default=None, hash=False)

    def __attrs_post_init__(self) -> None:
        """Refuse other types, subclasses apart; validators of the fields would take as long as all the rest."""
        if type(self.type) is not str or type(self.message) is not str or type(self.module) is not str:
            for name in ("type", "message", "module"):
                check_text(f"a failure's {name}", getattr(self, name))
        if self.args is not None and type(self.args) is not tuple:
            _check_args(self.args)

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


def _check_args(args: object) -> None:
    if not isinstance(args, tuple):
        message = f"a failure's args must be a tuple or None, not {type(args).__name__}: {shown(args)}"
        raise UsageError(message)


@frozen
class Ran:
    """When and where an attempt ran: journal time at its start, length, worker's name."""

    started_ms: int
    duration_ms: int
    worker: str = ""

    def __attrs_post_init__(self) -> None:
        """Refuse other types, as in `Failure`; but no number: clocks are set back, and then a length is negative."""
        if type(self.started_ms) is int and type(self.duration_ms) is int and type(self.worker) is str:
            return
        check_int("started_ms", self.started_ms)
        check_int("duration_ms", self.duration_ms)
        check_text("a worker's name", self.worker)


@frozen(kw_only=True)
class _Observation:
    at_ms: int = 0


@frozen
class Begin(_Observation):
    """The workflow starts: its first entry, written with its definition."""


@frozen
class Succeeded(_Observation):
    """The attempt returned. Its value, where anybody wants it, lies beside the journal.

    `sizes`: for each of `Graph.measured_paths`, the length of the list there, or `NOT_A_LIST`.
    `branches`: the direct dependents that go on, where the task chose some; None stands for all.
    """

    attempt: Attempt
    ran: Ran | None = None
    sizes: tuple[int, ...] = field(default=(), kw_only=True)
    branches: tuple[str, ...] | None = field(default=None, kw_only=True)


@frozen
class Failed(_Observation):
    """The attempt ended in an error.

    `is_final`: trying again cannot help, whatever the retry policy says.
    `is_revoked`: the engine stopped it because somebody asked.
    """

    attempt: Attempt
    failure: Failure = Failure("Failure")
    is_final: bool = field(default=False, kw_only=True)
    is_revoked: bool = field(default=False, kw_only=True)
    ran: Ran | None = None


@frozen
class TimedOut(_Observation):
    """The attempt took longer than its node allows: a failure, not a loss."""

    attempt: Attempt
    ran: Ran | None = None


@frozen
class Lost(_Observation):
    """The attempt is gone without an outcome: its worker died, or its message vanished."""

    attempt: Attempt
    reason: str = field(default="", validator=text())


@frozen
class Skipped(_Observation):
    """The attempt stopped itself without failing; what needs its success is skipped too."""

    attempt: Attempt
    reason: str = field(default="", validator=text())
    ran: Ran | None = None


@frozen
class RetryDue(_Observation):
    """The delay before this attempt, a retry, is over."""

    attempt: Attempt


@frozen
class CancelRequested(_Observation):
    """Somebody wants the workflow to stop."""

    reason: str = field(default="", validator=text())


@frozen
class DeadlinePassed(_Observation):
    """A round of the workflow has run for longer than its graph allows."""

    round: int = field(default=1, validator=whole(1))


@frozen
class PauseRequested(_Observation):
    """Somebody wants nothing more to start until `ResumeRequested`; what is in flight goes on."""

    reason: str = field(default="", validator=text())


@frozen
class ResumeRequested(_Observation):
    """The pause is over."""


def _names(nodes: Iterable[str]) -> tuple[str, ...]:
    if isinstance(nodes, str):
        message = f"nodes must be a sequence of ids, not the single id {nodes!r}; write [{nodes!r}]"
        raise UsageError(message)
    if not isinstance(cast("object", nodes), Iterable):
        message = f"nodes must be a sequence of ids, not {type(nodes).__name__}: {shown(nodes)}"
        raise UsageError(message)
    names = tuple(nodes)
    for name in names:
        check_text("an id among nodes", name)
    return names


@frozen
class RerunRequested(_Observation):
    """Somebody wants a finished workflow to try again: these nodes, or all that failed or were cancelled."""

    nodes: tuple[str, ...] = field(default=(), converter=_names)


@frozen
class SkipRequested(_Observation):
    """Somebody wants a workflow to go on without one of its nodes."""

    node: str = field(validator=text())
    reason: str = field(default="", validator=text())


Outcome: TypeAlias = Succeeded | Failed | TimedOut | Lost | Skipped
"""An observation that ends an attempt."""

Observation: TypeAlias = (
    Begin
    | Outcome
    | RetryDue
    | CancelRequested
    | DeadlinePassed
    | PauseRequested
    | ResumeRequested
    | RerunRequested
    | SkipRequested
)
"""Everything that `advance` understands."""
