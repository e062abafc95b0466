"""`story`: what was observed of one node, in order, and what each entry did to it.

The entries are folded, so a line tells what became of the node by it, or why it was ignored. Entries about the whole
workflow are in the story too, for they explain what follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from dyrygent_core import cells
from dyrygent_core.causes import how_it_ended
from dyrygent_core.errors import quoted
from dyrygent_core.graph import Graph
from dyrygent_core.ignored import why_ignored
from dyrygent_core.observations import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Lost,
    Observation,
    Outcome,
    PauseRequested,
    RerunRequested,
    ResumeRequested,
    RetryDue,
    SkipRequested,
    Succeeded,
)
from dyrygent_core.past import OUTCOMES, Passed, journal_of, replay
from dyrygent_core.phrases import clock, counted, duration, enumerated, in_brackets, names
from dyrygent_core.ports import Entry
from dyrygent_core.state import State
from dyrygent_core.statuses import Status

__all__ = ["story"]


def story(graph: Graph, entries: Iterable[Entry], node_id: str) -> tuple[str, ...]:
    """Tell what was observed of a node and of the whole workflow, one line each.

    `entries`: the workflow's journal from its first entry on.
    A line has the entry's position, its time seen from the beginning, what was observed, where and how long the
    attempt ran, and after an arrow what that made of the node. What was ignored is told with the reason.
    Lines have no control characters. Cost: that of folding the entries.

    Raises `UnknownNodeError`, and `UsageError` for what is no entry.

    >>> from dyrygent_core import Failed, Failure, Node, Ran
    >>> graph = Graph([Node("extract", max_attempts=2), Node("load", ["extract"])])
    >>> failed = Failed(Attempt("extract"), Failure("OSError"), ran=Ran(100, 250, "w1"), at_ms=400)
    >>> journal = [Entry(1, "a", Begin()), Entry(2, "b", failed), Entry(3, "b", failed)]
    >>> for line in story(graph, journal, "extract"):
    ...     print(line)
    #1 +0:00:00.000 the workflow began -> SCHEDULED, attempt 1
    #2 +0:00:00.400 attempt 1 failed ('OSError') after 250 ms on 'w1' -> SCHEDULED, attempt 2
    #3 +0:00:00.400 attempt 1 failed ('OSError') after 250 ms on 'w1': ignored, it repeats #2
    """
    journal = journal_of(entries)
    teller = _Teller(graph, node_id, journal)
    return tuple(line for passed in replay(graph, journal) if (line := teller.line(passed)) is not None)


class _Teller:
    """The story so far. Not a value."""

    def __init__(self, graph: Graph, node_id: str, entries: Sequence[Entry]) -> None:
        self.graph = graph
        self.node = node_id
        self.number = graph.number(node_id)
        self.is_mapped = self.number in graph.mapped
        begins = [entry for entry in entries if isinstance(entry.observation, Begin)]
        self.begun_ms = next((entry.observation.at_ms for entry in (*begins[:1], *entries[:1])), 0)
        self.ended: dict[Attempt, Entry] = {}

    def line(self, passed: Passed) -> str | None:
        """Tell one entry; None if it is none of this node's business."""
        entry, fact = passed.entry, passed.entry.observation
        emitted = [attempt for attempt in passed.emitted if attempt.node == self.node]
        became = "" if passed.is_ignored else self._became(passed, emitted)
        if not (became or _node_of(fact) in (None, self.node)):
            return None
        told = f"#{entry.position} {clock(fact.at_ms - self.begun_ms)} {self._told(fact)}"
        if passed.is_ignored:
            told += f": ignored, {why_ignored(passed.before, fact, self.ended)}"
        elif became:
            told += f" -> {became}"
        if isinstance(fact, OUTCOMES) and not passed.is_ignored:
            self.ended.setdefault(fact.attempt, entry)
        return told

    # What it did

    def _became(self, passed: Passed, emitted: Sequence[Attempt]) -> str:
        """Say what an entry made of the node; nothing if it made nothing of it."""
        was, now = passed.before.status(self.node), passed.after.status(self.node)
        if self.is_mapped:
            return self._became_mapped(passed, emitted)
        newest = passed.after.attempt(self.node)
        if emitted:
            return f"{now.name}, attempt {newest.number}"
        due_ms = passed.after.side.due_ms.get(self.number)
        if now is Status.READY and (was is not now or due_ms != passed.before.side.due_ms.get(self.number)):
            until = "held back" if due_ms is None else f"due in {duration(due_ms - passed.entry.observation.at_ms)}"
            return f"{now.name}, attempt {newest.number}, {until}"
        return now.name if was is not now else ""

    def _became_mapped(self, passed: Passed, emitted: Sequence[Attempt]) -> str:
        was, now = passed.before.status(self.node), passed.after.status(self.node)
        width = passed.after.width(self.node)
        started = f" with {counted(width, 'instance')}" if width and was is Status.WAITING and not now.is_final else ""
        parts = [f"{now.name}{started}"] if was is not now else []
        fact = passed.entry.observation
        if isinstance(fact, OUTCOMES) and fact.attempt.node == self.node:
            parts += self._became_of_instance(passed.after, fact, emitted)
        if emitted:
            parts.append(f"{_instances(emitted)} SCHEDULED")
        return ", ".join(parts)

    def _became_of_instance(self, after: State, fact: Outcome, emitted: Sequence[Attempt]) -> list[str]:
        """Say what became of the instance that an outcome is about, unless it is in flight again."""
        index = fact.attempt.index
        if any(attempt.index == index for attempt in emitted):
            return []
        band = after.side.bands.get(self.number)
        assert band is not None, "only an instance has outcomes that count"
        due_ms = band.due_ms.get(index)
        until = "" if due_ms is None else f", due in {duration(due_ms - fact.at_ms)}"
        return [f"instance {index} {cells.status_of(band.code(index)).name}{until}"]

    # What it says

    def _told(self, fact: Observation) -> str:  # noqa: PLR0911  # one for each observation
        match fact:
            case Begin():
                return "the workflow began"
            case RetryDue(attempt=attempt):
                return f"the retry delay of {self._named(attempt)} is over"
            case CancelRequested(reason=reason):
                return f"somebody cancelled the workflow{in_brackets(reason)}"
            case DeadlinePassed():
                return "the workflow's deadline passed"
            case PauseRequested(reason=reason):
                return f"somebody paused the workflow{in_brackets(reason)}"
            case ResumeRequested():
                return "somebody resumed the workflow"
            case RerunRequested(nodes=nodes):
                return f"somebody asked for a rerun of {names(nodes) or 'what failed or was cancelled'}"
            case SkipRequested(node=node, reason=reason):
                return f"somebody asked to skip {quoted(node)}{in_brackets(reason)}"
            case _:
                return f"{self._named(fact.attempt)} {how_it_ended(self.graph, fact)}{_where(fact)}"

    def _named(self, attempt: Attempt) -> str:
        instance = f" of instance {attempt.index}" if attempt.index or self._is_mapped(attempt.node) else ""
        return f"attempt {attempt.number}{instance}{'' if attempt.node == self.node else f' of {quoted(attempt.node)}'}"

    def _is_mapped(self, node: str) -> bool:
        return self.graph.number(node) in self.graph.mapped


def _where(fact: Outcome) -> str:
    """Say how long the attempt ran, and where: " after 250 ms on 'w1'"."""
    ran = None if isinstance(fact, Lost) else fact.ran
    if ran is None:
        return ""
    comma = "," if isinstance(fact, Succeeded) and fact.branches is not None else ""
    worker = f" on {quoted(ran.worker)}" if ran.worker else ""
    return f"{comma} after {duration(ran.duration_ms)}{worker}"


def _instances(emitted: Sequence[Attempt]) -> str:
    if len(emitted) == 1:
        return f"attempt {emitted[0].number} of instance {emitted[0].index}"
    return f"instances {enumerated([str(attempt.index) for attempt in emitted])}"


_OF_ALL: Final = (Begin, CancelRequested, DeadlinePassed, PauseRequested, ResumeRequested, RerunRequested)


def _node_of(fact: Observation) -> str | None:
    """Give the node that an observation is about; None if it is about the whole workflow."""
    if isinstance(fact, SkipRequested):
        return fact.node
    return None if isinstance(fact, _OF_ALL) else fact.attempt.node
