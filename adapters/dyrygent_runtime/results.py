"""The results of a run, as whoever asks for them gets them: from the journal, or of one node from the engine.

Which results the journal keeps is decided when the workflow is built (`Definition.kept`), and where they lie in
`resolution`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dyrygent_core import Status, Succeeded, WorkflowFailedError, WorkflowState
from dyrygent_core.errors import AdapterUnavailableError, ResultNotKeptError, quoted
from dyrygent_core.refs import NO_VALUE
from dyrygent_runtime.conductor import Conductor
from dyrygent_runtime.finish import submission_of
from dyrygent_runtime.fold import Folded
from dyrygent_runtime.resolution import Results, fill
from dyrygent_runtime.summary import cause_of

__all__ = ["kept_results", "node_result", "own_result"]


def own_result(conductor: Conductor, folded: Folded) -> Any:
    """Return the workflow's own result; raises `WorkflowFailedError` unless it has ended in SUCCESS."""
    state = folded.state
    if state.workflow_state is WorkflowState.SUCCESS:
        return fill(conductor.journal, conductor.adapter.values, folded, folded.definition.output)
    failed = state.first_failed
    because = f"; node {quoted(failed)} failed first: {cause_of(folded, failed)}" if failed is not None else ""
    message = f"workflow {quoted(folded.key.id)} has no result, it is in {state.workflow_state.name}{because}"
    raise WorkflowFailedError(message)


def node_result(conductor: Conductor, folded: Folded, node: str) -> Any:
    """Return one node's result; raises `WorkflowFailedError` unless it has succeeded, and `ResultNotKeptError`."""
    status = folded.state.status(node)
    if status is not Status.SUCCEEDED:
        failure = cause_of(folded, node)
        because = f": {failure}" if failure is not None else ""
        message = f"node {quoted(node)} of workflow {quoted(folded.key.id)} has no result, it is {status.name}{because}"
        raise WorkflowFailedError(message)
    value = _read(conductor, folded, [node]).of(node)
    return value if value is not NO_VALUE else _from_engine(conductor, folded, node)


def kept_results(conductor: Conductor, folded: Folded, nodes: Iterable[str] | None) -> dict[str, Any]:
    """Return the results that the journal has of these nodes, or of all, by id and in topological order."""
    definition, state = folded.definition, folded.state
    numbers = sorted(map(definition.graph.number, definition.kept if nodes is None else set(nodes)))
    names = (definition.graph.nodes[number].id for number in numbers)
    wanted = [name for name in names if name in definition.kept and state.status(name) is Status.SUCCEEDED]
    results = _read(conductor, folded, wanted)
    found = {name: results.of(name) for name in wanted}
    return {name: value for name, value in found.items() if value is not NO_VALUE}


def _read(conductor: Conductor, folded: Folded, nodes: Iterable[str]) -> Results:
    results = Results(conductor.journal, conductor.adapter.values, folded)
    results.read((None, node) for node in nodes)
    return results


def _from_engine(conductor: Conductor, folded: Folded, node: str) -> Any:
    """Ask the engine for a result that the journal did not keep."""
    why = "no later node refers to its result, so it was not kept"
    try:
        found = _looked_up(conductor, folded, node)
    except AdapterUnavailableError as problem:
        message = f"node {quoted(node)} succeeded, but {why}, and the engine cannot be asked for it: {problem}"
        raise ResultNotKeptError(message) from problem
    if found is NO_VALUE:
        message = (
            f"node {quoted(node)} succeeded, but {why}, and the engine does not have it; "
            f"refer to it in Workflow.returns(…)"
        )
        raise ResultNotKeptError(message)
    return found


def _looked_up(conductor: Conductor, folded: Folded, node: str) -> Any:
    if folded.definition.graph.node(node).each is not None:
        return NO_VALUE  # it would take a look-up for each instance
    values = conductor.adapter.values
    attempt = folded.state.attempt(node)
    submission = submission_of(conductor.journal, values, folded, attempt)
    finding = conductor.adapter.lookup([submission]).get(attempt)
    if finding is None or finding.value is None or not isinstance(finding.outcome, Succeeded):
        return NO_VALUE
    return values.decode(finding.value)
