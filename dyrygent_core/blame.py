"""What a node's rule made of it, read edge by edge: why it is SKIPPED or UPSTREAM_FAILED, and whose failure is behind.

Each function gives the part of a sentence after "'load' is SKIPPED: ". What the state does not tell is said with the
certainty that there is; with a history, it is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen

from dyrygent_core.case import Case
from dyrygent_core.causes import end_of, how_it_ended
from dyrygent_core.errors import quoted
from dyrygent_core.nodes import Role
from dyrygent_core.observations import Failed, Skipped
from dyrygent_core.past import OUTCOMES
from dyrygent_core.phrases import enumerated, in_brackets
from dyrygent_core.rules import OUTCOME_COLUMNS, Condition, Effect, Row, Trigger
from dyrygent_core.state import State
from dyrygent_core.statuses import Status

__all__ = ["Root", "root_of", "skipped", "upstream_failed"]

# The rule, edge by edge


@frozen
class _Read:
    """One edge: the dependency, which row it follows, as what the dependency counts, and what that does."""

    above: int
    row: Row
    status: Status
    is_untaken: bool
    effect: Effect | None
    """None while the dependency is not final."""


def _read(case: Case, number: int) -> list[_Read]:
    """Read the edges to a node."""
    graph, state, node = case.graph, case.state, case.graph.nodes[number]
    reads: list[_Read] = []
    for edge in node.depends_on:
        status, row = state.status(edge.node), node.row(edge)
        branches = state.branches(edge.node)
        is_untaken = branches is not None and node.id not in branches
        above = graph.numbers[edge.node]
        effect = None
        if status.is_final:
            is_allowed = status is Status.FAILED and graph.nodes[above].allow_failure
            column = "SKIPPED" if is_untaken else "allowed FAILED" if is_allowed else status.name
            effect = graph.rules.edge_effects[row][OUTCOME_COLUMNS.index(column)]
        reads.append(_Read(above, row, status, is_untaken, effect))
    return reads


_ASKS: Final[Mapping[Row, str]] = {
    Condition.SUCCEEDED: "it needs the success of {}",
    Condition.NOT_FAILED: "it needs {} not to fail",
    Condition.FAILED: "it runs only if {} fails",
    Condition.SKIPPED: "it runs only if {} is skipped",
    Condition.DONE: "it waits for {} to end",
    Condition.IF_SUCCEEDED: "it runs only if {} succeeds",
    Trigger.ONE_SUCCESS: "it needs one success, and {} was the last hope",
    Trigger.ONE_FAILED: "it runs only if one dependency fails",
    Trigger.NONE_FAILED_MIN_ONE_SUCCESS: "it needs {} not to fail",
}


def _became(case: Case, read: _Read) -> str:
    if read.is_untaken:
        return "did not choose it"
    if read.status is Status.FAILED and case.graph.nodes[read.above].allow_failure:
        return "FAILED (allowed)"
    verb = "is" if read.status is Status.UPSTREAM_FAILED else "was" if read.status in _DONE_TO else ""
    return f"{verb} {read.status.name}".lstrip()


_DONE_TO: Final = (Status.SKIPPED, Status.CANCELLED)


# SKIPPED


def skipped(case: Case) -> str:
    """Say why a node is SKIPPED: by its rule, by request, or by itself."""
    made = case.past.made.get(case.number)
    by_request = "somebody asked to skip it"
    if made is not None:
        fact = made.observation
        is_own = isinstance(fact, OUTCOMES) and fact.attempt.node == case.node.id
        if isinstance(fact, Skipped) and is_own and not case.is_mapped:
            return f"attempt {fact.attempt.number} skipped itself{in_brackets(fact.reason)}"
        request = made.request
        if request is not None and (is_own or fact is request):
            return f"{by_request}{in_brackets(request.reason)}{' while it was in flight' if is_own else ''}"
    by_rule = _skipped_by_rule(case) if case.is_ordinary else _skipped_by_role(case)
    if by_rule is not None:
        return by_rule
    if case.is_mapped or not _may_have_run(case):
        return by_request
    return f"it skipped itself, or {by_request}; the history tells which"


def _may_have_run(case: Case) -> bool:
    """Tell whether a SKIPPED node's own attempt may have said so."""
    flags = case.state.side.flags
    if not case.is_ordinary:
        return flags.is_work_over
    effects = [read.effect for read in _read(case, case.number)]
    if Effect.RUN in effects:
        return True
    return flags.has_begun and None not in effects and Effect.UPSTREAM_FAILED not in effects


def _skipped_by_rule(case: Case) -> str | None:
    """Say which dependency made its rule skip it; None if its rule does not."""
    reads = _read(case, case.number)
    effects = {read.effect for read in reads}
    trigger = case.node.trigger
    if not reads or effects & {None, Effect.RUN, Effect.UPSTREAM_FAILED}:
        return None
    if case.graph.rules.at_zero[trigger][Effect.TAINT in effects] is not Status.SKIPPED:
        return None
    match trigger:
        case Trigger.ONE_SUCCESS | Trigger.NONE_FAILED_MIN_ONE_SUCCESS:
            return f"it needs one success, and {_every(reads)} skipped: {_listed(case, reads)}"
        case Trigger.ONE_FAILED:
            return f"it runs only if a dependency fails, and none did: {_listed(case, reads)}"
        case _:
            tainted = [read for read in reads if read.effect is Effect.TAINT]
            first = tainted[0]
            name = quoted(case.graph.nodes[first.above].id)
            return f"{_ASKS[first.row].format(name)}, which {_became(case, first)}{_more(len(tainted) - 1)}"


def _more(others: int) -> str:
    if not others:
        return ""
    return f"; {others:,} more {'dependency stands' if others == 1 else 'dependencies stand'} in its way"


def _every(reads: Sequence[_Read]) -> str:
    return "its only dependency was" if len(reads) == 1 else f"all of its {len(reads):,} dependencies were"


def _listed(case: Case, reads: Sequence[_Read]) -> str:
    return enumerated([f"{quoted(case.graph.nodes[read.above].id)} {_became(case, read)}" for read in reads])


def _skipped_by_role(case: Case) -> str | None:
    """Say why a node of the whole workflow had nothing to do; None if its role does apply, or was never asked."""
    flags, role = case.state.side.flags, case.node.role
    if not flags.is_work_over or role is Role.FINALLY:
        return None
    has_failed = flags.is_past_deadline or any(True for _ in _ordinary_failures(case.state))
    if role is Role.ON_ERROR and not has_failed:
        cancelled = ", it was cancelled" if flags.is_cancelled else ""
        return f"its role is 'on_error', and the workflow did not fail{cancelled}"
    if role is Role.ON_SUCCESS and has_failed:
        how = "its deadline passed" if flags.is_past_deadline else "some of its nodes failed"
        return f"its role is 'on_success', and the workflow did not succeed: {how}"
    if flags.is_cancelled:  # it would have run, had the cancel come later
        return f"its role is {role.value!r}, and the workflow was cancelled{case.cancel_reason}"
    return None


def _ordinary_failures(state: State) -> Sequence[str]:
    """Give the ordinary nodes that FAILED and were not allowed to, or that are UPSTREAM_FAILED."""
    graph = state.graph
    return [
        graph.nodes[number].id
        for status in (Status.FAILED, Status.UPSTREAM_FAILED)
        for number in state.find(status)
        if number < graph.finalizers.start and not (status is Status.FAILED and graph.nodes[number].allow_failure)
    ]


# UPSTREAM_FAILED


@frozen
class Root:
    """The node whose end a node suffers from, and the dependency by way of which it does."""

    number: int
    via: int


def root_of(case: Case) -> Root | None:
    """Find the lowest node that FAILED or was CANCELLED behind an UPSTREAM_FAILED one.

    Cost: O(nodes and edges above it).
    """
    status = case.state.status(case.node.id)
    if status is not Status.UPSTREAM_FAILED:
        return None
    via: dict[int, int] = {}
    todo: list[tuple[int, int]] = [(above, above) for above in reversed(_blamed(case, case.number))]
    roots: list[int] = []
    while todo:
        number, first = todo.pop()
        if number in via:
            continue
        via[number] = first
        if case.state.status(case.graph.nodes[number].id) is not Status.UPSTREAM_FAILED:
            roots.append(number)
            continue
        todo.extend((above, first) for above in _blamed(case, number) if above not in via)
    return Root(min(roots), via[min(roots)]) if roots else None


def _blamed(case: Case, number: int) -> list[int]:
    """Give the dependencies because of which a node can never run."""
    reads = _read(case, number)
    is_or = case.graph.nodes[number].trigger is Trigger.ONE_SUCCESS
    blame = Effect.TAINT if is_or else Effect.UPSTREAM_FAILED
    return [read.above for read in reads if read.effect is blame]


def upstream_failed(case: Case, root: Root | None) -> str:
    """Name the dependency because of which a node can never run, and the failure behind it."""
    assert root is not None, "something failed or was cancelled"
    graph = case.graph
    read = next(read for read in _read(case, case.number) if read.above == root.via)
    name = quoted(graph.nodes[root.via].id)
    how = _became(case, read)
    if case.node.trigger is Trigger.ONE_SUCCESS:
        text = f"it needs one success, and no dependency succeeded: {name} {how}"
    else:
        text = f"{_ASKS[read.row].format(name)}, which {how}"
    origin = graph.nodes[root.number]
    why = _why(case, root)
    if root.number == root.via:
        return text + why
    status = case.state.status(origin.id)
    return f"{text} because {quoted(origin.id)} {'was ' * (status is Status.CANCELLED)}{status.name}{why}"


def _why(case: Case, root: Root) -> str:
    """Say how the node behind it failed, where it is known."""
    end = end_of(case, root.number)
    if end is None:
        return ""
    return in_brackets(str(end.failure)) if isinstance(end, Failed) else f" ({how_it_ended(case.graph, end)})"
