"""From stored calls to calls that can be sent: arguments with the results they refer to put in place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve

from dyrygent_core import Attempt, Call, DyrygentError, Status
from dyrygent_core.codec import decode_call
from dyrygent_core.ports import Journal, Refusal, ValueCodec
from dyrygent_core.refs import NO_VALUE, Reference, resolve
from dyrygent_core.workflow import Template
from dyrygent_runtime.failures import failure_of
from dyrygent_runtime.fold import Folded

__all__ = ["fill", "resolved_calls"]


def resolved_calls(
    journal: Journal,
    values: ValueCodec,
    folded: Folded,
    attempts: Sequence[Attempt],
    fresh: Mapping[Attempt, bytes],
) -> tuple[dict[Attempt, Call], list[Refusal]]:
    """Give the calls of attempts ready to be sent, and refusals for those whose references cannot be resolved.

    `fresh`: results that this process has just appended, so need not be read.
    """
    graph = folded.definition.graph
    numbers = [graph.number(attempt.node) for attempt in attempts]
    stored = journal.calls(folded.key, sorted(set(numbers)))
    calls = {attempt: decode_call(stored[number], values) for attempt, number in zip(attempts, numbers, strict=True)}
    wanted = (reference for call in calls.values() for reference in call.inputs.references)
    result_of = _results(journal, values, folded, wanted, fresh)
    ready: dict[Attempt, Call] = {}
    refusals: list[Refusal] = []
    for attempt, call in calls.items():
        try:
            value = resolve(call.inputs.value, call.inputs.references, result_of)
        except DyrygentError as problem:
            refusals.append(Refusal(attempt, failure_of(problem)))
        else:
            ready[attempt] = evolve(call, inputs=Template(value))
    return ready, refusals


def fill(journal: Journal, values: ValueCodec, folded: Folded, template: Template) -> Any:
    """Return a template's value with results in place; raises as `refs.resolve` does."""
    return resolve(template.value, template.references, _results(journal, values, folded, template.references, {}))


def _results(
    journal: Journal,
    values: ValueCodec,
    folded: Folded,
    references: Iterable[Reference],
    fresh: Mapping[Attempt, bytes],
) -> Callable[[str], Any]:
    """Read the results of all nodes that are referred to; give a look-up that decodes each place's own copy."""
    state = folded.state
    nodes = dict.fromkeys(reference.node for reference in references)
    winners = {node: state.attempt(node) for node in nodes if state.status(node) is Status.SUCCEEDED}
    missing = [attempt for attempt in winners.values() if attempt not in fresh]
    data = {**(journal.results(folded.key, missing) if missing else {}), **fresh}

    def result_of(node: str) -> Any:
        winner = winners.get(node)
        return NO_VALUE if winner is None or winner not in data else values.decode(data[winner])

    return result_of
