"""A trace, told to a human: as a short story, as a chart of who ran when, or as all that happened to one node.

Times are seconds of the simulated time, from its beginning. The whole log is `Trace.lines`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import evolve

from dyrygent_core import (
    Attempt,
    Begin,
    Failed,
    Graph,
    History,
    Lost,
    Outcome,
    RetryDue,
    Skipped,
    Status,
    Succeeded,
    explain,
)
from dyrygent_core import story as told_by_core
from dyrygent_core.causes import how_it_ended
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.errors import quoted
from dyrygent_core.phrases import duration, in_brackets
from dyrygent_testing.node_names import named_in
from dyrygent_testing.simulation.faults import FaultKind

if TYPE_CHECKING:
    from dyrygent_testing.simulation.trace import Executed, Struck, Trace

__all__ = ["chart", "ending", "seconds", "story_of", "tale"]

_Line: TypeAlias = tuple[int, int, str]
"""When it was, what is told first of one time, and what is told."""

_MOST_CHARACTERS: Final = 60
_MOST_NAMED: Final = 4
_NAME_WIDTH: Final = 24
_NARROWEST: Final = 40

_FAULTS: Final[Mapping[FaultKind, str]] = {
    FaultKind.CRASH: "{who} dies",
    FaultKind.PAUSE: "{who} holds up what it is doing for {long}",
    FaultKind.STOP: "{who} stands still for {long}",
    FaultKind.UNAVAILABLE: "{who} gets no answer, and nothing was done",
    FaultKind.LOST_REPLY: "{who} gets no answer, though it was done",
    FaultKind.LOSE: "a message is lost",
    FaultKind.DUPLICATE: "a message comes twice",
    FaultKind.DELAY: "a message comes {long} late",
    FaultKind.REDELIVER: "a message that a dead worker held comes again",
    FaultKind.FLUSH: "the queue forgets what it holds",
    FaultKind.BLIND: "{who} is told of no attempt, though there are some",
    FaultKind.STEP: "the journal's clock jumps by {long}",
}


def seconds(ms: int) -> str:
    """Write an instant."""
    return f"{ms / 1000:.1f} s"


# The short story


def tale(trace: Trace) -> str:
    """Tell what ran, what struck and how it ended, a line each."""
    name = trace.histories[0].definition.name if trace.histories else ""
    head = f"simulation of {quoted(name)}, seed {trace.seed}" if name else f"simulation of seed {trace.seed}"
    lines = sorted(_steps(trace), key=lambda it: it[:2])
    width = max((len(seconds(at_ms)) for at_ms, _, _ in lines), default=0)
    told = [f"  {seconds(at_ms):>{width}}  {text}" for at_ms, _, text in lines]
    return named_in("\n".join([head, *told, *(f"  {line}" for line in ending(trace)), *trace.problems]), trace.ids)


def ending(trace: Trace) -> Iterator[str]:
    """Say how each workflow ended, and what became of nodes that did not succeed."""
    for history, state in zip(trace.histories, trace.states, strict=True):
        whose = "" if len(trace.histories) == 1 else f"{history.id}: "
        rest = [f"{quoted(node)} {status.name}" for node, status in state.statuses.items() if _is_told(status)]
        verb = "ends after" if state.is_finished else "goes on after"
        when = f"{verb} {seconds(trace.ended_ms)} in {state.workflow_state.name}"
        yield f"{whose}{when}{': ' if rest else ''}{', '.join(rest)}"


def _is_told(status: Status) -> bool:
    return status is not Status.SUCCEEDED


def _steps(trace: Trace) -> Iterator[_Line]:
    is_single = len(trace.histories) == 1
    dead = {struck.life for struck in trace.crashed}
    graphs = {history.id: history.definition.graph for history in trace.histories}
    for it in trace.executed:
        whose = "" if is_single else f"{it.workflow}: "
        graph = graphs[it.workflow]
        how = _came_to(graph, it, "died with it" if it.life in dead else "still runs")
        yield it.started_ms, 1, f"{whose}{_named(it.attempt)} on {it.life.process}: {how}"
    for history in trace.histories:
        whose = "" if is_single else f"{history.id}: "
        for at_ms, fact in _asked_and_judged(trace, history):
            yield at_ms, 0, f"{whose}{fact}"
    for struck in trace.struck:
        yield struck.at_ms, 2, f"!! {_strike(struck)}"


def _came_to(graph: Graph, it: Executed, otherwise: str) -> str:
    if it.ended_ms is None or it.outcome is None:
        return otherwise
    how = _how(graph, it.outcome)
    return f"{how}{',' if _is_refused(graph, it.outcome) else ''} after {duration(it.ended_ms - it.started_ms)}"


def _is_refused(graph: Graph, outcome: Outcome | None) -> bool:
    """Tell whether a task came to its end, but chose what it may not choose: its node fails of that."""
    if not isinstance(outcome, Succeeded) or outcome.branches is None:
        return False
    node = graph.node(outcome.attempt.node)
    return node.each is not None or not set(outcome.branches) <= set(graph.dependents(node.id))


def _how(graph: Graph, outcome: Outcome) -> str:
    if _is_refused(graph, outcome):
        return how_it_ended(graph, outcome)
    match outcome:
        case Failed(failure=failure):
            return f"failed ({_shortened(str(failure))})"
        case Skipped(reason=reason):
            return f"skipped itself{in_brackets(reason)}"
        case Lost(reason=reason):
            return f"was lost{in_brackets(reason)}"
        case Succeeded():
            return "succeeded"
        case _:
            return "timed out"


def _asked_and_judged(trace: Trace, history: History) -> Iterator[tuple[int, str]]:
    """Give what was observed beside the ends of executions: what was asked for, and what the sweep judged."""
    ran = [it.outcome for it in trace.executed if it.workflow == history.id]
    times, graph = _times(trace, history), history.definition.graph
    for entry in history.entries:
        fact = _unstamped(entry.observation)
        if isinstance(fact, Begin | RetryDue) or fact in ran:
            continue
        named = f"{_named(fact.attempt)} {_how(graph, fact)}" if isinstance(fact, Outcome) else _asked(fact)
        yield times[entry.position], named


def _asked(fact: Any) -> str:  # an observation that is no outcome
    words = {
        "CancelRequested": "somebody cancels the workflow",
        "DeadlinePassed": "the workflow's deadline passes",
        "PauseRequested": "somebody pauses the workflow",
        "RerunRequested": "somebody asks for a rerun",
        "ResumeRequested": "somebody resumes the workflow",
        "SkipRequested": "somebody asks to skip",
    }
    node = getattr(fact, "node", None)
    return f"{words[type(fact).__name__]}{'' if node is None else f' {quoted(node)}'}"


def _strike(struck: Struck) -> str:
    who = "somebody" if struck.life is None else struck.life.process
    names = list(dict.fromkeys(_named(attempt) for _, attempt in (*struck.names, *struck.held)))
    if struck.is_of_task:
        return f"{who} dies of {names[0]}"
    long = duration(abs(struck.fault.ms))
    whose = "" if not names else f", with {', '.join(names[:_MOST_NAMED])}{' …' if len(names) > _MOST_NAMED else ''}"
    return f"{_FAULTS[struck.fault.kind].format(who=who, long=long)}{whose} [{struck.fault}]"


def _named(attempt: Attempt) -> str:
    index = f"[{attempt.index}]" if attempt.index else ""
    number = f", attempt {attempt.number}," if attempt.number > 1 else ""
    return f"{quoted(attempt.node)}{index}{number}"


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"


# One node


def story_of(trace: Trace, node: str) -> str:
    """Tell all that was observed of a node, every execution of it and every fault that named it; then why it is so."""
    history = trace.histories[0]
    graph = history.definition.graph
    times = _times(trace, history)
    lines: list[_Line] = []
    for line in told_by_core(graph, history.entries, node):
        position, _, text = line.split(" ", 2)
        at = int(position.removeprefix("#").replace(",", ""))
        lines.append((times[at], 0, text))
    for it in trace.executed:
        if (it.workflow, it.attempt.node) == (history.id, node):
            lines += _execution(it)
    for struck in trace.struck:
        if any((it, attempt.node) == (history.id, node) for it, attempt in (*struck.names, *struck.held)):
            lines.append((struck.at_ms, 2, f"!! {_strike(struck)}"))
    lines.sort(key=lambda it: it[:2])
    width = max((len(seconds(at_ms)) for at_ms, _, _ in lines), default=0)
    told = [f"{seconds(at_ms):>{width}}  {text}" for at_ms, _, text in lines]
    return named_in("\n".join([*told, explain(graph, trace.state, node, entries=history.entries)]), trace.ids)


def _execution(it: Executed) -> Iterator[_Line]:
    args, kwargs = it.inputs["args"], it.inputs["kwargs"]
    given = ", ".join([*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())])
    yield it.started_ms, 1, f"{_named(it.attempt)} begins on {it.life.process}, with ({_shortened(given)})"
    if it.ended_ms is not None and it.returned is not None:
        value = _shortened(repr(JSON_VALUES.decode(it.returned)))
        yield it.ended_ms, -1, f"{_named(it.attempt)} returns {value} on {it.life.process}"


def _times(trace: Trace, history: History) -> Mapping[int, int]:
    """Give when each entry was written, by its position."""
    return {
        it.first + at: it.at_ms for it in trace.wrote if it.workflow == history.id for at in range(len(it.observations))
    }


def _unstamped(fact: Any) -> Any:
    return evolve(fact, at_ms=0)


# The chart


def chart(trace: Trace, width: int) -> str:
    """Draw when each node ran: `=` while it did, `x` where it failed, `?` where its worker died under it."""
    history, graph = trace.histories[0], trace.histories[0].definition.graph
    rows: dict[str, list[Executed]] = {}
    for it in trace.executed:
        if it.workflow == history.id:
            rows.setdefault(named_in(_row(history, it.attempt), trace.ids), []).append(it)
    ran = {it.attempt.node for its in rows.values() for it in its}
    others = {named_in(node, trace.ids): status.name for node, status in trace.statuses.items() if node not in ran}
    first = min((it.at_ms for it in trace.wrote), default=0)
    last = max([first + 1, *(_until(trace, it) for it in trace.executed), *(it.at_ms for it in trace.struck)])
    label = min(_NAME_WIDTH, max(map(len, ["faults", *rows, *others])))
    columns = max(_NARROWEST, width - label - 3)

    def at(ms: int) -> int:
        return min(columns - 1, (ms - first) * columns // (last - first))

    bars = {name: [(it, at(it.started_ms), at(_until(trace, it) - 1)) for it in its] for name, its in rows.items()}
    lines = [f"{_fitted(name, label)} |{_bar(graph, columns, its)}|" for name, its in bars.items()]
    lines += [f"{_fitted(name, label)} |{f' {status}':{columns}}|" for name, status in others.items()]
    if trace.struck:
        places = {at(it.at_ms) for it in trace.struck}
        lines.append(f"{'faults':{label}} |{''.join('!' if place in places else ' ' for place in range(columns))}|")
    end = seconds(last)
    return "\n".join([*lines, f"{'':{label}}  0.0 s{end:>{columns - 5}}"])


def _bar(graph: Graph, columns: int, its: Iterable[tuple[Executed, int, int]]) -> str:
    cells = [" "] * columns
    for it, left, right in its:
        length = max(1, right + 1 - left)
        cells[left : left + length] = "=" * length
        if not isinstance(it.outcome, Succeeded) or _is_refused(graph, it.outcome):
            cells[left + length - 1] = "?" if it.outcome is None else "x"
    return "".join(cells)


def _until(trace: Trace, it: Executed) -> int:
    if it.ended_ms is not None:
        return it.ended_ms
    died: Sequence[int] = [struck.at_ms for struck in trace.crashed if struck.life == it.life]
    return max([it.started_ms, *died])


def _row(history: History, attempt: Attempt) -> str:
    is_mapped = history.definition.graph.node(attempt.node).each is not None
    return f"{_plain(attempt.node)}[{attempt.index}]" if is_mapped else _plain(attempt.node)


def _plain(node: str) -> str:
    return quoted(node)[1:-1]


def _fitted(name: str, width: int) -> str:
    return f"{name if len(name) <= width else f'{name[: width - 1]}…':{width}}"
