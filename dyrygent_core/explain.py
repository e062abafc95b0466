"""`explain`: one sentence why a node has or has not run.

Here are the sentences about nodes that are on their way, or that succeeded. What ended the others is told in `causes`,
and in `blame` where their rule did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from attrs import evolve

from dyrygent_core.blame import Root, root_of, skipped, upstream_failed
from dyrygent_core.case import Case
from dyrygent_core.causes import cancelled, failed, failed_attempts, tries
from dyrygent_core.errors import UsageError, quoted
from dyrygent_core.graph import Graph
from dyrygent_core.past import UNKNOWN, Past, journal_of, past_of
from dyrygent_core.phrases import counted, duration, enumerated, joined, names
from dyrygent_core.ports import Entry
from dyrygent_core.state import State
from dyrygent_core.statuses import Status

__all__ = ["explain"]


def explain(graph: Graph, state: State, node_id: str, *, entries: Iterable[Entry] = ()) -> str:
    """Say in one sentence why a node has the status that it has: what it waits for, or what made it end so.

    `entries`: the workflow's journal from its first entry on. With it, what the state alone does not tell is known:
    the text of a failure, the reason of a cancel, whether a node was skipped by itself or by request. What was
    appended after `state` was read does no harm; entries that do not lead to `state` are left out of account.
    One line, without control characters, whatever ids and reasons contain.
    Cost: O(edges of the node), for an UPSTREAM_FAILED one O(nodes and edges above it); with `entries`, that of
    folding them.

    Raises `UnknownNodeError`; `UsageError` if `state` belongs to another graph, and for what is no entry.

    >>> from dyrygent_core import Attempt, Begin, Failed, Node, advance
    >>> graph = Graph([Node("extract"), Node("load", ["extract"]), Node("report", ["load"])])
    >>> state, _ = advance(graph, State.initial(graph), [Begin()])
    >>> print(explain(graph, state, "report"))
    'report' is WAITING: it waits for 'load' (WAITING)
    >>> state, _ = advance(graph, state, [Failed(Attempt("extract"))])
    >>> print(explain(graph, state, "report"))
    'report' is UPSTREAM_FAILED: it needs the success of 'load', which is UPSTREAM_FAILED because 'extract' FAILED
    """
    if state.graph is not graph and state.graph != graph:
        message = f"this state belongs to {state.graph!r}, not to {graph!r}"
        raise UsageError(message)
    history = journal_of(entries)
    case = Case(graph, state, graph.number(node_id), UNKNOWN)
    root = root_of(case)
    if history:
        case = evolve(case, past=_past(case, root, history))
    status = state.status(node_id)
    why = upstream_failed(case, root) if status is Status.UPSTREAM_FAILED else _WHY[status](case)
    return f"{quoted(node_id)} is {status.name}: {why}"


def _past(case: Case, root: Root | None, entries: Sequence[Entry]) -> Past:
    """Look up what there is to know of a node, and of the one whose failure is behind its status."""
    nodes = [case.number] if root is None else [case.number, root.number]
    attempts = [attempt for number in nodes for attempt in failed_attempts(case, number)[:1]]
    return past_of(case.state, entries, nodes, attempts)


# WAITING


def _waiting(case: Case) -> str:
    graph, state = case.graph, case.state
    if not case.is_ordinary:
        left = sum(not status.is_final for status in state.statuses.values())
        left -= sum(not state.status(graph.nodes[number].id).is_final for number in graph.finalizers)
        if not left:
            return "it waits for the workflow to begin"
        verb = "has" if left == 1 else "have"
        return f"it waits until every ordinary node has ended; {left:,} {verb} not{_not_begun(case)}"
    above = [(edge.node, state.status(edge.node)) for edge in case.node.depends_on]
    undecided = [f"{quoted(node)} ({status.name})" for node, status in above if not status.is_final]
    if not undecided:
        return "it waits for the workflow to begin"
    return f"it waits for {enumerated(undecided)}{_not_begun(case)}"


def _not_begun(case: Case) -> str:
    return "" if case.state.side.flags.has_begun else "; the workflow has not begun"


# READY


def _ready(case: Case) -> str:
    if case.is_mapped:
        return f"{_instances(case)}; {_why_instances_are_ready(case)}"
    due_ms = case.state.side.due_ms.get(case.number)
    attempt = f"attempt {case.state.attempt(case.node.id).number}"
    if due_ms is None:
        return f"{attempt} may run{tries(case)}, but {_why_held(case)}"
    return f"{attempt} waits for its retry delay{tries(case)}, and is due {_when(case, due_ms)}{_even_then(case)}"


def _why_instances_are_ready(case: Case) -> str:
    band = case.state.side.bands.get(case.number)
    due = [] if band is None else [due_ms for _, due_ms in band.due_ms.items()]
    held = (0 if band is None else band.count(Status.READY)) - len(due)
    if not due:
        return _why_held(case)
    first = f"the first is due {_when(case, min(due))}"
    if held:
        return f"{len(due):,} in a retry delay, {first}; for the others, {_why_held(case)}"
    return f"{first}{_even_then(case)}"


def _why_held(case: Case) -> str:
    state = case.state
    if not state.side.flags.has_begun:
        return f"the workflow has not begun{f', and is paused{case.pause_reason}' if state.is_paused else ''}"
    if state.is_paused:
        return f"the workflow is paused{case.pause_reason}"
    limit = case.graph.max_in_flight
    running = f"{counted(state.in_flight, 'attempt')} {'is' if state.in_flight == 1 else 'are'} in flight"
    return f"{running}, and max_in_flight is {limit}"


def _even_then(case: Case) -> str:
    return f"; the workflow is paused{case.pause_reason}" if case.state.is_paused else ""


def _when(case: Case, at_ms: int) -> str:
    what = "the workflow" if case.state.round == 1 else f"round {case.state.round}"
    return f"{duration(at_ms - case.state.begun_ms)} after {what} began"


# SCHEDULED


def _scheduled(case: Case) -> str:
    if case.is_mapped:
        return f"{_instances(case)}{_to_revoke(case)}"
    newest = case.state.attempt(case.node.id).number
    return f"attempt {newest} is in flight{tries(case)}{_to_revoke(case)}"


def _to_revoke(case: Case) -> str:
    flags = case.state.side.flags
    if case.number in flags.skips:
        return "; somebody asked to skip it"
    if not case.is_ordinary or not flags.is_ending:
        return ""
    if flags.is_cancelled:
        return f"; it is to be stopped, for the workflow was cancelled{case.cancel_reason}"
    why = "the workflow's deadline passed" if flags.is_past_deadline else "fail_fast ended the work"
    return f"; it is to be stopped, for {why}"


def _instances(case: Case) -> str:
    """Count the instances of a mapped node by status."""
    statuses = case.state.instance_statuses(case.node.id)
    counts = Counter(statuses)
    parts = [f"{counts[status]:,} {status.name}" for status in Status if counts[status]]
    return f"{counted(len(statuses), 'instance')}: {joined(parts)}"


# SUCCEEDED


def _succeeded(case: Case) -> str:
    if case.is_mapped:
        return _instances(case) if case.state.width(case.node.id) else "there was nothing to map over"
    branches = case.state.branches(case.node.id)
    text = f"attempt {case.state.attempt(case.node.id).number} succeeded{tries(case)}"
    return text if branches is None else f"{text}, and chose {names(branches) or 'none'} of what waits for it"


_WHY: Final[Mapping[Status, Callable[[Case], str]]] = {
    Status.WAITING: _waiting,
    Status.READY: _ready,
    Status.SCHEDULED: _scheduled,
    Status.SUCCEEDED: _succeeded,
    Status.FAILED: failed,
    Status.SKIPPED: skipped,
    Status.CANCELLED: cancelled,
}
