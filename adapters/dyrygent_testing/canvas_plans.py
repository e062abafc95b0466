"""What a canvas is to be, as plain values, and what Celery's documentation says that it gives.

The evaluator is small and slow, and knows neither Celery nor our importer: a task is given the result of what it
follows, unless it is immutable; a group gives the list of its members' values; a chord gives that list to its body.
Groups inside groups and headers unroll. A callback follows one task: of a chain the last, of a chord the body's, of a
group the first, and then it is given nothing.

A plan is written as the code that makes the canvas, with `told`, `fail`, `mourn` and `lament` for the tasks of
`canvas_app`; `linked(canvas, link=…, link_error=…)` stands for `canvas.link(…)`, `canvas.link_error(…)`, and
`set_link=…`, `set_link_error=…` for `canvas.set(link=[…], link_error=[…])`, which means the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Final, TypeAlias

from attrs import field, frozen

__all__ = ["Atom", "Chain", "Chord", "Errback", "Expected", "Group", "Items", "Plan", "Ran", "Style", "evaluated"]

Ran: TypeAlias = tuple[str, list[Any], dict[str, Any]]
"""One execution of a task: its name, and the arguments that it got."""


class Style(Enum):
    """How an error callback is written."""

    ID = "mourn"
    """Its task takes the failed task's id: the old style."""
    EXCEPTION = "lament"
    """Its task takes request, exception and traceback: the new style."""
    NOTHING = "told"
    """It is immutable."""


@frozen(repr=False)
class Errback:
    """An error callback."""

    number: int
    style: Style

    def __repr__(self) -> str:
        if self.style is Style.NOTHING:
            return f"told.si({self.number})"
        return f"{self.style.value}.s(at={self.number})"


@frozen(repr=False)
class Atom:
    """One task. Its number is its argument, and `t<number>` is its id."""

    number: int
    is_immutable: bool = False
    has_keyword: bool = False
    fails: bool = False
    links: tuple[Plan, ...] = ()
    errbacks: tuple[Errback, ...] = ()

    def __repr__(self) -> str:
        keyword = f", key={self.number}" if self.has_keyword else ""
        return _linked(f"{self.name}.{'si' if self.is_immutable else 's'}({self.number}{keyword})", self)

    @property
    def name(self) -> str:
        """The task's name."""
        return "fail" if self.fails else "told"

    @property
    def id(self) -> str:
        """The id that its signature has."""
        return f"t{self.number}"

    def given(self, args: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        """Give the arguments that it gets."""
        before = () if self.is_immutable else tuple(args)
        return [*before, self.number], {"key": self.number} if self.has_keyword else {}


@frozen(repr=False)
class Items:
    """One task over many items, in one task or, in chunks, in some."""

    number: int
    method: str
    """`map`, `starmap` or `chunks`."""
    count: int
    size: int = 1
    links: tuple[Plan, ...] = ()
    errbacks: tuple[Errback, ...] = ()

    def __repr__(self) -> str:
        size = f", {self.size}" if self.method == "chunks" else ""
        return _linked(f"told.{self.method}({self.items}{size})", self)

    @property
    def items(self) -> list[Any]:
        """What it does one after the other."""
        numbers = [100 * self.number + at for at in range(self.count)]
        return numbers if self.method == "map" else [[it, -it] for it in numbers]

    @property
    def calls(self) -> list[list[Any]]:
        """The arguments of each call."""
        return [[it] for it in self.items] if self.method == "map" else self.items


@frozen(repr=False)
class Chain:
    """One part after the other."""

    steps: tuple[Plan, ...]
    links: tuple[Plan, ...] = ()
    errbacks: tuple[Errback, ...] = ()
    is_set: bool = False
    """Whether its callbacks are set as options, instead of being linked."""

    def __repr__(self) -> str:
        return _linked(f"chain({', '.join(map(repr, self.steps))})", self)


@frozen(repr=False)
class Group:
    """Parts side by side."""

    members: tuple[Plan, ...]
    links: tuple[Plan, ...] = ()
    errbacks: tuple[Errback, ...] = ()
    is_set: bool = False
    """Whether its callbacks are set as options, instead of being linked."""

    def __repr__(self) -> str:
        return _linked(f"group({', '.join(map(repr, self.members))})", self)


@frozen(repr=False)
class Chord:
    """Parts side by side, and one that gets the list of what they give."""

    header: tuple[Plan, ...]
    body: Plan
    links: tuple[Plan, ...] = ()
    errbacks: tuple[Errback, ...] = ()
    is_set: bool = False
    """Whether its callbacks are set as options, instead of being linked."""

    def __repr__(self) -> str:
        return _linked(f"chord([{', '.join(map(repr, self.header))}], {self.body!r})", self)


Plan: TypeAlias = Atom | Items | Chain | Group | Chord


def _linked(text: str, plan: Plan) -> str:
    how = "set_" if isinstance(plan, Chain | Group | Chord) and plan.is_set else ""
    links = [f", {how}link={it!r}" for it in plan.links] + [f", {how}link_error={it!r}" for it in plan.errbacks]
    return f"linked({text}{''.join(links)})" if links else text


# What comes of it


@frozen
class Expected:
    """What a canvas is to come to."""

    has_failed: bool
    result: Any
    """Its value; None if it fails."""
    runs: tuple[Ran, ...]
    """What runs, callbacks too, in no order that means anything; an error callback of the exception style is told by
    the id in its request alone."""


class _FailedType:
    """Stands for the value of what has failed."""


_FAILED: Final = _FailedType()


def evaluated(plan: Plan, args: Sequence[Any]) -> Expected:
    """Say what a canvas comes to that is given these arguments."""
    evaluation = _Evaluation(plan)
    value = evaluation.value(plan, list(args))
    has_failed = value is _FAILED
    return Expected(has_failed, None if has_failed else value, tuple(evaluation.runs))


@frozen
class _Followers:
    """What one task is followed by: callbacks, each with whether it gets the result; and by whom failures are told."""

    links: list[tuple[Plan, bool]] = field(factory=list[tuple["Plan", bool]])
    errbacks: list[tuple[Errback, str]] = field(factory=list[tuple[Errback, str]])


class _Evaluation:
    """One canvas, as it runs. Not a value."""

    def __init__(self, plan: Plan) -> None:
        self.runs: list[Ran] = []
        self._followers: dict[int, _Followers] = {}
        self._mourned: set[tuple[int, str]] = set()
        self._note(plan)

    def value(self, plan: Plan, given: list[Any]) -> Any:
        """Run a part that is given these arguments; return its value."""
        match plan:
            case Atom():
                return self._run(plan, given)
            case Items():
                return self._run_items(plan)
            case Chain():
                return self._run_chain(plan.steps, given)
            case Group():
                return self._values(plan.members, given)
            case Chord():
                return self._run_chord(plan, given)

    def _run_chain(self, steps: Sequence[Plan], given: list[Any]) -> Any:
        for step in steps:
            value = self.value(step, given)
            if value is _FAILED:
                return _FAILED
            given = [value]
        return given[0]

    def _run_chord(self, chord: Chord, given: list[Any]) -> Any:
        values = self._values(chord.header, given)
        if values is not _FAILED:
            return self.value(chord.body, [values])
        if isinstance(chord.body, Atom):  # it is failed too, as its error callbacks see it
            for errback in chord.body.errbacks:
                self._mourn(errback, chord.body.id)
        return _FAILED

    def _values(self, members: tuple[Plan, ...], given: list[Any]) -> Any:
        """Give the list of the members' values; those of groups, and of chunks, each in its place."""
        values: list[Any] = []
        has_failed = False
        for member in spread(members):
            value = self.value(member, given)
            has_failed = has_failed or value is _FAILED
            values += value if isinstance(member, Items) and member.method == "chunks" else [value]
        return _FAILED if has_failed else values

    def _run(self, atom: Atom, given: list[Any]) -> Any:
        args, kwargs = atom.given(given)
        self.runs.append((atom.name, args, kwargs))
        followers = self._followers[atom.number]
        if atom.fails:
            for errback, failed in followers.errbacks:
                self._mourn(errback, failed)
            return _FAILED
        value = shown_of(args, kwargs)
        self._follow(followers, value)
        return value

    def _run_items(self, plan: Items) -> Any:
        self.runs += [("told", args, {}) for args in plan.calls]
        values = [shown_of(args, {}) for args in plan.calls]
        if plan.method == "chunks":
            values = [values[at : at + plan.size] for at in range(0, len(values), plan.size)]
        self._follow(self._followers[plan.number], values)
        return values

    def _follow(self, followers: _Followers, value: Any) -> None:
        for callback, gets in followers.links:
            self.value(callback, [value] if gets else [])

    def _mourn(self, errback: Errback, failed: str) -> None:
        if (errback.number, failed) in self._mourned:  # of a chord it is told once
            return
        self._mourned.add((errback.number, failed))
        if errback.style is Style.NOTHING:
            self.runs.append(("told", [errback.number], {}))
        else:
            self.runs.append((errback.style.value, [failed], {"at": errback.number}))

    # Who follows whom

    def _note(self, plan: Plan) -> None:
        if isinstance(plan, Atom | Items):
            self._followers.setdefault(plan.number, _Followers())
        for part in parts_of(plan):
            self._note(part)
        for callback in plan.links:
            self._note(callback)
            leader, gets = followed(plan)
            self._followers.setdefault(leader, _Followers()).links.append((callback, gets))
        for errback in plan.errbacks:
            for atom, failed in _failures_of(plan):
                self._followers[atom].errbacks.append((errback, failed))


def _failures_of(plan: Plan) -> Iterator[tuple[int, str]]:
    """Give the tasks whose failure a part's error callbacks are called for, with the id that is told."""
    body = plan.body if isinstance(plan, Chord) else None
    for part in parts_of(plan) or (plan,):
        assert isinstance(part, Atom)  # others have none
        yield part.number, body.id if isinstance(body, Atom) else part.id


def followed(plan: Plan) -> tuple[int, bool]:
    """Find the task that a part's callbacks follow, by its number, and whether they get its result."""
    gets = True
    while not isinstance(plan, Atom | Items):
        match plan:
            case Chain():
                plan = plan.steps[-1]
            case Chord():
                plan = plan.body
            case Group():
                plan, gets = plan.members[0], False
    return plan.number, gets and not (isinstance(plan, Items) and plan.method == "chunks")


def parts_of(plan: Plan) -> tuple[Plan, ...]:
    """Give the parts that a part is made of."""
    match plan:
        case Chain():
            return plan.steps
        case Group():
            return plan.members
        case Chord():
            return (*plan.header, plan.body)
        case _:
            return ()


def spread(members: tuple[Plan, ...]) -> list[Plan]:
    """Put the members of groups among the members, in their place."""
    return [inner for it in members for inner in (spread(it.members) if isinstance(it, Group) else [it])]


def shown_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Give the result of a task that tells what it got."""
    return [*args, dict(kwargs)] if kwargs else [*args]
