"""What must hold of each journal by itself: I2, I4, I5 and I7."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from dyrygent_core import (
    Attempt,
    CancelRequested,
    DeadlinePassed,
    Mode,
    Observation,
    Outcome,
    RerunRequested,
    Role,
    SkipRequested,
    State,
    Status,
    Succeeded,
    UsageError,
)
from dyrygent_testing.model import final_statuses
from dyrygent_testing.simulation.faults import FaultKind
from dyrygent_testing.simulation.replay import Replay, Step
from dyrygent_testing.simulation.trace import Trace, Wrote
from dyrygent_testing.simulation.violations import Violation

__all__ = ["check_journal"]

_IN_ORDER: Final = (CancelRequested, DeadlinePassed, RerunRequested, SkipRequested)
"""Where one of these is observed, the order is the meaning."""


def check_journal(trace: Trace, replay: Replay) -> Iterator[Violation]:
    """Give what is wrong with one workflow's journal."""
    yield from _check_once(replay)
    yield from _check_results(trace, replay)
    yield from _check_model(trace, replay)
    yield from _check_line(trace, replay)
    yield from _check_views(trace, replay)
    yield from _check_cancel(replay)


def _check_once(replay: Replay) -> Iterator[Violation]:
    """I2: an attempt is emitted once and ends once, and what is final stays so for its round."""
    emitted: set[Attempt] = set()
    statuses = dict(State.initial(replay.history.definition.graph).statuses.items())
    for step in replay.steps:
        before, statuses = statuses, dict(step.state.statuses.items())
        where = f"{replay.id}:{step.entry.position}"
        for attempt in step.emitted:
            if attempt in emitted:
                yield Violation("I2", f"{where} emits {attempt} again")
            emitted.add(attempt)
        if step.counted is not None and replay.counted_at[step.counted.attempt] != step.entry.position:
            yield Violation("I2", f"{where} ends {step.counted.attempt} again")
        if step.before.round != step.state.round:
            continue
        for node, status in before.items():
            if statuses[node] is not status and status.is_final:
                yield Violation("I2", f"{where} makes {node!r} {statuses[node].name}, which was {status.name}")


def _check_results(trace: Trace, replay: Replay) -> Iterator[Violation]:
    """I2: the results that came with the outcome that counted are those that are stored."""
    for wrote in trace.wrote:
        if wrote.workflow != replay.id:
            continue
        for attempt in _counted(replay, wrote):
            for name, value in wrote.results.items():
                is_its = (name.node, name.number) == (attempt.node, attempt.number)
                if is_its and (stored := trace.results.get((replay.id, name))) != value:
                    text = f"{replay.id}: the result {value!r} of {attempt}, which counted, became {stored!r}"
                    yield Violation("I2", text)


def _counted(replay: Replay, wrote: Wrote) -> Iterator[Attempt]:
    for step in replay.steps[wrote.first - 1 : wrote.first - 1 + len(wrote.observations)]:
        if isinstance(step.counted, Succeeded):
            yield step.counted.attempt


def _check_model(trace: Trace, replay: Replay) -> Iterator[Violation]:
    """I4: the end is the one that the pure model gives for the outcomes that counted."""
    for text in replay.disagreements:
        yield Violation("I4", text)
    graph = replay.history.definition.graph
    is_ordered = any(isinstance(step.entry.observation, _IN_ORDER) for step in replay.steps)
    if not trace.has_settled or is_ordered or graph.mode is Mode.FAIL_FAST:
        return
    outcomes: dict[str, tuple[Outcome, ...]] = {node.id: () for node in graph.nodes}
    for step in replay.steps:
        if step.counted is not None:
            outcomes[step.counted.attempt.node] += (step.counted,)
    expected = _final(replay, outcomes)
    told = dict(replay.state.statuses.items())
    if expected != told:
        yield Violation("I4", f"{replay.id}: for these outcomes the statuses are {expected}, not {told}")


def _final(replay: Replay, outcomes: Mapping[str, Sequence[Outcome]]) -> Mapping[str, Status] | str:
    try:
        return final_statuses(replay.history.definition.graph, {name: tuple(its) for name, its in outcomes.items()})
    except UsageError as problem:
        return f"none at all ({problem!r})"


def _check_line(trace: Trace, replay: Replay) -> Iterator[Violation]:
    """I5: entries stand one behind the other, each where an append has put it, at the store's time, and once."""
    owners = {it.first + at: it for it in trace.wrote if it.workflow == replay.id for at in range(len(it.observations))}
    has_jumped = any(it.fault.kind is FaultKind.STEP for it in trace.struck)
    last_ms = 0
    for place, step in enumerate(replay.steps, 1):
        entry = step.entry
        where = f"{replay.id}:{entry.position}"
        owner = owners.get(entry.position)
        if entry.position != place:
            yield Violation("I5", f"{where} stands at place {place}")
        if owner is None or owner.nonce != entry.nonce:
            yield Violation("I5", f"{where} was written under {entry.nonce!r}, which no append used there")
        if entry.observation.at_ms < last_ms and not has_jumped:
            yield Violation("I5", f"{where} was written before the entry before it")
        last_ms = entry.observation.at_ms
    known: dict[tuple[int, Observation], str] = {}
    for wrote in trace.wrote:
        for observation in wrote.observations if wrote.workflow == replay.id else ():
            nonce = known.setdefault((wrote.act, observation), wrote.nonce)
            if nonce != wrote.nonce:
                yield Violation("I5", f"{wrote.life} wrote {observation} twice in one turn, under {nonce!r} and anew")


def _check_views(trace: Trace, replay: Replay) -> Iterator[Violation]:
    """I5: what any process took the workflow to be is the fold of the journal as far as it had seen it."""
    for view in trace.views:
        if view.workflow != replay.id:
            continue
        if not 0 <= view.position <= len(replay.steps):
            yield Violation("I5", f"{view.life} saw entry {view.position} of {replay.id}, which is not there")
        elif view.state != replay.state_at(view.position):
            expected = replay.state_at(view.position)
            text = f"{view.life} took {replay.id} at {view.position} for {view.state!r}, and it is {expected!r}"
            yield Violation("I5", text)


def _check_cancel(replay: Replay) -> Iterator[Violation]:
    """I7: after a cancel nothing is emitted in that round but for the nodes of the whole workflow."""
    graph = replay.history.definition.graph
    for step in replay.steps:
        if step.state.is_cancelled:
            for attempt in _ordinary(step, graph_roles={node.id: node.role for node in graph.nodes}):
                yield Violation("I7", f"{replay.id}:{step.entry.position} emits {attempt} after the cancel")


def _ordinary(step: Step, graph_roles: Mapping[str, Role]) -> Iterator[Attempt]:
    return (attempt for attempt in step.emitted if graph_roles[attempt.node] is Role.NODE)
