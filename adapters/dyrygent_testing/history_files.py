"""A history as a file: what a workflow of production observed, and what it was emitted at each step.

It is one JSON value, an entry a line, and holds the format of each part that `dyrygent_core.codec` writes. How it is
judged is decided in `replay`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from os import PathLike
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from attrs import evolve, field, frozen

from dyrygent_core import (
    Attempt,
    Call,
    CancelRequested,
    Definition,
    EncodingError,
    Entry,
    Failed,
    Failure,
    History,
    Lost,
    Observation,
    PauseRequested,
    Skipped,
    SkipRequested,
    State,
    Status,
    Succeeded,
    TimedOut,
    UnsupportedVersionError,
    UsageError,
    WorkflowState,
)
from dyrygent_core.calls import Template
from dyrygent_core.checks import named, shown
from dyrygent_core.codec import (
    JSON_VALUES,
    decode_call,
    decode_definition,
    decode_observation,
    encode_call,
    encode_definition,
    encode_observation,
)
from dyrygent_core.codec.fields import all_of, check_known, known, listed, mapped, row, text, whole
from dyrygent_core.codec.json_text import MALFORMED, dumps, loads
from dyrygent_core.errors import quoted
from dyrygent_core.past import replay
from dyrygent_core.versions import KNOWN_RULES, Rules

__all__ = ["Detail", "Recorded", "load_history", "recorded", "save_history"]

FilePath: TypeAlias = str | PathLike[str]
_FORMAT: Final = 1
_FIELDS: Final = known("v id definition targets calls state statuses entries")
_ENTRY: Final = known("at_ms observation emitted")


class Detail(Enum):
    """How much of a history is written into its file."""

    STRUCTURE = "structure"
    """Ids, edges, policies, names of tasks, times, outcomes and the types of exceptions: all that decides what runs."""
    EVERYTHING = "everything"
    """Also the calls' arguments, what failures and requests say in words, and the names of workers."""


@frozen
class Recorded:
    """A history, and what became of it where it was written down."""

    history: History
    emitted: tuple[tuple[Attempt, ...], ...]
    """What each entry emitted."""
    state: WorkflowState
    statuses: Mapping[str, Status] = field(repr=False)


def recorded(history: History) -> Recorded:
    """Fold a history with this release, and note what it emits. Cost: that of `advance` for each entry."""
    graph = history.definition.graph
    steps = tuple(replay(graph, history.entries))
    state = steps[-1].after if steps else State.initial(graph)
    return Recorded(history, tuple(step.emitted for step in steps), state.workflow_state, state.statuses)


# Writing


def save_history(history: History, path: FilePath, *, detail: Detail | str = Detail.STRUCTURE) -> None:
    """Write a history into a file for `replay`, with what each entry emits.

    `history`: what `run.history()` gives, or `trace.history` of a simulation.
    Save it with the release that ran it: what that emits is what later releases are held to.
    No results are written, ever. `detail`: by default nothing that may be a secret is, apart from ids and names of
    tasks; `"everything"` adds arguments, the texts of failures and requests, and the names of workers.
    A file that exists is overwritten, once all of the new one is known.

    Raises `UsageError` for what is no history; `EncodingError` if arguments are to be written and are no plain JSON;
    `OSError` as `open` does.
    """
    if not isinstance(cast("object", history), History):
        message = f"save_history takes what run.history() or trace.history gives, not {shown(history)}"
        raise UsageError(message)
    if not isinstance(cast("object", path), str | PathLike):
        message = f"save_history takes the path of the file to write, not {shown(path)}"
        raise UsageError(message)
    is_whole = named(Detail, "detail", detail) is Detail.EVERYTHING
    told = recorded(history if is_whole else _structure(history))
    written = _written(told, is_whole=is_whole)
    Path(path).write_text(written, encoding="utf-8")


def _structure(history: History) -> History:
    """Leave out of a history what decides nothing."""
    definition = evolve(history.definition, output=Template())
    entries = (evolve(entry, observation=_bare(entry.observation)) for entry in history.entries)
    return evolve(history, definition=definition, entries=tuple(entries))


def _bare(fact: Observation) -> Observation:
    match fact:
        case Failed():
            why = Failure(fact.failure.type, module=fact.failure.module)
            return evolve(fact, failure=why, ran=fact.ran and evolve(fact.ran, worker=""))
        case Succeeded() | TimedOut():
            return evolve(fact, ran=fact.ran and evolve(fact.ran, worker=""))
        case Skipped():
            return evolve(fact, reason="", ran=fact.ran and evolve(fact.ran, worker=""))
        case Lost() | CancelRequested() | PauseRequested() | SkipRequested():
            return evolve(fact, reason="")
        case _:
            return fact


def _written(told: Recorded, *, is_whole: bool) -> str:
    """Write it in lines, so that a change of the file can be read."""
    history = told.history
    graph = history.definition.graph
    targets = [history.calls[at].target if at in history.calls else None for at in range(len(graph))]
    fields: dict[str, str] = {
        "v": str(_FORMAT),
        "id": json.dumps(history.id),
        "definition": encode_definition(history.definition).decode(),
        "targets": json.dumps(targets),
        "state": json.dumps(told.state.value),
        "statuses": json.dumps([told.statuses[node.id].name for node in graph.nodes]),
    }
    if is_whole:
        calls = {str(at): json.loads(_encoded(graph.nodes[at].id, call)) for at, call in history.calls.items()}
        fields["calls"] = dumps(calls)
    entries = (
        f'{{"at_ms":{entry.observation.at_ms},"observation":{encode_observation(entry.observation)},'
        f'"emitted":{json.dumps([[it.node, it.index, it.number] for it in emitted])}}}'
        for entry, emitted in zip(history.entries, told.emitted, strict=True)
    )
    fields["entries"] = "[\n{}\n]".format(",\n".join(entries)) if history.entries else "[]"
    return "{{\n{}\n}}\n".format(",\n".join(f'"{name}": {value}' for name, value in fields.items()))


def _encoded(node: str, call: Call) -> bytes:
    try:
        return encode_call(node, call, JSON_VALUES)
    except EncodingError as problem:
        message = f"{problem}; save it without detail='everything', which needs plain JSON"
        raise EncodingError(message) from problem


# Reading


def load_history(path: FilePath, rules: Mapping[int, Rules] = KNOWN_RULES) -> Recorded:
    """Read a file that `save_history` wrote.

    Raises `UnsupportedVersionError`, naming the file, for one of another format, for rules that this release does not
    know, and for a damaged one; `OSError` as `open` does.
    """
    what = f"the history in {quoted(str(path))}"
    fields = loads(Path(path).read_bytes(), what)
    try:
        return _read(fields, rules)
    except UnsupportedVersionError as problem:
        message = f"{what}: {problem}"
        raise UnsupportedVersionError(message) from problem
    except (RecursionError, *MALFORMED) as problem:
        message = f"{what} is damaged, or not as save_history writes it ({type(problem).__name__}: {problem})"
        raise UnsupportedVersionError(message) from problem


def _read(fields: Mapping[str, object], rules: Mapping[int, Rules]) -> Recorded:
    check_known(fields, _FIELDS)
    definition = decode_definition(json.dumps(fields["definition"]).encode(), rules)
    graph = definition.graph
    lines = [mapped(it, "an entry") for it in listed(fields["entries"], "entries")]
    for line in lines:
        check_known(line, _ENTRY, "an entry")
    entries = (Entry(at, "", _observation(line)) for at, line in enumerate(lines, 1))
    history = History(text(fields, "id"), definition, tuple(entries), _calls(fields, definition))
    emitted = tuple(tuple(_attempts(line["emitted"], definition)) for line in lines)
    names = all_of(str, fields["statuses"], "statuses")
    statuses = {node.id: Status[name] for node, name in zip(graph.nodes, names, strict=True)}
    return Recorded(history, emitted, WorkflowState(fields["state"]), statuses)


def _observation(line: Mapping[str, object]) -> Observation:
    return decode_observation(json.dumps(line["observation"]), whole(line, "at_ms"))


def _attempts(written: object, definition: Definition) -> Sequence[Attempt]:
    found = [Attempt(*row(it, "an attempt", str, int, int)) for it in listed(written, "emitted")]
    for attempt in found:
        if attempt.node not in definition.graph.numbers:
            message = f"an entry emits {quoted(attempt.node)}, which is no node of it"
            raise ValueError(message)
    return found


def _calls(fields: Mapping[str, object], definition: Definition) -> dict[int, Call]:
    """Read the calls, or at least which tasks they call."""
    targets = listed(fields["targets"], "targets")
    if len(targets) != len(definition.graph):
        message = f"it has {len(definition.graph)} nodes, and tells of {len(targets)} what they call"
        raise ValueError(message)
    calls = {at: Call(cast("Any", target)) for at, target in enumerate(targets) if target is not None}
    for at, call in mapped(fields.get("calls", {}), "calls").items():
        calls[int(at)] = decode_call(json.dumps(call).encode(), JSON_VALUES)
    return calls
