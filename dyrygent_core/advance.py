"""`advance`: the one place where it is decided what runs next.

It is the left fold of one observation at a time, and reads as the transitions of a node or of an instance:

    WAITING    --last edge decided-->  READY | SKIPPED | UPSTREAM_FAILED          (tables in `rules`)
    READY      --released-->           SCHEDULED                                  (`release`)
    SCHEDULED  --Succeeded-->          SUCCEEDED                                  (`outcomes`)
    SCHEDULED  --Skipped-->            SKIPPED
    SCHEDULED  --Failed, TimedOut-->   READY, until its retry is due, or FAILED   (CANCELLED if ending and revoked)
    SCHEDULED  --Lost-->               READY, next attempt, or FAILED             (CANCELLED if ending)
    READY      --RetryDue-->           SCHEDULED
    WAITING, READY  --CancelRequested, DeadlinePassed, a failure under fail_fast-->  CANCELLED
    WAITING, READY  --SkipRequested--> SKIPPED
    final      --RerunRequested-->     WAITING, or what its edges decide at once  (`rerun`)

Everything else is ignored: an observation may be late, repeated, or about an attempt that never was.
No clock, no chance, no I/O: retry delays are counted from the time that the journal stamped on the observation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, cast

from attrs import evolve

from dyrygent_core.cells import DELAYED, is_final
from dyrygent_core.checks import shown
from dyrygent_core.errors import UsageError
from dyrygent_core.graph import Graph
from dyrygent_core.kernel import succeed, succeed_all, succeed_each
from dyrygent_core.observations import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Failed,
    Lost,
    Observation,
    Outcome,
    PauseRequested,
    RerunRequested,
    ResumeRequested,
    RetryDue,
    Skipped,
    SkipRequested,
    Succeeded,
    TimedOut,
)
from dyrygent_core.outcomes import judge, retry_delay_ms
from dyrygent_core.release import release
from dyrygent_core.rerun import rerun
from dyrygent_core.state import State
from dyrygent_core.statuses import Status
from dyrygent_core.step import Step
from dyrygent_core.tries import Tries

__all__ = ["advance"]

_SEQUENCES: Final = (list, tuple)
_READY: Final = int(Status.READY)
_SCHEDULED: Final = int(Status.SCHEDULED)


def advance(graph: Graph, state: State, observations: Iterable[Observation]) -> tuple[State, tuple[Attempt, ...]]:
    """Fold observations into a state; return the new state and the attempts to schedule.

    Pure: equal arguments give equal results, and `state` stays as it was. The attempts are in the order of the
    observations that caused them, and within one by priority, then in topological order; each is emitted once ever.
    An observation that is late, repeated or impossible is ignored; if all are, `state` itself is returned.
    Cost: O(edges out of the nodes that became final), whatever the size of the graph.

    Raises `UsageError` if `state` belongs to another graph, and for what is no observation at all.
    """
    if state.graph is not graph and state.graph != graph:
        message = f"this state belongs to {state.graph!r}, not to {graph!r}"
        raise UsageError(message)
    facts: Sequence[Observation] = observations if isinstance(observations, _SEQUENCES) else _facts(observations)
    if (known := _succeed(state, facts)) is not None:
        return known
    step = Step(state, writes=len(facts))
    rest = iter(facts)
    for fact in rest:
        left = _succeed_each(step, fact, rest) if type(fact) is Succeeded and step.is_swift else fact
        if left is not None and _transition(left)(step, left):
            step.has_changed = True
            release(step)
    return step.freeze(), tuple(step.emitted)


def _facts(observations: Iterable[Observation]) -> tuple[Observation, ...]:
    if not isinstance(cast("object", observations), Iterable):
        message = f"advance takes a sequence of observations, not {shown(observations)}; write [{shown(observations)}]"
        raise UsageError(message)
    return tuple(observations)


def _succeed(state: State, facts: Sequence[Observation]) -> tuple[State, tuple[Attempt, ...]] | None:
    """Take the short way where all that happens is that first attempts succeed; else None."""
    numbers = state.graph.numbers
    nodes: list[int] = []
    for fact in facts:
        if type(fact) is not Succeeded or fact.sizes or fact.branches is not None:
            return None
        attempt = fact.attempt
        node = numbers.get(attempt.node)
        if node is None or attempt.index or attempt.number > 1:
            return None
        nodes.append(node)
    if not nodes or state.side.tries:
        return None
    done = succeed(state, nodes[0]) if len(nodes) == 1 else succeed_all(state, nodes)
    if done is None:
        return None
    return done[0], tuple(map(state.graph.first_attempt, done[1]))


def _succeed_each(step: Step, first: Succeeded, rest: Iterator[Observation]) -> Observation | None:
    """Take the short way through as many successes as follow each other; give the first fact that it does not take."""
    emitted: list[int] = []
    other: list[Observation] = []
    in_flight = step.in_flight
    step.blocks, step.in_flight, step.runnable = succeed_each(
        step.graph, step.cells, step.blocks, in_flight, _plain_successes(step, first, rest, other), emitted
    )
    step.emitted += map(step.attempt if step.tries else step.graph.first_attempt, emitted)
    if emitted or step.runnable or step.in_flight != in_flight:
        step.has_changed = True
        release(step)
    return other[0] if other else None


def _plain_successes(
    step: Step, first: Succeeded, rest: Iterator[Observation], other: list[Observation]
) -> Iterator[int]:
    """Give the nodes of successes that may be taken together; leave in `other` the first fact that may not be."""
    numbers, mapped, has_tries = step.graph.numbers, step.graph.mapped, bool(step.tries)
    for fact in chain((first,), rest):
        if type(fact) is Succeeded and not fact.sizes and fact.branches is None:
            attempt = fact.attempt
            node = numbers.get(attempt.node)
            if (
                node is not None
                and not attempt.index
                and attempt.number == (step.tries_of(node).number if has_tries else 1)
                and node not in mapped
            ):
                yield node
                continue
        other.append(fact)
        return


# Transitions of the whole


def _begin(step: Step, fact: Begin) -> bool:
    flags = step.flags
    if flags.has_begun or flags.is_cancelled:
        return False
    step.flags = evolve(flags, has_begun=True, begun_ms=fact.at_ms)
    for root in step.graph.roots:
        if step.cells.code(root) < _READY:
            step.run(root)
    return True


def _cancel(step: Step, _: CancelRequested) -> bool:
    if step.flags.is_cancelled or step.is_finished:
        return False
    step.end(is_cancelled=True)
    return True


def _pass_deadline(step: Step, fact: DeadlinePassed) -> bool:
    flags = step.flags
    if fact.round != flags.round or not flags.has_begun or flags.is_past_deadline or flags.is_work_over:
        return False
    step.end(is_past_deadline=True)
    return True


def _pause(step: Step, _: PauseRequested) -> bool:
    flags = step.flags
    if flags.is_paused or flags.is_cancelled or flags.is_past_deadline or step.is_finished:
        return False
    step.flags = evolve(flags, is_paused=True)
    return True


def _resume(step: Step, _: ResumeRequested) -> bool:
    if not step.flags.is_paused:
        return False
    step.flags = evolve(step.flags, is_paused=False)
    return True


# Transitions of one node


def _skip(step: Step, fact: SkipRequested) -> bool:
    node = step.graph.numbers.get(fact.node)
    if node is None or node in step.flags.skips or is_final(step.cells.code(node)):
        return False
    if step.flags.is_ending and node not in step.graph.finalizers:
        return False
    if (band := step.band(node)) is not None and step.is_on_its_way(node):
        step.delayed -= band.stop(Status.CANCELLED)
        is_in_flight = bool(band.left)
    else:
        is_in_flight = step.cells.code(node) == _SCHEDULED
    if is_in_flight:
        step.flags = evolve(step.flags, skips=step.flags.skips.put(node, value=True))
        return True
    if node in step.due_ms:
        step.due_ms = step.due_ms.drop(node)
        step.delayed -= 1
    step.settle(node, Status.SKIPPED)
    return True


def _retry(step: Step, fact: RetryDue) -> bool:
    node = step.graph.numbers.get(fact.attempt.node)
    if node is None or fact.attempt.number != step.tries_of(node, fact.attempt.index).number:
        return False
    index = fact.attempt.index
    if node in step.graph.mapped:
        band = step.band(node)
        if band is None or index not in band.due_ms:
            return False
        band.due_ms = band.due_ms.drop(index)
        band.hold(index)
        step.bands_to_go.add(node)
    elif index or node not in step.due_ms:
        return False
    else:
        step.due_ms = step.due_ms.drop(node)
        step.run(node)
    step.delayed -= 1
    return True


def _outcome(step: Step, fact: Outcome) -> bool:
    attempt = fact.attempt
    node = step.graph.numbers.get(attempt.node)
    if node is None:
        return False
    if node in step.graph.mapped:
        return _instance_outcome(step, node, fact)
    tries = step.tries_of(node)
    if attempt.index or step.cells.code(node) != _SCHEDULED or attempt.number != tries.number:
        return False
    step.in_flight -= 1
    verdict = _judge(step, node, fact, tries)
    if isinstance(verdict, Tries):
        step.tries = step.tries.put(node, verdict)
        delay_ms = retry_delay_ms(step.graph.nodes[node], fact, verdict, step.flags.begun_ms)
        if delay_ms:
            step.cells.write(node, DELAYED)
            step.due_ms = step.due_ms.put(node, fact.at_ms + delay_ms)
            step.delayed += 1
        else:
            step.run(node)
    elif verdict is Status.SUCCEEDED and isinstance(fact, Succeeded):
        _succeeded(step, node, fact)
    else:
        step.settle(node, verdict)
    return True


def _succeeded(step: Step, node: int, fact: Succeeded) -> None:
    edges = tuple(step.edges(node))
    if fact.branches is not None and not step.can_take(fact.branches, edges):
        failed = Failed(fact.attempt, is_final=True)
        code = _judge(step, node, failed, step.tries_of(node))
        assert isinstance(code, Status)
        step.settle(node, code, edges)
        return
    if fact.sizes:
        step.sizes = step.sizes.put(node, fact.sizes)
    if fact.branches is not None:
        step.choose(node, fact.branches)
    step.settle(node, Status.SUCCEEDED, edges)


def _instance_outcome(step: Step, node: int, fact: Outcome) -> bool:
    index = fact.attempt.index
    band = step.band(node)
    if band is None or index >= band.width or band.cells.code(index) != _SCHEDULED:
        return False
    tries = step.tries_of(node, index)
    if fact.attempt.number != tries.number:
        return False
    step.in_flight -= 1
    band.in_flight -= 1
    if isinstance(fact, Succeeded) and fact.branches is not None:  # an instance cannot choose
        fact = Failed(fact.attempt, is_final=True)
    if node in step.flags.skips and not isinstance(fact, Succeeded | Skipped):
        verdict: Status | Tries = Status.CANCELLED
    else:
        verdict = _judge(step, node, fact, tries)
    if not isinstance(verdict, Tries):
        band.cells.write(index, verdict)
        band.left -= 1
        if not band.left:
            step.settle(node, step.verdict_of(node, band))
        return True
    band.tries = band.tries.put(index, verdict)
    delay_ms = retry_delay_ms(step.graph.nodes[node], fact, verdict, step.flags.begun_ms)
    if delay_ms:
        band.cells.write(index, DELAYED)
        band.due_ms = band.due_ms.put(index, fact.at_ms + delay_ms)
        step.delayed += 1
    else:
        band.hold(index)
        step.bands_to_go.add(node)
    return True


def _judge(step: Step, node: int, fact: Outcome, tries: Tries) -> Status | Tries:
    flags = step.flags
    return judge(step.graph.nodes[node], fact, tries, is_ending=flags.is_ending, is_to_skip=node in flags.skips)


_TRANSITIONS: Final[Mapping[type[Any], Callable[[Step, Any], bool]]] = {
    Begin: _begin,
    Succeeded: _outcome,
    Failed: _outcome,
    TimedOut: _outcome,
    Lost: _outcome,
    Skipped: _outcome,
    RetryDue: _retry,
    CancelRequested: _cancel,
    DeadlinePassed: _pass_deadline,
    PauseRequested: _pause,
    ResumeRequested: _resume,
    SkipRequested: _skip,
    RerunRequested: rerun,
}


def _transition(fact: object) -> Callable[[Step, Any], bool]:
    transition = _TRANSITIONS.get(type(fact))
    if transition is None:
        message = f"advance takes observations, such as Succeeded(attempt), not a value of type {type(fact).__name__}"
        raise UsageError(message)
    return transition
