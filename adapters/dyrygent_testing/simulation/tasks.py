"""What an execution comes to: as drawn, as a function of the user's says, or a success with a value made up here.

Every execution makes a value of its own, so that one that takes another's place is seen; where there are functions of
the user's, all executions of one instance make the same, so that nothing but those functions can tell them apart.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeAlias

from attrs import evolve, frozen

from dyrygent_core import Attempt, EncodingError, Failed, Failure, Lost, Outcome, Ran, Succeeded, Take
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.ports import Dispatch, Finding
from dyrygent_runtime.reports import Report, raised, returned
from dyrygent_testing.simulation.errbacks import is_called_in_place, run_in_place, target_of, told
from dyrygent_testing.simulation.made_up import Read, made_up

__all__ = ["Ending", "Functions", "Outcomes", "Tasks", "revoked"]

Outcomes: TypeAlias = Mapping[str, Sequence[Outcome]] | Callable[[Dispatch], Any]
"""What executions come to: outcomes of attempts by node, as `outcomes_for` draws them, or a function that is the task:
it gets the dispatch, and returns a value or raises. An attempt of which nothing is said succeeds."""

Functions: TypeAlias = Mapping[str, Any]
"""The tasks by target name: functions, called as an engine would, or values that stand for what they return."""


@frozen
class Ending:
    """How one execution ended: what is reported of it, and what the engine records. A deadly one ends its process."""

    report: Report
    finding: Finding
    is_deadly: bool = False


class Tasks:
    """Runs attempts."""

    def __init__(self, outcomes: Outcomes | None, functions: Functions | None, read: Read) -> None:
        self._function = outcomes if callable(outcomes) else None
        self._functions = functions
        self._read = read
        by_node: Mapping[str, Sequence[Outcome]] = {} if outcomes is None or callable(outcomes) else outcomes
        self._drawn = {outcome.attempt: outcome for its in by_node.values() for outcome in its}

    def decide(self, outcome: Outcome) -> None:
        """Say what an attempt comes to; of a success that has neither sizes nor branches, the function says more."""
        self._drawn[outcome.attempt] = outcome

    def is_deadly(self, attempt: Attempt) -> bool:
        """Tell whether this attempt takes its process with it."""
        return isinstance(self._drawn.get(attempt), Lost)

    def run(self, item: Dispatch, execution: int, ran: Ran | None, failure: Failure | None = None) -> Ending:
        """Run one attempt to its end. `failure`: what an error callback is to be told of."""
        drawn = self._drawn.get(item.attempt, Succeeded(item.attempt))
        if not isinstance(drawn, Succeeded):
            return _ended((drawn if isinstance(drawn, Lost) else evolve(drawn, ran=ran), {}), None)
        try:
            value = self._value(told(item), drawn.sizes, execution, failure)
            if inspect.iscoroutine(value):
                value = _awaited(value)
        except (Exception, SystemExit) as problem:  # noqa: BLE001  # the user's function
            return _ended((raised(item.attempt, problem, ran), {}), None)
        return self._returned(item, value if drawn.branches is None else _taking(value, drawn.branches), ran)

    def _value(self, item: Dispatch, sizes: Sequence[int], execution: int, failure: Failure | None) -> Any:
        if self._function is not None:
            return self._function(item)
        if self._functions is None:
            return made_up(item, sizes, f".{item.attempt.number} by {execution}", self._read.get(item.attempt.node, ()))
        target = target_of(item.call)
        if target not in self._functions:
            return made_up(item, sizes, "", self._read.get(item.attempt.node, ()))
        function = self._functions[target]
        if not callable(function):
            return function
        if failure is not None and is_called_in_place(item.call):
            return run_in_place(function, item, failure)
        inputs = JSON_VALUES.decode(JSON_VALUES.encode(item.call.inputs.value))  # its own, as if it came in a message
        return function(*inputs["args"], **inputs["kwargs"])

    def _returned(self, item: Dispatch, value: Any, ran: Ran | None) -> Ending:
        report = returned(item.attempt, value, JSON_VALUES, is_kept=item.is_kept, measure=item.measure, ran=ran)
        return _ended(report, value.value if isinstance(value, Take) else value)


def _awaited(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end; where this thread runs an event loop already, as an async test does, in another."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def _ended(report: Report, value: Any) -> Ending:
    """Record what a result backend would: the value, but neither lengths nor blocks."""
    outcome, _ = report
    if not isinstance(outcome, Succeeded):
        return Ending(report, Finding(outcome))
    try:
        data = JSON_VALUES.encode(value)
    except EncodingError as problem:
        return Ending(report, Finding(raised(outcome.attempt, problem)))
    return Ending(report, Finding(evolve(outcome, sizes=()), data))


def revoked(attempt: Attempt) -> Ending:
    """Say what becomes of an attempt that is dropped instead of being run."""
    outcome = evolve(_REVOKED, attempt=attempt)
    return Ending((outcome, {}), Finding(outcome))


_REVOKED: Final = Failed(Attempt("nobody"), is_revoked=True)


def _taking(value: Any, branches: tuple[str, ...]) -> Take:
    return Take(value.value if isinstance(value, Take) else value, branches)
