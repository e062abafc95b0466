"""What results are worth: the values of attempts that counted, put where references stand for them.

Written apart from `dyrygent_runtime.resolution`: everything is at hand here, so nothing has to be looked up cleverly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dyrygent_core import Attempt, Status
from dyrygent_core.calls import Template
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.errors import DyrygentError
from dyrygent_core.refs import ITEM, NO_VALUE, SUMMARY, Reference, resolve
from dyrygent_runtime.elements import blocks_of, list_at
from dyrygent_testing.simulation.replay import Replay
from dyrygent_testing.simulation.trace import Trace

__all__ = ["Passed"]


class Passed:
    """The values of one workflow's attempts, as they were appended first."""

    def __init__(self, trace: Trace, replay: Replay) -> None:
        self._replay = replay
        self._graph = replay.history.definition.graph
        self._stored: dict[Attempt, bytes] = {}
        for wrote in trace.wrote:
            if wrote.workflow == replay.id:
                for name, value in wrote.results.items():
                    self._stored.setdefault(name, value)

    def to(self, attempt: Attempt, position: int, got: Any) -> Any:  # payloads
        """Return what an attempt that was emitted by this entry should get; the summary as it `got` it."""
        template = self._replay.history.calls[self._graph.number(attempt.node)].inputs
        summaries = iter([_at(got, it.at) for it in template.references if it.node == SUMMARY])
        return _filled(template, lambda name: self._seen_by(attempt, name, position), summaries)

    def output(self) -> Any:
        """Return what the workflow itself should return, or the error that there is instead."""
        position = len(self._replay.steps)
        return _filled(self._replay.history.definition.output, lambda name: self._of(name, position), iter(()))

    def _seen_by(self, attempt: Attempt, name: str, position: int) -> Any:
        each = self._graph.node(attempt.node).each
        if name != ITEM:
            return self._of(name, position)
        if each is None:
            return NO_VALUE
        return (list_at(self._of(each.node, position), each.path) or ())[attempt.index]

    def _of(self, node: str, position: int) -> Any:
        state = self._replay.state_at(position)
        if state.status(node) is not Status.SUCCEEDED:
            return NO_VALUE
        if self._graph.node(node).each is None:
            return self._value(state.attempt(node), state.sizes(node))
        statuses = enumerate(state.instance_statuses(node))
        return [
            self._value(state.attempt(node, at), ()) if status is Status.SUCCEEDED else None for at, status in statuses
        ]

    def _value(self, attempt: Attempt, sizes: Sequence[int]) -> Any:
        if attempt in self._stored:
            return JSON_VALUES.decode(self._stored[attempt])
        paths = self._graph.measured_paths(attempt.node)
        if () not in paths or not sizes:
            return NO_VALUE
        blocks = blocks_of(attempt, sizes, paths.index(()))
        return [element for block in blocks for element in JSON_VALUES.decode(self._stored[block])]


def _filled(template: Template, value_of: Callable[[str], Any], summaries: Any) -> Any:
    """Put values in the places of references; an error is an answer too."""
    whole = [JSON_VALUES.decode(JSON_VALUES.encode(template.value))]
    references = [Reference((0, *it.at), it.node, it.path, it.fallback) for it in template.references]
    for reference in references:
        if reference.node == SUMMARY:
            _at(whole, reference.at[:-1])[reference.at[-1]] = next(summaries)
    try:
        return resolve(whole, [it for it in references if it.node != SUMMARY], value_of)[0]
    except (DyrygentError, LookupError) as problem:
        return problem


def _at(value: Any, path: Sequence[Any]) -> Any:
    for key in path:
        value = value[key]
    return value
