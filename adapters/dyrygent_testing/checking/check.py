"""`check_workflow`: one line that tries a workflow in many orders, among failures and faults."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import isqrt
from typing import Any, Final, cast

from attrs import evolve
from hypothesis import HealthCheck, Phase, Verbosity, given
from hypothesis import seed as seeded
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.errors import FailedHealthCheck, Flaky

from dyrygent_core import Outcome, UsageError, Workflow
from dyrygent_core.checks import check_int, shown
from dyrygent_core.errors import quoted
from dyrygent_testing.checking.repeats import apart, death_at, ends_of, repeated
from dyrygent_testing.checking.schedules import Schedule, code_of, mishaps, schedules
from dyrygent_testing.checking.verdicts import Invariant, differences, is_comparable, not_well, unkept, wrong_with
from dyrygent_testing.node_names import named_in
from dyrygent_testing.simulation import Fault, FaultKind, Trace, Workers, simulate
from dyrygent_testing.simulation.arguments import outcomes_of
from dyrygent_testing.simulation.simulate import Durations
from dyrygent_testing.simulation.tasks import Functions
from dyrygent_testing.subjects import check_kind, check_size, check_strategy, list_of, members_of

__all__ = ["check_workflow"]

_EXAMPLES: Final = 100
_MOST_TOLD: Final = 3
_MOST_TRIED: Final = 20


def check_workflow(
    workflow: Workflow,
    *,
    functions: Functions | Callable[[], Functions] | None = None,
    invariants: Sequence[Invariant] = (),
    outcomes: st.SearchStrategy[Mapping[str, Sequence[Outcome]]] | None = None,
    durations: Durations | None = None,
    workers: Workers | int | None = None,
    faults: Sequence[FaultKind | str] = tuple(FaultKind),
    examples: int = _EXAMPLES,
    settings: hypothesis_settings | None = None,
    seed: int = 0,
) -> None:
    """Simulate a workflow `examples` times, and raise `AssertionError` with the smallest story that breaks a promise.

    In the first run nothing goes wrong, and no task may fail: behind one that always does, nothing would be tried. Each
    other run has its own outcomes, order, durations, number of workers, faults, and perhaps a cancel. Behind those each
    node is once run again, as its worker dies before it has told the end. Of each run must hold: it ends; no node runs
    before what it waits for; nothing runs twice without a fault; a cancel ends in CANCELLED, with only finalizers after
    it; finalizers run once; every one of `invariants` holds. And where neither a cancel nor `fail_fast` lets the order
    decide, each node comes to the status, and with `functions` to the result, that it has without faults and in the
    usual order.

    `functions`: your tasks by target name, as `simulate` takes them. If they keep something, give a function that makes
    them, so that every run begins anew. `invariants`: functions that get the `Trace`, and raise, or return what is
    false and not None. `outcomes`: draws what executions come to, by default that up to two nodes fail, time out, are
    lost or skip themselves; `st.just({})` lets everything succeed, and what is to fail every time is said here.
    `durations`: by default drawn, from nothing to 5 s, under what a node may take. `workers`: by default 1 to 3.
    `faults`: the kinds that may strike, up to three in a run; `()` leaves only order and outcomes. `settings`: those of
    Hypothesis, in the place of `examples`; by default it keeps no database and has no deadline. The same `seed` tries
    the same runs, anywhere.

    Cost: two simulations for each example, and judging one of them: together some 30 ms of one core for 20 nodes, 200
    ms for 100; and some 2√n such runs in which workers die. A failure costs up to some hundred more, to find a smaller
    one.
    Raises `UsageError` as `simulate` does, and for functions that do not come to the same when they are run again.
    """
    __tracebackhide__ = True  # pytest shows the line that calls this, and the report
    invariants = _functions_in(invariants)
    if outcomes is not None:
        check_strategy("outcomes", outcomes, "st.just({})")
    kinds = members_of(FaultKind, "faults", faults)
    check_size("examples", examples, 1)
    if settings is not None:
        check_kind("settings", settings, hypothesis_settings, "Hypothesis's, such as settings(max_examples=1_000)")
    check_int("seed", seed)
    functions = {} if functions is None else functions  # so that what is made up is the same in every run
    checked = _Checked(workflow, invariants, functions=functions, durations=durations, workers=workers)
    calm = checked.calm({})
    checked.check_steady(calm)
    graph = calm.histories[0].definition.graph
    drawn = schedules(
        graph,
        mishaps(graph) if outcomes is None else outcomes.map(lambda its: outcomes_of(its, graph, calm.ids)),
        calm.hits,
        kinds=kinds,
        is_crowded=workers is None,
        is_timed=durations is None,
        length_ms=calm.ended_ms,
    )
    told = _plain(examples) if settings is None else settings

    tried = hypothesis_settings(told, verbosity=_verbosity(told), report_multiple_bugs=False, print_blob=False)
    attempt = seeded(seed)(tried(_given(drawn, checked.try_)))
    try:
        checked.check_well(calm)
        attempt()
        if FaultKind.CRASH in kinds:
            checked.check_repeats(1 if workers is None else None, () if outcomes is not None else invariants)
    except _BrokenError as broken:
        message = checked.report(checked.with_fewer_faults(broken))
        raise AssertionError(message) from None
    except Flaky as problem:
        raise UsageError(_UNSTEADY) from problem
    except UsageError as refused:  # Hypothesis notes all that it was about to draw from
        vars(refused).pop("__notes__", None)
        raise


def _given(drawn: st.SearchStrategy[Schedule], try_: Callable[[Schedule], Trace]) -> Callable[[], None]:
    """Make a test of it; raises `UsageError` in another one, which its own settings have not allowed."""

    def attempt(schedule: Schedule) -> None:
        try_(schedule)

    try:
        return given(drawn)(attempt)
    except FailedHealthCheck as problem:
        raise UsageError(_NESTED) from problem


_NESTED: Final = (
    "check_workflow draws its runs with Hypothesis, so it cannot be called in a test with @given; there, draw what is "
    "to vary, and give it to simulate and check_invariants: @given(faults()), outcomes_for(workflow), …"
)
_UNSTEADY: Final = (
    "the functions come to something else when the same simulation is run again, so they keep something between two "
    "runs, or depend on chance or time; give check_workflow a function that makes them anew: functions=lambda: {…}"
)


def _functions_in(invariants: Any) -> tuple[Invariant, ...]:
    if callable(invariants):
        message = f"invariants are a sequence of functions; write invariants=[{getattr(invariants, '__name__', '…')}]"
        raise UsageError(message)
    found = list_of("invariants", invariants, "functions")
    for invariant in found:
        if not callable(invariant):
            message = (
                f"an invariant is a function of the Trace, such as lambda trace: trace.ran('a'), not {shown(invariant)}"
            )
            raise UsageError(message)
    return found


def _plain(examples: int) -> hypothesis_settings:
    return hypothesis_settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(cast("Iterable[HealthCheck]", HealthCheck)),
    )


def _verbosity(told: hypothesis_settings) -> Verbosity:
    """Keep Hypothesis silent about what is told better here, unless somebody wants to hear more than usual."""
    return Verbosity.quiet if told.verbosity is Verbosity.normal else told.verbosity


class _BrokenError(Exception):
    """A run that breaks a promise, and how it does."""

    def __init__(self, schedule: Schedule, trace: Trace, broken: Sequence[str]) -> None:
        super().__init__(schedule, trace, broken)
        self.schedule = schedule
        self.trace = trace
        self.broken = broken


class _Checked:
    """The workflow, and what all of its simulations have in common."""

    def __init__(self, workflow: Workflow, invariants: Sequence[Invariant], **told: Any) -> None:
        self._workflow = workflow
        self._invariants = invariants
        self._told = {name: value for name, value in told.items() if value is not None}
        self._calm: dict[str, Trace] = {}

    def calm(self, outcomes: Mapping[str, Sequence[Outcome]]) -> Trace:
        """Run it without faults and in the usual order."""
        key = code_of(outcomes)
        if key not in self._calm:
            self._calm[key] = simulate(self._workflow, outcomes=outcomes, **self._told)
        return self._calm[key]

    def check_steady(self, calm: Trace) -> None:
        """Raise `UsageError` if the same run comes to something else."""
        again = simulate(self._workflow, **self._told)
        if list(differences(again, calm, {})):
            raise UsageError(_UNSTEADY)

    def check_well(self, calm: Trace) -> None:
        """Raise `_BrokenError` if a task fails although nothing goes wrong: what comes after is never tried."""
        broken = list(not_well(calm))
        if broken:
            raise _BrokenError(Schedule(), calm, broken)

    def check_repeats(self, workers: int | None, invariants: Sequence[Invariant]) -> None:
        """Raise `_BrokenError` if anything is wrong when a node is run again: each is, at least once."""
        plain = Schedule(workers=workers)
        left = dict(ends_of(simulate(self._workflow, **{**self._told, **plain.arguments()})))

        def tried(*faults: Fault) -> Trace:
            return self.try_(evolve(plain, faults=faults), invariants)

        count = isqrt(len(left))
        while left:
            faults = apart(left.values(), count)
            try:
                trace = tried(*faults)
            except _BrokenError as broken:
                for node in repeated(broken.trace):
                    if node in left:
                        tried(death_at(left[node]))
                raise
            if is_comparable(trace, self.calm({}), {}):
                again = repeated(trace)
            else:  # too much died
                again, count = [], max(1, count // 2)
            left = {node: hit for node, hit in left.items() if node not in again and hit != faults[0].hit}

    def try_(self, schedule: Schedule, invariants: Sequence[Invariant] | None = None) -> Trace:
        """Run it once; raise `_BrokenError` with the report if anything is wrong, by default with any invariant."""
        trace = simulate(self._workflow, **{**self._told, **schedule.arguments()})
        broken = list(self._broken(trace, schedule, self._invariants if invariants is None else invariants))
        if broken:
            raise _BrokenError(schedule, trace, broken)
        return trace

    def with_fewer_faults(self, found: _BrokenError) -> _BrokenError:
        """Find one fault that breaks the same promise alone, where Hypothesis has left several.

        Without the first, the second strikes at another pass of its place, so Hypothesis leaves out neither.
        """
        faults = found.schedule.faults if len(found.schedule.faults) > 1 else ()
        for fault in faults:
            for hit in range(1, min(fault.hit, _MOST_TRIED) + 1):
                try:
                    self.try_(evolve(found.schedule, faults=(evolve(fault, hit=hit),)))
                except _BrokenError as smaller:
                    if _promise(smaller) == _promise(found):
                        return smaller
        return found

    def _broken(self, trace: Trace, schedule: Schedule, invariants: Sequence[Invariant]) -> Iterator[str]:
        yield from wrong_with(trace)
        yield from (told for invariant in invariants if (told := unkept(invariant, trace)))
        for told in differences(trace, self.calm(schedule.outcomes), schedule.outcomes):
            yield f"order and faults must not matter: {told}"

    def report(self, found: _BrokenError) -> str:
        """Tell what is broken, by which run, and how to have that again."""
        broken, trace, schedule = found.broken, found.trace, found.schedule
        name = f"workflow {quoted(self._workflow.name)}" if self._workflow.name else "the workflow"
        more = [f"and {len(broken) - _MOST_TOLD} more"] if len(broken) > _MOST_TOLD else []
        shown = "\n".join(f"  {line}" for line in [*broken[:_MOST_TOLD], *more])
        names = [f"{it}={it}" for it, value in self._told.items() if value != {} and it not in schedule.arguments()]
        own = [f"{it}={code_of(value)}" for it, value in schedule.arguments().items()]
        again = f"simulate({', '.join(['workflow', *names, *own])})"
        shown, again = named_in(shown, trace.ids), named_in(again, trace.ids)
        return f"{name} breaks a promise\n{shown}\n\n{trace}\n\nThe same run again:\n  {again}"


def _promise(found: _BrokenError) -> str:
    """Give the name of the promise, which is before the colon."""
    return found.broken[0].partition(":")[0]
