"""Why a node FAILED or was CANCELLED, in words.

Each function gives the part of a sentence after "'load' is FAILED: ". What the state does not tell is said with the
certainty that there is; with a history, it is known. What a node's rule made of it is told in `blame`.
"""

from __future__ import annotations

from typing import Final, assert_never

from dyrygent_core.case import Case
from dyrygent_core.errors import quoted
from dyrygent_core.graph import Graph
from dyrygent_core.nodes import MAX_WIDTH, Node, OnLoss, Path
from dyrygent_core.observations import (
    NOT_A_LIST,
    Attempt,
    CancelRequested,
    DeadlinePassed,
    Failed,
    Lost,
    Outcome,
    Skipped,
    Succeeded,
    TimedOut,
)
from dyrygent_core.past import OUTCOMES, Ending
from dyrygent_core.phrases import alternatives, counted, duration, either, enumerated, in_brackets, names
from dyrygent_core.state import tries_of
from dyrygent_core.statuses import Status

__all__ = ["cancelled", "end_of", "failed", "failed_attempts", "how_it_ended", "tries"]

# FAILED


def failed(case: Case) -> str:
    """Say why a node FAILED."""
    text = _mapped_failed(case) if case.is_mapped else _plain_failed(case)
    return f"{text} (allowed)" if case.node.allow_failure else text


def _plain_failed(case: Case) -> str:
    node = case.node
    newest = case.state.attempt(node.id)
    before = tries_of(case.state.side, case.number, 0)
    end = end_of(case, case.number)
    is_used_up = before.failures + 1 >= node.max_attempts
    if end is not None:
        how = how_it_ended(case.graph, end)
        is_used_up = isinstance(end, Lost) or (is_used_up and not isinstance(end, Succeeded))
    elif node.on_loss is OnLoss.FAIL or before.losses + 1 >= node.max_losses:
        how = "failed or was lost"
    else:
        how = "failed"
    rest = "no try was left" if is_used_up else "was not to be tried again"
    return f"attempt {newest.number} {how}{tries(case)}, and {rest}"


def end_of(case: Case, number: int) -> Outcome | None:
    """Give the outcome by which a node FAILED, of a mapped one that of its first failed instance; None if unknown."""
    attempts = failed_attempts(case, number)
    return case.past.outcomes.get(attempts[0]) if attempts else None


def failed_attempts(case: Case, number: int) -> tuple[Attempt, ...]:
    """Give the newest attempts of a node, of a mapped one those of the instances that FAILED."""
    node, band = case.graph.nodes[number].id, case.state.side.bands.get(number)
    if number not in case.graph.mapped:
        return (case.state.attempt(node),)
    return () if band is None else tuple(case.state.attempt(node, index) for index in band.find(Status.FAILED))


def how_it_ended(graph: Graph, end: Outcome) -> str:
    """Say how an attempt ended: "failed ('ValueError: boom')"."""
    node = graph.node(end.attempt.node)
    match end:
        case Succeeded():
            text = _how_it_succeeded(graph, node, end.branches)
        case Failed():
            verb = "was revoked" if end.is_revoked else "failed for good" if end.is_final else "failed"
            text = f"{verb}{in_brackets(str(end.failure))}"
        case TimedOut():
            text = "timed out" if node.timeout_ms is None else f"took longer than {duration(node.timeout_ms)}"
        case Lost():
            text = f"was lost{in_brackets(end.reason)}"
        case Skipped():
            text = f"skipped itself{in_brackets(end.reason)}"
        case _:
            assert_never(end)
    return text


def _how_it_succeeded(graph: Graph, node: Node, branches: tuple[str, ...] | None) -> str:
    if branches is None:
        return "succeeded"
    if node.each is not None:
        return "chose branches, which no instance can"
    wrong = set(branches) - set(graph.dependents(node.id))
    if wrong:
        chosen = names(branch for branch in branches if branch in wrong)
        return f"chose {chosen}, which {'does' if len(wrong) == 1 else 'do'} not wait for it directly"
    return f"succeeded, and chose {names(branches) or 'none'} of what waits for it"


def tries(case: Case, index: int = 0) -> str:
    """Say what went before the newest attempt, this round: ", after 1 of at most 3 failures"."""
    before = tries_of(case.state.side, case.number, index)
    parts: list[str] = []
    if before.failures:
        parts.append(f"{before.failures:,} of at most {counted(case.node.max_attempts, 'failure')}")
    if before.losses:
        parts.append(f"{before.losses:,} of at most {counted(case.node.max_losses, 'loss')}")
    return f", after {' and '.join(parts)}" if parts else ""


def _mapped_failed(case: Case) -> str:
    width = case.state.width(case.node.id)
    if width is None:
        return _no_list(case)
    instances = [str(attempt.index) for attempt in failed_attempts(case, case.number)]
    verb = "instance" if len(instances) == 1 else "instances"
    text = f"{len(instances):,} of its {counted(width, 'instance')} FAILED, {verb} {enumerated(instances)}"
    end = end_of(case, case.number)
    return text if end is None else f"{text}; the first {how_it_ended(case.graph, end)}"


def _no_list(case: Case) -> str:
    """Say why a mapped node could not even start."""
    each, source = case.node.each, case.graph.mapped[case.number]
    assert each is not None, "a mapped node"
    assert source.size is not None, "a mapped node that succeeded has a width"
    sizes = case.state.sizes(each.node)
    size = sizes[source.size] if source.size < len(sizes) else None
    where = f"the result of {quoted(each.node)}{_at(each.path)}"
    if size is None:
        return f"it was not told how long the list in {where} is"
    if size <= NOT_A_LIST:
        return f"there is no list in {where} to map over"
    return f"{where} has {size:,} elements, and at most {MAX_WIDTH:,} can be mapped over"


def _at(path: Path) -> str:
    """Write a path as one would in a template: "pages[0].items"."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return f" at {quoted(''.join(steps).removeprefix('.'))}" if path else ""


# CANCELLED


def cancelled(case: Case) -> str:
    """Say who ended the work before a node could run, or while it did."""
    made = case.past.made.get(case.number)
    if made is None or made.ending is None:
        return f"{_ended_by_flags(case)}{_of_instances(case)}"
    text = _ended_by(made.ending, case)
    fact = made.observation
    if isinstance(fact, OUTCOMES) and fact.attempt.node == case.node.id and not case.is_mapped:
        return f"{text}, and attempt {fact.attempt.number} {how_it_ended(case.graph, fact)}"
    return f"{text}{_of_instances(case)}"


def _of_instances(case: Case) -> str:
    band = case.state.side.bands.get(case.number)
    stopped = 0 if band is None else band.count(Status.CANCELLED)
    return f" when {stopped:,} of its {counted(band.width, 'instance')} had not ended" if band and stopped else ""


_PAST_DEADLINE: Final = "the workflow's deadline passed"


def _ended_by(ending: Ending, case: Case) -> str:
    match ending.observation:
        case CancelRequested(reason=reason):
            return f"{_cancelled(case)}{in_brackets(reason)}"
        case DeadlinePassed():
            return f"{_PAST_DEADLINE}{_deadline(case)}"
        case fact:
            node = ending.failed
            assert node is not None, "fail_fast needs a failure"
            is_why = isinstance(fact, Failed) and fact.attempt.node == node
            why = in_brackets(str(fact.failure)) if isinstance(fact, Failed) and is_why else ""
            return f"fail_fast ended the work, since {quoted(node)} FAILED{why}"


def _ended_by_flags(case: Case) -> str:
    """Say who may have ended the work, from what the state still knows."""
    flags = case.state.side.flags
    causes: list[str] = []
    if flags.is_cancelled:
        causes.append(_cancelled(case))
    if flags.is_past_deadline:
        causes.append(f"{_PAST_DEADLINE}{_deadline(case)}")
    if flags.is_failing_fast:
        failures = [
            case.graph.nodes[number].id
            for number in case.state.find(Status.FAILED)
            if number < case.graph.finalizers.start and not case.graph.nodes[number].allow_failure
        ]
        causes.append(f"fail_fast ended the work, since {either(failures)} FAILED")
    if not causes:
        return "the work of an earlier round was ended"
    is_sure = flags.round == 1
    return alternatives(causes if is_sure else [*causes, "the work of an earlier round was ended"])


def _cancelled(case: Case) -> str:
    return f"the workflow was cancelled{'' if case.state.side.flags.has_begun else ' before it began'}"


def _deadline(case: Case) -> str:
    limit = case.graph.deadline_ms
    return "" if limit is None else f" ({duration(limit)})"
