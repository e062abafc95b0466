"""What must hold of any simulation of any workflow, as a user would say it, and what is wrong with one.

The invariants that every trace is judged by are in `simulation.invariants`; here is what a user's own functions can
break, and what can be said by looking at the end alone.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, Final, TypeAlias

from dyrygent_core import (
    Attempt,
    DeadlinePassed,
    Graph,
    Lost,
    Mode,
    Observation,
    Outcome,
    Role,
    SkipRequested,
    Status,
    TimedOut,
    WorkflowState,
    explain,
)
from dyrygent_core.errors import quoted
from dyrygent_testing.simulation import Trace, violations_in

__all__ = ["Invariant", "differences", "is_comparable", "not_well", "unkept", "wrong_with"]

Invariant: TypeAlias = Callable[[Trace], Any]
"""What a user wants to hold of every run: raises if it does not, or returns what is false and not None."""

_SAID: Final[Mapping[str, str]] = {
    "L1": "always ends",
    "L2": "always ends, and leaves nothing behind",
    "I1": "order is respected",
    "I3": "nothing runs twice without a fault",
    "I7": "after a cancel only finalizers start",
}
"""What the numbers of the invariants are to a user; the others are ours alone."""
_OUR_PACKAGES: Final = ("dyrygent_core", "dyrygent_runtime", "dyrygent_testing")
_OURS: Final = "what Dyrygent promises"


def wrong_with(trace: Trace) -> Iterator[str]:
    """Say which promises a trace breaks, apart from the user's own."""
    for violation in violations_in(trace):
        yield f"{_SAID.get(violation.number, _OURS)}: {violation}"
    state, graph = trace.state, trace.histories[0].definition.graph
    is_late = any(isinstance(it, DeadlinePassed) for it in trace.observations)
    if state.is_cancelled and not is_late and state.workflow_state is not WorkflowState.CANCELLED:
        yield f"cancel ends in CANCELLED: it ended in {state.workflow_state.name}"
    for node in graph.nodes:
        if node.role is not Role.NODE:
            yield from _finalizer(trace, node.id, node.role)


def _finalizer(trace: Trace, node: str, role: Role) -> Iterator[str]:
    """Say what is wrong with a finalizer: it runs once if it applies, and again only if it is tried again.

    One that FAILED may never have run: what it needs could not be found, or all its attempts were lost.
    """
    status, count = trace.statuses[node], trace.count(node)
    was_skipped = any(isinstance(it, SkipRequested) and it.node == node for it in trace.observations)
    if role is Role.FINALLY and not count and status is not Status.FAILED and not was_skipped:
        yield f"finalizers run once: {quoted(node)} never ran, and is {status.name}"
    is_single = trace.state.round == 1 and trace.state.attempt(node).number == 1
    if count > 1 and is_single and not trace.struck:
        yield f"finalizers run once: {quoted(node)} ran {count} times"


def unkept(invariant: Invariant, trace: Trace) -> str | None:
    """Say how a user's invariant does not hold; None if it does."""
    name = getattr(invariant, "__name__", repr(invariant))
    try:
        answer = invariant(trace)
    except Exception as problem:  # noqa: BLE001  # the user's function
        return f"{name}: {_said(problem)}"
    return f"{name}: it returned {answer!r}" if answer is not None and not answer else None


def _said(problem: Exception) -> str:
    """Give what an assertion says, or is; of any other error also where it was. Lines that pytest adds are left out."""
    text = "\n    ".join(takewhile(lambda line: not line.startswith("assert "), str(problem).splitlines()))
    line = _line_of(problem)
    if isinstance(problem, AssertionError):
        return text or line
    return f"{type(problem).__name__}{': ' if text else ''}{text}, at {line}"


def _line_of(problem: Exception) -> str:
    """Give the last line that is the user's: one of ours may only have refused what it was asked."""
    frames = [frame for frame, _ in traceback.walk_tb(problem.__traceback__)]
    theirs = [
        summary
        for frame, summary in zip(frames, traceback.extract_tb(problem.__traceback__), strict=True)
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _OUR_PACKAGES
    ]
    return (theirs[-1].line or theirs[-1].name) if theirs else "it does not hold"


def differences(trace: Trace, calm: Trace, outcomes: Mapping[str, Sequence[Outcome]]) -> Sequence[str]:
    """Say in what a run came to another end than a calm one of the same outcomes, where both must come to the same."""
    if not is_comparable(trace, calm, outcomes):
        return ()
    return [told for node in trace.statuses if (told := _difference(trace, calm, node))]


def not_well(calm: Trace) -> Iterator[str]:
    """Say which nodes fail, and may not, although nothing goes wrong."""
    for node in calm.histories[0].definition.graph.nodes:
        if calm.statuses[node.id] is Status.FAILED and not node.allow_failure:
            yield f"ends well if nothing goes wrong: {quoted(node.id)} is {_reached(calm, node.id)}"


def _difference(trace: Trace, calm: Trace, node: str) -> str | None:
    here, there = trace.statuses[node], calm.statuses[node]
    if here is not there:
        return f"{quoted(node)} is {_reached(trace, node)}, and was {_reached(calm, node)} in a calm run"
    if here is Status.SUCCEEDED and (result := trace.result(node)) != (calmly := calm.result(node)):
        return f"{quoted(node)} returned {result!r}, and {calmly!r} in a calm run"
    return None


def _reached(trace: Trace, node: str) -> str:
    status = trace.statuses[node]
    if status is not Status.FAILED:
        return status.name
    failure = trace.failure(node)
    graph, entries = trace.state.graph, trace.histories[0].entries
    why = str(failure) if failure else explain(graph, trace.state, node, entries=entries).partition(": ")[2]
    return f"{status.name} ({why})" if why else status.name


def is_comparable(trace: Trace, calm: Trace, outcomes: Mapping[str, Sequence[Outcome]]) -> bool:
    """Tell whether the order and the faults must not be felt: where they are not the meaning, and made no outcome.

    An attempt that is lost, or times out, by a fault is another outcome than the calm run had. It must not be felt
    where its node has succeeded in the end, unless a later attempt was to come to something else.
    """
    graph = trace.histories[0].definition.graph
    if not trace.state.is_finished or trace.state.is_cancelled or _is_ordered(graph, trace, calm):
        return False
    drawn = {(type(outcome), outcome.attempt) for its in outcomes.values() for outcome in its}
    return not any(_is_late(it, fact, drawn, outcomes) for it in (trace, calm) for fact in it.observations)


def _is_late(
    trace: Trace, fact: Observation, drawn: Container[tuple[type[Outcome], Attempt]], outcomes: Container[str]
) -> bool:
    """Tell whether an observation is one that time made, and not what a task came to, and decides something."""
    if isinstance(fact, Lost | TimedOut) and (type(fact), fact.attempt) not in drawn:
        node = fact.attempt.node
        return trace.statuses[node] is not Status.SUCCEEDED or node in outcomes
    return isinstance(fact, DeadlinePassed)


def _is_ordered(graph: Graph, trace: Trace, calm: Trace) -> bool:
    """Tell whether somebody had to be first: under `fail_fast`, if a node failed in both runs."""
    return graph.mode is Mode.FAIL_FAST and all(Status.FAILED in it.statuses.values() for it in (trace, calm))
