"""Histories of production, folded again: by this release, and by the workflow as it is written today.

A history tells what was observed and what each observation emitted. Folded again, every entry has to emit the same;
the first that does not is told, with the reason. What a workflow has that an older one had not is found in `changes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from os import PathLike
from types import MappingProxyType
from typing import Final, cast

from attrs import frozen

from dyrygent_core import (
    Attempt,
    Entry,
    Failed,
    Graph,
    History,
    Lost,
    Observation,
    RerunRequested,
    RetryDue,
    Skipped,
    SkipRequested,
    State,
    Status,
    Succeeded,
    TimedOut,
    UsageError,
    Workflow,
    WorkflowState,
    explain,
)
from dyrygent_core.checks import named, shown
from dyrygent_core.errors import DyrygentError, quoted
from dyrygent_core.past import Passed, changed
from dyrygent_core.past import replay as folded
from dyrygent_core.versions import KNOWN_RULES, NEWEST_RULES, Rules
from dyrygent_testing.changes import Today, changes, made_up_ids, targets_of, today
from dyrygent_testing.history_files import FilePath, Recorded, load_history, recorded
from dyrygent_testing.node_names import Ids, named_in

__all__ = ["DivergenceError", "Replayed", "RulesOf", "replay"]

_MOST_SHOWN: Final = 8


class RulesOf(Enum):
    """Which version of the rules a history is folded by."""

    PINNED = "pinned"
    """The one that it was started under, as production does."""
    NEWEST = "newest"
    """The newest of this release, as if it were started today."""


class DivergenceError(DyrygentError, AssertionError):
    """A history does not lead to what it led to when it was saved. Its text is for a human, in lines.

    `position`: of the first entry that emits something else or makes something else of a node; one more than there are
    entries where only the end differs. `expected`, `emitted`: what that entry emitted, and what it emits.
    """

    def __init__(
        self, text: str, position: int, expected: tuple[Attempt, ...] = (), emitted: tuple[Attempt, ...] = ()
    ) -> None:
        super().__init__(text, position, expected, emitted)
        self.position = position
        self.expected = expected
        self.emitted = emitted

    def __str__(self) -> str:
        return str(self.args[0])


@frozen
class Replayed:
    """A history that led to the same again: where it stands, and what has changed in its workflow without effect."""

    history: History
    state: State
    changes: tuple[str, ...] = ()

    def __str__(self) -> str:
        count, rules = len(self.history), self.state.graph.rules.version
        head = f"{quoted(self.history.id)}: {count} entries lead to the same again, under rules {rules}"
        return "\n".join([head, *(f"  without effect: {it}" for it in self.changes)])


def replay(
    history: History | str | PathLike[str],
    workflow: Workflow | None = None,
    *,
    rules: Rules | RulesOf | str = RulesOf.PINNED,
) -> Replayed:
    """Fold a history again, with this release, and with `workflow` where one is given; both must emit what it emitted.

    `history`: a file that `save_history` wrote, or what `run.history()` or `trace.history` gives; of these it is not
    known what an earlier release emitted. `workflow`: as it is written today. Its ids that were made up are taken for
    those in the same places; the order in which one entry emits, time-outs and delays do not count.
    `rules`: `"pinned"`, those that it was started under; `"newest"`, or a version's own `Rules`.
    Cost: that of `advance` for each entry, two or three times.

    Raises `DivergenceError`, an `AssertionError`, for the first entry at which anything differs;
    `UnsupportedVersionError` for a damaged file, and one of a newer release; `UsageError` for what is no history.
    """
    followed = rules if isinstance(rules, Rules) else named(RulesOf, "rules", rules)
    told = _told(history, followed)
    graph = told.history.definition.graph
    own = _under(_followed(graph.rules, followed), graph)
    steps = tuple(folded(own, told.history.entries))
    by_whom = "this release" if own.rules == graph.rules else f"this release, under rules {own.rules.version}"
    _check_release(told, own, steps, by_whom)
    if workflow is None:
        return Replayed(told.history, _last(own, steps))
    return _by_today(workflow, told.history, steps, own.rules)


def _told(history: object, followed: Rules | RulesOf) -> Recorded:
    if isinstance(history, str | PathLike):
        more = {followed.version: followed} if isinstance(followed, Rules) else {}
        return load_history(cast("FilePath", history), {**KNOWN_RULES, **more})
    if not isinstance(history, History):
        given = "the path of a saved history, or what run.history() or trace.history gives"
        message = f"replay takes {given}, not {shown(history)}"
        raise UsageError(message)
    return recorded(history)


def _followed(pinned: Rules, rules: Rules | RulesOf) -> Rules:
    match rules:
        case RulesOf.PINNED:
            return pinned
        case RulesOf.NEWEST:
            return NEWEST_RULES
        case Rules():
            return rules


def _under(rules: Rules, graph: Graph) -> Graph:
    return Graph(
        graph.nodes, max_in_flight=graph.max_in_flight, mode=graph.mode, deadline_ms=graph.deadline_ms, rules=rules
    )


# By this release


def _check_release(told: Recorded, graph: Graph, steps: tuple[Passed, ...], by_whom: str) -> None:
    """Hold what this release emits to what is told, to the order."""
    for step, expected in zip(steps, told.emitted, strict=True):
        if step.emitted != expected:
            differing = set(expected) ^ set(step.emitted) or set(expected)
            nodes = dict.fromkeys(it.node for it in (*expected, *step.emitted) if it in differing)
            why = [explain(graph, step.after, node) for node in nodes]
            raise _diverged(told.history, step.entry, by_whom, expected=expected, emitted=step.emitted, why=why)
    end = _last(graph, steps)
    _check_end(told.history, by_whom, (told.state, told.statuses), (end.workflow_state, end.statuses))


def _check_end(
    history: History,
    by_whom: str,
    expected: tuple[WorkflowState, Mapping[str, Status]],
    found: tuple[WorkflowState, Mapping[str, Status]],
) -> None:
    if expected == found:
        return
    others = [
        f"  {quoted(node)} was {status.name}, and is {found[1][node].name}"
        for node, status in expected[1].items()
        if found[1][node] is not status
    ]
    text = [
        f"replay of {quoted(history.id)}: all {len(history)} entries emit what they did, but the end is another:",
        f"  the workflow was {expected[0].name}, and by {by_whom} is {found[0].name}",
        *_cut(others),
    ]
    raise DivergenceError("\n".join(text), len(history) + 1)


# By the workflow of today


def _by_today(workflow: object, history: History, steps: tuple[Passed, ...], rules: Rules) -> Replayed:
    if not isinstance(workflow, Workflow):
        message = f"workflow is the Workflow as it is built today, not {shown(workflow)}; leave it out to have none"
        raise UsageError(message)
    now = today(workflow, history, rules)
    mine = tuple(folded(now.graph, history.entries))
    ids = made_up_ids(history, now)
    differing = tuple(named_in(it, ids) for it in changes(history, now))
    called = targets_of(history)
    for was, its in zip(steps, mine, strict=True):
        why = list(_emitted_otherwise(was, its)) or [
            *_called_otherwise(its, called, now),
            *_ended_otherwise(was, its),
        ]
        if why:
            raise _diverged(
                history,
                was.entry,
                "this workflow",
                expected=was.emitted,
                emitted=its.emitted,
                why=why,
                differing=differing,
                ids=ids,
            )
    return Replayed(history, _last(now.graph, mine), differing)


def _emitted_otherwise(was: Passed, now: Passed) -> Iterator[str]:
    """Say why attempts are missing, and why others are there; in one entry their order is of no account."""
    then, today_ = set(was.emitted), set(now.emitted)
    for node in dict.fromkeys(it.node for it in was.emitted if it not in today_):
        yield f"today: {_explained(now, node)}"
    for node in dict.fromkeys(it.node for it in now.emitted if it not in then):
        yield f"then: {_explained(was, node)}"


def _explained(passed: Passed, node: str) -> str:
    graph = passed.after.graph
    return explain(graph, passed.after, node) if node in graph.numbers else f"there is no {quoted(node)}"


def _called_otherwise(passed: Passed, called: Mapping[str, str], now: Today) -> Iterator[str]:
    for node in dict.fromkeys(attempt.node for attempt in passed.emitted):
        if called.get(node, now.targets[node]) != now.targets[node]:
            yield f"{quoted(node)} called {quoted(called[node])} then, and calls {quoted(now.targets[node])} today"


def _ended_otherwise(was: Passed, now: Passed) -> Iterator[str]:
    """Compare what the entry made of nodes that both have, and of the whole."""
    names = {graph.nodes[at].id for it in (was, now) for graph in (it.after.graph,) for at, _, _ in changed(it)}
    for node in sorted(names & was.after.graph.numbers.keys() & now.after.graph.numbers.keys()):
        then, today_ = was.after.status(node), now.after.status(node)
        if then is not today_:
            yield f"{quoted(node)} was {then.name} then, and is {today_.name} today"
    if was.after.workflow_state is not now.after.workflow_state:
        then_, today_state = was.after.workflow_state, now.after.workflow_state
        yield f"the workflow was {then_.name} then, and is {today_state.name} today"


# In words


def _diverged(
    history: History,
    entry: Entry,
    by_whom: str,
    *,
    expected: tuple[Attempt, ...],
    emitted: tuple[Attempt, ...],
    why: Sequence[str],
    differing: Sequence[str] = (),
    ids: Ids = MappingProxyType({}),
) -> DivergenceError:
    where = f"entry {entry.position} of {len(history)}: {_fact(entry.observation)}"
    text = [
        f"replay of {quoted(history.id)} diverges at {where}",
        f"  it emitted {_attempts(expected)}",
        f"  {by_whom} emits {_attempts(emitted)}",
        *_cut([f"  {it}" for it in why]),
        *(["what differs in the workflow:"] if differing else []),
        *_cut([f"  {it}" for it in differing]),
    ]
    return DivergenceError(named_in("\n".join(text), ids), entry.position, expected, emitted)


def _fact(observation: Observation) -> str:
    """Name an observation; what it says in words may be a secret, and is not shown."""
    match observation:
        case Failed(attempt=attempt, failure=failure):
            about = f" {_attempt(attempt)} with {quoted(failure.type)}"
        case Succeeded() | TimedOut() | Lost() | Skipped() | RetryDue():
            about = f" {_attempt(observation.attempt)}"
        case SkipRequested(node=node):
            about = f" {quoted(node)}"
        case RerunRequested(nodes=nodes):
            about = f" {', '.join(map(quoted, nodes))}" if nodes else ""
        case _:
            about = ""
    return f"{type(observation).__name__}{about}"


def _attempts(attempts: Sequence[Attempt]) -> str:
    shown_ = [_attempt(it) for it in attempts[:_MOST_SHOWN]]
    more = [f"and {len(attempts) - _MOST_SHOWN} more"] if len(attempts) > _MOST_SHOWN else []
    return ", ".join([*shown_, *more]) or "nothing"


def _attempt(attempt: Attempt) -> str:
    instance = f"[{attempt.index}]" if attempt.index else ""
    again = f", attempt {attempt.number}" if attempt.number > 1 else ""
    return f"{quoted(attempt.node)}{instance}{again}"


def _cut(lines: Sequence[str]) -> list[str]:
    most = _MOST_SHOWN
    return [*lines[:most], *([f"  and {len(lines) - most} more"] if len(lines) > most else [])]


def _last(graph: Graph, steps: Sequence[Passed]) -> State:
    return steps[-1].after if steps else State.initial(graph)
