"""Workflows that any engine can run to an end that was drawn: one task, which acts as its call says.

What is drawn is a graph and what each attempt comes to, as for the pure core. Here that becomes calls of the one target
`act` with plain JSON arguments, and, from the slow model alone, what every node must come to and what it must return.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, Final, TypeAlias

from attrs import field, frozen
from hypothesis import strategies as st

from dyrygent_core import (
    Attempt,
    Begin,
    Call,
    Failed,
    Graph,
    Mode,
    Node,
    Outcome,
    ResultRef,
    RetryDue,
    RetryPolicy,
    Role,
    SkipNode,
    Skipped,
    Status,
    Succeeded,
    Take,
    Trigger,
    Workflow,
    WorkflowState,
    call,
)
from dyrygent_core.nodes import Path
from dyrygent_testing import Model, graphs, outcomes_for, policies

__all__ = ["TARGET", "Acted", "Play", "acting", "plays"]

TARGET: Final = "act"

Script: TypeAlias = Mapping[Attempt, Mapping[str, Any]]
"""What attempts are to do, as JSON; one of which nothing is said succeeds."""

_NOT_A_LIST: Final = -1
_WIDEST: Final = 3
_NOTHING: Final = "nothing"
_TOO_EARLY: Final = (Trigger.ONE_SUCCESS, Trigger.ONE_FAILED)
"""They may run while their dependencies still do, so what they would read depends on the order."""


@frozen
class Play:
    """A graph, what its attempts come to, and the workflow that has them come to it."""

    graph: Graph
    script: Script = field(repr=False)
    workflow: Workflow

    def foretold(self) -> Acted:
        """Let the model say what it comes to."""
        return _Foretold(self).run()


@frozen
class Acted:
    """What a workflow came to."""

    state: WorkflowState
    statuses: Mapping[str, Status]
    widths: Mapping[str, int | None]
    results: Mapping[str, Any]

    @property
    def has_failures(self) -> bool:
        """Whether anything has failed in it."""
        return Status.FAILED in self.statuses.values()

    @property
    def has_maps(self) -> bool:
        """Whether a mapped node had an instance."""
        return any(self.widths.values())


def acting() -> Callable[..., Any]:
    """Make the task of one engine, which counts the attempts that it has made."""
    attempts: Counter[str] = Counter()
    lock = Lock()

    def act(*inputs: Any, token: str, node: str, script: Mapping[str, Mapping[str, Any]], has_item: bool) -> Any:
        index = _index_in(inputs[0]) if has_item else 0
        with lock:
            attempts[f"{token} {node} {index}"] += 1
            number = attempts[f"{token} {node} {index}"]
        return _played(Attempt(node, index, number), script.get(f"{index}.{number}", {}), inputs)

    return act


@st.composite
def plays(draw: st.DrawFn, *, token: Callable[[], str]) -> Play:
    """Draw a workflow for every engine; each gets a token of its own."""
    few = policies(retries=(RetryPolicy(1),), timeouts_ms=())
    common: dict[str, Any] = {"min_nodes": 3, "max_nodes": 8, "policies": few, "modes": [Mode.RUN_INDEPENDENT]}
    is_hopeful = draw(st.booleans())  # so that half of them come to what stands below, such as maps
    rules: dict[str, Any] = {"triggers": [Trigger.ALL_SUCCESS], "conditions": ()} if is_hopeful else {}
    any_graph = draw(graphs(**common, **rules))
    graph = Graph(any_graph.nodes, max_in_flight=any_graph.max_in_flight)  # with no deadline
    drawn = [outcome for its in draw(outcomes_for(graph)).values() for outcome in its]
    if is_hopeful:
        drawn = [outcome if isinstance(outcome, Succeeded) else _success(graph, outcome.attempt) for outcome in drawn]
    script = {outcome.attempt: _told(graph, outcome) for outcome in drawn}
    return Play(graph, script, _workflow(graph, script, token()))


# From what was drawn to calls


def _told(graph: Graph, outcome: Outcome) -> Mapping[str, Any]:
    """Say as JSON what the task is to do: what it cannot do by itself, such as getting lost, is a failure."""
    match outcome:
        case Succeeded():
            sizes = [size if 0 <= size <= _WIDEST else _NOT_A_LIST for size in outcome.sizes]
            paths = graph.measured_paths(outcome.attempt.node)
            lists = [[list(path), size] for path, size in zip(paths, sizes, strict=False)]
            branches = None if outcome.branches is None else list(outcome.branches)
            return {"lists": lists, "branches": branches}
        case Skipped() if not _is_paired(graph, outcome.attempt.node):
            return {"skip": True}
        case _:
            return {"fail": True}


def _success(graph: Graph, attempt: Attempt) -> Succeeded:
    return Succeeded(attempt, sizes=(2,) * len(graph.measured_paths(attempt.node)))


def _is_paired(graph: Graph, name: str) -> bool:
    """Tell whether an instance of another node gets what one of this returns, and knows by it which it is."""
    return graph.node(name).each is not None and any(it.each is not None and it.each.node == name for it in graph.nodes)


def _workflow(graph: Graph, script: Script, token: str) -> Workflow:
    workflow = Workflow("play", max_in_flight=graph.max_in_flight, mode=graph.mode)
    for node in graph.nodes:
        what = _call(workflow, graph, node, script, token)
        policy: dict[str, Any] = {
            name: getattr(node, name)
            for name in ("allow_failure", "max_attempts", "retry", "on_loss", "max_losses", "priority")
        }
        match node.role:
            case Role.NODE:
                each = None if node.each is None else ResultRef(node.each.node, node.each.path)
                workflow.add(what, id=node.id, after=node.depends_on, trigger=node.trigger, each=each, **policy)
            case Role.FINALLY:
                workflow.finally_(what, id=node.id, **policy)
            case Role.ON_ERROR:
                workflow.on_error(what, id=node.id, **policy)
            case Role.ON_SUCCESS:
                workflow.on_success(what, id=node.id, **policy)
    workflow.returns([ResultRef(node.id) for node in graph.nodes])  # so that every result is kept
    return workflow


def _call(workflow: Workflow, graph: Graph, node: Node, script: Script, token: str) -> Call:
    inputs: list[Any] = [] if node.each is None else [workflow.item]
    inputs += [ResultRef(name).default(_NOTHING) for name in _read_by(graph, node)]
    if node.role is not Role.NODE:
        inputs += [workflow.summary["state"], workflow.summary["failed_count"]]
    acts = {f"{it.index}.{it.number}": act for it, act in script.items() if it.node == node.id}
    return call(TARGET, *inputs, token=token, node=node.id, script=acts, has_item=node.each is not None)


def _read_by(graph: Graph, node: Node) -> list[str]:
    """Name the nodes whose results a node is given: all that it waits for, and for a last one all that there are."""
    if node.role is not Role.NODE:
        return [other.id for other in graph.nodes if other.role is Role.NODE]
    return [] if node.trigger in _TOO_EARLY else [edge.node for edge in node.depends_on]


# What the task does


def _played(attempt: Attempt, act: Mapping[str, Any], inputs: Sequence[Any]) -> Any:
    if act.get("skip"):
        raise SkipNode(f"attempt {attempt.number} has nothing to do")
    if act.get("fail"):
        raise ValueError(f"attempt {attempt.number} fails")
    value = _value(attempt, act, inputs)
    branches = act.get("branches")
    return value if branches is None else Take(value, branches)


def _value(attempt: Attempt, act: Mapping[str, Any], inputs: Sequence[Any]) -> Any:
    """Make a value that tells by whom and from what it was made, with the lists that others map over."""
    lists = {tuple(path): list(range(size)) if size >= 0 else "no list" for path, size in act.get("lists", ())}
    if isinstance(lists.get(()), list):
        return lists[()]
    made_from = zlib.crc32(json.dumps(inputs, sort_keys=True).encode())
    return {
        "by": [attempt.node, attempt.index, attempt.number],
        "index": attempt.index,
        "from": made_from,
        "items": lists.get(("items",)),
        "pages": [lists.get(("pages", 0))],
    }


def _index_in(item: Any) -> int:
    """Say which element of a list this is: it is its own index, or what an instance made."""
    index: int = item["index"] if isinstance(item, dict) else item
    return index


# What the model says of it


class _Foretold:
    """Lets the model run a play, and works out what each attempt returns."""

    def __init__(self, play: Play) -> None:
        self._graph = play.graph
        self._script = play.script
        self._model = Model(play.graph)
        self._returned: dict[Attempt, Any] = {}

    def run(self) -> Acted:
        """Run it to its end, one attempt after the other."""
        model = self._model
        model.observe(Begin())
        while not model.is_finished:
            for attempt, _ in model.delayed:
                model.observe(RetryDue(attempt))
            for attempt in model.in_flight[:1]:
                model.observe(self._outcome(attempt))
        names = [node.id for node in self._graph.nodes]
        succeeded = [name for name in names if model.statuses[name] is Status.SUCCEEDED]
        return Acted(
            model.workflow_state,
            model.statuses,
            {name: model.width(name) for name in names},
            {name: self._result(name) for name in succeeded},
        )

    def _outcome(self, attempt: Attempt) -> Outcome:
        try:
            value = _played(attempt, self._script.get(attempt, {}), self._inputs(attempt))
        except SkipNode:
            return Skipped(attempt)
        except ValueError:
            return Failed(attempt)
        branches = value.branches if isinstance(value, Take) else None
        value = self._returned[attempt] = value.value if isinstance(value, Take) else value
        sizes = tuple(_size(value, path) for path in self._graph.measured_paths(attempt.node))
        return Succeeded(attempt, sizes=sizes, branches=branches)

    def _inputs(self, attempt: Attempt) -> list[Any]:
        node = self._graph.node(attempt.node)
        inputs: list[Any] = []
        if node.each is not None:
            is_paired = self._graph.node(node.each.node).each is not None
            inputs.append(self._instances(node.each.node)[attempt.index] if is_paired else attempt.index)
        inputs += [self._result(name) for name in _read_by(self._graph, node)]
        if node.role is not Role.NODE:
            ordinary = [place for place in self._model.places.values() if place.node.role is Role.NODE]
            failed = [it for it in ordinary if it.status is Status.FAILED and not it.node.allow_failure]
            inputs += [self._model.come_to(ordinary).value, len(failed)]
        return inputs

    def _result(self, name: str) -> Any:
        if self._model.statuses[name] is not Status.SUCCEEDED:
            return _NOTHING
        if self._graph.node(name).each is not None:
            return self._instances(name)
        return self._returned[self._model.places[name].attempt(0)]

    def _instances(self, name: str) -> list[Any]:
        statuses, place = self._model.instance_statuses(name), self._model.places[name]
        return [
            self._returned[place.attempt(at)] if status is Status.SUCCEEDED else None
            for at, status in enumerate(statuses)
        ]


def _size(value: Any, path: Path) -> int:
    for key in path:
        if not isinstance(value, dict if isinstance(key, str) else list):
            return _NOT_A_LIST
        value = value[key]
    return len(value) if isinstance(value, list) else _NOT_A_LIST
