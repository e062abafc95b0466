"""Hypothesis strategies: Celery canvases, with the tasks that they are made of.

They shrink to one task; whatever is not needed is left out, callbacks and failures first. Celery is loaded when a
canvas is built, not before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import cache
from itertools import count
from typing import Any, Final

from attrs import evolve, frozen
from hypothesis import strategies as st

from dyrygent_testing.canvas_plans import (
    Atom,
    Chain,
    Chord,
    Errback,
    Expected,
    Group,
    Items,
    Plan,
    Style,
    evaluated,
)
from dyrygent_testing.canvas_tasks import built
from dyrygent_testing.subjects import check_size, members_of

__all__ = ["Canvas", "CanvasPart", "canvases"]


class CanvasPart(Enum):
    """What may occur in a canvas beside single tasks."""

    CHAIN = "chain"
    GROUP = "group"
    CHORD = "chord"
    IMMUTABLE = "immutable"
    """Signatures that are given nothing (`.si`)."""
    KEYWORDS = "keywords"
    """Keyword arguments."""
    ARGS = "args"
    """Arguments that the whole canvas is given."""
    MAP = "map"
    STARMAP = "starmap"
    CHUNKS = "chunks"
    LINK = "link"
    """Callbacks: of tasks, chains, groups, chords and callbacks; tasks or canvases themselves."""
    LINK_ERROR = "link_error"
    """Error callbacks, of tasks and of chains, groups and chords of tasks."""
    FAILURE = "failure"
    """Tasks that fail."""


@frozen
class Canvas:
    """A canvas that was drawn, written as the code that makes it. Every `build` makes new signatures.

    `args`: what the whole is to be given: `add_celery_canvas(canvas.build(app), args=canvas.args)`.
    """

    plan: Plan
    args: tuple[int, ...] = ()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001  # as IPython and Hypothesis call it
        """Show it on one line, however long."""
        del cycle
        printer.text(repr(self))

    @property
    def expected(self) -> Expected:
        """What Celery's documentation says that it comes to: its value, and what runs."""
        return evaluated(self.plan, self.args)

    def build(self, app: Any, chain: Callable[..., Any] | None = None) -> Any:
        """Make it, of the tasks of `canvas_app()`.

        `chain`: makes chains, by default as `celery.chain` does, which folds some of them into chords.
        """
        return built(self.plan, app, chain)


# Drawing one


def canvases(
    *, max_tasks: int = 12, parts: Sequence[CanvasPart | str] = tuple(CanvasPart)
) -> st.SearchStrategy[Canvas]:
    """Draw any Celery canvas of tasks that tell what they got, together with what it is to come to.

    `max_tasks`: of the canvas itself; callbacks come on top. `parts`: those that may occur beside single tasks.
    Canvases shrink to a single task without anything.

    Raises `UsageError` for what no canvas can be; Celery is needed once one is built.
    """
    check_size("max_tasks", max_tasks, 1)
    allowed = frozenset(members_of(CanvasPart, "parts", parts))
    return _drawn(max_tasks, allowed)


@st.composite
def _drawn(draw: st.DrawFn, max_tasks: int, allowed: frozenset[CanvasPart]) -> Canvas:
    plan = _numbered(draw(_plans(max_tasks, allowed)))
    args = draw(st.lists(st.integers(1000, 1002), max_size=2)) if CanvasPart.ARGS in allowed else []
    return Canvas(plan, tuple(args))


@cache
def _plans(max_tasks: int, allowed: frozenset[CanvasPart]) -> st.SearchStrategy[Plan]:
    plans = _Plans(allowed)
    return st.recursive(plans.leaves(), plans.containers, max_leaves=max_tasks)


class _Plans:
    """The strategies of parts, as far as they are allowed."""

    def __init__(self, allowed: frozenset[CanvasPart]) -> None:
        self._allowed = allowed
        links = self._rarely(CanvasPart.LINK, self._callbacks())
        self._links = links
        styles = st.sampled_from(Style).map(lambda style: (Errback(0, style),))
        self._styles = styles
        self._errbacks = self._rarely(CanvasPart.LINK_ERROR, styles)

    def leaves(self) -> st.SearchStrategy[Plan]:
        """Draw a task, or one over many items."""
        several: list[st.SearchStrategy[Plan]] = [
            st.builds(
                Items, st.just(0), st.just(part.value), st.integers(1, 3), st.integers(1, 2), self._links_of(part)
            )
            for part in (CanvasPart.MAP, CanvasPart.STARMAP, CanvasPart.CHUNKS)
            if part in self._allowed
        ]
        atoms = self._atoms(self._links, self._errbacks)
        return st.one_of(atoms, atoms, atoms, *several)

    def containers(self, parts: st.SearchStrategy[Plan]) -> st.SearchStrategy[Plan]:
        """Draw what is made of parts. Containers of one have rules of their own, which are Celery's."""
        several = st.lists(parts, min_size=2, max_size=4).map(tuple)
        made: list[st.SearchStrategy[Plan]] = []
        if CanvasPart.CHAIN in self._allowed:
            made.append(st.builds(Chain, several.map(_as_steps), self._links, is_set=_SET))
        if CanvasPart.GROUP in self._allowed:
            made.append(st.builds(Group, several, self._links, is_set=_SET))
        if CanvasPart.CHORD in self._allowed:
            header = st.lists(parts, min_size=1, max_size=4).map(tuple)
            made.append(st.builds(Chord, header, parts.map(_as_body), self._links, is_set=_SET))
        if CanvasPart.LINK_ERROR in self._allowed:
            made += self._mourned()
        return _untold(lambda: st.one_of(made)) if made else parts

    def _mourned(self) -> list[st.SearchStrategy[Plan]]:
        """Draw what has error callbacks of its own: whose id they get is documented only where the parts are tasks."""
        atoms = self._atoms(self._links, st.just(()), no_for_one_failure=1)
        several = st.lists(atoms, min_size=2, max_size=3).map(tuple)
        kinds: dict[CanvasPart, st.SearchStrategy[Plan]] = {
            CanvasPart.CHAIN: st.builds(Chain, several, self._links, self._styles, _SET),
            CanvasPart.GROUP: st.builds(Group, several, self._links, self._styles, _SET),
            CanvasPart.CHORD: st.builds(Chord, several, atoms, self._links, self._styles, _SET),
        }
        return [kinds[part] for part in kinds if part in self._allowed]

    def _atoms(
        self,
        links: st.SearchStrategy[tuple[Plan, ...]],
        errbacks: st.SearchStrategy[tuple[Errback, ...]],
        no_for_one_failure: int = 15,
    ) -> st.SearchStrategy[Plan]:
        atoms = st.builds(
            Atom,
            st.just(0),
            self._flag(CanvasPart.IMMUTABLE, 1),
            self._flag(CanvasPart.KEYWORDS, 3),
            self._flag(CanvasPart.FAILURE, no_for_one_failure),
            links,
            errbacks,
        )
        return _untold(lambda: atoms)

    def _callbacks(self) -> st.SearchStrategy[tuple[Plan, ...]]:
        """Draw callbacks: tasks, which may have some too, and small canvases."""
        plain = self._atoms(st.just(()), st.just(()))
        pairs = st.tuples(plain, plain)
        kinds: dict[CanvasPart, st.SearchStrategy[Plan]] = {
            CanvasPart.CHAIN: st.builds(Chain, pairs),
            CanvasPart.GROUP: st.builds(Group, pairs),
            CanvasPart.CHORD: st.builds(Chord, pairs, plain),
        }
        linked = self._atoms(st.tuples(plain), st.just(()))
        one = st.one_of(plain, linked, *[kinds[part] for part in kinds if part in self._allowed])
        return st.lists(one, min_size=1, max_size=2).map(tuple)

    def _links_of(self, part: CanvasPart) -> st.SearchStrategy[tuple[Plan, ...]]:
        return st.just(()) if part is CanvasPart.CHUNKS else self._links

    def _flag(self, part: CanvasPart, no_for_one_yes: int) -> st.SearchStrategy[bool]:
        return st.sampled_from([False] * no_for_one_yes + [True] * (part in self._allowed))

    def _rarely(self, part: CanvasPart, drawn: st.SearchStrategy[tuple[Any, ...]]) -> st.SearchStrategy[Any]:
        if part not in self._allowed:
            return st.just(())
        return st.sampled_from(_MOSTLY_NOT).flatmap(lambda has: drawn if has else st.just(()))


@st.composite
def _untold(draw: st.DrawFn, get: Callable[[], st.SearchStrategy[Plan]]) -> Plan:
    """Draw from a strategy that Hypothesis cannot print: written down, parts of parts of parts take a megabyte."""
    return draw(get())


_SET: Final = st.booleans()
_MOSTLY_NOT: Final = (False,) * 5 + (True,)


def _as_body(plan: Plan) -> Plan:
    """Leave out error callbacks of a body of several tasks: which of them a failed header fails is not documented."""
    match plan:
        case Atom():
            return plan
        case _:
            return _without_errbacks(plan)


def _as_steps(steps: tuple[Plan, ...]) -> tuple[Plan, ...]:
    """Leave out error callbacks of what follows a group: it is a body where Celery folds the chain, and else a step.

    Callbacks are linked and not set: where Celery folds a chain it drops the options of groups.
    """
    pairs = zip(steps, (None, *steps[:-1]), strict=True)
    plain = (_without_errbacks(step) if before and _ends_in_group(before) else step for step, before in pairs)
    return tuple(map(_linked, plain))


def _linked(plan: Plan) -> Plan:
    match plan:
        case Atom() | Items():
            return plan
        case Chain():
            return evolve(plan, steps=tuple(map(_linked, plan.steps)), is_set=False)
        case Group():
            return evolve(plan, members=tuple(map(_linked, plan.members)), is_set=False)
        case Chord():
            header = tuple(map(_linked, plan.header))
            return evolve(plan, header=header, body=_linked(plan.body), is_set=False)


def _ends_in_group(plan: Plan) -> bool:
    match plan:
        case Chain():
            return _ends_in_group(plan.steps[-1])
        case Chord():
            return _ends_in_group(plan.body)
        case Group():
            return True
        case Items():
            return plan.method == "chunks"
        case Atom():
            return False


def _without_errbacks(plan: Plan) -> Plan:
    match plan:
        case Chain():
            plan = evolve(plan, steps=tuple(map(_without_errbacks, plan.steps)))
        case Group():
            plan = evolve(plan, members=tuple(map(_without_errbacks, plan.members)))
        case Chord():
            header = tuple(map(_without_errbacks, plan.header))
            plan = evolve(plan, header=header, body=_without_errbacks(plan.body))
        case _:
            pass
    return evolve(plan, errbacks=())


def _numbered(plan: Plan) -> Plan:
    """Give each task a number of its own, in the order in which they are written."""
    return _renumbered(plan, count(1))


def _renumbered(plan: Plan, numbers: count[int]) -> Plan:
    match plan:
        case Atom() | Items():
            plan = evolve(plan, number=next(numbers))
        case Chain():
            plan = evolve(plan, steps=_all_renumbered(plan.steps, numbers))
        case Group():
            plan = evolve(plan, members=_all_renumbered(plan.members, numbers))
        case Chord():
            header = _all_renumbered(plan.header, numbers)
            plan = evolve(plan, header=header, body=_renumbered(plan.body, numbers))
    links = _all_renumbered(plan.links, numbers)
    return evolve(plan, links=links, errbacks=tuple(evolve(it, number=next(numbers)) for it in plan.errbacks))


def _all_renumbered(plans: tuple[Plan, ...], numbers: count[int]) -> tuple[Plan, ...]:
    return tuple(_renumbered(plan, numbers) for plan in plans)
